"""A record set aside with its reason."""

from dataclasses import dataclass
from datetime import datetime

from schemas.product import time_text
from schemas.record import Record

PREFIX = "lockstep-"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """The original key, value and headers stay as they were; the reason travels in headers beside them."""

    record: Record
    error_class: str
    error: str
    attempts: int
    set_aside_at: datetime

    def headers(self) -> list[tuple[str, bytes]]:
        """The original headers, then ours, named `lockstep-…`."""
        ours = {
            "place": str(self.record.place),
            "error-class": self.error_class,
            "error": self.error,
            "attempts": str(self.attempts),
            "set-aside-at": time_text(self.set_aside_at) or "",
        }
        return [*self.record.headers, *((PREFIX + name, value.encode()) for name, value in ours.items())]
