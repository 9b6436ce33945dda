"""Reads from Connect's REST how a connector is set up; changes nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from connectors.debezium.connect import ConnectClient, ConnectorStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectorSetup:
    """A connector that Connect knows. `config` may hold a password in the clear: print none of its values unseen."""

    status: ConnectorStatus
    config: Mapping[str, str]
    offset_lsn: int | None
    """The place in the WAL from which it would go on; None before its first offset, or where Connect does not tell."""


class ConnectReader(ConnectClient):
    """`ConnectClient` with one more question."""

    async def setup(self, name: str) -> ConnectorSetup | None:
        """How the connector runs and is configured; None when Connect does not know it.

        Raises:
            BrokerError: Connect cannot be reached, or refuses.
        """
        status = await self.status(name)
        if status is None:
            return None
        code, config = await self._request(f"read connector {name}", "GET", f"/{quote(name)}/config")
        # Older than Connect 3.6 does not have this call.
        code, offsets = await self._request(
            f"read offsets of {name}", "GET", f"/{quote(name)}/offsets", missing_is_fine=True
        )
        return ConnectorSetup(
            status=status, config=config, offset_lsn=_lsn(offsets) if code != HTTPStatus.NOT_FOUND else None
        )


def _lsn(answer: Any) -> int | None:
    """The highest lsn among the offsets: a connector has one per source, and this one has one source."""
    offsets = answer.get("offsets", []) if isinstance(answer, dict) else []
    lsns = [lsn for entry in offsets if isinstance(lsn := (entry.get("offset") or {}).get("lsn"), int)]
    return max(lsns, default=None)
