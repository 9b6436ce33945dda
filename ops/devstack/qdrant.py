"""The index: Qdrant Edge behind its HTTP endpoint."""

import sys
from signal import SIGTERM

from ops.devstack.home import StackHome
from ops.devstack.ports import HOST, Ports
from ops.devstack.processes import Launch, StopSignals
from ops.devstack.service import until_answers_ok

USUAL_PORT = 6333


class Qdrant:
    """One endpoint over one data directory."""

    name = "qdrant"
    start_seconds = 60.0
    stop_signals: StopSignals = ((SIGTERM, 15.0),)

    def __init__(self, home: StackHome, ports: Ports) -> None:
        self._ports = ports
        self.mark = str(home.path / "qdrant")

    @property
    def address(self) -> str:
        """Its REST."""
        return f"http://{HOST}:{self._ports['qdrant']}"

    def choose_ports(self) -> None:
        """Its REST's port."""
        self._ports.choose("qdrant", USUAL_PORT)

    async def prepare_launch(self) -> Launch:
        """It makes its directory itself."""
        options = ("--data", self.mark, "--host", HOST, "--port", str(self._ports["qdrant"]))
        return Launch(command=[sys.executable, "-m", "ops.devstack.qdrant_endpoint", *options])

    async def wait_until_ready(self) -> None:
        """Until its collections are open."""
        await until_answers_ok(f"{self.address}/readyz")
