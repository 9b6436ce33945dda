"""Settings: what is read, what is refused."""

import os
from pathlib import Path

import pytest

from ops.settings import PREFIX, load_settings, variable_names
from schemas.errors import SettingsError
from schemas.record import Place

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith(PREFIX):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def test_env_example_lists_every_variable() -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    assert {line.split("=")[0] for line in lines if line.startswith(PREFIX)} == set(variable_names())


def test_env_example_is_a_valid_env_file_with_the_defaults(tmp_path: Path) -> None:
    defaults = load_settings()
    (tmp_path / ".env").write_text((ROOT / ".env.example").read_text())
    assert load_settings() == defaults


def test_environment_wins_over_env_file_which_wins_over_the_stack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".lockstep").mkdir()
    (tmp_path / ".lockstep/stack.env").write_text("LOCKSTEP_QDRANT_URL=http://stack\nLOCKSTEP_KAFKA_BROKERS=stack:1\n")
    (tmp_path / ".env").write_text("LOCKSTEP_QDRANT_URL=http://file\nLOCKSTEP_CONNECT_URL=http://file\n")
    monkeypatch.setenv("LOCKSTEP_CONNECT_URL", "http://environment")
    settings = load_settings()
    assert settings.kafka.brokers == "stack:1"
    assert settings.qdrant.url == "http://file"
    assert settings.connect.url == "http://environment"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LOCKSTEP_WORKER_WEB_PORT", "99999"),
        ("LOCKSTEP_WORKER_NAME", "two words"),
        ("LOCKSTEP_WORKER_BATCH_RECORDS", "many"),
        ("LOCKSTEP_LOG_FORMAT", "xml"),
        ("LOCKSTEP_SET_ASIDE", "somewhere"),
        ("LOCKSTEP_QDRANT_URL", "nonsense"),
        ("LOCKSTEP_CONNECT_URL", "localhost:8083"),
    ],
)
def test_a_wrong_value_names_its_variable(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=name):
        load_settings()


def test_a_log_level_is_read_in_any_case(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCKSTEP_LOG_LEVEL", "debug")
    assert load_settings().log.level == "DEBUG"


def test_a_wrong_value_shows_the_choices_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCKSTEP_LOG_LEVEL", "loud")
    with pytest.raises(SettingsError, match="'DEBUG', 'INFO'"):
        load_settings()


def test_an_unknown_variable_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCKSTEP_QDRANT_ULR", "http://typo")
    with pytest.raises(SettingsError, match="unknown setting LOCKSTEP_QDRANT_ULR"):
        load_settings()


def test_places_to_set_aside_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCKSTEP_SET_ASIDE", "a.b[2]@7, a.b[0]@9")
    assert load_settings().set_aside_places == {
        Place(topic="a.b", partition=2, offset=7),
        Place(topic="a.b", partition=0, offset=9),
    }


@pytest.mark.parametrize(
    "dsn",
    [
        "nonsense",
        "postgresql://db:port/shop",
        "postgresql://lockstep:s3cr#et@127.0.0.1:5432/shop",
        "postgresql://lockstep:s3cr/et@127.0.0.1:5432/shop",
        "postgresql://lockstep:s3cr?et@127.0.0.1:5432/shop",
    ],
)
def test_a_dsn_that_cannot_be_read_is_refused_without_showing_it(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCKSTEP_POSTGRES_DSN", dsn)
    with pytest.raises(SettingsError, match="LOCKSTEP_POSTGRES_DSN") as caught:
        load_settings()
    assert "s3cr" not in f"{caught.value}{caught.value.hint}"


def test_secrets_do_not_show() -> None:
    assert "change-me" not in repr(load_settings())


def test_a_schema_registry_may_have_a_login_that_does_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCKSTEP_SCHEMA_REGISTRY_URL", "https://user:s3cret@registry:8081")
    settings = load_settings()
    assert settings.schema_registry.url is not None
    assert settings.schema_registry.url.get_secret_value() == "https://user:s3cret@registry:8081"
    assert "s3cret" not in repr(settings)


def test_a_wrong_address_of_a_registry_is_refused_without_showing_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCKSTEP_SCHEMA_REGISTRY_URL", "user:s3cret@registry:8081")
    with pytest.raises(SettingsError, match="LOCKSTEP_SCHEMA_REGISTRY_URL") as caught:
        load_settings()
    assert "s3cret" not in f"{caught.value}{caught.value.hint}"
