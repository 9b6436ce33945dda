"""The API's metrics over the real stack."""

import asyncio
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client.parser import text_string_to_metric_families

from ops.api.known_tokens import KnownTokens
from ops.devstack.stack import Stack
from ops.serve import open_api
from streams import metrics

pytestmark = pytest.mark.stack

WITHIN_SECONDS = 10.0


async def test_every_part_of_the_running_stack_is_told(stack: Stack, tmp_path: Path) -> None:
    settings = stack.settings.model_copy(update={"home": tmp_path})
    async with (
        open_api(settings, KnownTokens(settings.tokens_file)) as app,
        TestClient(TestServer(app)) as client,
        asyncio.timeout(WITHIN_SECONDS),
    ):
        samples: dict[str, list[tuple[dict[str, str], float]]] = {}
        while metrics.PART_UP.name not in samples:
            text = await (await client.get("/metrics")).text()
            samples = {
                family.name: [(sample.labels, sample.value) for sample in family.samples]
                for family in text_string_to_metric_families(text)
            }
            await asyncio.sleep(0.1)
    assert {value for _, value in samples[metrics.PART_UP.name]} == {1.0}
    assert samples[metrics.SLOT_ACTIVE.name] == [({}, 1.0)]
    assert samples[metrics.CONNECTOR_RUNNING.name] == [({}, 1.0)]
    assert len(samples[metrics.LAG_RECORDS.name]) == 6
