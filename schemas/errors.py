"""Every error that Lockstep raises on purpose, as one tree.

    LockstepError
    ├── DecodeError           a record that says nothing we can apply
    │   └── SchemaMismatch    every record of the topic is shaped unlike the table we know
    ├── EmbeddingError        a text that the model cannot turn into a vector
    ├── VectorStoreError      Qdrant refused, or could not be reached
    ├── SourceError           Postgres refused, or could not be reached
    ├── BrokerError           Kafka or Kafka Connect refused, or could not be reached
    ├── ReplayError           a range of the topic that cannot be read again
    ├── StackError            a part of the stack without Docker that cannot run
    └── SettingsError         a setting that cannot be right

An error's `kind` is what `streams.retry_policy` decides by.
"""

from enum import StrEnum
from typing import ClassVar


class ErrorKind(StrEnum):
    """How far an error reaches, which decides what happens to the record."""

    TRANSIENT = "transient"
    """It passes by itself: hold and try again."""
    OUTAGE = "outage"
    """It concerns every record and a person must mend it: hold, and say what to mend."""
    PERMANENT = "permanent"
    """This record will never be accepted: set it aside."""


class LockstepError(Exception):
    """The root of the tree. `str(error)` is a sentence: lower case, no full stop; `hint` is what to do about it."""

    default_kind: ClassVar[ErrorKind] = ErrorKind.PERMANENT

    def __init__(self, message: str, *, kind: ErrorKind | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.kind = kind or self.default_kind
        self.hint = hint


class DecodeError(LockstepError):
    """A record that cannot be understood as a change."""


class SchemaMismatch(DecodeError):
    """A row without a column that the catalogue has (absent, not null)."""

    default_kind = ErrorKind.OUTAGE


class EmbeddingError(LockstepError):
    """A text that the model cannot turn into a vector, or a model that cannot be loaded."""


class VectorStoreError(LockstepError):
    """Qdrant refused a request or could not be reached."""

    default_kind = ErrorKind.TRANSIENT


class SourceError(LockstepError):
    """Postgres refused a statement or could not be reached."""

    default_kind = ErrorKind.TRANSIENT


class BrokerError(LockstepError):
    """Kafka, Kafka Connect or the schema registry refused a request or could not be reached."""

    default_kind = ErrorKind.TRANSIENT


class ReplayError(LockstepError):
    """A range of the topic that cannot be read again."""


class StackError(LockstepError):
    """A part of the stack without Docker that cannot be fetched, started or reached."""

    default_kind = ErrorKind.OUTAGE


class SettingsError(LockstepError):
    """A setting that cannot be right; the message names the variable."""
