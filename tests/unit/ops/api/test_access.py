"""Who may call: tokens, scopes, rates and addresses, through the application and against a file on disk."""

import logging
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import hdrs
from aiohttp.test_utils import TestClient, make_mocked_request
from multidict import CIMultiDict

from ops.api.access import BURST_SECONDS, FAILURES_AT_ONCE, Access
from ops.api.audit import record
from ops.api.known_tokens import KnownTokens
from ops.api.operation import LOCAL_CALLER, Operation, Scope
from ops.api.problems import ProblemError, ProblemType
from ops.api.rate_limit import RateLimit
from ops.tokens import create_token, revoke_token
from schemas.errors import SettingsError
from tests.fakes.api import operation, served

START = datetime(2026, 11, 20, 10, tzinfo=UTC)
ALL = frozenset(Scope)
RATE = 5.0


@dataclass
class Clock:
    """Moves when a test says so."""

    seconds: float = 0.0

    def monotonic(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return START + timedelta(seconds=self.seconds)


@dataclass
class Door:
    """An `Access` over a file, and the clock it looks at."""

    path: Path
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.known = KnownTokens(self.path)
        self.access = Access(self.known, rate_per_second=RATE, monotonic=self.clock.monotonic, now=self.clock.now)

    async def ask(self, *tokens: str, scope: Scope = Scope.SEARCH, peer: Any = ("203.0.113.7", 4711)) -> str:
        headers = [(hdrs.AUTHORIZATION, token) for token in tokens]
        transport = _Transport(peer)
        return await self.access.authorize(
            make_mocked_request("GET", "/", headers=CIMultiDict(headers), transport=transport), scope
        )

    async def refused(self, *tokens: str, **asked: Any) -> ProblemError:
        with pytest.raises(ProblemError) as caught:
            await self.ask(*tokens, **asked)
        return caught.value


class _Transport:
    def __init__(self, peer: Any) -> None:
        self._peer = peer

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._peer if name == "peername" else default


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tokens.json"


def token(path: Path, name: str = "shop", scopes: frozenset[Scope] = ALL, **more: Any) -> str:
    return f"Bearer {create_token(path, name, scopes, now=START, **more)}"


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1"])
async def test_without_tokens_every_caller_on_this_machine_may_do_everything(path: Path, address: str) -> None:
    door = Door(path)
    assert door.access.unlocked
    for scope in Scope:
        assert await door.ask(scope=scope, peer=(address, 1)) == LOCAL_CALLER


@pytest.mark.parametrize(
    "peer", [("203.0.113.7", 1), ("::ffff:203.0.113.7", 1), ("", 1), "", None, ("fe80::1%eth0", 1)]
)
async def test_without_tokens_nobody_else_may_do_anything(path: Path, peer: Any) -> None:
    assert (await Door(path).refused(peer=peer)).type is ProblemType.NO_TOKEN


async def test_token_names_its_caller_and_the_scheme_may_be_written_in_any_case(path: Path) -> None:
    shop = token(path)
    door = Door(path)
    assert not door.access.unlocked
    for written in (shop, shop.replace("Bearer", "bearer"), shop.replace(" ", "  ")):
        assert await door.ask(written) == "shop"


async def test_with_tokens_a_caller_on_this_machine_needs_one_too(path: Path) -> None:
    token(path)
    problem = await Door(path).refused(peer=("127.0.0.1", 1))
    assert problem.type is ProblemType.NO_TOKEN
    assert problem.headers[hdrs.WWW_AUTHENTICATE] == 'Bearer realm="lockstep"'


async def test_whatever_is_not_exactly_one_good_token_is_refused(path: Path) -> None:
    shop, other = token(path), token(path, "other")
    door = Door(path)
    swapped = f"{shop.rpartition('_')[0][:29]}_{other[-43:]}"
    wrong = (
        (),
        ("",),
        ("Bearer",),
        ("Bearer ",),
        ("Bearer x",),
        (shop[:-1],),
        (shop + "A",),
        (shop.replace("lockstep_", ""),),
        (shop.replace("Bearer", "Basic"),),
        (shop[len("Bearer ") :],),
        (shop, shop),
        ("Bearer lockstep_000000000000_" + "A" * 43,),
        ("Bearer lockstep_000000000000_" + "é" * 43,),
        (swapped,),
        (shop[:-1] + ("A" if shop[-1] != "A" else "B"),),
    )
    for place, tokens in enumerate(wrong):
        problem = await door.refused(*tokens, peer=(f"203.0.113.{place}", 1))
        assert problem.type is ProblemType.NO_TOKEN
        assert problem.headers[hdrs.WWW_AUTHENTICATE].startswith("Bearer")
        for secret in (shop, other):
            assert secret[-43:] not in problem.detail


async def test_wrong_scope_is_named(path: Path) -> None:
    reader = token(path, scopes=frozenset((Scope.SEARCH,)))
    door = Door(path)
    assert await door.ask(reader) == "shop"
    for scope in (Scope.WRITE, Scope.OPERATE):
        problem = await door.refused(reader, scope=scope)
        assert problem.type is ProblemType.WRONG_SCOPE
        assert scope in problem.detail
        assert f'scope="{scope}"' in problem.headers[hdrs.WWW_AUTHENTICATE]


async def test_expired_token_is_refused_from_that_moment_on(path: Path) -> None:
    shop = token(path, expires_at=START + timedelta(seconds=60))
    door = Door(path)
    door.clock.seconds = 59.999
    assert await door.ask(shop) == "shop"
    door.clock.seconds = 60
    problem = await door.refused(shop)
    assert (problem.type, "expired" in problem.detail) == (ProblemType.NO_TOKEN, True)


async def test_token_has_its_own_rate_and_is_told_when_to_come_again(path: Path) -> None:
    shop, other = token(path), token(path, "other")
    door = Door(path)
    for _ in range(int(RATE * BURST_SECONDS)):
        await door.ask(shop)
    problem = await door.refused(shop)
    assert problem.type is ProblemType.TOO_MANY_REQUESTS
    assert await door.ask(other) == "other"
    door.clock.seconds += int(problem.headers[hdrs.RETRY_AFTER])
    assert await door.ask(shop) == "shop"


async def test_failures_of_one_address_are_limited_and_hinder_neither_others_nor_a_good_token(path: Path) -> None:
    shop = token(path)
    door = Door(path)
    kinds = [(await door.refused("Bearer x")).type for _ in range(FAILURES_AT_ONCE + 5)]
    assert kinds == [ProblemType.NO_TOKEN] * FAILURES_AT_ONCE + [ProblemType.TOO_MANY_REQUESTS] * 5
    assert await door.ask(shop) == "shop"
    assert (await door.refused("Bearer x", peer=("203.0.113.8", 1))).type is ProblemType.NO_TOKEN


async def test_addresses_of_one_ipv6_network_are_counted_together(path: Path) -> None:
    token(path)
    door = Door(path)
    kinds = [(await door.refused(peer=(f"2001:db8::{n:x}", 1))).type for n in range(FAILURES_AT_ONCE + 1)]
    assert kinds[-1] is ProblemType.TOO_MANY_REQUESTS
    assert (await door.refused(peer=("2001:db8:0:1::1", 1))).type is ProblemType.NO_TOKEN


def test_rate_is_kept_over_time_and_memory_is_bounded() -> None:
    limit = RateLimit(10.0, burst=20, names=100)
    allowed = sum(limit.take("a", tick / 100) == 0.0 for tick in range(1000))
    assert allowed == pytest.approx(20 + 10 * 10, abs=1)
    for number in range(10_000):
        limit.take(str(number), 0.0)
    assert len(limit._buckets) == 100


async def test_token_counts_from_the_moment_its_file_is_written(path: Path) -> None:
    door = Door(path)
    assert await door.ask(peer=("127.0.0.1", 1)) == LOCAL_CALLER
    shop = token(path)
    assert await door.ask(shop) == "shop"
    await door.refused(peer=("127.0.0.1", 1))
    other = token(path, "other")
    assert await door.ask(other) == "other"
    revoke_token(path, "shop")
    await door.refused(shop)
    assert await door.ask(other) == "other"


async def test_revoking_the_last_token_opens_nothing(path: Path) -> None:
    shop = token(path)
    doors = [Door(path)]
    revoke_token(path, "shop")
    doors.append(Door(path))
    for door in doors:
        assert not door.access.unlocked
        await door.refused(shop, peer=("127.0.0.1", 1))


async def test_file_that_breaks_or_goes_leaves_the_tokens_and_is_told_of_once(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shop = token(path)
    door = Door(path)
    for number, spoil in enumerate((cut, remove), start=1):
        spoil(path)
        for _ in range(3):
            assert await door.ask(shop) == "shop"
            await door.refused(peer=("127.0.0.1", 1))
        assert [record.message for record in caplog.records].count("tokens kept as they were") == number
    other = token(path, "other")
    assert await door.ask(other) == "other"
    await door.refused(shop)


async def test_first_file_ends_free_access_though_it_cannot_be_read(path: Path) -> None:
    door = Door(path)
    assert door.access.unlocked
    token(path)
    cut(path)
    await door.refused(peer=("127.0.0.1", 1))


def test_file_that_cannot_be_read_stops_the_start(path: Path) -> None:
    path.write_text("{")
    with pytest.raises(SettingsError, match="cannot read the tokens"):
        KnownTokens(path)


async def test_file_of_the_same_size_and_time_is_read_again(path: Path) -> None:
    first = token(path, "shop")
    door = Door(path)
    before = os.stat(path)
    revoke_token(path, "shop")
    second = token(path, "shop")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert os.stat(path).st_size == before.st_size
    await door.refused(first)
    assert await door.ask(second) == "shop"


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def remove(path: Path) -> None:
    path.unlink()


def asking(scope: Scope) -> Operation:
    return operation(
        method="GET" if scope is Scope.SEARCH else "POST", path=f"/{scope}", name=f"do_{scope}", scope=scope
    )


@pytest.fixture
async def client(path: Path) -> AsyncIterator[TestClient]:
    access = Access(KnownTokens(path), rate_per_second=RATE)
    async with served(*map(asking, Scope), gate=access) as client:
        yield client


async def test_application_lets_in_whom_access_lets_in(client: TestClient, path: Path) -> None:
    assert (await client.post("/write")).status == 204
    writer = token(path, "writer", frozenset((Scope.WRITE,)))
    assert (await client.post("/write")).status == 401
    headers = {"Authorization": writer}
    assert (await client.post("/write", headers=headers)).status == 204
    refused = await client.get("/search", headers=headers)
    assert refused.status == 403
    assert (await refused.json(content_type=None))["type"].endswith("#wrong-scope")


async def test_audit_line_says_who_did_what_also_when_it_was_refused_and_reading_leaves_none(
    client: TestClient, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    headers = {"Authorization": token(path, "writer", frozenset((Scope.WRITE,)))}
    for call in (client.post("/write", headers=headers), client.post("/operate", headers=headers)):
        await call
    for call in (client.post("/write"), client.get("/search"), client.get("/search", headers=headers)):
        await call
    lines = [vars(line) for line in caplog.records if line.name == "lockstep.audit"]
    assert [(line["operation"], line["target"], line["caller"], line["status"]) for line in lines] == [
        ("do_write", "/write", "writer", 204),
        ("do_operate", "/operate", "writer", 403),
        ("do_write", "/write", None, 401),
    ]
    assert all(line["remote"] == "127.0.0.1" and line["request_id"] for line in lines)


def test_audit_is_written_whatever_level_the_log_has(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger(), "level", logging.ERROR)
    record(asking(Scope.WRITE), target="/x", status=204, caller="a", remote=None, request_id="r")
    assert [line.message for line in caplog.records] == ["operation audited"]
