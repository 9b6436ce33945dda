"""Breaks the parts of a running stack as planned, and mends them again."""

import asyncio
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from random import Random

from ops.bench.fault_plan import LANES, Fault, FaultKind, plan_faults
from ops.bench.poison import PoisonSource
from ops.bench.qdrant_proxy import Fault as Answer
from ops.bench.qdrant_proxy import QdrantProxy
from ops.devstack.keeper import keep_worker
from ops.devstack.stack import Say, Stack, all_at_once
from schemas.errors import StackError

POISON_RECORDS = 8
FAULTY_SHARE = 0.7

_SIGNALS = {
    FaultKind.BROKER_STOPPED: ("kafka", signal.SIGTERM),
    FaultKind.BROKER_KILLED: ("kafka", signal.SIGKILL),
    FaultKind.CONNECT_STOPPED: ("connect", signal.SIGTERM),
    FaultKind.CONNECT_KILLED: ("connect", signal.SIGKILL),
    FaultKind.POSTGRES_STOPPED: ("postgres", signal.SIGINT),
    FaultKind.POSTGRES_KILLED: ("postgres", signal.SIGKILL),
    FaultKind.QDRANT_STOPPED: ("qdrant", signal.SIGTERM),
    FaultKind.QDRANT_KILLED: ("qdrant", signal.SIGKILL),
}
_ANSWERS = {
    FaultKind.QDRANT_ERRORS: Answer.ERROR_500,
    FaultKind.QDRANT_BUSY: Answer.TOO_MANY,
    FaultKind.QDRANT_SILENT: Answer.TIME_OUT,
    FaultKind.QDRANT_SLOW: Answer.SLOW,
    FaultKind.QDRANT_DROPS: Answer.DROP_AFTER,
    FaultKind.QDRANT_REFUSES: Answer.REFUSE_EVERYTHING,
}


class Injector:
    """Runs three lanes of faults side by side, and supervises the workers as `lockstep up` does.

    `injected` counts by kind. The last worker is a spare: it is added and removed.
    """

    def __init__(
        self,
        stack: Stack,
        proxy: QdrantProxy,
        poison: PoisonSource,
        *,
        seed: int,
        session_seconds: float,
        snapshot_again: Callable[[], Awaitable[None]],
        say: Say,
    ) -> None:
        self.injected: Counter[str] = Counter()
        self._stack = stack
        self._proxy = proxy
        self._poison = poison
        self._plans = [plan_faults(seed, lane) for lane in range(len(LANES))]
        self._session_seconds = session_seconds
        self._snapshot_again = snapshot_again
        self._say = say
        self._keeping: dict[str, asyncio.Task[None]] = {}
        *self._workers, self._spare = (name for name in stack.names if name.startswith("worker-"))

    async def start_workers(self) -> None:
        """Start all but the spare; a worker that ends is started again from now on."""
        for name in self._workers:
            await self._add(name)

    async def run(self, seconds: float) -> None:
        """Break and mend for this long; what is broken at the end is mended before it returns.

        Run again, it goes on with the plan.
        """
        until = asyncio.get_running_loop().time() + seconds
        await all_at_once(self._run_lane(plan, until) for plan in self._plans)

    async def stop(self) -> None:
        """Supervise no longer."""
        for task in self._keeping.values():
            task.cancel()
        if self._keeping:
            await asyncio.wait(self._keeping.values())

    async def _run_lane(self, plan: Iterator[Fault], until: float) -> None:
        clock = asyncio.get_running_loop().time
        for fault in plan:
            left = until - clock()
            if left <= fault.wait_seconds:
                await asyncio.sleep(max(left, 0))
                return
            await asyncio.sleep(fault.wait_seconds)
            if await self._inject(fault):
                self.injected[fault.kind] += 1

    async def _inject(self, fault: Fault) -> bool:
        """Break, wait, mend; False when there is nothing to break now."""
        kind, lasts = fault.kind, fault.lasts_seconds
        if kind in _SIGNALS:
            name, number = _SIGNALS[kind]
            self._say(f"{kind} for {lasts:.1f} s")
            await self._stack.kill(name, number)
            await asyncio.sleep(lasts)
            await self._stack.restart(name)
        elif kind in _ANSWERS:
            self._say(f"{kind} for {lasts:.1f} s")
            self._proxy.faults.set(_ANSWERS[kind], share=FAULTY_SHARE)
            await asyncio.sleep(lasts)
            self._proxy.faults.set(Answer.NONE)
        elif kind is FaultKind.POISON:
            self._say(kind)
            await self._poison.publish(Random(fault.choice), POISON_RECORDS)
        elif kind is FaultKind.SNAPSHOT:
            self._say(kind)
            await self._snapshot_again()
        else:
            return await self._inject_into_worker(fault)
        return True

    async def _inject_into_worker(self, fault: Fault) -> bool:
        running = [name for name in self._keeping if self._stack.is_running(name)]
        if fault.kind is FaultKind.WORKER_ADDED:
            if self._spare in self._keeping:
                return False
            self._say(f"{fault.kind}: {self._spare}")
            await self._add(self._spare)
            return True
        if fault.kind is FaultKind.WORKER_REMOVED:
            if self._spare not in self._keeping:
                return False
            self._say(f"{fault.kind}: {self._spare}")
            await self._remove(self._spare)
            return True
        if not running:
            return False
        name = running[int(fault.choice * len(running))]
        self._say(f"{fault.kind}: {name}")
        if fault.kind is FaultKind.WORKER_KILLED:
            await self._stack.kill(name, signal.SIGKILL)
        elif fault.kind is FaultKind.WORKER_STOPPED:
            await self._stack.kill(name, signal.SIGTERM)
        else:
            await self._stack.kill(name, signal.SIGSTOP)
            await asyncio.sleep(self._session_seconds + fault.lasts_seconds)
            await self._stack.kill(name, signal.SIGCONT)
        return True

    async def _add(self, name: str) -> None:
        try:
            await self._stack.restart(name)
        except StackError as error:  # a part is away just now: who keeps the worker tries again
            self._say(str(error))
        self._keeping[name] = asyncio.create_task(keep_worker(self._stack, name, self._say))

    async def _remove(self, name: str) -> None:
        task = self._keeping.pop(name)
        task.cancel()
        await asyncio.wait({task})
        await self._stack.kill(name, signal.SIGTERM)
