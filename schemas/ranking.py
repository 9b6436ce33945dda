"""The two halves of a search, each a ranked list of points, and the one order that they make together."""

from collections.abc import Set
from dataclasses import dataclass, replace
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field

DEPTH = 200
"""How many points each half brings, whatever the page: so that every page cuts the same order."""

RRF_K = 2
"""Qdrant's own constant: a point's score is the sum of 1 / (k + position) over the halves, positions from 0."""


class Ranks(BaseModel):
    """Where each half has a hit, counted from 1; None where it is not among the half's first 200."""

    model_config = ConfigDict(frozen=True)

    semantic: int | None = Field(default=None, description="By meaning.")
    keyword: int | None = Field(default=None, description="By words.")


class RankedPoint(NamedTuple):
    """One point of a half. `article_id` is None unless it was asked for, and for a point of no row."""

    point: str
    score: float
    article_id: str | None = None


class Candidate(NamedTuple):
    """One point of the order that both halves make, with its place in each from 1 on, or None."""

    point: str
    article_id: str | None
    score: float
    semantic: int | None
    keyword: int | None

    @property
    def ranks(self) -> Ranks:
        """Its places."""
        return Ranks(semantic=self.semantic, keyword=self.keyword)


@dataclass(frozen=True, slots=True, kw_only=True)
class Halves:
    """What each half found, best first; None for a half that takes no part."""

    semantic: tuple[RankedPoint, ...] | None = None
    keyword: tuple[RankedPoint, ...] | None = None

    @property
    def cut(self) -> bool:
        """Whether a half may have more than it brought."""
        return any(len(half or ()) >= DEPTH for half in (self.semantic, self.keyword))

    def without(self, points: Set[str]) -> "Halves":
        """The halves as they would be if these points did not exist, but for what would have moved up from below."""

        def kept(half: tuple[RankedPoint, ...] | None) -> tuple[RankedPoint, ...] | None:
            return None if half is None else tuple(ranked for ranked in half if ranked.point not in points)

        return replace(self, semantic=kept(self.semantic), keyword=kept(self.keyword))

    def in_order(self) -> list[Candidate]:
        """Both halves fused by reciprocal rank, best first; one half alone keeps its order and its own scores.

        Equal scores are ordered by the better place by meaning, then by words; points of equal score in a half by their
        ids, since Qdrant may give them in another order from call to call. The same halves give the same order.
        """
        halves = [_settled(half) for half in (self.semantic, self.keyword)]
        semantic, keyword = ({each.point: place for place, each in enumerate(half, 1)} for half in halves)
        keys = {each.point: each.article_id for half in halves for each in half}
        if self.semantic is None or self.keyword is None:
            scores = {each.point: each.score for half in halves for each in half}
        else:
            scores = {point: _reciprocal(place) for point, place in semantic.items()}
            for point, place in keyword.items():
                scores[point] = scores.get(point, 0.0) + _reciprocal(place)
        # Those by meaning stand first, each half in its order, and sorting keeps that among equals, reversed too.
        order = sorted(scores, key=scores.__getitem__, reverse=True)
        return [
            Candidate(point, keys[point], scores[point], semantic.get(point), keyword.get(point)) for point in order
        ]


def _reciprocal(place: int) -> float:
    return 1 / (RRF_K + place - 1)


def _settled(half: tuple[RankedPoint, ...] | None) -> list[RankedPoint]:
    """A half in its one order."""
    return sorted(half or (), key=lambda ranked: (-ranked.score, ranked.point))
