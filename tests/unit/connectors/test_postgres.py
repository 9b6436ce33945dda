"""Rows that a Product cannot hold, and how far an error of Postgres reaches."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import asyncpg
import pytest

from connectors.postgres import UnreadableRowError, product_from
from connectors.postgres_errors import source_errors
from schemas.errors import ErrorKind, SourceError
from schemas.product import COLUMNS

MICROSECONDS_OF_2026 = 820_540_800_000_000
ROW: dict[str, Any] = dict.fromkeys(COLUMNS) | {
    "id": 1,
    "article_id": "0108775015",
    "name": "Strap top",
    "price": Decimal("19.90"),
    "created_at": MICROSECONDS_OF_2026,
}

UNREADABLE = {
    "price NaN": ({"price": Decimal("NaN")}, "price is NaN"),
    "price infinite": ({"price": Decimal("Infinity")}, "price is Infinity"),
    "time infinite": ({"created_at": 2**63 - 1}, "created_at is infinite"),
    "time minus infinite": ({"updated_at": -(2**63)}, "updated_at is infinite"),
    "year 10000": ({"updated_at": 252_455_616_000_000_000}, "outside the years 1 to 9999"),
    "year 1 before Christ": ({"created_at": -63_082_368_000_000_000}, "outside the years 1 to 9999"),
}


def test_a_row_is_read_with_its_scale_and_zone() -> None:
    product = product_from(ROW)
    assert str(product.price) == "19.90"
    assert product.created_at == datetime(2026, 1, 1, tzinfo=UTC)
    assert product.updated_at is None


@pytest.mark.parametrize(("values", "reason"), UNREADABLE.values(), ids=UNREADABLE)
def test_a_row_that_no_product_can_hold_is_named(values: dict[str, Any], reason: str) -> None:
    with pytest.raises(UnreadableRowError, match=reason) as caught:
        product_from(ROW | values)
    assert caught.value.article_id == "0108775015"
    assert caught.value.kind is ErrorKind.PERMANENT


KINDS = {
    "refused connection": (ConnectionRefusedError("refused"), ErrorKind.TRANSIENT),
    "time-out": (TimeoutError(), ErrorKind.TRANSIENT),
    "shutting down": (asyncpg.AdminShutdownError("terminating"), ErrorKind.TRANSIENT),
    "deadlock": (asyncpg.DeadlockDetectedError("deadlock"), ErrorKind.TRANSIENT),
    "closed under us": (asyncpg.InterfaceError("connection is closed"), ErrorKind.TRANSIENT),
    "too many connections": (asyncpg.TooManyConnectionsError("too many"), ErrorKind.TRANSIENT),
    "password": (asyncpg.InvalidPasswordError("no"), ErrorKind.OUTAGE),
    "table missing": (asyncpg.UndefinedTableError("no such table"), ErrorKind.OUTAGE),
    "not allowed": (asyncpg.InsufficientPrivilegeError("denied"), ErrorKind.OUTAGE),
    "disk full": (asyncpg.DiskFullError("full"), ErrorKind.OUTAGE),
    "standby": (asyncpg.ReadOnlySQLTransactionError("read-only"), ErrorKind.OUTAGE),
    "NUL in a key": (asyncpg.CharacterNotInRepertoireError("invalid byte sequence"), ErrorKind.PERMANENT),
    "value that cannot be sent": (asyncpg.DataError("invalid input"), ErrorKind.PERMANENT),
    "duplicate": (asyncpg.UniqueViolationError("duplicate"), ErrorKind.PERMANENT),
}


@pytest.mark.parametrize(("error", "kind"), KINDS.values(), ids=KINDS)
def test_an_error_says_how_far_it_reaches(error: Exception, kind: ErrorKind) -> None:
    with pytest.raises(SourceError, match="cannot read row 'x': ") as caught, source_errors("read row 'x'"):
        raise error
    assert caught.value.kind is kind
    assert caught.value.__cause__ is error
    assert (caught.value.hint is not None) or kind is not ErrorKind.OUTAGE


def test_only_what_postgres_raises_is_translated() -> None:
    with pytest.raises(ZeroDivisionError), source_errors("read"):
        raise ZeroDivisionError
