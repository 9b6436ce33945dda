"""Two ranked halves become one order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import ranking
from schemas.ranking import Halves, RankedPoint, Ranks


def half(*points: str) -> tuple[RankedPoint, ...]:
    return tuple(RankedPoint(point=point, score=1 - place / 100) for place, point in enumerate(points))


def test_each_candidate_tells_its_rank_in_both_halves() -> None:
    candidates = Halves(semantic=half("a", "b", "c"), keyword=half("c", "d")).in_order()
    assert {c.point: c.ranks for c in candidates} == {
        "a": Ranks(semantic=1, keyword=None),
        "b": Ranks(semantic=2, keyword=None),
        "c": Ranks(semantic=3, keyword=1),
        "d": Ranks(semantic=None, keyword=2),
    }


def test_scores_are_reciprocal_ranks_added_up_and_equals_go_by_meaning() -> None:
    candidates = Halves(semantic=half("a", "b", "c"), keyword=half("c", "d")).in_order()
    assert [(c.point, c.score) for c in candidates] == [("c", 1 / 4 + 1 / 2), ("a", 1 / 2), ("b", 1 / 3), ("d", 1 / 3)]


def test_one_half_keeps_its_own_scores() -> None:
    [first, second] = Halves(keyword=half("b", "a")).in_order()
    assert (first.point, first.score, first.ranks) == ("b", 1.0, Ranks(keyword=1))
    assert (second.point, second.score, second.ranks) == ("a", 0.99, Ranks(keyword=2))


def test_points_of_equal_score_are_ordered_by_their_id_however_they_come() -> None:
    equal = [RankedPoint(point=point, score=0.5) for point in ("c", "a", "b")]
    assert [c.point for c in Halves(semantic=tuple(equal)).in_order()] == ["a", "b", "c"]


def test_an_empty_half_that_takes_part_is_not_a_half_that_does_not() -> None:
    assert [c.score for c in Halves(semantic=half("a"), keyword=()).in_order()] == [1 / 2]
    assert Halves(keyword=()).in_order() == []


def test_a_full_half_may_have_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranking, "DEPTH", 2)
    assert Halves(semantic=half("a", "b"), keyword=()).cut
    assert not Halves(semantic=half("a"), keyword=half("b")).cut


POINTS = st.lists(st.sampled_from("abcdefgh"), unique=True)


@given(semantic=POINTS, keyword=POINTS)
def test_every_point_comes_once_best_score_first(semantic: list[str], keyword: list[str]) -> None:
    candidates = Halves(semantic=half(*semantic), keyword=half(*keyword)).in_order()
    assert sorted(c.point for c in candidates) == sorted({*semantic, *keyword})
    assert [c.score for c in candidates] == sorted((c.score for c in candidates), reverse=True)


@given(semantic=POINTS, keyword=POINTS, gone=st.sets(st.sampled_from("abcdefgh")))
def test_halves_without_points_are_those_that_never_had_them(
    semantic: list[str], keyword: list[str], gone: set[str]
) -> None:
    left = Halves(semantic=half(*semantic), keyword=half(*keyword)).without(gone).in_order()
    never = Halves(
        semantic=half(*(p for p in semantic if p not in gone)), keyword=half(*(p for p in keyword if p not in gone))
    ).in_order()
    assert [(c.point, c.score, c.ranks) for c in left] == [(c.point, c.score, c.ranks) for c in never]
