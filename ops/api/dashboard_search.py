"""One search, shown in its three forms: by meaning, by words, and both fused."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from ops.query_vectors import SearchBusyError
from schemas.errors import EmbeddingError, LockstepError, VectorStoreError
from schemas.search import Hit, SearchAnswer, SearchMode, SearchQuery

SHOWN = 10
MOST_CHARACTERS = 1000
WITHIN_SECONDS = 10.0


class Service(Protocol):
    """What answers searches."""

    async def search(self, query: SearchQuery) -> SearchAnswer:
        """One page of hits. Raises `LockstepError`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The best hits of each form; `trouble` says why there are none to show."""

    text: str
    hits: Mapping[SearchMode, list[Hit]] = field(default_factory=dict)
    trouble: str | None = None


async def search_halves(service: Service, text: str) -> Found:
    """Search three times side by side. Raises nothing of a part's."""
    if not text.strip() or len(text) > MOST_CHARACTERS or "\0" in text:
        return Found(text=text[:MOST_CHARACTERS], trouble=f"write 1 to {MOST_CHARACTERS} characters")
    modes = tuple(SearchMode)
    try:
        async with asyncio.timeout(WITHIN_SECONDS):
            answers = await asyncio.gather(
                *(service.search(SearchQuery(text=text, mode=mode, limit=SHOWN)) for mode in modes)
            )
    except TimeoutError:
        return Found(text=text, trouble=f"no answer within {WITHIN_SECONDS:g} s")
    except LockstepError as error:
        return Found(text=text, trouble=_trouble(error))
    return Found(text=text, hits={mode: answer.hits for mode, answer in zip(modes, answers, strict=True)})


def _trouble(error: LockstepError) -> str:
    match error:
        case SearchBusyError():
            return "too many searches wait for the model: try again in a moment"
        case EmbeddingError():
            return "the model that embeds queries cannot run"
        case VectorStoreError():
            return "the search index does not answer"
        case _:
            return str(error)
