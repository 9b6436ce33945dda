"""Makes the collection anew from the topic and moves the alias to it, while workers write and people search.

    create ─ fill from the beginning ─ follow ─ compare with Postgres ─ follow ─ move the alias
           ─ reach every change up to the move ─ deletes once more

No change is lost at the move: a worker looks the alias up once it has its batch, so that whatever it still wrote to
the old collection lies below the high watermarks read after the move was acknowledged, which the backfill reaches.
Killed at any point, the next run goes on: with the collection that it finds unfinished, asked what it has already.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from operator import itemgetter

from ops.backfill.engine import Backfill
from ops.backfill.history import check_history
from ops.backfill.parts import BackfillParts, open_backfill_parts
from ops.backfill.progress import Progress, Say
from ops.collections import alone, wanted_recipe, with_model
from ops.rebuild_verification import Verification, verify
from ops.settings import Settings
from schemas.collection import CollectionState, Coverage, Hnsw, LiveCollection, Phase, collection_name
from schemas.errors import ReplayError, VectorStoreError
from schemas.recipe import Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class RebuildPlan:
    """Which collection is filled, and what stands behind the alias now.

    `creates`: it is made first; otherwise an earlier run left it, and what it has is kept. `moves`: the alias is moved
    to it; a run that was ended after the move has only to finish. `donor`: a collection of the same recipe, whose
    vectors are taken over.
    """

    target: LiveCollection
    creates: bool
    moves: bool
    replaces: str | None
    donor: str | None
    points: int
    """In the live collection; 0 without one."""
    hnsw: Hnsw = field(default_factory=Hnsw)


Approve = Callable[[RebuildPlan], bool]
"""Shown a plan, whether to carry it out."""


@dataclass(slots=True, kw_only=True)
class RebuildReport:
    """What a run came to."""

    collection: str
    replaced: str | None
    moved: bool
    progress: Progress
    undecodable: int
    verification: Verification | None
    seconds: float


def live_of(states: Sequence[CollectionState]) -> CollectionState | None:
    """The one behind the alias, if there is one."""
    return next((state for state in states if state.live), None)


def plan_rebuild(
    states: Sequence[CollectionState],
    recipe: Recipe,
    *,
    alias: str,
    now: datetime,
    hnsw: Hnsw | None = None,
    origin: CollectionState | None = None,
) -> RebuildPlan:
    """Choose the collection to fill: one that an earlier run of the same recipe left unfinished, else a new one.

    Without `hnsw` the index settings of the live collection stay, or where there is none those of `origin`: the live
    collection of the Qdrant that vectors are taken from.

    Raises:
        ReplayError: The live collection was not made by Lockstep; or it is not finished, and another recipe or another
            index is asked for.
    """
    live = live_of(states)
    if live and live.recipe is None:
        raise ReplayError(
            f"collection {live.name} behind the alias was not made by Lockstep", hint="set LOCKSTEP_QDRANT_ALIAS"
        )
    points = live.points if live else 0
    wanted = hnsw or (before.hnsw if (before := live or origin) else Hnsw())
    donor = origin.name if origin and origin.recipe == recipe else None
    if live and live.recipe and live.phase in (Phase.FILLING, Phase.FOLLOWING):
        if recipe != live.recipe or not wanted.is_met_by(live.hnsw):
            raise ReplayError(
                f"collection {live.name} is live, and its rebuild did not come to its end", hint="lockstep rebuild"
            )
        target = LiveCollection(name=live.name, recipe=live.recipe)
        return RebuildPlan(
            target=target, creates=False, moves=False, replaces=None, donor=_other(donor, live.name), points=points
        )
    unfinished = [
        state
        for state in states
        if not state.live
        and state.recipe == recipe
        and wanted.is_met_by(state.hnsw)
        and state.phase in (Phase.FILLING, Phase.FOLLOWING)
    ]
    name = unfinished[-1].name if unfinished else collection_name(alias, recipe, now)
    return RebuildPlan(
        target=LiveCollection(name=name, recipe=recipe),
        creates=not unfinished,
        moves=True,
        replaces=live.name if live else None,
        donor=donor,
        points=points,
        hnsw=wanted,
    )


def _other(name: str | None, than: str) -> str | None:
    return None if name == than else name


def plan_rollback(states: Sequence[CollectionState], to: str | None) -> RebuildPlan:
    """Choose the collection to go back to: the one named, else the one that was live last.

    Raises:
        ReplayError: There is none, or the one named cannot be it; or none is named, and a move was ended half-way.
    """
    live = live_of(states)
    if to is None:
        following = [state.name for state in states if not state.live and state.phase is Phase.FOLLOWING]
        if live and live.phase is Phase.KEPT and following:
            raise ReplayError(
                f"the move from {live.name} to {following[-1]} did not come to its end",
                hint=f"lockstep rollback --to {following[-1]}, or lockstep rebuild",
            )
        kept = [
            (state.coverage.at, state)
            for state in states
            if state.coverage and state.phase is Phase.KEPT and not state.live
        ]
        if not kept:
            raise ReplayError("no collection was kept to go back to", hint="lockstep collections list")
        _, found = max(kept, key=itemgetter(0))
    else:
        named = [state for state in states if state.name == to]
        if not named:
            raise ReplayError(f"collection {to} does not exist", hint="lockstep collections list")
        found = named[0]
        if found.live:
            raise ReplayError(f"collection {to} is live already", hint="lockstep collections list")
    if found.recipe is None:
        raise ReplayError(f"collection {found.name} does not say how it was made", hint="lockstep rebuild")
    return RebuildPlan(
        target=LiveCollection(name=found.name, recipe=found.recipe),
        creates=False,
        moves=True,
        replaces=live.name if live else None,
        donor=live.name if live and live.recipe == found.recipe else None,
        points=live.points if live else 0,
    )


@dataclass(slots=True, kw_only=True)
class Rebuild:
    """One run of a plan; `say` takes a line now and then."""

    parts: BackfillParts
    plan: RebuildPlan
    say: Say
    progress: Progress = field(init=False)

    def __post_init__(self) -> None:
        self.progress = Progress(say=self.say)

    async def run(self, *, swap: bool, compare: bool, from_snapshot: bool = False) -> RebuildReport:
        """Carry the plan out. Without `swap` the collection is filled and compared, and the alias stays.

        With `from_snapshot` Debezium is asked for the rows that the topic has no more.

        Raises:
            ReplayError: History is gone, or the new collection agrees worse with Postgres than the live one.
            LockstepError: A part cannot be reached or refuses. The next run goes on from there.
        """
        started = time.monotonic()
        plan, target, store = self.plan, self.plan.target, self.parts.store
        if plan.creates:
            await store.create_collection(target.name, target.recipe, _coverage(Phase.FILLING), hnsw=plan.hnsw)
        else:
            await store.ensure_indexes(target.name)
        backfill = await self.parts.backfill(target, self.progress, donor=plan.donor)
        await backfill.read(self.parts.source.starts)
        await self.parts.history.complete(backfill, from_snapshot=from_snapshot)
        await backfill.fill(empty=plan.creates)
        if not plan.creates:
            await backfill.remove_orphans(self.parts.rows.existing_keys)
        await backfill.follow()
        verification = None
        if plan.moves:
            if compare:
                self.say("comparing with Postgres")
                verification = await verify(self.parts, backfill, plan.replaces)
                verification.check()
            if swap:
                await self._move(backfill)
            else:
                await store.collections.set_coverage(target.name, _coverage(Phase.FOLLOWING, backfill))
        if swap or not plan.moves:
            await backfill.finish()
            await store.collections.set_coverage(target.name, _coverage(Phase.COMPLETE, backfill))
        return RebuildReport(
            collection=target.name,
            replaced=plan.replaces,
            moved=plan.moves and swap,
            progress=self.progress,
            undecodable=backfill.latest.undecodable,
            verification=verification,
            seconds=round(time.monotonic() - started, 1),
        )

    async def _move(self, backfill: Backfill) -> None:
        """Move the alias, close behind the tail: a search may miss what came in the last second."""
        store, target = self.parts.store, self.plan.target
        await backfill.follow()
        # First, so that a rollback that is ended here finds its collection kept still, or sees that a move was begun.
        if self.plan.replaces:
            await store.collections.set_coverage(self.plan.replaces, _coverage(Phase.KEPT))
        # Before the move: whoever finds it live and following knows that its rebuild did not come to its end.
        await store.collections.set_coverage(target.name, _coverage(Phase.FOLLOWING, backfill))
        await backfill.reach_now()
        await store.point_alias(target.name)
        self.say(f"{target.name} is live")


def _coverage(phase: Phase, backfill: Backfill | None = None) -> Coverage:
    return Coverage(phase=phase, at=datetime.now(UTC), covered=backfill.position if backfill else {})


async def rebuild(
    settings: Settings,
    *,
    model: str | None = None,
    recipe: Recipe | None = None,
    hnsw: Hnsw | None = None,
    target_url: str | None = None,
    from_snapshot: bool = False,
    swap: bool = True,
    approve: Approve = lambda plan: True,
    say: Say,
) -> RebuildReport | None:
    """Plan a rebuild, and carry it out once the plan is approved; None when it is not.

    The recipe is the one given; or the live collection's, with another model where one is named. `target_url` is
    another Qdrant to fill: its alias is made or moved, and vectors come from the Qdrant of the settings.

    Raises:
        ReplayError: Another rebuild runs, the live collection is not finished, history is gone, or the new one agrees
            worse with Postgres.
        LockstepError: A part cannot be reached or refuses, or the model cannot be loaded.
    """
    async with open_backfill_parts(settings, target_url=target_url) as parts, alone(parts.rows, settings.qdrant.alias):
        states = await parts.store.collections.all()
        origin = await _origin(parts, states, say)
        live = live_of(states) or origin
        if recipe is None:
            recipe = (live.recipe if live else None) or wanted_recipe(settings)
        if model is not None:
            recipe = with_model(recipe, model)
        now = datetime.now(UTC)
        plan = plan_rebuild(states, recipe, alias=settings.qdrant.alias, now=now, hnsw=hnsw, origin=origin)
        check_history(parts.source)
        if not approve(plan):
            return None
        run = Rebuild(parts=parts, plan=plan, say=say)
        return await run.run(swap=swap, compare=True, from_snapshot=from_snapshot)


async def _origin(parts: BackfillParts, states: Sequence[CollectionState], say: Say) -> CollectionState | None:
    """The live collection whose vectors may be taken over; None where there is none, or its Qdrant is lost."""
    if parts.origin is parts.store:
        return live_of(states)
    try:
        return live_of(await parts.origin.collections.all())
    except VectorStoreError as error:
        say(f"no vectors are taken over: {error}")
        return None


async def rollback(
    settings: Settings, to: str | None = None, *, approve: Approve = lambda plan: True, say: Say
) -> RebuildReport | None:
    """Bring a kept collection up to date and move the alias back to it; None when the plan is not approved.

    Nothing is compared with Postgres, so that it takes no longer than it must.

    Raises:
        ReplayError: Another rebuild runs, there is no such collection, or history is gone.
        LockstepError: As for `rebuild`.
    """
    async with open_backfill_parts(settings) as parts, alone(parts.rows, settings.qdrant.alias):
        plan = plan_rollback(await parts.store.collections.all(), to)
        check_history(parts.source)
        run = Rebuild(parts=parts, plan=plan, say=say)
        return await run.run(swap=True, compare=False) if approve(plan) else None
