"""What is told of other consumers: what they did, though they are killed, and what they left wrong."""

import asyncio
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from qdrant_client import AsyncQdrantClient

from ops.bench.mix import Mix
from ops.bench.peers import consumers
from ops.bench.peers.consumers import Peer, Script
from ops.bench.peers.left_wrong import LeftWrong, left_wrong, same_columns
from ops.bench.peers.scenario import NO_QUIX, report
from ops.bench.peers.tally import Tally, note
from ops.bench.peers.trial import Turn
from ops.devstack.stack import Stack
from ops.settings import Settings
from schemas.document import DENSE_VECTOR, PROVENANCE, point_id


class OfPoints:
    """As much of Qdrant as a look at a collection needs: pages of points."""

    def __init__(self, points: dict[str, tuple[dict[str, Any], list[float] | None]]) -> None:
        self._points = [
            SimpleNamespace(id=point_id(key), payload=payload, vector=vector and {DENSE_VECTOR: vector})
            for key, (payload, vector) in points.items()
        ]

    async def scroll(self, collection: str, *, limit: int, offset: int | None, **rest: Any) -> tuple[list[Any], Any]:
        start = offset or 0
        following = start + 3
        return self._points[start:following], following if following < len(self._points) else None


MIX = Mix(seed=2)
list(MIX.snapshot(10))
ROWS = MIX.rows
KEYS = list(ROWS)
VECTORS = {key: np.eye(10, dtype=np.float32)[number] for number, key in enumerate(KEYS)}


def right_points() -> dict[str, tuple[dict[str, Any], list[float] | None]]:
    return {key: (row.payload(), (2 * VECTORS[key]).tolist()) for key, row in ROWS.items()}


async def look(points: dict[str, tuple[dict[str, Any], list[float] | None]]) -> LeftWrong:
    return await left_wrong(cast(AsyncQdrantClient, OfPoints(points)), "c", ROWS, VECTORS)


async def test_a_collection_that_holds_the_rows_is_not_wrong() -> None:
    found = await look(right_points())
    assert found == LeftWrong()
    assert found.total == 0


async def test_every_kind_of_wrong_is_told_apart() -> None:
    points = right_points()
    del points[KEYS[0]], points[KEYS[1]]
    points["gone long ago"] = points[KEYS[2]]
    old = replace(ROWS[KEYS[3]], price=Decimal("1.23"))
    points[KEYS[3]] = (old.payload(), points[KEYS[3]][1])
    points[KEYS[4]] = (ROWS[KEYS[4]].payload(), VECTORS[KEYS[5]].tolist())
    points[KEYS[6]] = (ROWS[KEYS[6]].payload(), None)
    found = await look(points)
    assert found == LeftWrong(missing=2, orphaned=1, stale=1, drifted=2)
    assert found.total == 6
    assert str(found) == "2 missing, 1 orphaned, 1 stale, 2 drifted"


def test_what_a_writer_adds_to_the_columns_is_no_difference() -> None:
    row = replace(ROWS[KEYS[0]], price=Decimal("19.90"))
    assert same_columns(row.payload() | {PROVENANCE: {"version": 1}}, row)
    assert same_columns(row.payload() | {"price": np.nextafter(19.9, 20).item()}, row)
    assert not same_columns(row.payload() | {"price": 19.91}, row)
    assert not same_columns(row.payload() | {"price": None}, row)
    assert not same_columns(row.payload() | {"color": "another"}, row)


def test_tally_adds_up_what_was_noted_and_leaves_out_a_line_that_a_kill_has_cut(tmp_path: Path) -> None:
    path = tmp_path / "plain.tally"
    assert Tally.read(path) == Tally()
    note(path, records=200, embeddings=190)
    note(path, records=17, embeddings=0)
    with path.open("a") as file:
        file.write("20")
    assert Tally.read(path) == Tally(records=217, embeddings=190)


def test_report_sets_lockstep_beside_the_others() -> None:
    def peer(name: str) -> Peer:
        return Script(name=name, group=name, collection=name, stack=cast(Stack, None), module="none")

    turns = {
        "Lockstep": [Turn(rate=2000, seconds=10, embeddings=90), Turn(rate=1000, seconds=12, embeddings=80)],
        "plain": [Turn(rate=200, seconds=40, embeddings=1000), Turn(rate=250, seconds=41, embeddings=1100)],
    }
    wrong = {"Lockstep": LeftWrong(), "plain": LeftWrong(stale=3, orphaned=1)}
    made = report([peer("Lockstep"), peer("plain")], turns, wrong, rows=100, changes=1000, seed=1, notes=(NO_QUIX,))
    [ratio] = made.ratios
    assert (ratio.name, ratio.values) == ("Lockstep, by plain", (10.0, 4.0))
    assert [figure.values for figure in made.figures if figure.unit == "points"] == [(0.0,), (4.0,)]
    assert made.notes[1] == "plain left 0 missing, 1 orphaned, 3 stale, 0 drifted."
    assert made.notes[-1] == NO_QUIX


async def test_a_script_that_ends_is_started_again_until_it_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumers, "RESTART_SECONDS", 0)
    stack = SimpleNamespace(home=SimpleNamespace(path=tmp_path, logs=tmp_path), settings=Settings(_env_file=None))
    script = Script(name="ends at once", group="g", collection="c", stack=cast(Stack, stack), module="this")
    log = tmp_path / "g.log"
    await script.start()
    async with asyncio.timeout(20):
        while not log.exists() or log.read_text().count("The Zen of Python") < 2:
            await asyncio.sleep(0.01)
    await script.stop()
    assert await script.applied() == 0
