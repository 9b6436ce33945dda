"""What the connector is given for some settings."""

from typing import Any

import pytest
from pydantic import SecretStr

from ops.commands.connector import config_from
from ops.settings import ConnectSettings, KafkaSettings, PostgresSettings, Settings
from schemas.errors import SettingsError


def settings(dsn: str, **connect: Any) -> Settings:
    return Settings(
        _env_file=None,
        postgres=PostgresSettings(dsn=SecretStr(dsn)),
        kafka=KafkaSettings(brokers="here:9092", replication=3),
        connect=ConnectSettings(**connect),
    )


DSNS = {
    "all said": ("postgresql://u:p@db:6432/shop", ("db", "6432", "shop")),
    "port left out": ("postgresql://u:p@db/shop", ("db", "5432", "shop")),
    "escaped": ("postgresql://u:p%40%3A@db/my%20shop", ("db", "5432", "my shop")),
    "in the query": ("postgresql:///shop?host=db&port=6000", ("db", "6000", "shop")),
    "IPv6": ("postgresql://u@[::1]:6000/shop", ("::1", "6000", "shop")),
}


@pytest.mark.parametrize(("dsn", "address"), DSNS.values(), ids=DSNS)
def test_the_address_is_taken_from_the_dsn(dsn: str, address: tuple[str, str, str]) -> None:
    config = config_from(settings(dsn))
    assert (config["database.hostname"], config["database.port"], config["database.dbname"]) == address
    assert config["signal.kafka.bootstrap.servers"] == "here:9092"
    assert config["topic.creation.default.replication.factor"] == "3"


def test_connect_may_reach_both_at_other_addresses() -> None:
    config = config_from(
        settings(
            "postgresql://u:p@127.0.0.1:5432/shop",
            postgres_host="postgres",
            postgres_port=5433,
            kafka_brokers="redpanda:29092",
        )
    )
    assert (config["database.hostname"], config["database.port"]) == ("postgres", "5433")
    assert config["signal.kafka.bootstrap.servers"] == "redpanda:29092"


@pytest.mark.parametrize("dsn", ["postgresql://u@/shop", "postgresql://db"])
def test_a_dsn_without_host_or_database_is_a_wrong_setting(dsn: str) -> None:
    with pytest.raises(SettingsError, match="LOCKSTEP_POSTGRES_DSN"):
        config_from(settings(dsn))


def test_no_password_of_ours_reaches_the_connector() -> None:
    assert "s3cret" not in str(config_from(settings("postgresql://u:s3cret@db/shop")))
