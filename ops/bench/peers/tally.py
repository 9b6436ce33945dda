"""What a consumer notes after each batch, so that it is known although the consumer is killed."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Records that were applied, repeats among them, and texts that were embedded for it."""

    records: int = 0
    embeddings: int = 0

    @classmethod
    def read(cls, path: Path) -> "Tally":
        """All notes together; nothing yet where there is no file. A line that a kill has cut is left out."""
        try:
            *lines, _ = path.read_text().split("\n")
        except FileNotFoundError:
            return cls()
        counts = [line.split() for line in lines]
        return cls(records=sum(int(first) for first, _ in counts), embeddings=sum(int(last) for _, last in counts))


def note(path: Path, *, records: int, embeddings: int) -> None:
    """Add a batch."""
    with path.open("a") as file:
        file.write(f"{records} {embeddings}\n")
