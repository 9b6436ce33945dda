"""A Lockstep worker as a service of the stack."""

import sys
from collections.abc import Callable
from pathlib import Path
from signal import SIGTERM

from ops.devstack.home import StackHome
from ops.devstack.ports import HOST, Ports
from ops.devstack.processes import Launch, StopSignals
from ops.devstack.service import until_answers_ok
from ops.devstack.stack_env import environment_of
from ops.settings import Settings, WorkerSettings


class Worker:
    """Number 1 has the name and the web port of the settings; the others get their own."""

    start_seconds = 120.0
    stop_signals: StopSignals = ((SIGTERM, 20.0),)

    def __init__(self, number: int, home: StackHome, ports: Ports, settings: Callable[[], Settings]) -> None:
        self.name = f"worker-{number}"
        self.mark = f"lockstep-stack={home.path / self.name}"
        self._number = number
        self._home = home.path
        self._ports = ports
        self._settings = settings

    @property
    def address(self) -> str:
        """Its web."""
        return f"http://{HOST}:{self._ports[self.name]}"

    def choose_ports(self) -> None:
        """Its web's port; one that a person set is taken as it is, or refused."""
        wanted = self._settings().worker
        if self._number > 1:
            self._ports.choose(self.name)
        elif "web_port" in wanted.model_fields_set:
            self._ports.insist(self.name, wanted.web_port, "LOCKSTEP_WORKER_WEB_PORT")
        else:
            self._ports.choose(self.name, wanted.web_port)

    async def prepare_launch(self) -> Launch:
        """All settings go with it, the stack's addresses among them."""
        settings = self._settings()
        worker = settings.worker.model_copy(
            update={"name": _name(settings.worker, self._number), "web_port": self._ports[self.name]}
        )
        # Its log is a file, and yet people read it: `lockstep logs`.
        log = settings.log.model_copy(update={"format": "text"}) if settings.log.format == "auto" else settings.log
        settings = settings.model_copy(update={"worker": worker, "log": log, "home": Path(self._home)})
        return Launch(
            # -X says whose worker it is: the only place in a Python command line that takes any text.
            command=[sys.executable, "-X", self.mark, "-m", "ops.cli", "worker"],
            environment=environment_of(settings),
        )

    async def wait_until_ready(self) -> None:
        """Until it has its partitions and its table."""
        await until_answers_ok(f"{self.address}/health/ready")


def _name(settings: WorkerSettings, number: int) -> str:
    """Static membership: the same number has the same name after a restart. A name that a person set is kept."""
    if "name" not in settings.model_fields_set:
        return f"worker-{number}"
    return settings.name if number == 1 else f"{settings.name.removesuffix('-1')}-{number}"
