"""What is read of a connector, against a small Kafka Connect."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from connectors.debezium.connect_setup import ConnectReader

NAME = "products-pg-source"
RUNNING = {"name": NAME, "connector": {"state": "RUNNING", "worker_id": "w:1"}, "tasks": []}
STREAMING = {"partition": {"server": "pgserver"}, "offset": {"lsn": 28460304, "txId": 931, "lsn_proc": 28460304}}


class FakeConnect:
    """Answers by path; anything else is unknown to it."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self.answers = answers

    async def answer(self, request: web.Request) -> web.Response:
        body = self.answers.get(request.match_info["what"])
        if body is None:
            return web.json_response({"error_code": 404, "message": "HTTP 404 Not Found"}, status=404)
        return web.json_response(body)


@pytest.fixture
def fake() -> FakeConnect:
    return FakeConnect(
        {"status": RUNNING, "config": {"slot.name": "dbz_products"}, "offsets": {"offsets": [STREAMING]}}
    )


@pytest.fixture
async def reader(fake: FakeConnect) -> AsyncIterator[ConnectReader]:
    app = web.Application()
    app.router.add_get("/connectors/{name}/{what}", fake.answer)
    async with TestServer(app) as server, ConnectReader(str(server.make_url("/"))) as reader:
        yield reader


async def test_state_configuration_and_offset_are_read(reader: ConnectReader) -> None:
    setup = await reader.setup(NAME)
    assert setup is not None
    assert (setup.status.state, setup.config["slot.name"], setup.offset_lsn) == ("RUNNING", "dbz_products", 28460304)


async def test_an_unknown_connector_has_no_setup(fake: FakeConnect, reader: ConnectReader) -> None:
    fake.answers = {}
    assert await reader.setup(NAME) is None


@pytest.mark.parametrize(
    "offsets",
    [
        None,
        {"offsets": []},
        {"offsets": [{"partition": {}, "offset": None}]},
        {"offsets": [STREAMING | {"offset": {}}]},
    ],
    ids=["a Connect too old to tell", "no offset yet", "an offset taken back", "an offset without a place"],
)
async def test_without_an_offset_there_is_no_place(fake: FakeConnect, reader: ConnectReader, offsets: Any) -> None:
    fake.answers["offsets"] = offsets
    setup = await reader.setup(NAME)
    assert setup is not None
    assert setup.offset_lsn is None
