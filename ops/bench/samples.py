"""Reads folded stacks, as py-spy writes them, and adds them up by module and by thread."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table

OURS = frozenset({"schemas", "streams", "connectors", "ops"})
SHOWN_SHARE = 0.01
"""Modules with less than this, their callees included, are left out of the table."""

WAITING = frozenset(
    {
        ("select", "selectors.py"),
        ("wait", "threading.py"),
        ("_wait_for_tstate_lock", "threading.py"),
        ("get", "queue.py"),
        ("_worker", "concurrent/futures/thread.py"),
    }
)
"""Functions that only wait when they are on top of a stack: on some systems the profiler takes that for work."""
OTHERS = "without a name"

_THREAD = re.compile(r"thread \(\w+\)(?:: (?P<name>.*))?")
_FRAME = re.compile(r"(?P<function>.*) \((?P<file>[^()]*?)(?::\d+)?\)")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleTime:
    """Samples with the module on top of the stack, and those with it anywhere in the stack."""

    module: str
    own: int
    inclusive: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Samples of threads at work; one that waits is not counted. Modules with the most time below them come first."""

    samples_a_second: int
    threads: Mapping[str, int]
    modules: Sequence[ModuleTime]

    @property
    def samples(self) -> int:
        """Of all threads."""
        return sum(self.threads.values())

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    def tables(self) -> list[Table]:
        """For a terminal of 80 columns."""
        threads = Table(box=None, pad_edge=False)
        threads.add_column("thread", overflow="fold")
        threads.add_column("busy, s", justify="right", no_wrap=True)
        threads.add_column("share", justify="right", no_wrap=True)
        for name, count in sorted(self.threads.items(), key=lambda thread: -thread[1]):
            threads.add_row(name, f"{count / self.samples_a_second:.1f}", self._share(count))
        modules = Table(box=None, pad_edge=False)
        modules.add_column("module", overflow="fold")
        modules.add_column("itself", justify="right", no_wrap=True)
        modules.add_column("with what it calls", justify="right", no_wrap=True)
        for time in self.modules:
            if time.inclusive >= SHOWN_SHARE * self.samples:
                modules.add_row(time.module, self._share(time.own), self._share(time.inclusive))
        return [threads, modules]

    def _share(self, count: int) -> str:
        return f"{100 * count / self.samples:.1f} %"


def read_samples(lines: Iterable[str], *, samples_a_second: int) -> Profile:
    """Add up lines of `thread;frame;frame count`, outermost frame first, each a `function (file:line)`.

    Modules of Lockstep are told apart; those of a library are one. Threads that wait are left out.
    """
    threads: Counter[str] = Counter()
    own: Counter[str] = Counter()
    inclusive: Counter[str] = Counter()
    for line in lines:
        stack, _, number = line.rpartition(" ")
        thread, *frames = stack.split(";")
        if not frames or _waits(frames[-1]):
            continue
        count = int(number)
        named = _THREAD.fullmatch(thread)
        threads[(named and named["name"]) or OTHERS] += count
        modules = [module_of(frame) for frame in frames]
        own[modules[-1]] += count
        inclusive.update(dict.fromkeys(modules, count))
    return Profile(
        samples_a_second=samples_a_second,
        threads=dict(threads),
        modules=tuple(
            ModuleTime(module=module, own=own[module], inclusive=count) for module, count in inclusive.most_common()
        ),
    )


def module_of(frame: str) -> str:
    """`ops/backfill/engine.py` is `ops.backfill.engine`, `aiokafka/record/util.py` is `aiokafka`."""
    found = _FRAME.fullmatch(frame)
    if found is None:
        return frame
    parts = found["file"].removesuffix(".py").split("/")
    return ".".join(part for part in parts if part != "__init__") if parts[0] in OURS else parts[0]


def _waits(frame: str) -> bool:
    found = _FRAME.fullmatch(frame)
    return found is not None and (found["function"].rpartition(".")[2], found["file"]) in WAITING
