"""Ports of the stack: usual ones, others when taken, the same at a restart."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.devstack.ports import Ports, is_free
from schemas.errors import StackError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "ports.json"


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def usual() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def test_the_usual_port_is_taken_when_it_is_free(file: Path, usual: int) -> None:
    assert Ports(file).choose("kafka", usual) == usual


def test_a_free_port_replaces_a_taken_one_and_is_kept(file: Path, taken: int) -> None:
    chosen = Ports(file).choose("kafka", taken)
    assert chosen != taken
    assert is_free(chosen)
    assert Ports(file)["kafka"] == chosen
    assert Ports(file).choose("kafka", taken) == chosen


def test_a_kept_port_that_was_taken_meanwhile_is_given_up(file: Path, taken: int, usual: int) -> None:
    file.write_text(f'{{"kafka": {taken}}}')
    assert Ports(file).choose("kafka", usual) == usual


def test_stacks_side_by_side_leave_the_usual_ports_alone(file: Path, usual: int) -> None:
    assert Ports(file, usual=False).choose("kafka", usual) != usual


def test_no_two_services_get_one_port(file: Path, usual: int) -> None:
    ports = Ports(file)
    assert len({ports.choose("kafka", usual), ports.choose("connect", usual), ports.choose("controller")}) == 3


def test_free_ports_lie_below_those_of_clients(file: Path) -> None:
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    ports = Ports(file)
    assert all(ports.choose(f"service-{number}") < lowest for number in range(20))


def test_a_port_that_a_person_set_is_refused_when_taken(file: Path, taken: int, usual: int) -> None:
    with pytest.raises(StackError, match=f"port {taken} of worker-1 is taken") as raised:
        Ports(file).insist("worker-1", taken, "LOCKSTEP_WORKER_WEB_PORT")
    assert "LOCKSTEP_WORKER_WEB_PORT" in (raised.value.hint or "")
    assert Ports(file).insist("worker-1", usual, "LOCKSTEP_WORKER_WEB_PORT") == usual


def test_an_unknown_port_is_one_sentence(file: Path) -> None:
    with pytest.raises(StackError, match="no port of kafka is noted"):
        Ports(file)["kafka"]


def test_a_broken_file_is_no_obstacle(file: Path, usual: int) -> None:
    file.write_text("{")
    assert Ports(file).choose("kafka", usual) == usual
