"""What the table keeps of its changelog: the highest version of each key, for the partitions that are ours."""

from types import SimpleNamespace
from typing import Any

import faust
import pytest
from faust import stores
from faust.types import TP

from connectors import changelog_store
from connectors.changelog_store import ChangelogStore
from connectors.kafka import Watermarks
from schemas.errors import BrokerError, DecodeError
from schemas.indexed_row import IndexedRow
from schemas.record import Stretch
from streams.tables import STORE

TOPIC = "app-rows-changelog"


def stretch(last: int, count: int = 1) -> Stretch:
    return Stretch(topic=TOPIC, partition=0, count=count, last=last)


def entry(version: int, row: bytes = b"row") -> bytes:
    return IndexedRow(
        version=version,
        lsn=None,
        source_time_ms=None,
        recipe="r",
        embedding_fingerprint="f",
        applied_at_ms=0,
        row=row,
    ).to_bytes()


class FakeRecord:
    """A record as librdkafka gives it: its fields are methods."""

    def __init__(self, partition: int, offset: int, key: bytes | None, value: bytes | None) -> None:
        self._fields = (partition, offset, key, value)

    def partition(self) -> int:
        return self._fields[0]

    def offset(self) -> int:
        return self._fields[1]

    def key(self) -> bytes | None:
        return self._fields[2]

    def value(self) -> bytes | None:
        return self._fields[3]


class FakeChangelog:
    """The reader's twin over lists of (key, value); a None in place of a pair is an offset that compaction took."""

    def __init__(self) -> None:
        self.partitions: dict[int, list[tuple[bytes | None, bytes | None] | None]] = {}
        self.low: dict[int, int] = {}
        self.reads: list[dict[int, int]] = []
        self.fail_after_records: int | None = None

    def append(self, partition: int, key: bytes | None, value: bytes | None) -> None:
        self.partitions.setdefault(partition, []).append((key, value))

    async def __aenter__(self) -> "FakeChangelog":
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    async def watermarks(self, partitions: Any) -> dict[int, Watermarks]:
        return {p: Watermarks(low=self.low.get(p, 0), high=len(self.partitions.get(p, []))) for p in partitions}

    async def read(self, starts: dict[int, int], ends: dict[int, int]) -> Any:
        self.reads.append(dict(starts))
        for partition, start in starts.items():
            for offset in range(start, ends[partition]):
                if pair := self.partitions[partition][offset]:
                    if self.fail_after_records == 0:
                        raise BrokerError("cannot read")
                    if self.fail_after_records is not None:
                        self.fail_after_records -= 1
                    yield [FakeRecord(partition, offset, *pair)]


@pytest.fixture
def changelog(monkeypatch: pytest.MonkeyPatch) -> FakeChangelog:
    fake = FakeChangelog()
    monkeypatch.setattr(changelog_store, "TopicReader", lambda brokers, topic: fake)
    return fake


class Group:
    """A store and the partitions that its worker owns."""

    def __init__(self) -> None:
        self.actives: set[TP] = set()
        app: Any = SimpleNamespace(
            assignor=SimpleNamespace(assigned_actives=lambda: self.actives),
            conf=SimpleNamespace(broker_consumer=[]),
        )
        table: Any = SimpleNamespace(name="rows", changelog_topic=SimpleNamespace(get_topic_name=lambda: TOPIC))
        self.store = ChangelogStore(STORE, app, table)

    async def assign(self, *partitions: int) -> ChangelogStore:
        self.actives = {TP(TOPIC, p) for p in partitions} | {TP("source", p) for p in partitions}
        await self.store.on_rebalance(set(), set(), set(), 1)
        return self.store


@pytest.fixture
def group() -> Group:
    return Group()


def event(partition: int, offset: int, key: bytes, value: bytes | None) -> Any:
    message = SimpleNamespace(topic=TOPIC, partition=partition, offset=offset, key=key, value=value)
    return SimpleNamespace(message=message)


def test_faust_finds_the_store_by_the_url_of_the_table() -> None:
    assert stores.by_url(STORE) is ChangelogStore
    app = faust.App("app-of-a-test", store="memory://")
    assert isinstance(app.Table("rows", store=STORE).data, ChangelogStore)


async def test_assigned_partitions_are_read_to_their_end(group: Group, changelog: FakeChangelog) -> None:
    changelog.append(0, b"a", entry(1))
    changelog.append(0, b"a", entry(5))
    changelog.append(1, b"b", entry(2))
    store = await group.assign(0, 1, 2)
    assert dict(store) == {b"a": entry(5), b"b": entry(2)}
    assert [store.persisted_offset(TP(TOPIC, p)) for p in range(4)] == [1, 0, -1, None]


async def test_gap_at_the_end_of_a_partition_is_not_waited_for(group: Group, changelog: FakeChangelog) -> None:
    changelog.append(0, b"a", entry(1))
    changelog.partitions[0] += [None, None]
    store = await group.assign(0)
    assert store.persisted_offset(TP(TOPIC, 0)) == 2


@pytest.mark.parametrize("empty", [None, b""], ids=["null", "empty"])
async def test_tombstone_takes_the_entry_away(group: Group, changelog: FakeChangelog, empty: bytes | None) -> None:
    changelog.append(0, b"a", entry(1))
    changelog.append(0, b"a", empty)
    changelog.append(0, b"never seen", empty)
    store = await group.assign(0)
    assert len(store) == 0
    assert not store.outdated_entries()


async def test_lower_version_after_a_higher_one_is_noted_and_not_kept(group: Group, changelog: FakeChangelog) -> None:
    changelog.append(3, b"a", entry(9))
    changelog.append(3, b"a", entry(4))
    store = await group.assign(3)
    assert dict(store) == {b"a": entry(9)}
    assert store.outdated_entries() == [(3, b"a", entry(9))]
    store.note_rewritten([b"a"])
    assert not store.outdated_entries()


@pytest.mark.parametrize("last", [entry(9, b"again"), entry(12), b""], ids=["same", "higher", "tombstone"])
async def test_what_follows_an_outdated_record_may_mend_it(group: Group, changelog: FakeChangelog, last: bytes) -> None:
    changelog.append(0, b"a", entry(9))
    changelog.append(0, b"a", entry(4))
    changelog.append(0, b"a", last)
    store = await group.assign(0)
    assert store.get(b"a", b"") == last
    assert not store.outdated_entries()


async def test_partition_that_stays_reads_only_what_is_new(group: Group, changelog: FakeChangelog) -> None:
    changelog.append(0, b"a", entry(1))
    changelog.append(1, b"b", entry(1))
    await group.assign(0)
    changelog.append(0, b"a", entry(2))
    store = await group.assign(0, 1)
    assert changelog.reads == [{0: 0}, {0: 1, 1: 0}]
    assert dict(store) == {b"a": entry(2), b"b": entry(1)}


async def test_own_writes_are_not_read_back(group: Group, changelog: FakeChangelog) -> None:
    store = await group.assign(0)
    for version in (1, 2):
        store.remember(0, b"a", entry(version))
        changelog.append(0, b"a", entry(version))
        store.note_written(stretch(version - 1))
    await group.assign(0)
    assert changelog.reads[-1] == {0: 2}
    assert dict(store) == {b"a": entry(2)}


async def test_record_of_another_worker_between_own_writes_is_read(group: Group, changelog: FakeChangelog) -> None:
    store = await group.assign(0)
    store.remember(0, b"c", entry(1))
    changelog.append(0, b"c", entry(1))
    changelog.append(0, b"a", entry(3))
    store.remember(0, b"b", entry(1))
    changelog.append(0, b"b", entry(1))
    store.note_written(stretch(2, count=2))
    await group.assign(0)
    assert dict(store) == {b"a": entry(3), b"b": entry(1), b"c": entry(1)}


async def test_own_writes_together_are_not_read_back(group: Group, changelog: FakeChangelog) -> None:
    store = await group.assign(0)
    for version in (1, 2, 3):
        store.remember(0, b"a", entry(version))
        changelog.append(0, b"a", entry(version))
    store.note_written(stretch(2, count=3))
    await group.assign(0)
    assert changelog.reads[-1] == {0: 3}


async def test_recovery_that_a_rebalance_overtook_drops_no_entry_of_the_next(
    group: Group, changelog: FakeChangelog
) -> None:
    changelog.append(0, b"a", entry(1))
    changelog.append(1, b"b", entry(1))
    store = await group.assign(0, 1)
    await store.on_recovery_completed({TP(TOPIC, 0)}, set())  # as of the assignment before
    assert dict(store) == {b"a": entry(1), b"b": entry(1)}


async def test_entries_of_a_revoked_partition_are_gone_and_read_anew_when_it_returns(
    group: Group, changelog: FakeChangelog
) -> None:
    changelog.append(0, b"a", entry(1))
    changelog.append(1, b"b", entry(2))
    changelog.append(1, b"b", entry(1))
    store = await group.assign(0, 1)
    store.remember(1, b"c", entry(1))  # its changelog record went missing with the worker's right to write it
    await group.assign(0)
    assert dict(store) == {b"a": entry(1)}
    assert not store.outdated_entries()
    assert store.persisted_offset(TP(TOPIC, 1)) is None
    await group.assign(0, 1)
    assert dict(store) == {b"a": entry(1), b"b": entry(2)}
    await group.assign()
    assert len(store) == 0


async def test_late_confirmation_for_a_partition_that_left_is_ignored(group: Group, changelog: FakeChangelog) -> None:
    store = await group.assign(0)
    await group.assign()
    store.note_written(stretch(0))
    assert store.persisted_offset(TP(TOPIC, 0)) is None


@pytest.mark.parametrize("cut", ["made anew", "cut off"])
async def test_changelog_that_no_longer_holds_what_was_read_is_read_from_its_start(
    group: Group, changelog: FakeChangelog, cut: str
) -> None:
    for number in range(3):
        changelog.append(0, b"%d" % number, entry(number))
    store = await group.assign(0)
    if cut == "made anew":
        changelog.partitions[0] = [(b"new", entry(1))]
    else:
        changelog.partitions[0] += [None, (b"new", entry(1))]
        changelog.low[0] = 4
    await group.assign(0)
    assert dict(store) == {b"new": entry(1)}


async def test_failed_read_goes_on_where_it_ended(group: Group, changelog: FakeChangelog) -> None:
    for number in range(4):
        changelog.append(0, b"%d" % number, entry(number))
    changelog.fail_after_records = 3
    with pytest.raises(BrokerError):
        await group.assign(0)
    changelog.fail_after_records = None
    store = await group.assign(0)
    assert changelog.reads == [{0: 0}, {0: 3}]
    assert len(store) == 4


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (b"a", b"not an entry"),
        (b"a", b"[1,2"),
        (b"a", b"[]\n"),
        (b"a", b"[true,1]\n"),
        (b"a", b'["1"]\n'),
        (b"a", b'{"version":1}\n'),
        (b"a", b"\xff\xfe\n"),
        (None, entry(1)),
    ],
)
async def test_record_that_is_no_entry_stops_the_recovery_with_its_place(
    group: Group, changelog: FakeChangelog, key: bytes | None, value: bytes
) -> None:
    changelog.append(2, b"a", entry(1))
    changelog.append(2, key, value)
    with pytest.raises(DecodeError, match=rf"cannot recover the table: {TOPIC}\[2\]@1 is not an indexed row") as caught:
        await group.assign(2)
    assert caught.value.hint == "lockstep table rebuild"


async def test_records_that_faust_still_recovers_keep_the_highest_version_too(
    group: Group, changelog: FakeChangelog
) -> None:
    changelog.append(0, b"a", entry(9))
    store = await group.assign(0)
    batch = [event(0, 1, b"a", entry(4)), event(0, 2, b"b", entry(1)), event(0, 3, b"b", None)]
    store.apply_changelog_batch(batch, bytes, bytes)
    assert dict(store) == {b"a": entry(9)}
    assert store.outdated_entries() == [(0, b"a", entry(9))]
    assert store.persisted_offset(TP(TOPIC, 0)) == 3


async def test_records_that_faust_hands_over_after_their_partition_left_are_dropped(
    group: Group, changelog: FakeChangelog
) -> None:
    for version in range(3):
        changelog.append(0, b"a", entry(version))
    store = await group.assign(0)
    store.apply_changelog_batch([event(0, 1, b"a", None), event(1, 7, b"b", entry(1))], bytes, bytes)
    assert dict(store) == {b"a": entry(2)}
    assert store.persisted_offset(TP(TOPIC, 1)) is None


async def test_record_that_faust_still_recovers_and_is_no_entry_crashes_the_worker(
    group: Group, changelog: FakeChangelog, monkeypatch: pytest.MonkeyPatch
) -> None:
    crashes: list[BaseException] = []

    async def crash(error: BaseException) -> None:
        crashes.append(error)

    store = await group.assign(0)
    monkeypatch.setattr(store, "crash", crash)
    store.apply_changelog_batch([event(0, 0, b"a", b"?")], bytes, bytes)
    await store.join_services([])
    for future in list(store._futures):
        await future
    assert isinstance(crashes[0], DecodeError)
