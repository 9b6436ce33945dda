"""Finds dead letters on their topic, tells the open ones from the resolved, and resolves them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from connectors.kafka import KafkaAdmin
from connectors.topic_reader import TopicReader, record_of
from connectors.topic_writer import NewRecord, write_records
from schemas.dead_letter import DeadLetter, Resolution, ResolvedBy, decode_dead_letter
from schemas.debezium import decode_key
from schemas.errors import DecodeError
from schemas.record import Place, Record
from streams.topics import DEAD_LETTERS

PATIENCE_SECONDS = 5.0
"""How long a command waits for a broker that does not answer."""
FOREIGN_EXAMPLES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which dead letters are meant: those that meet every condition given."""

    places: frozenset[Place] = frozenset()
    key: str | None = None
    """The `article_id`, or the key's own text where it names no row."""
    error_class: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    """Exclusive."""

    @property
    def is_everything(self) -> bool:
        """Whether there is no condition at all."""
        return self == Selection()

    def matches(self, letter: DeadLetter) -> bool:
        """Whether the letter meets every condition."""
        return (
            (not self.places or letter.record.place in self.places)
            and (self.key is None or self.key == key_text(letter.record))
            and (self.error_class is None or self.error_class.lower() == letter.error_class.lower())
            and (self.since is None or self.since <= letter.set_aside_at)
            and (self.until is None or letter.set_aside_at < self.until)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundLetter:
    """A dead letter and what became of it. Its record has a value only where the values were asked for."""

    letter: DeadLetter
    stands_at: Place
    """On the dead-letter topic."""
    value_bytes: int | None
    """Size of the original value; None for a tombstone."""
    resolution: Resolution | None = None

    @property
    def place(self) -> Place:
        """Where the original record stands, or stood."""
        return self.letter.record.place

    @property
    def state(self) -> str:
        """`open`, `retried` or `discarded`."""
        return self.resolution.by if self.resolution else "open"


@dataclass(slots=True, kw_only=True)
class Foreign:
    """Records on the dead-letter topic that Lockstep did not write: how many, and what is wrong with the first."""

    count: int = 0
    examples: list[str] = field(default_factory=list)


class Collector:
    """Keeps of a dead-letter topic what a selection asks for, record by record.

    A place that appears several times, as it may, is kept once, with its newest appearance.
    """

    def __init__(self, selection: Selection, *, keep_values: bool = False) -> None:
        self.foreign = Foreign()
        self._selection = selection
        self._keep_values = keep_values
        self._letters: dict[Place, FoundLetter] = {}
        self._resolutions: dict[Place, Resolution] = {}

    def add(self, stored: Record) -> None:
        """Take the next record of the topic."""
        try:
            decoded = decode_dead_letter(stored)
        except DecodeError as error:
            self.foreign.count += 1
            if len(self.foreign.examples) < FOREIGN_EXAMPLES:
                self.foreign.examples.append(str(error))
            return
        if isinstance(decoded, Resolution):
            known = self._resolutions.get(decoded.place)
            if known is None or known.set_aside_at <= decoded.set_aside_at:
                self._resolutions[decoded.place] = decoded
        else:
            self._add_letter(decoded, stored.place)

    def letters(self) -> list[FoundLetter]:
        """What was found, the oldest first."""
        found = [self._with_resolution(letter) for letter in self._letters.values()]
        return sorted(found, key=lambda each: (each.letter.set_aside_at, each.place))

    def _add_letter(self, letter: DeadLetter, stands_at: Place) -> None:
        place = letter.record.place
        older = self._letters.get(place)
        if older is not None and letter.set_aside_at < older.letter.set_aside_at:
            return
        if not self._selection.matches(letter):
            self._letters.pop(place, None)
            return
        value = letter.record.value
        if not self._keep_values:
            letter = replace(letter, record=replace(letter.record, value=None))
        self._letters[place] = FoundLetter(
            letter=letter, stands_at=stands_at, value_bytes=None if value is None else len(value)
        )

    def _with_resolution(self, found: FoundLetter) -> FoundLetter:
        resolution = self._resolutions.get(found.place)
        return replace(found, resolution=resolution) if resolution and resolution.covers(found.letter) else found


async def find_letters(
    brokers: str, selection: Selection, *, keep_values: bool = False, starts: Mapping[int, int] | None = None
) -> Collector:
    """Read the dead-letter topic up to its end of now; `starts` are offsets to begin at, else everything is read.

    Raises:
        BrokerError: The topic cannot be read.
    """
    collector = Collector(selection, keep_values=keep_values)
    async with KafkaAdmin(brokers) as admin:
        await admin.wait_until_ready(PATIENCE_SECONDS)
        marks = await admin.watermarks(DEAD_LETTERS)
    begin = {number: max(mark.low, (starts or {}).get(number, 0)) for number, mark in marks.items()}
    async with TopicReader(brokers, DEAD_LETTERS) as reader:
        async for messages in reader.read(begin, {number: mark.high for number, mark in marks.items()}):
            for message in messages:
                collector.add(record_of(message))
    return collector


async def resolve(
    brokers: str, letters: Iterable[FoundLetter], by: ResolvedBy, *, now: datetime, reason: str = ""
) -> None:
    """Say on the topic that the letters have been dealt with; returns once the broker has confirmed it. Safe to repeat.

    Raises:
        BrokerError: Not all is confirmed: what is not resolved is still open.
    """
    records = []
    for found in letters:
        resolution = Resolution(
            place=found.place, set_aside_at=found.letter.set_aside_at, by=by, resolved_at=now, reason=reason
        )
        records.append(NewRecord(key=found.letter.record.key, value=None, headers=tuple(resolution.headers())))
    await write_records(brokers, DEAD_LETTERS, records)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A place for which nothing is done, and why."""

    place: Place
    reason: str


def split_open(letters: Sequence[FoundLetter], asked_for: Iterable[Place]) -> tuple[list[FoundLetter], list[Refused]]:
    """The open ones among the letters found, and which of the places asked for are not open, or not there."""
    by_place = {found.place: found for found in letters}
    refused = []
    for place in sorted(asked_for):
        found = by_place.get(place)
        if found is None:
            refused.append(Refused(place=place, reason="no dead letter of this place matches"))
        elif found.resolution:
            refused.append(Refused(place=place, reason=f"already {found.state}"))
    return [found for found in letters if found.resolution is None], refused


def key_text(record: Record) -> str | None:
    """The `article_id`, or the key as a text where it names no row; None without a key."""
    try:
        return decode_key(record)
    except DecodeError:
        return None if record.key is None else record.key.decode(errors="replace")
