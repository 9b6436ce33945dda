"""Every recorded line of Debezium's output decodes to what its case did, or is refused for the right reason."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

import pytest

from schemas.change import Change, Operation
from schemas.debezium import decode_change
from schemas.errors import DecodeError, SchemaMismatch
from schemas.product import Product, price_text
from tests.fakes.recordings import (
    FINAL_PRICES,
    FORMS,
    GHOSTS_UNDER_DEFAULT_IDENTITY,
    SOURCE_TOPIC,
    Line,
    connect_records,
    expected_outcomes,
    expected_rows,
    lines,
    main_scenario,
    outcome,
    product_lines,
    without_times,
)


def summarize(outcomes: Iterable[Change | DecodeError]) -> list[str]:
    """Counts by operation, or by error and the first words of its reason, as the committed table has them."""
    words = []
    for result in outcomes:
        if isinstance(result, Change):
            words.append(result.operation.value)
        else:
            assert str(result).startswith("cannot decode change: ")
            assert f" at {SOURCE_TOPIC}[0]@" in str(result)
            reason = str(result).removeprefix("cannot decode change: ").partition(" at ")[0].partition(",")[0]
            words.append(f"{type(result).__name__}: {reason}")
    return sorted(f"{count} {word}" for word, count in Counter(words).items())


def replayed(stream: Iterable[Line]) -> dict[str, Product]:
    """The plainest index there is: the last row of each key; a value that was not sent stays as it was."""
    rows: dict[str, Product] = {}
    for line in stream:
        match outcome(line):
            case Change(row=None) as change:
                rows.pop(change.key, None)
            case Change(row=Product() as row) as change:
                known = rows.get(change.key)
                kept = {column: getattr(known, column) for column in change.unavailable if known is not None}
                rows[change.key] = replace(row, **kept)
    return rows


def test_every_recorded_case_decodes_or_is_refused_as_the_table_says() -> None:
    found: dict[tuple[str, str, str], list[Change | DecodeError]] = {line.stream: [] for line in lines()}
    for line in product_lines():
        found[line.stream].append(outcome(line))
    assert {stream: summarize(outcomes) for stream, outcomes in found.items()} == expected_outcomes()
    assert len(lines()) == 1733
    assert len({line.case for line in lines()}) == 82


def test_other_topics_are_never_taken_for_rows() -> None:
    others = [line for line in lines() if line.topic != SOURCE_TOPIC]
    assert len(others) == 438
    # Not a schema mismatch either: that would hold the worker.
    assert {type(outcome(line)) for line in others} == {DecodeError}


def test_flat_and_envelope_give_equal_changes() -> None:
    streams: dict[tuple[str, str], dict[str, list[Change | str]]] = {}
    for line in product_lines():
        result = outcome(line)
        if isinstance(result, Change):
            # Places differ by the records that only one form has; headers are the flat form's alone.
            tombstone = result.operation is Operation.TOMBSTONE
            result = replace(result, place=lines()[0].record.place, version=0)
            result = replace(result, lsn=None, source_time_ms=None) if tombstone else result
        elif line.case == "truncate":
            continue
        compared = result if isinstance(result, Change) else str(result).rpartition("@")[0]
        streams.setdefault((line.case, line.identity), {"flat": [], "envelope": []})[line.form].append(compared)
    for (case, _), forms in streams.items():
        if case == "failover_async":  # a part of this case was recorded as envelopes only
            forms["envelope"] = [change for change in forms["envelope"] if change in forms["flat"]]
        assert forms["flat"] == forms["envelope"], case


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("identity", ["full", "index"])
def test_replayed_stream_ends_as_the_table_did(form: str, identity: str) -> None:
    rows = replayed(main_scenario(form, identity))
    assert {key: without_times(row) for key, row in rows.items()} == expected_rows()
    assert len(rows) == 20


@pytest.mark.parametrize("form", FORMS)
def test_changes_alone_end_as_the_table_did(form: str) -> None:
    stream = [line for line in main_scenario(form, "full") if "_snapshot" not in line.case]
    assert {key: without_times(row) for key, row in replayed(stream).items()} == expected_rows()


@pytest.mark.parametrize("form", FORMS)
def test_default_identity_leaves_these_ghosts(form: str) -> None:
    rows = {key: without_times(row) for key, row in replayed(main_scenario(form, "default")).items()}
    ghosts = {key: row["name"] for key, row in rows.items() if key not in expected_rows()}
    assert ghosts == GHOSTS_UNDER_DEFAULT_IDENTITY
    assert {key: row for key, row in rows.items() if key not in ghosts} == expected_rows()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("case", FINAL_PRICES)
def test_replayed_case_ends_with_these_prices(case: str, form: str) -> None:
    rows = replayed(line for line in product_lines() if line.stream == (case, form, "full"))
    assert {key: price_text(row.price) for key, row in rows.items()} == FINAL_PRICES[case]


def test_snapshot_window_leaves_ghosts_under_default_identity() -> None:
    rows = replayed(line for line in product_lines() if line.stream == ("incremental_window_dedupe", "flat", "default"))
    assert set(rows) - set(FINAL_PRICES["incremental_window_dedupe"]) == {"A0", "A2"}


def test_unchanged_toast_column_is_named_and_left_empty() -> None:
    changes = [outcome(line) for line in product_lines() if line.stream == ("toast_update_name_again", "flat", "index")]
    (change,) = changes
    assert isinstance(change, Change)
    assert change.unavailable == {"description"}
    assert change.row is not None
    assert (change.row.name, change.row.description) == ("TOASTed 2", None)


@pytest.mark.parametrize(("identity", "name"), [("full", "to be deleted"), ("index", None)])
def test_delete_tells_the_row_before_only_when_it_is_whole(identity: str, name: str | None) -> None:
    deletes = [outcome(line) for line in product_lines() if line.stream == ("delete", "flat", identity)]
    assert isinstance(deletes[0], Change)
    assert (deletes[0].before.name if deletes[0].before else None) == name


def test_renamed_column_is_a_mismatch_that_holds_the_worker() -> None:
    (error,) = (outcome(line) for line in product_lines() if line.stream == ("alter_rename_column", "flat", "full"))
    assert isinstance(error, SchemaMismatch)
    assert error.kind == "outage"
    assert error.hint


def test_records_of_the_final_connector_decode() -> None:
    operations = Counter(decode_change(record, epoch=0).operation.value for record in connect_records())
    assert operations == {"r": 8, "c": 1, "u": 1, "d": 2, "tombstone": 2}
