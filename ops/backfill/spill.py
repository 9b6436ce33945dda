"""Keeps the last state of each key in a temporary SQLite database: in memory up to a bound, beyond it on disk.

SQLite removes the file's name as it creates it, so that nothing is left behind by a killed process.
"""

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import orjson

from schemas.errors import ReplayError

CACHE_KIBIBYTES = 128 * 1024
"""Held in memory: about 100,000 rows of the demo's catalogue. The rest lies in the file."""
_SCHEMA = """
    CREATE TABLE latest (
        key TEXT NOT NULL UNIQUE, partition INTEGER, operation TEXT, lsn INTEGER, source_time_ms INTEGER,
        alive INTEGER NOT NULL, changed INTEGER NOT NULL, entry BLOB NOT NULL
    )
"""
_PUT = """
    INSERT INTO latest (key, partition, operation, lsn, source_time_ms, alive, changed, entry)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (key) DO UPDATE SET
        partition = excluded.partition, operation = excluded.operation, lsn = excluded.lsn,
        source_time_ms = excluded.source_time_ms, alive = excluded.alive, changed = changed OR excluded.changed,
        entry = excluded.entry
"""


class Latest(NamedTuple):
    """The last change of a key that applies: where it stands, what it says of itself, and its entry as bytes."""

    key: str
    partition: int
    operation: str
    lsn: int | None
    source_time_ms: int | None
    alive: bool
    changed: bool
    """Since `take_changed` was called last."""
    entry: bytes


class LatestFile:
    """The entries by key. Every method raises `ReplayError` when there is no space for them."""

    def __init__(self, *, cache_kibibytes: int = CACHE_KIBIBYTES) -> None:
        with _space():
            # The empty name asks for a temporary database; nothing in it is to outlive the process.
            self._connection = sqlite3.connect("", isolation_level=None)
            for pragma in (f"cache_size = -{cache_kibibytes}", "journal_mode = OFF", "synchronous = OFF"):
                self._connection.execute(f"PRAGMA {pragma}")
            self._connection.execute(_SCHEMA)

    def close(self) -> None:
        """Drop everything."""
        self._connection.close()

    def __len__(self) -> int:
        with _space():
            return int(self._connection.execute("SELECT count(*) FROM latest").fetchone()[0])

    def get(self, keys: Collection[str]) -> dict[str, Latest]:
        """The entries of those keys that have one."""
        with _space():
            found = self._connection.execute(
                "SELECT key, partition, operation, lsn, source_time_ms, alive, changed, entry FROM latest"
                " WHERE key IN (SELECT value FROM json_each(?))",
                (orjson.dumps(list(keys)).decode(),),
            )
            return {row[0]: Latest(*row) for row in found}

    def put(self, entries: Sequence[Latest]) -> None:
        """Set the entries of their keys; one that was changed before stays changed."""
        with _space():
            self._connection.execute("BEGIN")
            self._connection.executemany(_PUT, entries)
            self._connection.execute("COMMIT")

    def take_changed(self) -> tuple[list[str], list[str]]:
        """The keys that changed since the last call: those with a row, the shortest first, and those without."""
        with _space():
            order = "SELECT key FROM latest WHERE changed AND alive ORDER BY length(entry)"
            alive = [row[0] for row in self._connection.execute(order)]
            gone = [row[0] for row in self._connection.execute("SELECT key FROM latest WHERE changed AND NOT alive")]
            self._connection.execute("UPDATE latest SET changed = 0 WHERE changed")
            return alive, gone

    def sample_alive(self, size: int) -> list[str]:
        """So many keys that have a row, drawn at random; fewer where there are not so many."""
        with _space():
            drawn = self._connection.execute(
                "SELECT key FROM latest WHERE alive ORDER BY random() LIMIT ?",
                (size,),
            )
            return [row[0] for row in drawn]


@contextmanager
def _space() -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        raise ReplayError(
            f"cannot keep the rows of the topic in a temporary file: {error}",
            hint="set SQLITE_TMPDIR to a directory with 1 KB of space a row",
        ) from error
