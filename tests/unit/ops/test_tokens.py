"""The file of tokens and the commands that write it."""

import json
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from ops.api.operation import Scope
from ops.commands import tokens
from ops.tokens import create_token, digest, read_tokens, revoke_token, split_token
from schemas.errors import SettingsError

NOW = datetime(2026, 11, 20, 10, tzinfo=UTC)
SEARCH = frozenset((Scope.SEARCH,))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "tokens.json"


@pytest.fixture
def lockstep(path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str]]:
    monkeypatch.setenv("LOCKSTEP_API_TOKENS_FILE", str(path))
    monkeypatch.chdir(path.parent.parent)
    app = typer.Typer()
    tokens.register(app)

    def run(*words: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, ["tokens", *words])
        if isinstance(result.exception, SettingsError):
            return 2, str(result.exception)
        return result.exit_code, result.stdout

    return run


def test_file_holds_what_knows_a_token_again_and_not_the_token(path: Path) -> None:
    text = create_token(path, "shop", SEARCH, now=NOW, expires_at=NOW + timedelta(days=90))
    parts = split_token(text)
    assert parts is not None
    [token] = read_tokens(path) or ()
    assert (token.id, token.sha256) == (parts[0], digest(parts[1]))
    assert parts[1] not in path.read_text()
    assert (token.scopes, token.created_at, token.expired(NOW)) == (SEARCH, NOW, False)
    assert token.expired(NOW + timedelta(days=90))


def test_file_is_for_its_owner_alone_and_nothing_else_is_left_beside_it(path: Path) -> None:
    for name in ("a", "b"):
        create_token(path, name, SEARCH, now=NOW)
    revoke_token(path, "a")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["tokens.json"]


def test_no_file_and_a_file_without_tokens_are_told_apart(path: Path) -> None:
    assert read_tokens(path) is None
    create_token(path, "shop", SEARCH, now=NOW)
    assert revoke_token(path, "shop") == 0
    assert read_tokens(path) == ()


def test_writers_at_once_lose_no_token(path: Path) -> None:
    names = [f"caller-{number}" for number in range(16)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: create_token(path, name, SEARCH, now=NOW), names))
    assert sorted(token.name for token in read_tokens(path) or ()) == sorted(names)


def test_writer_that_dies_before_its_end_leaves_the_file_as_it_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    create_token(path, "shop", SEARCH, now=NOW)
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(SettingsError, match="No space left"):
        create_token(path, "other", SEARCH, now=NOW)
    assert path.read_bytes() == before
    assert [each.name for each in path.parent.iterdir()] == ["tokens.json"]


def test_link_to_the_file_stays_a_link(path: Path, tmp_path: Path) -> None:
    create_token(path, "shop", SEARCH, now=NOW)
    link = tmp_path / "link.json"
    link.symlink_to(path)
    create_token(link, "other", SEARCH, now=NOW)
    assert link.is_symlink()
    assert len(read_tokens(path) or ()) == 2


def test_name_is_given_once_and_is_no_order_to_a_log(path: Path) -> None:
    create_token(path, "shop", SEARCH, now=NOW)
    for name in ("shop", "local", "", "a b", "a\nb", "-a", "x" * 65, "é"):
        with pytest.raises(SettingsError):
            create_token(path, name, SEARCH, now=NOW)
    with pytest.raises(SettingsError, match="no token other"):
        revoke_token(path, "other")
    assert len(read_tokens(path) or ()) == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda file: file | {"version": 2},
        lambda file: file | {"more": 1},
        lambda file: {"version": 1, "tokens": file["tokens"] * 2},
        lambda file: {"version": 1, "tokens": [file["tokens"][0] | {"sha256": ""}]},
        lambda file: {"version": 1, "tokens": [file["tokens"][0] | {"scopes": []}]},
        lambda file: {"version": 1, "tokens": [file["tokens"][0] | {"scopes": ["everything"]}]},
        lambda file: {"version": 1, "tokens": [file["tokens"][0] | {"expires_at": "2026-11-20T10:00:00"}]},
        lambda file: [],
    ],
    ids=["version", "unknown field", "twice", "no hash", "no scope", "unknown scope", "no zone", "no object"],
)
def test_file_that_nobody_wrote_is_refused(path: Path, change: Callable[[dict[str, object]], object]) -> None:
    create_token(path, "shop", SEARCH, now=NOW)
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with pytest.raises(SettingsError, match="cannot read the tokens"):
        read_tokens(path)
    with pytest.raises(SettingsError):
        create_token(path, "other", SEARCH, now=NOW)


def test_file_that_is_cut_or_a_folder_is_refused(path: Path) -> None:
    create_token(path, "shop", SEARCH, now=NOW)
    for content in (path.read_bytes()[:-5], b"", b"\xff"):
        path.write_bytes(content)
        with pytest.raises(SettingsError):
            read_tokens(path)
    with pytest.raises(SettingsError, match="directory"):
        read_tokens(path.parent)


@pytest.mark.parametrize("text", ["", "lockstep_", "x", "lockstep_0123456789ab_", "lockstep_0123456789ab_" + "é" * 43])
def test_text_that_cannot_be_a_token_is_none(text: str) -> None:
    assert split_token(text) is None


def test_commands_create_list_and_revoke(lockstep: Callable[..., tuple[int, str]], path: Path) -> None:
    assert "no tokens" in lockstep("list")[1]
    code, token = lockstep("create", "shop", "--scope", "search", "--scope", "write", "--expires", "90d")
    assert code == 0
    parts = split_token(token.strip().splitlines()[-1])
    assert parts is not None
    [listed] = json.loads(lockstep("list", "--json")[1])
    assert (listed["name"], listed["scopes"], listed["expired"]) == ("shop", ["search", "write"], False)
    life = datetime.fromisoformat(listed["expires_at"]) - datetime.fromisoformat(listed["created_at"])
    assert life == timedelta(days=90)
    for output in (lockstep("list"), lockstep("list", "--json")):
        assert parts[1] not in output[1]
        assert digest(parts[1]) not in output[1]
    assert lockstep("revoke", "shop")[0] == 0
    assert json.loads(lockstep("list", "--json")[1]) == []
    assert lockstep("revoke", "shop") == (2, "there is no token shop")


@pytest.mark.parametrize(
    "words",
    [
        ("create", "shop"),
        ("create", "shop", "--scope", "all"),
        ("create", "shop", "--scope", "search", "--expires", "0d"),
        ("create", "shop", "--scope", "search", "--expires", "forever"),
        ("create", "a b", "--scope", "search"),
    ],
)
def test_command_that_says_nonsense_creates_nothing(
    lockstep: Callable[..., tuple[int, str]], path: Path, words: tuple[str, ...]
) -> None:
    assert lockstep(*words)[0] == 2
    assert not path.exists()
