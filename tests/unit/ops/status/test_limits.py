"""Thresholds as they are written in settings, and numbers as they are shown."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from ops.settings import load_settings
from ops.status.limits import Level, Limits, worst
from ops.status.units import bytes_text, count_text, numbers_text, seconds_text
from schemas.errors import SettingsError


@pytest.fixture(autouse=True)
def _nobodys_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("text", "value", "level"),
    [
        ("10,20", 9.9, Level.GREEN),
        ("10,20", 10, Level.AMBER),
        ("10,20", 20, Level.RED),
        ("10", 10**9, Level.AMBER),
        ("0,10", 0, Level.AMBER),
        ("5,5", 5, Level.RED),
        (" 0.5 , 1.5 ", 1, Level.AMBER),
    ],
)
def test_a_value_has_the_level_whose_limit_it_reaches(text: str, value: float, level: Level) -> None:
    assert Limits.parse(text).level(value) is level


@pytest.mark.parametrize("text", ["", "many", "1,2,3", "-1", "nan", "1,inf", "20,10", "1;2"])
def test_limits_that_are_none_are_refused_with_the_name_of_the_setting(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match="amber"):
        Limits.parse(text)
    if text:  # an empty variable counts as not set
        monkeypatch.setenv("LOCKSTEP_STATUS_LAG_RECORDS", text)
        with pytest.raises(SettingsError, match=r"LOCKSTEP_STATUS_LAG_RECORDS is wrong: .*amber"):
            load_settings()


@pytest.mark.parametrize("text", ["worker:6066", "http://a,,http://b", "http://a/path", "http://a b"])
def test_workers_that_are_no_addresses_are_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCKSTEP_STATUS_WORKERS", text)
    with pytest.raises(SettingsError, match="LOCKSTEP_STATUS_WORKERS"):
        load_settings()


def test_workers_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCKSTEP_STATUS_WORKERS", "http://a:6066, https://b/")
    assert load_settings().status.worker_urls == ("http://a:6066", "https://b")


def test_the_worst_of_no_level_is_green() -> None:
    assert worst() is Level.GREEN
    assert worst(Level.AMBER, Level.RED, Level.GREEN) is Level.RED


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1_000, "1.0 kB"),
        (123_456, "123 kB"),
        (5 * 10**9, "5.0 GB"),
        (7 * 10**13, "70.0 TB"),
    ],
)
def test_bytes_are_shown_in_powers_of_ten(count: int, text: str) -> None:
    assert bytes_text(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-3, "0 s"), (0.9, "0 s"), (119.9, "119 s"), (120, "2 min"), (7_200, "2 h"), (172_800, "2 days")],
)
def test_times_are_shown_in_one_unit(seconds: float, text: str) -> None:
    assert seconds_text(seconds) == text


@pytest.mark.parametrize(
    ("numbers", "text"), [([], "none"), ([3], "3"), ([0, 1, 2], "0-2"), ([0, 2, 3, 5], "0, 2-3, 5")]
)
def test_runs_of_partitions_are_joined(numbers: Sequence[int], text: str) -> None:
    assert numbers_text(numbers) == text


def test_one_thing_is_not_many() -> None:
    assert [count_text(n, "table entry", "table entries") for n in (1, 1_200)] == [
        "1 table entry",
        "1,200 table entries",
    ]
