"""What reconciliation keeps on disk: the last run, and what a run that is killed must have finished for it."""

import os
from collections.abc import Collection
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from ops.reconcile.report import ReconcileRun
from schemas.errors import SettingsError

_KEYS = TypeAdapter(list[str])


class Keeping:
    """Files of one directory, each replaced whole."""

    def __init__(self, home: Path) -> None:
        self._folder = home / "reports"
        self._run = self._folder / "reconcile.json"
        self._unfinished = self._folder / "reconcile-unfinished.json"

    def keep(self, run: ReconcileRun) -> None:
        """Remember the run in the place of the one before. Raises `SettingsError` where nothing can be written."""
        self._write(self._run, run.model_dump_json(indent=2).encode())

    def last_run(self) -> ReconcileRun | None:
        """The last run; None before the first, and where the file is not ours."""
        try:
            return ReconcileRun.model_validate_json(self._run.read_bytes())
        except (OSError, ValidationError):
            return None

    def begin(self, keys: Collection[str]) -> None:
        """Note keys whose rows must be looked at once more, whatever becomes of this process.

        A tombstone is about to be written for each. Should its row come back just before, the record of that row lies
        below the tombstone, and compaction would take it away.
        """
        self._write(self._unfinished, _KEYS.dump_json(list(keys)))

    def unfinished(self) -> list[str]:
        """The keys that were noted, and not yet looked at again.

        Raises:
            SettingsError: The note cannot be read.
        """
        try:
            return _KEYS.validate_json(self._unfinished.read_bytes())
        except FileNotFoundError:
            return []
        except (OSError, ValidationError) as error:
            raise SettingsError(
                f"cannot read {self._unfinished}, which names keys of a repair that was killed",
                hint="remove it; docs/reconcile.md says what may be lacking then",
            ) from error

    def end(self) -> None:
        """The keys that were noted have been looked at."""
        self._unfinished.unlink(missing_ok=True)

    def _write(self, path: Path, content: bytes) -> None:
        aside = path.with_suffix(".new")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with aside.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            aside.replace(path)
        except OSError as error:
            raise SettingsError(f"cannot write {path}: {error.strerror}", hint="set LOCKSTEP_HOME") from error
