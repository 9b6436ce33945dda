"""Query vectors: embedded once, kept for a while, and never an endless queue."""

import asyncio

import pytest

from ops.query_vectors import QueryVectors, SearchBusyError
from schemas.errors import EmbeddingError, ErrorKind
from schemas.recipe import Recipe
from tests.fakes.search import VECTORS, FakeEmbedders

RECIPE = Recipe()
OTHER = Recipe(separator=" | ")


async def test_two_queries_at_once_are_embedded_once() -> None:
    embedders = FakeEmbedders()
    vectors = QueryVectors(embedders)
    answers = await asyncio.gather(*(vectors.of("red hat", RECIPE) for _ in range(2)))
    assert answers == [VECTORS, VECTORS]
    assert embedders.embedded == [(RECIPE.recipe_id, "red hat")]


async def test_a_query_asked_again_is_not_embedded_again() -> None:
    embedders = FakeEmbedders()
    vectors = QueryVectors(embedders)
    for _ in range(3):
        await vectors.of("red hat", RECIPE)
    assert len(embedders.embedded) == 1


async def test_another_recipe_has_its_own_vectors() -> None:
    embedders = FakeEmbedders()
    vectors = QueryVectors(embedders)
    await vectors.of("red hat", RECIPE)
    await vectors.of("red hat", OTHER)
    assert embedders.embedded == [(RECIPE.recipe_id, "red hat"), (OTHER.recipe_id, "red hat")]


async def test_the_query_asked_longest_ago_is_forgotten_first() -> None:
    embedders = FakeEmbedders()
    vectors = QueryVectors(embedders, cached=2)
    for text in ("one", "two", "one", "three", "one", "two"):
        await vectors.of(text, RECIPE)
    assert [text for _, text in embedders.embedded] == ["one", "two", "three", "two"]


async def test_a_full_queue_refuses_another_query_but_not_one_that_is_in_it() -> None:
    embedders = FakeEmbedders()
    vectors = QueryVectors(embedders, waiting=2)
    embedders.hold()
    waiting = [asyncio.create_task(vectors.of(text, RECIPE)) for text in ("one", "two", "one")]
    await started(embedders, 2)
    with pytest.raises(SearchBusyError, match="2 others wait") as caught:
        await vectors.of("three", RECIPE)
    assert caught.value.kind is ErrorKind.TRANSIENT
    embedders.go.set()
    assert await asyncio.gather(*waiting) == [VECTORS] * 3
    assert await vectors.of("three", RECIPE) == VECTORS


async def test_a_caller_that_goes_away_does_not_take_the_vectors_from_the_others() -> None:
    embedders = FakeEmbedders()
    vectors = QueryVectors(embedders)
    embedders.hold()
    gone, stays = (asyncio.create_task(vectors.of("red hat", RECIPE)) for _ in range(2))
    await started(embedders, 1)
    gone.cancel()
    await asyncio.wait([gone])
    embedders.go.set()
    assert await stays == VECTORS
    assert len(embedders.embedded) == 1


async def test_a_failed_query_is_embedded_at_the_next_call() -> None:
    embedders = FakeEmbedders(error=EmbeddingError("no model", kind=ErrorKind.OUTAGE))
    vectors = QueryVectors(embedders)
    with pytest.raises(EmbeddingError, match="no model"):
        await vectors.of("red hat", RECIPE)
    embedders.error = None
    assert await vectors.of("red hat", RECIPE) == VECTORS


async def test_closing_ends_those_who_wait() -> None:
    embedders = FakeEmbedders()
    vectors = QueryVectors(embedders)
    embedders.hold()
    waiting = asyncio.create_task(vectors.of("red hat", RECIPE))
    await started(embedders, 1)
    await vectors.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def started(embedders: FakeEmbedders, count: int) -> None:
    async with asyncio.timeout(5):
        while len(embedders.embedded) < count:
            await asyncio.sleep(0)
