"""How the stack starts a worker."""

from pathlib import Path

import pytest

from ops.devstack.home import StackHome
from ops.devstack.ports import Ports
from ops.devstack.worker import Worker
from ops.settings import LogSettings, Settings


@pytest.mark.parametrize(("asked", "written"), [("auto", "text"), ("text", "text"), ("json", "json")])
async def test_a_worker_of_the_stack_writes_its_log_for_people_unless_it_is_said(
    asked: str, written: str, tmp_path: Path
) -> None:
    home = StackHome(tmp_path)
    home.make()
    settings = Settings(_env_file=None, log=LogSettings.model_validate({"format": asked}))
    worker = Worker(1, home, Ports(home.ports_file, usual=False), lambda: settings)
    worker.choose_ports()
    launch = await worker.prepare_launch()
    assert launch.environment["LOCKSTEP_LOG_FORMAT"] == written
