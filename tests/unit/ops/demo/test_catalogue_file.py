"""Catalogue files: formats, and bad rows by line number among good ones."""

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from ops.demo.catalogue_file import Accepted, Refused, read_catalogue
from ops.demo.catalogue_row import ColumnMap
from schemas.errors import SettingsError

CSV = b'article_id,name,description\n1,One,"first\nline"\n2,Two\n3,,\n4,Caf\xe9,\n\n5,Five,\xe2\x98\x95\n'
JSON_LINES = (
    b'{"article_id": "1", "name": "One"}\n'
    b"{broken\n"
    b"[1, 2]\n"
    b"\n"
    b'{"article_id": "5", "name": "caf\xe9"}\n'
    b'{"article_id": "6", "name": "nul\\u0000"}\n'
    b'{"article_id": "7", "name": "Seven"}'
)


def read(path: Path, columns: ColumnMap | None = None) -> tuple[list[tuple[int, str]], dict[int, str]]:
    """Accepted lines with their keys, and refused lines with their reasons."""
    rows = list(read_catalogue(path, columns or ColumnMap()))
    accepted = [(row.line, row.draft.article_id) for row in rows if isinstance(row, Accepted)]
    return accepted, {row.line: row.reason for row in rows if isinstance(row, Refused)}


@pytest.mark.parametrize("name", ["a.csv", "a.CSV", "a.txt", "a"])
def test_bad_csv_rows_are_refused_by_their_first_line_and_the_rest_is_read(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(CSV)
    assert read(path) == (
        [(2, "1"), (8, "5")],
        {4: "2 fields, the header has 3", 5: "no name", 6: "name is not UTF-8"},
    )


@pytest.mark.parametrize("name", ["a.jsonl", "a.ndjson", "a.json", "a"])
def test_bad_json_lines_are_refused_by_line_and_the_rest_is_read(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(JSON_LINES)
    accepted, refused = read(path)
    assert accepted == [(1, "1"), (7, "7")]
    assert list(refused) == [2, 3, 5, 6]
    assert refused[2].startswith("not JSON: ")
    assert refused[3] == "no JSON object but a list"
    assert refused[5].startswith("not JSON: ")
    assert refused[6] == "name has a NUL character"


@pytest.mark.parametrize(("name", "content"), [("a.csv.gz", CSV), ("a.jsonl.gz", JSON_LINES), ("b", JSON_LINES)])
def test_gzip_is_known_by_its_content(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(content))
    assert len(read(path)[0]) == 2


@pytest.mark.parametrize("content", [CSV, JSON_LINES], ids=["csv", "json lines"])
def test_a_byte_order_mark_is_no_part_of_the_first_field(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / ("a.csv" if content is CSV else "a.jsonl")
    path.write_bytes(b"\xef\xbb\xbf" + content)
    assert len(read(path)[0]) == 2


def test_a_description_of_a_megabyte_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"article_id,name,description\n1,One," + b"x" * 1_000_000 + b"\n")
    assert read(path) == ([(2, "1")], {})


def test_bytes_read_end_at_the_size_of_the_stored_file(tmp_path: Path) -> None:
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(CSV))
    last = [row for row in read_catalogue(path, ColumnMap()) if isinstance(row, Accepted)][-1]
    assert last.bytes_read == path.stat().st_size


def test_a_header_without_a_required_column_is_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"sku,name\n1,One\n")
    with pytest.raises(SettingsError, match="no field for article_id: the file has sku, name") as caught:
        read(path)
    assert caught.value.hint == "name it with --map article_id=FIELD"
    assert read(path, ColumnMap(fields={"article_id": "sku"}))[0] == [(2, "1")]


def test_a_mapped_field_that_the_header_lacks_is_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(CSV)
    with pytest.raises(SettingsError, match="no field for color"):
        read(path, ColumnMap(fields={"color": "colour"}))


@pytest.mark.parametrize("name", ["missing.csv", "."])
def test_a_file_that_cannot_be_read_is_a_sentence(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsError, match="cannot read"):
        read(tmp_path / name)


@pytest.mark.parametrize(
    "damage", [lambda whole: whole[:-12], lambda whole: whole[:12] + b"\xff" * 40], ids=["cut off", "damaged"]
)
def test_a_damaged_gzip_file_is_a_sentence(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "a.csv.gz"
    path.write_bytes(damage(gzip.compress(CSV)))
    with pytest.raises(SettingsError, match="cannot read"):
        read(path)


def test_an_empty_file_has_no_rows(tmp_path: Path) -> None:
    for name in ("a.csv", "a.jsonl", "a"):
        (tmp_path / name).touch()
        assert read(tmp_path / name) == ([], {})
