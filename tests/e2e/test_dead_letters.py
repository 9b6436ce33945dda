"""Dead letters on the real pipeline: listed, retried through Debezium, discarded, by the command itself."""

import asyncio
from decimal import Decimal
from typing import Any

import orjson
import pytest
from click.testing import Result
from typer.testing import CliRunner

from ops.cli import app
from ops.dead_letters import Selection, find_letters
from ops.settings import PREFIX
from schemas.document import point_id
from schemas.record import Place
from tests.e2e.conftest import Running

pytestmark = pytest.mark.stack


class Command:
    """`lockstep dead-letters` as a person runs it, with the settings of the stack."""

    def __init__(self, running: Running) -> None:
        self._environment = {f"{PREFIX}HOME": str(running.stack.home.path)}

    def run(self, *arguments: str) -> Result:
        """Run it on the thread of the caller: without `--yes` the answer to its question is no."""
        result = CliRunner().invoke(app, ["dead-letters", *arguments], env=self._environment)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    async def __call__(self, *arguments: str) -> tuple[int, Any]:
        """Exit code, and the answer to `--json`. On a thread: a command has an event loop of its own."""
        result = await asyncio.to_thread(self.run, *arguments, "--json")
        return result.exit_code, orjson.loads(result.stdout)

    async def open_places(self, *arguments: str) -> list[str]:
        _, letters = await self("list", *arguments)
        return [letter["place"] for letter in letters]


@pytest.fixture
def command(running: Running) -> Command:
    return Command(running)


async def poisoned(running: Running, key: str, value: bytes = b"{", partition: int = 0) -> str:
    """Publish poison under a row's key and wait until it is set aside; its place."""
    place = running.publish(orjson.dumps({"article_id": key}), value, partition)
    return await until_set_aside(running, place)


async def until_set_aside(running: Running, place: Place) -> str:
    async def there() -> bool:
        selection = Selection(places=frozenset((place,)))
        return bool((await find_letters(running.stack.settings.kafka.brokers, selection)).letters())

    await running.until(there)
    return str(place)


async def test_a_letter_is_listed_and_shown_with_its_original_bytes(running: Running, command: Command) -> None:
    key = running.key("shown")
    place = await poisoned(running, key, b'{"half":\xff')
    code, [letter] = await command("list", "--key", key)
    assert code == 0
    assert (letter["place"], letter["error_class"], letter["state"]) == (place, "DecodeError", "open")
    assert await command.open_places("--key", key, "--error", "EmbeddingError") == []
    assert await command.open_places("--key", key, "--until", "1h") == []
    shown = await asyncio.to_thread(command.run, "show", place, "--raw")
    assert shown.stdout_bytes == b'{"half":\xff'
    missing = await asyncio.to_thread(command.run, "show", "pgserver.public.products[0]@999999999")
    assert missing.exit_code == 1


async def test_retry_indexes_the_row_as_it_is_now(running: Running, command: Command) -> None:
    odd = running.key("o'?\\ $$ {x} -- /* é👗")
    keys = [running.key("A1"), odd]
    places = [await poisoned(running, key) for key in keys]
    for key in keys:
        await running.sql("INSERT INTO products (article_id, name) VALUES ($1, 'the row as it is')", key)
        await running.until_payload(key)
    live = await running.store.live_collection()
    # The points are lost: only a new read of the rows brings them back.
    await running.store._client.delete(live.name, points_selector=[point_id(key) for key in keys], wait=True)

    code, would = await command("retry", *places, "--dry-run")
    assert code == 0
    assert {each["outcome"] for each in would["retried"]} == {None}
    assert set(await command.open_places()) >= set(places)
    assert await running.payload(odd) is None

    code, answer = await command("retry", *places, "--yes")
    assert {each["place"]: each["outcome"] for each in answer["retried"]} == dict.fromkeys(places, "indexed")
    assert code == 0
    for key in keys:
        assert (await running.payload(key) or {})["name"] == "the row as it is"
        assert await command.open_places("--key", key) == []
        _, [resolved] = await command("list", "--key", key, "--all")
        assert resolved["state"] == "retried"


async def test_retry_of_a_row_that_is_gone_resolves_its_letter(running: Running, command: Command) -> None:
    place = await poisoned(running, running.key("gone"))
    code, answer = await command("retry", place, "--yes")
    assert (code, answer["retried"][0]["outcome"]) == (0, "row is gone")
    assert await command.open_places("--key", running.key("gone")) == []
    code, answer = await command("retry", place, "--yes")
    assert (code, answer["refused"]) == (1, [{"place": place, "reason": "already retried"}])


async def test_a_row_that_is_still_wrong_is_set_aside_again_and_stays_open_until_it_is_mended(
    running: Running, command: Command
) -> None:
    key = running.key("wrong")
    await running.sql("INSERT INTO products (article_id, name, price) VALUES ($1, 'odd', $2)", key, Decimal("NaN"))

    async def listed() -> list[str]:
        return await command.open_places("--key", key)

    [first] = await running.until(listed)
    code, answer = await command("retry", first, "--yes")
    [result] = answer["retried"]
    assert (code, result["outcome"]) == (1, "set aside again")
    assert await listed() == [first, result["set_aside_again_at"]]

    await running.sql("UPDATE products SET price = 1 WHERE article_id = $1", key)
    code, answer = await command("retry", "--key", key, "--yes")
    assert (code, [each["outcome"] for each in answer["retried"]]) == (0, ["indexed", "indexed"])
    assert await listed() == []


async def test_a_point_without_its_row_is_said_and_its_letter_stays(running: Running, command: Command) -> None:
    source = await running.insert("source")
    await running.until_payload(source)
    ghost = running.key("ghost")
    live = await running.store.live_collection()
    client = running.store._client
    [point] = await client.retrieve(live.name, ids=[point_id(source)], with_vectors=True)
    payload = (point.payload or {}) | {"article_id": ghost}
    await client.upsert(
        live.name, points=[{"id": point_id(ghost), "vector": point.vector, "payload": payload}], wait=True
    )
    place = await poisoned(running, ghost)
    code, answer = await command("retry", place, "--yes")
    await client.delete(live.name, points_selector=[point_id(ghost)], wait=True)
    assert (code, answer["retried"][0]["outcome"]) == (1, "row is gone, its point is still there")
    assert await command.open_places("--key", ghost) == [place]


async def test_a_letter_without_a_key_is_refused_and_can_be_discarded(running: Running, command: Command) -> None:
    key = f"no row {running.prefix}"
    place = await until_set_aside(running, running.publish(key.encode(), b"{}"))
    code, answer = await command("retry", place, "--yes")
    assert code == 1
    assert answer["retried"] == []
    assert answer["refused"][0]["place"] == place

    code, answer = await command("discard", "--key", key, "--dry-run")
    assert (code, answer["discarded"]) == (0, [place])
    assert await command.open_places("--key", key) == [place]
    code, _ = await command("discard", place, "--yes", "--reason", "a test record")
    assert code == 0
    assert await command.open_places("--key", key) == []
    _, [letter] = await command("list", "--key", key, "--all")
    assert (letter["state"], letter["reason"]) == ("discarded", "a test record")


async def test_nothing_is_done_when_the_answer_is_no(running: Running, command: Command) -> None:
    place = await poisoned(running, running.key("asked"))
    refused = await asyncio.to_thread(command.run, "discard", place)
    assert refused.exit_code == 1
    assert await command.open_places("--key", running.key("asked")) == [place]
