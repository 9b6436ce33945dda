"""The REST client against a small Kafka Connect that is scripted to refuse, rebalance, fail and recover."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from connectors.debezium.connect import ConnectClient
from schemas.errors import BrokerError, ErrorKind

NAME = "products-pg-source"
TRACE = (
    "org.apache.kafka.connect.errors.ConnectException: An exception occurred in the change event producer.\n"
    "\tat io.debezium.pipeline.ErrorHandler.setProducerThrowable(ErrorHandler.java:67)\n"
    "Caused by: org.apache.kafka.connect.errors.ConnectException: Publication autocreation is disabled, please create "
    "one and restart the connector.\n"
    "\tat io.debezium.connector.postgresql.PostgresStreamingChangeEventSource.init(X.java:1)\n"
)


def status(task: str | None, connector: str = "RUNNING") -> dict[str, Any]:
    tasks = [] if task is None else [{"id": 0, "state": task, "worker_id": "w:1"} | _trace(task)]
    return {"name": NAME, "connector": {"state": connector, "worker_id": "w:1"}, "tasks": tasks, "type": "source"}


def _trace(task: str) -> dict[str, str]:
    return {"trace": TRACE} if task == "FAILED" else {}


class FakeConnect:
    """Answers `statuses` one after the other, the last one for ever; None is unknown to Connect."""

    def __init__(self) -> None:
        self.configs: dict[str, Any] = {}
        self.conflicts = 0
        self.refusal: tuple[int, str] | None = None
        self.statuses: list[dict[str, Any] | None] = [status("RUNNING")]
        self.restarts: list[str] = []
        """`resume`, or the query of a restart, in their order."""

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_put("/connectors/{name}/config", self.put)
        app.router.add_get("/connectors/{name}/status", self.get_status)
        app.router.add_post("/connectors/{name}/restart", self.restart)
        app.router.add_put("/connectors/{name}/resume", self.resume)
        app.router.add_delete("/connectors/{name}", self.delete)
        return app

    async def put(self, request: web.Request) -> web.Response:
        if self.conflicts:
            self.conflicts -= 1
            return web.json_response({"error_code": 409, "message": "rebalance is in process"}, status=409)
        if self.refusal:
            code, message = self.refusal
            return web.json_response({"error_code": code, "message": message}, status=code)
        name = request.match_info["name"]
        created = name not in self.configs
        self.configs[name] = await request.json()
        return web.json_response({"name": name}, status=201 if created else 200)

    async def get_status(self, _: web.Request) -> web.Response:
        answer = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        if answer is None:
            return web.json_response({"error_code": 404, "message": "No status found"}, status=404)
        return web.json_response(answer)

    async def restart(self, request: web.Request) -> web.Response:
        if request.content_type != "application/json":
            return web.json_response({"error_code": 415, "message": "HTTP 415 Unsupported Media Type"}, status=415)
        self.restarts.append(request.query_string)
        return web.json_response(status("RESTARTING"), status=202)

    async def resume(self, _: web.Request) -> web.Response:
        self.restarts.append("resume")
        return web.Response(status=202)

    async def delete(self, request: web.Request) -> web.Response:
        if self.configs.pop(request.match_info["name"], None) is None:
            return web.json_response({"error_code": 404, "message": "not found"}, status=404)
        return web.Response(status=204)


@pytest.fixture
def fake() -> FakeConnect:
    return FakeConnect()


@pytest.fixture
async def client(fake: FakeConnect) -> AsyncIterator[ConnectClient]:
    async with TestServer(fake.app()) as server, ConnectClient(str(server.make_url("/"))) as client:
        yield client


async def test_apply_creates_once_and_changes_nothing_the_second_time(fake: FakeConnect, client: ConnectClient) -> None:
    assert await client.apply(NAME, {"tasks.max": "1"})
    assert not await client.apply(NAME, {"tasks.max": "1"})
    assert fake.configs == {NAME: {"tasks.max": "1"}}


async def test_apply_tries_again_while_connect_rebalances(fake: FakeConnect, client: ConnectClient) -> None:
    fake.conflicts = 2
    await client.apply(NAME, {"tasks.max": "1"})
    assert fake.configs


async def test_a_rebalance_without_end_is_transient(fake: FakeConnect) -> None:
    fake.conflicts = 1_000_000
    async with (
        TestServer(fake.app()) as server,
        ConnectClient(str(server.make_url("/")), patience_seconds=0.1) as client,
    ):
        with pytest.raises(BrokerError, match="rebalancing") as caught:
            await client.apply(NAME, {})
    assert caught.value.kind is ErrorKind.TRANSIENT


async def test_a_refused_configuration_says_why_and_what_to_do(fake: FakeConnect, client: ConnectClient) -> None:
    fake.refusal = (
        400,
        "Connector configuration is invalid and contains the following 1 error(s):\n"
        'Error while validating connector config: FATAL: password authentication failed for user "debezium"\n'
        "You can also find the above list of errors at the endpoint `/validate`",
    )
    with pytest.raises(BrokerError) as caught:
        await client.apply(NAME, {})
    assert "password authentication failed" in str(caught.value)
    assert "following 1 error" not in str(caught.value)
    assert caught.value.kind is ErrorKind.OUTAGE
    assert "DEBEZIUM_DB_PASSWORD" in (caught.value.hint or "")


async def test_status_of_an_unknown_connector_is_none(fake: FakeConnect, client: ConnectClient) -> None:
    fake.statuses = [None]
    assert await client.status(NAME) is None


async def test_waiting_ends_when_connector_and_task_run(fake: FakeConnect, client: ConnectClient) -> None:
    fake.statuses = [None, status(None, "UNASSIGNED"), status(None), status("UNASSIGNED"), status("RUNNING")]
    seen = await client.wait_until_running(NAME, 5, settle_seconds=0)
    assert seen.running
    assert len(fake.statuses) == 1


async def test_a_connector_without_a_task_does_not_run(fake: FakeConnect, client: ConnectClient) -> None:
    fake.statuses = [status(None)]
    with pytest.raises(BrokerError, match="no task yet"):
        await client.wait_until_running(NAME, 0.3, settle_seconds=0)


async def test_a_task_that_fails_just_after_running_is_a_failure(fake: FakeConnect, client: ConnectClient) -> None:
    fake.statuses = [status("RUNNING"), status("RUNNING"), status("FAILED")]
    with pytest.raises(BrokerError) as caught:
        await client.wait_until_running(NAME, 5, settle_seconds=1, stale_seconds=60)
    assert "Publication autocreation is disabled" in str(caught.value)
    assert "roles.sql" in (caught.value.hint or "")
    assert caught.value.kind is ErrorKind.OUTAGE


async def test_the_failure_of_an_earlier_life_is_waited_out(fake: FakeConnect, client: ConnectClient) -> None:
    fake.statuses = [status("FAILED"), status("FAILED"), status("RESTARTING"), status("RUNNING")]
    assert (await client.wait_until_running(NAME, 5, settle_seconds=0, stale_seconds=60)).running


async def test_a_failure_that_stays_counts(fake: FakeConnect, client: ConnectClient) -> None:
    fake.statuses = [status("FAILED")]
    with pytest.raises(BrokerError, match="Publication"):
        await client.wait_until_running(NAME, 5, settle_seconds=0, stale_seconds=0.1)


async def test_restart_asks_for_the_tasks_too(fake: FakeConnect, client: ConnectClient) -> None:
    await client.restart(NAME, only_failed=True)
    assert fake.restarts == ["includeTasks=true&onlyFailed=true"]


async def test_restart_resumes_what_was_paused(fake: FakeConnect, client: ConnectClient) -> None:
    await client.restart(NAME)
    assert fake.restarts == ["resume", "includeTasks=true&onlyFailed=false"]


async def test_removing_what_is_missing_is_no_error(client: ConnectClient) -> None:
    await client.apply(NAME, {})
    assert await client.remove(NAME)
    assert not await client.remove(NAME)


async def test_an_unreachable_connect_is_transient_and_names_the_address(unused_tcp_port: int) -> None:
    async with ConnectClient(f"http://127.0.0.1:{unused_tcp_port}") as client:
        with pytest.raises(BrokerError, match=str(unused_tcp_port)) as caught:
            await client.status(NAME)
    assert caught.value.kind is ErrorKind.TRANSIENT
    assert "lockstep up" in (caught.value.hint or "")


@pytest.mark.parametrize("body", ["<html>", '{"hello": 1}', "[]"], ids=["html", "other object", "list"])
async def test_another_server_at_the_address_is_named_as_such(body: str) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(text=body)

    app = web.Application()
    app.router.add_get("/{any:.*}", answer)
    async with TestServer(app) as server, ConnectClient(str(server.make_url("/"))) as client:
        with pytest.raises(BrokerError, match="not Kafka Connect"):
            await client.status(NAME)
