"""What `lockstep topics tail` prints of a record, and what the group refuses."""

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
import typer
from pydantic import SecretStr
from rich.console import Console
from typer.testing import CliRunner

from connectors.topic_tail import Start
from ops.commands import topic_views as views
from ops.commands import topics
from ops.settings import SchemaRegistrySettings, Settings
from schemas.errors import SettingsError
from schemas.fanout_event import (
    EventData,
    FanoutEvent,
    PriceChanged,
    ProductChanged,
    ProductIndexed,
    ProductRemoved,
    ProductRow,
    event_id,
)
from schemas.record import Place, Record

PLACE = Place(topic="pgserver.public.products", partition=0, offset=1041)
KEY = "0108775015"
ROW: ProductRow = {"id": 1, "article_id": KEY, "name": "Strap top", "color": "Black", "price": "19.90"}
runner = CliRunner()


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer()
    topics.register(app)
    return app


def record_of(model: type[EventData], **fields: Any) -> Record:
    """The record of an event, as the broker gives it back."""
    common = {
        "article_id": KEY,
        "version": 1041,
        "source": str(PLACE),
        "lsn": 7,
        "committed_at": "2026-11-20T10:00:00.000000Z",
    }
    event = FanoutEvent.of(model(**common | fields), id=event_id(model, PLACE, 0), partition=0)
    return Record(
        place=Place(topic=event.topic, partition=0, offset=3),
        key=event.key,
        value=event.body,
        headers=tuple(event.headers()),
        timestamp_ms=int(datetime(2026, 11, 20, 10, 0, 1, tzinfo=UTC).timestamp() * 1000),
    )


def update(**after: Any) -> Record:
    return record_of(
        ProductChanged,
        operation="update",
        from_snapshot=False,
        changed_fields=tuple(after),
        before=ROW,
        after=ROW | after,  # type: ignore[arg-type]
    )


def printed(record: Record) -> str:
    """One event in 80 columns, its lines joined."""
    console = Console(width=80, highlight=False, color_system=None)
    with console.capture() as capture:
        console.print(views.line(record))
    lines = capture.get().splitlines()
    assert all(len(line) <= 80 for line in lines)
    return " ".join(" ".join(lines).split())


LINES = {
    "an update": (update(price="17.99"), "changed 0108775015 price 19.90 → 17.99"),
    "a value that came": (update(description="New"), "changed 0108775015 description null → New"),
    "the time of the update goes without saying": (
        update(color=None, updated_at="2026-11-20T10:00:00.000000Z"),
        "changed 0108775015 color Black → null",
    ),
    "an update of nothing else": (
        update(updated_at="2026-11-20T10:00:00.000000Z"),
        "changed 0108775015 updated_at null → 2026-11-20T10:00:00.000000Z",
    ),
    "a create in a snapshot": (
        record_of(
            ProductChanged, operation="create", from_snapshot=True, changed_fields=tuple(ROW), before=None, after=ROW
        ),
        "changed 0108775015 created: Strap top, 19.90, from a snapshot",
    ),
    "a delete": (
        record_of(
            ProductChanged, operation="delete", from_snapshot=False, changed_fields=tuple(ROW), before=ROW, after=None
        ),
        "changed 0108775015 deleted: Strap top, 19.90",
    ),
    "a cut create": (
        record_of(
            ProductChanged,
            operation="create",
            from_snapshot=False,
            changed_fields=tuple(ROW),
            before=None,
            after={},
            cut=True,
        ),
        "changed 0108775015 created: a row that is not shown, rows cut",
    ),
    "a price": (
        record_of(PriceChanged, old_price="19.90", new_price=None, from_snapshot=False),
        "price-changed 0108775015 price 19.90 → null",
    ),
    "a removal": (record_of(ProductRemoved, row=ROW), "removed 0108775015 was Strap top, 19.90"),
    "a removal of the unknown": (record_of(ProductRemoved, row=None), "removed 0108775015 was a row that is not shown"),
    "indexed": (
        record_of(ProductIndexed, recipe="abc", searchable_at="2026-11-20T10:00:00.250000Z"),
        "indexed 0108775015 searchable 0.2 s after the commit",
    ),
}


@pytest.mark.parametrize(("record", "line"), LINES.values(), ids=LINES)
def test_an_event_says_when_what_and_which(record: Record, line: str) -> None:
    assert printed(record) == f"11-20 10:00:00 {line}"


def test_a_change_of_many_long_values_stays_within_the_width() -> None:
    text = printed(update(name="A" * 500, description="B" * 500))
    assert "A" * 20 in text
    assert "A" * 100 not in text.replace(" ", "")


def test_a_value_cannot_give_orders_to_the_terminal() -> None:
    text = printed(update(name="\x1b[31mred [bold]\x07"))
    assert "\x1b" not in text
    assert "\\x1b[31mred [bold]\\x07" in text


def test_any_other_record_is_a_place_a_key_and_a_size() -> None:
    record = Record(place=PLACE, key=b'{"article_id":"0108775015"}', value=b"x" * 1234, timestamp_ms=0)
    assert printed(record) == "01-01 00:00:00 [0]@1041 0108775015 1,234 bytes"
    assert views.as_dict(record) == {
        "place": "pgserver.public.products[0]@1041",
        "written_at": "1970-01-01T00:00:00.000000Z",
        "key": "0108775015",
        "value_bytes": 1234,
    }
    tombstone = Record(place=PLACE, key=None, value=None)
    assert printed(tombstone) == "01-01 00:00:00 [0]@1041 (no key) no value"


def test_a_record_that_is_no_event_is_shown_with_what_is_wrong() -> None:
    stranger = Record(place=Place(topic=ProductChanged.topic, partition=0, offset=3), key=b"k", value=b"{}")
    assert "k products.changed.v1[0]@3 is no event" in printed(stranger)
    assert "is no event" in views.as_dict(stranger)["error"]


def searchable(**fields: Any) -> Record:
    return record_of(ProductIndexed, recipe="abc", **{"searchable_at": "2026-11-20T10:00:00.250000Z"} | fields)


NO_TIMES = {
    "a commit": (searchable(committed_at="foo"), "'foo' is no time"),
    "a search": (searchable(searchable_at="foo"), "'foo' is no time"),
    "a price's commit": (
        record_of(PriceChanged, old_price=None, new_price="1.00", from_snapshot=False, committed_at="9" * 500),
        "is no time",
    ),
}


@pytest.mark.parametrize(("record", "line"), NO_TIMES.values(), ids=NO_TIMES)
def test_a_time_that_is_none_is_said_in_the_line_of_the_record(record: Record, line: str) -> None:
    text = printed(record)
    assert "[0]@3 0108775015" in text
    assert line in text
    assert len(text) < 200
    assert views.as_dict(record)["data"]["article_id"] == KEY


def test_a_time_without_a_zone_is_utc() -> None:
    assert printed(searchable(committed_at="2026-11-20T10:00:00")).endswith("0.2 s after the commit")


def test_a_record_of_a_time_that_no_calendar_holds_is_shown_without_it() -> None:
    record = Record(place=PLACE, key=b"k", value=b"x", timestamp_ms=(1 << 63) - 1)
    assert printed(record) == "(no time) [0]@1041 k 1 bytes"
    assert views.as_dict(record)["written_at"] is None


def test_json_has_the_event_whole() -> None:
    found = views.as_dict(update(price="17.99"))
    assert found["id"] == "products.changed.v1/0/pgserver.public.products[0]@1041"
    assert found["type"] == "lockstep.products.changed.v1"
    assert found["data"]["after"]["price"] == "17.99"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, bool]]:
    """A topic of two keys; the starts that were asked for, and whether it was followed."""
    asked: list[tuple[object, bool]] = []
    others = Record(place=Place(topic=ProductChanged.topic, partition=1, offset=0), key=b"other", value=b"{}")

    def read_on(brokers: str, topic: str, start: object, *, follow: bool) -> Iterator[list[Record]]:
        asked.append((start, follow))
        yield [update(price="17.99"), others]
        yield []

    monkeypatch.setattr(topics, "read_on", read_on)
    return asked


def test_tail_shows_the_events_of_one_key(app: typer.Typer, asked: list[tuple[object, bool]]) -> None:
    shown = runner.invoke(app, ["topics", "tail", ProductChanged.topic, "--key", KEY]).stdout
    assert shown.split() == ["11-20", "10:00:00", "changed", KEY, "price", "19.90", "→", "17.99"]
    assert asked == [(Start.LATEST, True)]


def test_tail_prints_one_json_object_a_line(app: typer.Typer, asked: list[tuple[object, bool]]) -> None:
    result = runner.invoke(app, ["topics", "tail", ProductChanged.topic, "--json", "--no-follow"])
    assert [orjson.loads(line)["key"] for line in result.stdout.splitlines()] == [KEY, "other"]
    assert asked == [(Start.BEGINNING, False)]


def test_tail_starts_where_it_is_told(app: typer.Typer, asked: list[tuple[object, bool]]) -> None:
    for start in ("beginning", "latest", "2026-11-20T10:00"):
        runner.invoke(app, ["topics", "tail", ProductChanged.topic, "--from", start])
    assert [start for start, _ in asked] == [Start.BEGINNING, Start.LATEST, datetime(2026, 11, 20, 10, tzinfo=UTC)]


def test_a_start_that_is_no_time_is_a_usage_error(app: typer.Typer) -> None:
    assert runner.invoke(app, ["topics", "tail", "products.changed.v1", "--from", "yesterday"]).exit_code == 2


@pytest.mark.parametrize("name", ["", " "])
def test_a_topic_without_a_name_is_a_usage_error(app: typer.Typer, name: str) -> None:
    result = runner.invoke(app, ["topics", "tail", name])
    assert result.exit_code == 2
    assert "a topic's name is needed" in " ".join(result.stderr.split())


def test_without_a_registry_nothing_is_registered() -> None:
    assert topics.register_schemas(Settings(_env_file=None), dry_run=False) == []


def test_a_registry_without_its_packages_is_a_settings_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "connectors.schema_registry", raising=False)
    monkeypatch.setitem(sys.modules, "httpx2", None)
    settings = Settings(_env_file=None, schema_registry=SchemaRegistrySettings(url=SecretStr("http://registry")))
    with pytest.raises(SettingsError, match="not installed: httpx2") as caught:
        topics.register_schemas(settings, dry_run=True)
    assert "lockstep[registry]" in (caught.value.hint or "")


@pytest.mark.parametrize("command", ["apply", "list", "tail"])
def test_help_has_an_example(app: typer.Typer, command: str) -> None:
    assert "Example: lockstep topics" in runner.invoke(app, ["topics", command, "--help"]).stdout
