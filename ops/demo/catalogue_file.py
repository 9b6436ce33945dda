"""Reads a catalogue file, CSV or JSON lines, gzipped or not: each row is a draft, or is refused by line number."""

import csv
import gzip
import io
import zlib
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from connectors.postgres import ProductDraft
from ops.demo.catalogue_row import ColumnMap, RowError, draft_from
from schemas.errors import SettingsError

MAX_FIELD_BYTES = 16 * 1024 * 1024
_GZIP_MAGIC = b"\x1f\x8b"
_JSON_SUFFIXES = (".jsonl", ".ndjson", ".json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """A row that can be loaded, and how many bytes of the file (as stored) were read so far."""

    line: int
    draft: ProductDraft
    bytes_read: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A row that cannot be loaded; `line` counts from 1, the first line of a row that has several."""

    line: int
    reason: str


def read_catalogue(path: Path, columns: ColumnMap) -> Iterator[Accepted | Refused]:
    """The rows of a file in its order, read as they are asked for; blank lines are left out.

    The format is told by the name (`.csv`, `.jsonl`, each also with `.gz`), else by the first character: `{` begins
    JSON lines. A bad row is refused and the next one read.

    Raises:
        SettingsError: The file cannot be read, or a CSV's header lacks a column that is required or mapped.
    """
    try:
        # Only bytes as stored tell how far we are: a gzip file does not say how long its content is.
        with path.open("rb") as stored, closing(_uncompressed(stored)) as content:
            read = _json_rows if _is_json(path, content) else _csv_rows
            for line, row in read(content, columns):
                if isinstance(row, RowError):
                    yield Refused(line=line, reason=str(row))
                    continue
                try:
                    yield Accepted(line=line, draft=draft_from(row, columns), bytes_read=stored.tell())
                except RowError as error:
                    yield Refused(line=line, reason=str(error))
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SettingsError(
            f"cannot read {path}: {reason}", hint="give a CSV or JSON-lines file, .gz or not"
        ) from error


Content = io.BufferedReader | gzip.GzipFile


def _uncompressed(stored: io.BufferedReader) -> Content:
    return gzip.GzipFile(fileobj=stored) if stored.peek(2).startswith(_GZIP_MAGIC) else stored


def _is_json(path: Path, content: Content) -> bool:
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() != ".gz"]
    if suffixes and suffixes[-1] in (".csv", *_JSON_SUFFIXES):
        return suffixes[-1] != ".csv"
    return content.peek(64).lstrip()[:1] == b"{"


Row = tuple[int, Mapping[str, Any] | RowError]


def _json_rows(content: Content, columns: ColumnMap) -> Iterator[Row]:
    for line, text in enumerate(content, start=1):
        if not text.strip():
            continue
        try:
            row = orjson.loads(text.removeprefix(b"\xef\xbb\xbf") if line == 1 else text)
        except orjson.JSONDecodeError as error:
            yield line, RowError(f"not JSON: {error.msg}")
            continue
        yield line, row if isinstance(row, dict) else RowError(f"no JSON object but a {type(row).__name__}")


def _csv_rows(content: Content, columns: ColumnMap) -> Iterator[Row]:
    csv.field_size_limit(MAX_FIELD_BYTES)
    # Invalid bytes become surrogates, so that only their own row is refused.
    with io.TextIOWrapper(content, encoding="utf-8-sig", errors="surrogateescape", newline="") as text:
        reader = csv.reader(text)
        header = next(reader, [])
        if header and (lacking := columns.lacking(header)):
            raise SettingsError(
                f"no field for {', '.join(lacking)}: the file has {', '.join(header)[:200]}",
                hint=f"name it with --map {lacking[0]}=FIELD",
            )
        while True:
            line = reader.line_num + 1
            try:
                values = next(reader, None)
            except csv.Error as error:
                yield line, RowError(f"not CSV: {error}")
                continue
            if values is None:
                return
            if values and len(values) != len(header):
                yield line, RowError(f"{len(values)} fields, the header has {len(header)}")
            elif values:
                yield line, dict(zip(header, values, strict=True))
