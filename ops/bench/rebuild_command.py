"""`lockstep rebuild` as a person runs it, timed by its phases."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import orjson

from ops.bench.child import run_module
from ops.settings import Settings
from ops.stores import open_store
from schemas.recipe import Recipe

STARTING = "starting"
COMPARING = "comparing"
FINISHING = "finishing"
_BEGINS = re.compile(r"([a-z ]+): [\d,]+ (?:offsets|keys)")


@dataclass(frozen=True, slots=True, kw_only=True)
class RebuildRun:
    """One run. `seconds` counts from the start of the process to its end, `phases` adds up to it."""

    seconds: float
    phases: dict[str, float]
    peak_megabytes: float | None
    keys: int
    reused: int
    embedded: int
    differences: int
    overlap: float | None


async def run_rebuild_command(settings: Settings, home: Path, recipe: Recipe | None = None) -> RebuildRun:
    """Run it to its end and drop the collection that it replaced.

    Raises:
        StackError: It failed.
        VectorStoreError: The collection cannot be dropped.
    """
    arguments: list[str] = []
    if recipe:
        path = home / "recipe.json"
        path.write_bytes(orjson.dumps(recipe.model_dump(mode="json")))
        arguments = ["--recipe", str(path)]
    ended = await run_module(settings, "ops.cli", "rebuild", "--yes", "--json", *arguments)
    report = orjson.loads(ended.output)
    async with open_store(settings) as store:
        await store.collections.drop(report["replaced"])
    return RebuildRun(
        seconds=round(ended.seconds, 2),
        phases=phases(ended.said, ended.seconds),
        peak_megabytes=ended.peak_megabytes,
        keys=report["keys"],
        reused=report["reused"],
        embedded=report["embedded"],
        differences=sum(report["differences"].values()),
        overlap=report["overlap"],
    )


def phases(said: Sequence[tuple[float, str]], end: float) -> dict[str, float]:
    """Seconds by phase, from the lines that begin one; a phase that came twice is added up."""
    marks = [(0.0, STARTING), *((at, name) for at, line in said if (name := _begun(line))), (end, "")]
    found: dict[str, float] = {}
    for (at, name), (until, _) in pairwise(marks):
        found[name] = round(found.get(name, 0.0) + until - at, 2)
    return found


def _begun(line: str) -> str | None:
    if line.startswith("comparing with"):
        return COMPARING
    if line.endswith(" is live"):
        return FINISHING
    match = _BEGINS.fullmatch(line)
    return match[1] if match else None
