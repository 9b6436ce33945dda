"""Which collection is filled, which one is gone back to, and what is refused."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from connectors.kafka import Watermarks
from ops.backfill.history import SourceRange, check_history
from ops.collections import check_droppable, read_recipe, with_model
from ops.rebuild import RebuildPlan, live_of, plan_rebuild, plan_rollback
from ops.rebuild_verification import Verification
from ops.reconcile import Difference, ReconcileReport
from schemas.collection import CollectionState, Coverage, Hnsw, Phase, created_at
from schemas.errors import ReplayError, SettingsError
from schemas.recipe import OFFLINE_MODEL, Recipe

NOW = datetime(2026, 11, 20, 10, tzinfo=UTC)
SAME = Recipe()
OTHER = Recipe(separator=" | ")


def state(
    name: str, phase: Phase | None = None, *, live: bool = False, recipe: Recipe | None = SAME, days: int = 0
) -> CollectionState:
    coverage = Coverage(phase=phase, at=NOW - timedelta(days=days)) if phase else None
    return CollectionState(name=name, live=live, points=5, recipe=recipe, coverage=coverage)


def plan(*states: CollectionState, recipe: Recipe = SAME, hnsw: Hnsw | None = None) -> RebuildPlan:
    return plan_rebuild(states, recipe, alias="products", now=NOW, hnsw=hnsw, origin=live_of(states))


def test_same_recipe_takes_vectors_over_into_a_new_collection() -> None:
    found = plan(state("products-1", live=True))
    assert (found.creates, found.moves, found.donor, found.replaces) == (True, True, "products-1", "products-1")
    assert found.target.name == f"products-20261120t100000-{Recipe().recipe_id[:8]}"
    assert created_at(found.target.name) == NOW


def test_other_recipe_takes_nothing_over() -> None:
    found = plan(state("products-1", live=True), recipe=OTHER)
    assert (found.creates, found.donor, found.target.recipe) == (True, None, OTHER)


def test_nothing_stands_behind_the_alias() -> None:
    found = plan()
    assert (found.creates, found.moves, found.donor, found.replaces, found.points) == (True, True, None, None, 0)


@pytest.mark.parametrize("phase", [Phase.FILLING, Phase.FOLLOWING])
def test_unfinished_collection_of_the_recipe_is_gone_on_with(phase: Phase) -> None:
    states = [state("products-1", live=True), state("products-2", phase), state("products-3", phase, recipe=OTHER)]
    found = plan(*states)
    assert (found.target.name, found.creates, found.moves) == ("products-2", False, True)


def test_index_settings_stay_unless_others_are_asked_for() -> None:
    live = replace(state("products-1", live=True), hnsw=Hnsw(m=32, ef_construct=100))
    begun = replace(state("products-2", Phase.FILLING), hnsw=Hnsw(m=32, ef_construct=100))
    other = replace(state("products-3", Phase.FILLING), hnsw=Hnsw(m=16, ef_construct=100))
    assert plan(live, begun, other).target.name == "products-2"
    assert plan(live).hnsw == Hnsw(m=32, ef_construct=100)
    assert plan(live, begun, other, hnsw=Hnsw(m=16)).target.name == "products-3"
    assert plan(live, begun, other, hnsw=Hnsw(m=64)).creates


def test_other_qdrant_is_filled_with_the_vectors_of_this_one() -> None:
    origin = replace(state("products-1", live=True), hnsw=Hnsw(m=32, ef_construct=100))
    found = plan_rebuild([], SAME, alias="products", now=NOW, origin=origin)
    assert (found.creates, found.moves, found.replaces, found.donor) == (True, True, None, "products-1")
    assert found.hnsw == origin.hnsw
    assert plan_rebuild([], OTHER, alias="products", now=NOW, origin=origin).donor is None


def test_kept_collection_is_not_filled_again() -> None:
    assert plan(state("products-1", Phase.KEPT), state("products-2", live=True)).creates


def test_rebuild_that_ended_after_its_move_is_finished() -> None:
    found = plan(state("products-1", Phase.KEPT), state("products-2", Phase.FOLLOWING, live=True))
    assert (found.target.name, found.creates, found.moves, found.replaces) == ("products-2", False, False, None)


def test_other_recipe_waits_until_the_live_collection_is_finished() -> None:
    with pytest.raises(ReplayError, match="products-2 is live, and its rebuild did not come to its end"):
        plan(state("products-2", Phase.FOLLOWING, live=True), recipe=OTHER)


def test_collection_of_somebody_else_is_not_replaced() -> None:
    with pytest.raises(ReplayError, match="products-1 behind the alias was not made by Lockstep"):
        plan(state("products-1", live=True, recipe=None))


def test_rollback_goes_to_the_one_that_was_live_last() -> None:
    states = [
        state("products-1", Phase.KEPT, days=1),
        state("products-2", Phase.KEPT, days=9),
        state("products-3", Phase.COMPLETE, live=True),
        state("products-4", Phase.FILLING),
    ]
    found = plan_rollback(states, None)
    assert (found.target.name, found.replaces, found.creates, found.moves) == ("products-1", "products-3", False, True)
    assert plan_rollback(states, "products-2").target.name == "products-2"


def test_rollback_that_was_ended_before_its_move_is_not_taken_for_another() -> None:
    states = [
        state("products-1", Phase.KEPT, days=9),
        state("products-2", Phase.FOLLOWING),
        state("products-3", Phase.KEPT, live=True),
    ]
    with pytest.raises(ReplayError, match="the move from products-3 to products-2 did not come to its end") as caught:
        plan_rollback(states, None)
    assert caught.value.hint == "lockstep rollback --to products-2, or lockstep rebuild"
    assert plan_rollback(states, "products-2").target.name == "products-2"


@pytest.mark.parametrize(
    ("to", "message"),
    [
        (None, "no collection was kept"),
        ("products-9", "products-9 does not exist"),
        ("products-1", "products-1 is live already"),
        ("products-2", "products-2 does not say how it was made"),
    ],
)
def test_rollback_to_what_cannot_be_gone_back_to_is_refused(to: str | None, message: str) -> None:
    states = [state("products-1", Phase.KEPT, live=True), state("products-2", recipe=None)]
    with pytest.raises(ReplayError, match=message):
        plan_rollback(states, to)


def test_live_collection_is_not_dropped() -> None:
    states = [state("products-1", live=True), state("products-2", Phase.KEPT)]
    check_droppable(states, "products-2")
    with pytest.raises(ReplayError, match="products-1 is live"):
        check_droppable(states, "products-1")
    with pytest.raises(ReplayError, match="products-3 does not exist"):
        check_droppable(states, "products-3")


@pytest.mark.parametrize(
    ("low", "policy", "gone"),
    [(0, "delete", False), (7, "compact", False), (7, "delete", True), (7, "compact,delete", True)],
)
def test_history_is_gone_when_retention_has_deleted_records(low: int, policy: str, gone: bool) -> None:
    source = SourceRange(marks={0: Watermarks(low=0, high=9), 1: Watermarks(low=low, high=9)}, cleanup_policy=policy)
    if not gone:
        check_history(source)
        return
    with pytest.raises(ReplayError, match=r"\[1\] begins at offset 7") as caught:
        check_history(source)
    assert "topics apply" in (caught.value.hint or "")


def report(missing: int) -> ReconcileReport:
    return ReconcileReport(collection="c", missing=Difference(count=missing, examples=["A"][:missing]))


@pytest.mark.parametrize(
    ("target", "live", "refused"), [(0, None, False), (2, 2, False), (2, 1, True), (2, None, False)]
)
def test_collection_that_is_worse_than_the_live_one_does_not_go_live(
    target: int, live: int | None, refused: bool
) -> None:
    found = Verification(target=report(target), live=None if live is None else report(live), overlap=None)
    if not refused:
        found.check()
        return
    with pytest.raises(ReplayError, match="2 points are missing, among them A"):
        found.check()


def test_row_that_is_missing_here_and_stale_in_the_live_collection_is_no_obstacle() -> None:
    stale = Difference(count=1, examples=["A"])
    Verification(target=report(1), live=ReconcileReport(collection="c", stale=stale), overlap=None).check()
    orphan = ReconcileReport(collection="c", orphaned=Difference(count=1, examples=["B"]))
    with pytest.raises(ReplayError, match="1 points are orphaned, among them B"):
        Verification(target=orphan, live=ReconcileReport(collection="c", stale=stale), overlap=None).check()


def test_model_is_changed_and_the_rest_of_the_recipe_stays() -> None:
    small = with_model(OTHER, f"{OFFLINE_MODEL}@256")
    assert (small.model, small.dimensions, small.separator) == (f"{OFFLINE_MODEL}@256", 256, " | ")


def test_recipe_is_read_from_a_file_with_the_dimensions_of_its_model(tmp_path: Path) -> None:
    file = tmp_path / "recipe.json"
    file.write_text(f'{{"model": "{OFFLINE_MODEL}@128", "text_columns": ["name"], "sparse": {{"avg_len": 12}}}}')
    recipe = read_recipe(file)
    assert (recipe.dimensions, recipe.text_columns, recipe.sparse.avg_len) == (128, ("name",), 12.0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot read recipe"),
        ("{", "it is no JSON"),
        ("[]", "it is no JSON object"),
        ('{"text_columns": ["no"]}', "text_columns"),
        ('{"template": "x"}', "template"),
        (f'{{"model": "{OFFLINE_MODEL}@256", "dimensions": 128}}', "has 256 dimensions, not 128"),
    ],
)
def test_file_that_is_no_recipe_is_refused(tmp_path: Path, content: str | None, message: str) -> None:
    file = tmp_path / "recipe.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(SettingsError, match=message):
        read_recipe(file)
