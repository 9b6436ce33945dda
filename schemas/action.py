"""What the planner may decide for a key."""

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar


class SkipReason(StrEnum):
    """Why a change has nothing to say."""

    REDELIVERED_BY_BROKER = "redelivered_by_broker"
    """Its version is not above the indexed one."""
    REDELIVERED_BY_DEBEZIUM = "redelivered_by_debezium"
    """It stands at a new offset, but the database made it before the indexed one."""
    ROW_IS_GONE = "row_is_gone"
    """It does not carry the whole row and Postgres has no such row any more: its delete follows."""
    ROW_CAME_BACK = "row_came_back"
    """It removes an orphan, and a later change of the key came before it."""


@dataclass(frozen=True, slots=True)
class Skip:
    """Do nothing and remember nothing."""

    name: ClassVar[str] = "skip"

    reason: SkipReason


@dataclass(frozen=True, slots=True)
class Keep:
    """The index is right already: remember the version only."""

    name: ClassVar[str] = "keep"


@dataclass(frozen=True, slots=True)
class DeletePoint:
    """Remove the point."""

    name: ClassVar[str] = "delete_point"


@dataclass(frozen=True, slots=True)
class UpsertPoint:
    """The text is new: embed it and write the point whole."""

    name: ClassVar[str] = "upsert_point"


@dataclass(frozen=True, slots=True)
class VerifyPoint:
    """The text is known, but the point may be missing or of another recipe: look before writing."""

    name: ClassVar[str] = "verify_point"


@dataclass(frozen=True, slots=True)
class OverwritePayload:
    """The text is the same, the row is not: replace the payload, embed nothing."""

    name: ClassVar[str] = "overwrite_payload"


Action = Skip | Keep | DeletePoint | UpsertPoint | VerifyPoint | OverwritePayload
