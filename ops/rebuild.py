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
from ops.backfill.parts import BackfillParts, check_history, open_backfill_parts
from ops.backfill.progress import Progress, Say
from ops.collections import wanted_recipe, with_model
from ops.rebuild_verification import Verification, verify
from ops.settings import Settings
from schemas.collection import CollectionState, Coverage, LiveCollection, Phase, collection_name
from schemas.errors import ReplayError
from schemas.recipe import Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class RebuildPlan:
    """Which collection is filled, and what stands behind the alias now.

    `creates`: it is made first; otherwise an earlier run left it, and what it has is kept. `moves`: the alias is moved
    to it; a run that was ended after the move has only to finish. `reuses`: the live collection's vectors are of the
    same recipe.
    """

    target: LiveCollection
    creates: bool
    moves: bool
    replaces: str | None
    reuses: bool
    points: int
    """In the live collection; 0 without one."""


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


def plan_rebuild(states: Sequence[CollectionState], recipe: Recipe, *, alias: str, now: datetime) -> RebuildPlan:
    """Choose the collection to fill: one that an earlier run of the same recipe left unfinished, else a new one.

    Raises:
        ReplayError: The live collection was not made by Lockstep; or it is not finished, and another recipe is asked
            for.
    """
    live = live_of(states)
    if live and live.recipe is None:
        raise ReplayError(
            f"collection {live.name} behind the alias was not made by Lockstep", hint="set LOCKSTEP_QDRANT_ALIAS"
        )
    points = live.points if live else 0
    if live and live.recipe and live.phase in (Phase.FILLING, Phase.FOLLOWING):
        if recipe != live.recipe:
            raise ReplayError(
                f"collection {live.name} is live, and its rebuild did not come to its end", hint="lockstep rebuild"
            )
        target = LiveCollection(name=live.name, recipe=live.recipe)
        return RebuildPlan(target=target, creates=False, moves=False, replaces=None, reuses=False, points=points)
    unfinished = [
        state
        for state in states
        if not state.live and state.recipe == recipe and state.phase in (Phase.FILLING, Phase.FOLLOWING)
    ]
    name = unfinished[-1].name if unfinished else collection_name(alias, recipe, now)
    return RebuildPlan(
        target=LiveCollection(name=name, recipe=recipe),
        creates=not unfinished,
        moves=True,
        replaces=live.name if live else None,
        reuses=live is not None and live.recipe == recipe,
        points=points,
    )


def plan_rollback(states: Sequence[CollectionState], to: str | None) -> RebuildPlan:
    """Choose the collection to go back to: the one named, else the one that was live last.

    Raises:
        ReplayError: There is none, or the one named cannot be it.
    """
    live = live_of(states)
    if to is None:
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
        reuses=live is not None and live.recipe == found.recipe,
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

    async def run(self, *, swap: bool, compare: bool) -> RebuildReport:
        """Carry the plan out. Without `swap` the collection is filled and compared, and the alias stays.

        Raises:
            ReplayError: The new collection agrees worse with Postgres than the live one.
            LockstepError: A part cannot be reached or refuses. The next run goes on from there.
        """
        started = time.monotonic()
        plan, target, store = self.plan, self.plan.target, self.parts.store
        if plan.creates:
            await store.create_collection(target.name, target.recipe, _coverage(Phase.FILLING))
        else:
            await store.ensure_indexes(target.name)
        donor = plan.replaces if plan.reuses else None
        backfill = await self.parts.backfill(target, self.progress, donor=donor)
        await backfill.fill(self.parts.source.starts, empty=plan.creates)
        if not plan.creates:
            await backfill.remove_orphans()
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
        # Before the move: whoever finds it live and following knows that its rebuild did not come to its end.
        await store.collections.set_coverage(target.name, _coverage(Phase.FOLLOWING, backfill))
        if self.plan.replaces:
            await store.collections.set_coverage(self.plan.replaces, _coverage(Phase.KEPT))
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
    swap: bool = True,
    approve: Approve = lambda plan: True,
    say: Say,
) -> RebuildReport | None:
    """Plan a rebuild, and carry it out once the plan is approved; None when it is not.

    The recipe is the one given; or the live collection's, with another model where one is named.

    Raises:
        ReplayError: The live collection is not finished, history is gone, or the new one agrees worse with Postgres.
        LockstepError: A part cannot be reached or refuses, or the model cannot be loaded.
    """
    async with open_backfill_parts(settings) as parts:
        states = await parts.store.collections.all()
        live = live_of(states)
        if recipe is None:
            recipe = (live.recipe if live else None) or wanted_recipe(settings)
        if model is not None:
            recipe = with_model(recipe, model)
        plan = plan_rebuild(states, recipe, alias=settings.qdrant.alias, now=datetime.now(UTC))
        check_history(parts.source)
        run = Rebuild(parts=parts, plan=plan, say=say)
        return await run.run(swap=swap, compare=True) if approve(plan) else None


async def rollback(
    settings: Settings, to: str | None = None, *, approve: Approve = lambda plan: True, say: Say
) -> RebuildReport | None:
    """Bring a kept collection up to date and move the alias back to it; None when the plan is not approved.

    Nothing is compared with Postgres, so that it takes no longer than it must.

    Raises:
        ReplayError: There is no such collection, or history is gone.
        LockstepError: As for `rebuild`.
    """
    async with open_backfill_parts(settings) as parts:
        plan = plan_rollback(await parts.store.collections.all(), to)
        check_history(parts.source)
        run = Rebuild(parts=parts, plan=plan, say=say)
        return await run.run(swap=True, compare=False) if approve(plan) else None
