"""Where the demo's story is told: a pipeline of its own, and what the story does to it."""

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from ops.settings import Settings


class Stage(Protocol):
    """A pipeline that nothing has happened to yet. All but `open` is for while it is open."""

    cast: str
    """What is started, in words."""

    def open(self) -> AbstractAsyncContextManager[None]:
        """Start everything but capture; at the end stop and remove all of it, whatever happens.

        Raises:
            LockstepError: A part cannot be started or prepared; nothing is left running.
        """
        ...

    @property
    def settings(self) -> Settings:
        """How this process reaches the parts."""
        ...

    async def start_capture(self) -> None:
        """Capture the table: rows that are in it by now come as a snapshot.

        Raises:
            LockstepError: The connector does not start.
        """
        ...

    async def pages(self) -> tuple[str, ...]:
        """The addresses of the pages of those workers that run."""
        ...

    async def worker(self) -> str:
        """The worker that `kill_worker` kills, as people would look it up."""
        ...

    async def kill_worker(self) -> None:
        """Send SIGKILL to the process of one worker. Its supervisor starts it again."""
        ...
