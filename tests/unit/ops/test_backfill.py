"""A backfill beside a worker ends in the collection that the topic describes, whatever came first."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.kafka import Watermarks
from ops.backfill.engine import Backfill, Donor
from ops.backfill.history import SourceRange
from ops.backfill.latest import LatestRows
from ops.backfill.parts import BackfillParts
from ops.backfill.progress import Progress
from ops.backfill.requests import Requests
from ops.rebuild import Rebuild, RebuildPlan, live_of, plan_rebuild
from schemas.collection import LiveCollection, Phase
from schemas.document import PROVENANCE, Document
from schemas.errors import ErrorKind, ReplayError, VectorStoreError
from schemas.product import Product
from schemas.recipe import Recipe
from schemas.record import Place, Record
from streams.counters import Counters
from streams.health import Health
from streams.indexer import Indexer
from tests.fakes.backfill import Collections, GrowingLog, KilledError, Mortal, Turns
from tests.fakes.pipeline import (
    NOW,
    TOPIC,
    CountingLease,
    FakeEmbedder,
    InMemoryTable,
    ListOfDeadLetters,
    RowsInMemory,
    Topic,
)

OLD = LiveCollection(name="products-1", recipe=Recipe())
NEW = LiveCollection(name="products-2", recipe=Recipe())
OTHER = LiveCollection(name="products-3", recipe=Recipe(separator=" | "))
KEYS = ("A", "B", "C")


@dataclass
class World:
    """A topic, a worker that applies it record by record, and the collections."""

    topic: Topic
    log: GrowingLog
    store: Collections
    worker: Indexer
    embedder: FakeEmbedder
    epoch: int = 0
    lost_by_the_topic: set[str] = field(default_factory=set)
    """Rows in Postgres whose records are gone."""

    @classmethod
    def of(cls, topic: Topic, *, visible: int | None = None, seed: int = 0) -> "World":
        store = Collections(live=OLD, turns=Turns(seed))
        store.create(OLD)
        embedder = FakeEmbedder()
        worker = Indexer(
            store=store,
            embedders=FakeEmbedder(),
            rows=RowsInMemory(),
            table=InMemoryTable(),
            dead_letters=ListOfDeadLetters(),
            health=Health(),
            counters=Counters(),
            clock=lambda: NOW,
        )
        log = GrowingLog(topic.records, len(topic.records) if visible is None else visible)
        return cls(topic, log, store, worker, embedder)

    def backfill(self, target: LiveCollection = OLD, **options: Any) -> Backfill:
        latest = LatestRows(topic=TOPIC, recipe=target.recipe, rows=RowsInMemory(), epoch=self.epoch)
        return Backfill(
            log=self.log,
            latest=latest,
            store=self.store,
            target=target,
            embedder=self.embedder,
            clock=lambda: NOW,
            requests=Requests(late_seconds=0.0),
            **options,
        )

    def rebuild(self, target: LiveCollection, *, creates: bool = True, moves: bool = True) -> Rebuild:
        plan = RebuildPlan(
            target=target,
            creates=creates,
            moves=moves,
            replaces=OLD.name,
            donor=OLD.name if target.recipe == OLD.recipe else None,
            points=0,
        )
        return Rebuild(parts=cast(BackfillParts, Parts(self)), plan=plan, say=lambda line: None)

    async def work(self, start: int, end: int) -> None:
        """The worker applies these records; each comes to be on the topic just before."""
        for number in range(start, end):
            self.log.visible = max(self.log.visible, number + 1)
            await self.store.turns.take()
            await self.worker.apply(self.topic.records[number : number + 1], CountingLease())

    async def expected(self) -> dict[str, str]:
        """Name and version of every row that the whole topic leaves."""
        latest = LatestRows(topic=TOPIC, recipe=OLD.recipe, rows=RowsInMemory(), epoch=0)
        await latest.add(self.topic.records)
        return {key: document.row.name for key, document in latest.documents(KEYS, NOW).items()}

    def names(self) -> dict[str, str]:
        return {key: payload["name"] for key, payload in self.store.points.items()}


@dataclass
class Parts:
    """What a rebuild works with, of a world."""

    world: World

    @property
    def store(self) -> Collections:
        return self.world.store

    @property
    def rows(self) -> "Parts":
        return self

    async def existing_keys(self, keys: Sequence[str]) -> set[str]:
        return self.world.lost_by_the_topic & set(keys)

    @property
    def source(self) -> SourceRange:
        return SourceRange(marks={0: Watermarks(low=0, high=self.world.log.visible)}, cleanup_policy="compact")

    @property
    def history(self) -> "Parts":
        return self

    async def complete(self, backfill: Backfill, *, from_snapshot: bool) -> None: ...

    async def backfill(self, target: LiveCollection, progress: Progress, *, donor: str | None) -> Backfill:
        found = Donor(store=self.world.store, collection=donor) if donor else None
        return self.world.backfill(target, donor=found, progress=progress)


def topic_of(steps: list[tuple[str, str, int]]) -> Topic:
    """Rows that come, change and go; a key that is gone can only come."""
    topic = Topic()
    alive: set[str] = set()
    for key, what, number in steps:
        if key not in alive:
            topic.create(key, name=f"{key} {number}")
            alive.add(key)
        elif what == "delete":
            topic.delete(key)
            topic.tombstone(key)
            alive.discard(key)
        elif what == "price":
            previous = [r for r in topic.records if r.value and key.encode() in (r.key or b"")]
            topic.update(key, name=name_of(previous[-1]), price=str(number))
        else:
            topic.update(key, name=f"{key} {number}")
    return topic


def name_of(record: Record) -> str:
    latest = record.value or b""
    return latest.split(b'"name":"')[1].split(b'"')[0].decode()


steps = st.lists(
    st.tuples(st.sampled_from(KEYS), st.sampled_from(["name", "price", "delete"]), st.integers(0, 3)),
    min_size=1,
    max_size=14,
)


@settings(max_examples=100, deadline=None)
@given(steps=steps, seed=st.integers(0, 10_000), share=st.floats(0, 1), lost=st.sets(st.sampled_from(KEYS)))
def test_promise_2_replay_beside_a_worker_ends_in_the_newest_rows(
    steps: list[tuple[str, str, int]], seed: int, share: float, lost: set[str]
) -> None:
    async def run() -> None:
        topic = topic_of(steps)
        applied = int(share * len(topic.records))
        world = World.of(topic, visible=applied, seed=seed)
        await world.work(0, applied)
        for key in lost:
            world.store.by_name[OLD.name].points.pop(key, None)

        async def replay() -> None:
            if applied:
                await world.backfill().replay({0: 0}, {0: applied})

        await asyncio.gather(replay(), world.work(applied, len(topic.records)))
        assert world.names() == await world.expected()

    asyncio.run(run())


@settings(max_examples=100, deadline=None)
@given(steps=steps, seed=st.integers(0, 10_000), share=st.floats(0, 1), target=st.sampled_from([NEW, OTHER]))
def test_promise_4_no_change_is_lost_across_the_move(
    steps: list[tuple[str, str, int]], seed: int, share: float, target: LiveCollection
) -> None:
    async def run() -> None:
        topic = topic_of(steps)
        applied = int(share * len(topic.records))
        world = World.of(topic, visible=applied, seed=seed)
        await world.work(0, applied)
        rebuild = world.rebuild(target)
        await asyncio.gather(rebuild.run(swap=True, compare=False), world.work(applied, len(topic.records)))
        assert world.names() == await world.expected()
        recipes = {payload[PROVENANCE]["recipe"] for payload in world.store.points.values()}
        assert recipes <= {target.recipe.recipe_id}

    asyncio.run(run())


@pytest.mark.parametrize("recipe", [OLD.recipe, OTHER.recipe], ids=["same recipe", "another"])
async def test_promise_4_rebuild_killed_at_any_call_goes_on_and_loses_nothing(recipe: Recipe) -> None:
    topic = topic_of([("A", "name", 1), ("B", "name", 1), ("C", "name", 1), ("B", "delete", 0), ("A", "name", 2)])
    later = len(topic.records)
    topic.update("A", name="A 3")
    topic.delete("C")
    topic.tombstone("C")
    for call in range(1, 200):
        world = World.of(topic, visible=later)
        await world.work(0, later)
        world.store.turns = Mortal(0, at=call)
        killed = await killed_rebuild(world, recipe)
        world.store.turns = Turns(0)
        await world.work(later, len(topic.records))
        await killed_rebuild(world, recipe)
        assert world.names() == await world.expected() == {"A": "A 3"}
        assert world.store.live.recipe == recipe
        assert world.store.coverage[world.store.live.name].phase is Phase.COMPLETE
        assert set(world.store.by_name) <= {OLD.name, world.store.live.name}  # it went on with what it found
        if not killed:
            return
    pytest.fail("the rebuild was killed to its end")


async def killed_rebuild(world: World, recipe: Recipe) -> bool:
    """A run as the command makes it; whether it was killed."""
    states = await world.store.all()
    plan = plan_rebuild(states, recipe, alias="products", now=NOW, origin=live_of(states))
    try:
        await Rebuild(parts=cast(BackfillParts, Parts(world)), plan=plan, say=lambda line: None).run(
            swap=True, compare=False
        )
    except (KilledError, BaseExceptionGroup):
        return True
    return False


async def world_with_rows(*names: str) -> World:
    topic = Topic()
    for name in names:
        topic.create(name, name=f"shirt {name}")
    world = World.of(topic)
    await world.work(0, len(topic.records))
    return world


async def test_promise_4_what_a_worker_still_writes_to_the_old_collection_is_in_the_new_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    topic = Topic()
    topic.create("A")
    topic.create("B")
    world = World.of(topic, visible=1)
    await world.work(0, 1)
    move = world.store.point_alias

    async def move_late(collection: str) -> None:
        await world.work(1, 2)  # it looked the alias up before the move
        await move(collection)

    monkeypatch.setattr(world.store, "point_alias", move_late)
    report = await world.rebuild(NEW).run(swap=True, compare=False)
    assert set(world.store.points) == {"A", "B"}
    assert (report.moved, world.store.live) == (True, NEW)
    assert world.store.coverage[NEW.name].phase is Phase.COMPLETE
    assert world.store.coverage[NEW.name].covered == {0: 2}
    assert world.store.coverage[OLD.name].phase is Phase.KEPT


async def test_rebuild_that_was_ended_after_its_move_is_finished() -> None:
    world = await world_with_rows("A", "B")
    del world.store.by_name[OLD.name].points["A"]
    report = await world.rebuild(OLD, creates=False, moves=False).run(swap=True, compare=False)
    assert set(world.store.points) == {"A", "B"}
    assert (report.moved, report.progress.embedded) == (False, 1)
    assert world.store.coverage[OLD.name].phase is Phase.COMPLETE


async def test_promise_2_kept_collection_loses_the_rows_that_compaction_forgot() -> None:
    world = await world_with_rows("A", "B")
    world.store.create(NEW)
    await filled(world.backfill(NEW), empty=True)
    points = world.store.by_name[NEW.name].points
    # Deleted since, and neither its records nor its tombstone are on the topic any more.
    points["gone"] = type(points["A"])(points["A"].payload | {"article_id": "gone"}, points["A"].vectors)
    await world.rebuild(NEW, creates=False).run(swap=True, compare=False)
    assert set(world.store.points) == {"A", "B"}
    assert world.store.live == NEW


async def kept_with_a_point_unknown_to_the_topic(offset: int) -> World:
    """The topic was made anew since; the point was made from a record at this offset of the one before."""
    world = await world_with_rows("A", "B")
    world.store.create(NEW)
    await filled(world.backfill(NEW), empty=True)
    points = world.store.by_name[NEW.name].points
    payload = points["A"].payload
    place = Place(topic=TOPIC, partition=0, offset=offset)
    provenance = payload[PROVENANCE] | {"source": str(place), "version": place.version(0)}
    points["C"] = type(points["A"])(payload | {"article_id": "C", PROVENANCE: provenance}, points["A"].vectors)
    world.epoch = 1
    return world


async def test_promise_1_going_back_keeps_a_row_whose_records_went_with_an_older_topic() -> None:
    world = await kept_with_a_point_unknown_to_the_topic(offset=1)
    world.lost_by_the_topic = {"C"}
    await world.rebuild(NEW, creates=False).run(swap=True, compare=False)
    assert set(world.store.points) == {"A", "B", "C"}


async def test_promise_2_going_back_revives_no_row_that_was_deleted_before_the_topic_was_made_anew() -> None:
    world = await kept_with_a_point_unknown_to_the_topic(offset=1000)
    await world.rebuild(NEW, creates=False).run(swap=True, compare=False)
    assert set(world.store.points) == {"A", "B"}


async def test_promise_1_topic_that_is_made_anew_meanwhile_is_not_taken_for_the_one_that_was_read() -> None:
    world = await world_with_rows("A", "B")
    rebuild = world.rebuild(NEW)
    fill = world.store.insert

    async def insert(collection: str, documents: Sequence[Document]) -> None:
        await fill(collection, documents)
        world.log.visible = 1

    world.store.insert = insert  # type: ignore[method-assign]
    with pytest.raises(ReplayError, match=r"pgserver.public.products\[0\] ends at 1, and was read up to 2"):
        await rebuild.run(swap=True, compare=False)
    assert world.store.live == OLD


async def test_rebuild_without_swap_leaves_the_alias_and_says_how_far_it_is() -> None:
    world = await world_with_rows("A")
    await world.rebuild(NEW).run(swap=False, compare=False)
    assert world.store.live == OLD
    assert set(world.store.by_name[NEW.name].points) == {"A"}
    assert world.store.coverage[NEW.name].phase is Phase.FOLLOWING


@pytest.mark.parametrize("last_pass", [False, True], ids=["replay", "end of a rebuild"])
async def test_promise_2_row_deleted_while_a_backfill_writes_stays_deleted(
    last_pass: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = Topic()
    topic.create("A")
    topic.delete("A")
    world = World.of(topic, visible=1)
    await world.work(0, 1)
    world.store.by_name[OLD.name].points.clear()
    upsert = world.store.upsert

    async def upsert_late(collection: str, documents: Sequence[Document]) -> None:
        monkeypatch.setattr(world.store, "upsert", upsert)
        await world.work(1, 2)
        await upsert(collection, documents)
        assert world.names() == {"A": "Strap top"}  # revived: no version guards what is missing

    monkeypatch.setattr(world.store, "upsert", upsert_late)
    backfill = world.backfill()
    if last_pass:
        backfill.position = {0: 0}
        await backfill.finish()
    else:
        await backfill.replay({0: 0}, {0: 1})
    assert world.names() == {}


async def filled(backfill: Backfill, *, start: int = 0, empty: bool = False) -> None:
    await backfill.read({0: start})
    await backfill.fill(empty=empty)


async def test_promise_2_write_that_lands_behind_the_delete_of_its_row_leaves_no_ghost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    topic = Topic()
    topic.create("A")
    topic.create("B")
    topic.delete("A")
    world = World.of(topic, visible=2)
    await world.work(0, 2)
    insert, move = world.store.insert, world.store.point_alias
    late: list[tuple[str, Sequence[Document]]] = []

    async def insert_late(collection: str, documents: Sequence[Document]) -> None:
        if not late:
            late.append((collection, documents))
            await world.work(2, 3)  # A is deleted, and the delete is followed
            raise VectorStoreError("timed out", kind=ErrorKind.TRANSIENT)
        await insert(collection, documents)

    async def move_late(collection: str) -> None:
        await insert(*late[0])
        assert set(world.store.by_name[NEW.name].points) == {"A", "B"}
        await move(collection)

    monkeypatch.setattr(world.store, "insert", insert_late)
    monkeypatch.setattr(world.store, "point_alias", move_late)
    await world.rebuild(NEW).run(swap=True, compare=False)
    assert world.names() == {"B": "Strap top"}


async def test_promise_3_rebuild_with_the_same_recipe_embeds_nothing() -> None:
    world = await world_with_rows("A", "B")
    world.store.create(NEW)
    await filled(world.backfill(NEW, donor=Donor(store=world.store, collection=OLD.name)), empty=True)
    assert world.embedder.embedded == []
    assert world.store.by_name[NEW.name].points == world.store.by_name[OLD.name].points


async def test_rebuild_that_was_killed_embeds_only_what_is_missing() -> None:
    world = await world_with_rows("A", "B")
    world.store.create(OTHER)
    await filled(world.backfill(OTHER), empty=True)
    del world.store.by_name[OTHER.name].points["B"]
    world.embedder.embedded.clear()
    again = world.backfill(OTHER)
    await filled(again)
    assert world.embedder.embedded == [OTHER.recipe.render(Product(id=1, article_id="B", **COLUMNS, name="shirt B"))]
    assert (again.progress.right, again.progress.missing) == (1, 1)


COLUMNS = {
    "description": "Jersey top with narrow shoulder straps.",
    "product_type": "Vest top",
    "color": "Black",
    "department": "Jersey Basic",
}


async def test_second_replay_writes_nothing() -> None:
    world = await world_with_rows("A", "B")
    del world.store.by_name[OLD.name].points["A"]
    await world.backfill().replay({0: 0}, {0: 2})
    before = dict(world.store.by_name[OLD.name].history)
    second = world.backfill()
    await second.replay({0: 0}, {0: 2})
    assert world.store.by_name[OLD.name].history == before
    assert second.progress.right == 2


async def test_dry_run_counts_and_writes_nothing() -> None:
    world = await world_with_rows("A", "B")
    del world.store.by_name[OLD.name].points["A"]
    dry = world.backfill(dry_run=True)
    await dry.replay({0: 0}, {0: 2})
    assert (dry.progress.right, dry.progress.missing, dry.progress.embedded) == (1, 1, 1)
    assert world.embedder.embedded == []
    assert "A" not in world.store.points


async def test_range_chooses_the_keys_and_their_newest_state_is_written() -> None:
    world = await world_with_rows("A", "B")
    world.topic.update("A", name="coat")
    await world.work(2, 3)
    world.store.by_name[OLD.name].points.clear()
    await world.backfill().replay({0: 0}, {0: 1})
    assert world.names() == {"A": "coat"}


async def test_orphan_goes_only_if_its_record_was_read() -> None:
    world = await world_with_rows("A", "B")
    points = world.store.by_name[OLD.name].points
    compacted = world.backfill()
    await filled(compacted, start=1)  # as if compaction had removed the record of A and its tombstone
    points["C"] = type(points["B"])(
        points["B"].payload | {PROVENANCE: points["B"].provenance | {"source": f"{TOPIC}[0]@2", "version": 2}},
        points["B"].vectors,
    )
    await compacted.remove_orphans(Parts(world).existing_keys)
    assert set(points) == {"B", "C"}


async def test_unchanged_column_that_debezium_did_not_send_is_carried_forward() -> None:
    topic = Topic()
    topic.create("A", description="a long text")
    topic.update("A", description="__debezium_unavailable_value", price="5.00")
    world = World.of(topic)
    await filled(world.backfill())
    assert world.store.points["A"]["description"] == "a long text"
    assert world.store.points["A"]["price_text"] == "5.00"


async def test_store_that_accepts_nothing_ends_the_backfill(monkeypatch: pytest.MonkeyPatch) -> None:
    world = await world_with_rows("A", "B")
    world.store.create(NEW)

    async def refuse(collection: str, documents: object) -> Mapping[str, Any]:
        raise VectorStoreError("qdrant answered 400", kind=ErrorKind.PERMANENT)

    monkeypatch.setattr(world.store, "insert", refuse)
    with pytest.raises(VectorStoreError, match="qdrant answered 400"):
        await filled(world.backfill(NEW), empty=True)
