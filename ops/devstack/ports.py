"""Which port each service listens on: its usual one, or a free one when that is taken, and the same at a restart."""

import random
import socket
from pathlib import Path

import orjson

from schemas.errors import StackError

HOST = "127.0.0.1"
_FREE_FROM = 20_000
_FREE_TO = 32_000
_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")


class Ports:
    """The ports of one stack, kept in a file. Without `usual`, every port is a free one: for stacks side by side."""

    def __init__(self, file: Path, *, usual: bool = True) -> None:
        self._file = file
        self._usual = usual
        self._known: dict[str, int] | None = None

    def __getitem__(self, name: str) -> int:
        """The port that was chosen.

        Raises:
            StackError: None was.
        """
        try:
            return self._load()[name]
        except KeyError as error:
            raise StackError(
                f"no port of {name} is noted in {self._file}", hint="run `lockstep down`, then `lockstep up`"
            ) from error

    def knows(self, name: str) -> bool:
        """Whether a port was chosen."""
        return name in self._load()

    def choose(self, name: str, usual: int | None = None) -> int:
        """A port for a service that does not run: the one it had, its usual one, or a free one."""
        known = self._load()
        wanted = [known.get(name), usual if self._usual else None]
        others = {port for other, port in known.items() if other != name}
        for port in wanted:
            if port and port not in others and is_free(port):
                return self._note(name, port)
        return self._note(name, _free_port(others))

    def insist(self, name: str, port: int, variable: str) -> int:
        """The port that a person chose.

        Raises:
            StackError: It is taken.
        """
        if not is_free(port):
            raise StackError(f"port {port} of {name} is taken", hint=f"set {variable} to another one, or leave it out")
        return self._note(name, port)

    def _load(self) -> dict[str, int]:
        if self._known is None:
            try:
                self._known = dict(orjson.loads(self._file.read_bytes()))
            except (FileNotFoundError, orjson.JSONDecodeError):
                self._known = {}
        return self._known

    def _note(self, name: str, port: int) -> int:
        known = self._load()
        if known.get(name) != port:
            known[name] = port
            draft = self._file.with_suffix(".draft")
            draft.write_bytes(orjson.dumps(known, option=orjson.OPT_INDENT_2))
            draft.replace(self._file)
        return port


def is_free(port: int) -> bool:
    """Whether a server could listen there now."""
    try:
        socket.create_server((HOST, port)).close()
    except OSError:
        return False
    return True


def _free_port(others: set[int]) -> int:
    """A free port below those that the kernel gives to clients.

    A client that tries again and again to reach a stopped server on such a port ends up connected to itself, and the
    server cannot have its port back.
    """
    try:
        top = min(int(_EPHEMERAL.read_text().split()[0]), _FREE_TO)
    except FileNotFoundError:
        top = _FREE_TO
    candidates = range(min(_FREE_FROM, top - 1000), top)
    for port in random.SystemRandom().sample(candidates, len(candidates)):
        if port not in others and is_free(port):
            return port
    raise StackError(f"no port between {candidates.start} and {candidates.stop} is free")
