"""The keys of what differs, for a repair."""

from dataclasses import dataclass, field

from connectors.qdrant_audit import SeenPoint

MOST = 200_000
"""Keys that one run remembers, so that its memory stays bounded; what is beyond is counted, and left to the next."""


@dataclass(slots=True, kw_only=True)
class Findings:
    """What a comparison found, by key; `stale` and `drifted` have the version that their points carried."""

    missing: list[str] = field(default_factory=list)
    stale: dict[str, float | None] = field(default_factory=dict)
    drifted: dict[str, float | None] = field(default_factory=dict)
    orphans: list[SeenPoint] = field(default_factory=list)
    left_out: int = 0

    def __len__(self) -> int:
        return len(self.missing) + len(self.stale) + len(self.drifted) + len(self.orphans)

    def add_missing(self, key: str) -> None:
        """A row without a point."""
        if self._has_room():
            self.missing.append(key)

    def add_stale(self, key: str, version: float | None) -> None:
        """A point whose payload is not the row's."""
        if self._has_room():
            self.stale[key] = version

    def add_drifted(self, key: str, version: float | None) -> None:
        """A point whose vector is not that of its text."""
        if self._has_room():
            self.drifted[key] = version

    def add_orphan(self, point: SeenPoint) -> None:
        """A point without a row."""
        if self._has_room():
            self.orphans.append(point)

    def _has_room(self) -> bool:
        if len(self) < MOST:
            return True
        self.left_out += 1
        return False
