"""What the worker's page shows, and that nothing in it is taken for markup."""

from datetime import UTC, datetime

import pytest

from schemas.errors import DecodeError, VectorStoreError
from streams.health import Health
from streams.lag import PartitionLag
from streams.pipeline_page import ASSETS, asset, duration, number, render
from tests.fakes.worker import worker_state

NOW = datetime(2026, 11, 20, 10, tzinfo=UTC)
HOSTILE = "</p><script>alert('x')</script>\"><img src=x onerror=alert(1)>"


def test_a_worker_that_gets_on_shows_its_numbers() -> None:
    page = render(worker_state(), NOW)
    assert "Ready" in page
    assert "worker-1" in page
    assert "behind" in page  # partition 0 has three records to go
    assert "products-1" in page
    assert "none since the start" in page


def test_a_held_worker_shows_reason_and_hint_as_text_whatever_they_say() -> None:
    health = Health()
    health.hold(VectorStoreError(f"qdrant says {HOSTILE}", hint=HOSTILE))
    health.errors.note(DecodeError(HOSTILE), place=HOSTILE)
    page = render(
        worker_state(health=health, unready_because=health.trouble(), collection=HOSTILE, worker=HOSTILE), NOW
    )
    assert "Held because of qdrant" in page
    assert "held: qdrant says &lt;/p&gt;&lt;script&gt;" in page
    assert page.count("<script") == 1  # our own
    assert "<img" not in page


def test_a_worker_without_partitions_or_knowledge_shows_dashes() -> None:
    page = render(worker_state(partitions=[], unready_because="waiting for partitions"), NOW)
    assert "none assigned" in page
    assert "Not ready" in page
    unknown = render(worker_state(partitions=[PartitionLag(partition=4)]), NOW)
    assert "not known" in unknown


def test_the_page_loads_nothing_from_elsewhere() -> None:
    page = render(worker_state(), NOW)
    assert "http:" not in page
    assert "https:" not in page
    assert all(name in page for name in ASSETS)
    assert all("http" not in asset(name) for name in ASSETS)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "\N{EN DASH}"),
        (0.0, "0 ms"),
        (0.00001, "0 ms"),
        (0.0032, "3.2 ms"),
        (1.25, "1.2 s"),
        (119, "119 s"),
        (600, "10 min"),
        (5400, "90 min"),
        (7200, "2 h"),
        (864_000, "10 days"),
    ],
)
def test_a_time_is_told_in_its_unit(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


def test_numbers_are_told_as_people_write_them() -> None:
    assert [number(value) for value in (None, 0, 3, 2.5, 1234567)] == ["\N{EN DASH}", "0", "3", "2.5", "1,234,567"]
