"""What the demo measured, and whether all of it was true."""

from dataclasses import asdict, dataclass, field
from pathlib import Path

import orjson


@dataclass(slots=True, kw_only=True)
class DemoReport:
    """The figures of one run. Milliseconds are medians from the SQL statement to the search that shows it."""

    products: int = 0
    snapshot_to_indexed_seconds: float = 0.0
    """From the first record of the snapshot on the topic until the last product was searchable."""
    documents_per_second: float = 0.0
    raw_embedding_documents_per_second: float = 0.0
    """fastembed alone on the same texts, with the same threads and batch size, in the same run."""
    insert_ms: float = 0.0
    text_update_ms: float = 0.0
    price_update_ms: float = 0.0
    delete_ms: float = 0.0
    restart_seconds: float = 0.0
    """From SIGKILL in the middle of a load until the last row of it was searchable."""
    changes_kept_by_a_subscriber: int = 0
    """Each once: the repeats after the kill are dropped by id."""
    embeddings_made: int = 0
    embeddings_avoided: int = 0
    missing: int = 0
    orphaned: int = 0
    stale: int = 0
    dead_letters: int = 0
    problems: list[str] = field(default_factory=list)
    """What was not as it should be; empty when the demo passed."""

    def write(self, path: Path) -> None:
        """Write the figures as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(orjson.dumps(asdict(self), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
