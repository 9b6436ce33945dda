"""Each check of Qdrant, made to fail."""

from dataclasses import replace
from typing import Any

import pytest

from connectors.qdrant_setup import CollectionSetup, QdrantSetup
from ops.doctor import qdrant as checks
from schemas.collection import Phase
from schemas.recipe import Recipe
from tests.unit.ops.doctor.breaks import PROBLEM, WARNING, Break, never_broken, parameters
from tests.unit.ops.doctor.healthy import COLLECTION, NEEDS, QDRANT


def qdrant(**changes: Any) -> tuple[QdrantSetup]:
    return (replace(QDRANT, **changes),)


def collection(**changes: Any) -> tuple[CollectionSetup]:
    return (replace(COLLECTION, **changes),)


def indexes(**changes: str | None) -> tuple[CollectionSetup]:
    present = {**COLLECTION.indexes, **changes}
    return collection(indexes={field: kind for field, kind in present.items() if kind})


BREAKS = [
    Break(checks.check_version, qdrant(version="1.15.5"), PROBLEM, "1.15.5 is too old", "upgrade"),
    Break(checks.check_version, qdrant(version="1.18.3"), WARNING, "deleted points back", "reconcile --fix"),
    Break(checks.check_alias, qdrant(target=None), PROBLEM, "alias products does not exist", "collections create"),
    Break(
        checks.check_alias,
        qdrant(target=None, alias_is_collection=True),
        PROBLEM,
        "products is a collection, not an alias",
        "LOCKSTEP_QDRANT_ALIAS",
    ),
    Break(checks.check_recipe, collection(recipe=None), PROBLEM, "does not say how it was made", "rebuild"),
    Break(checks.check_model, collection(recipe=Recipe(model="no/such")), PROBLEM, "no such model", "rebuild"),
    Break(
        checks.check_model,
        collection(recipe=Recipe(dimensions=768)),
        PROBLEM,
        "has 384 dimensions, the recipe of products-1 says 768",
        "rebuild",
    ),
    Break(checks.check_vectors, collection(dimensions=None), PROBLEM, "no vector named dense", "rebuild"),
    Break(checks.check_vectors, collection(dimensions=256), PROBLEM, "are 256 x Cosine", "rebuild"),
    Break(checks.check_vectors, collection(distance="Dot"), PROBLEM, "are 384 x Dot", "rebuild"),
    Break(checks.check_vectors, collection(sparse_has_idf=False), PROBLEM, "modifier idf", "rebuild"),
    Break(checks.check_phase, collection(phase=Phase.FILLING), PROBLEM, "a part of the rows only", "rebuild"),
    Break(checks.check_phase, collection(phase=Phase.FOLLOWING), PROBLEM, "not come to its end", "rebuild"),
    Break(checks.check_indexes, indexes(color=None), PROBLEM, "index color of products-1 is missing", '"keyword"'),
    Break(checks.check_indexes, indexes(price="integer"), PROBLEM, "has type integer, not float", '"float"'),
    Break(checks.check_status, collection(status="red"), PROBLEM, "is red", "log"),
    Break(checks.check_status, collection(status="grey"), WARNING, "is grey", "optimizers_config"),
    Break(
        checks.check_strict_mode,
        collection(strict_limits={"upsert_max_batchsize": 100}),
        PROBLEM,
        "upsert_max_batchsize 100, and 200 are needed",
        '"upsert_max_batchsize":200',
    ),
    Break(
        checks.check_strict_mode,
        collection(strict_limits={"filter_max_conditions": 50}),
        PROBLEM,
        "filter_max_conditions 50, and 400 are needed",
        '"filter_max_conditions":400',
    ),
    Break(
        checks.check_strict_mode,
        collection(strict_limits={"max_query_limit": 100}),
        PROBLEM,
        "max_query_limit 100",
        '"max_query_limit":1000',
    ),
]


@pytest.mark.parametrize("case", parameters(BREAKS))
def test_it_is_found(case: Break) -> None:
    case.assert_found(checks.CHECKS)


def test_each_check_can_fail() -> None:
    assert never_broken(BREAKS, checks.CHECKS) == []


def test_a_foreign_collection_is_told_once() -> None:
    [foreign] = collection(recipe=None, dimensions=None, sparse_has_idf=False)
    assert list(checks.check_vectors(foreign)) == []
    assert list(checks.check_model(foreign)) == []


def test_a_newer_major_version_is_new_enough() -> None:
    assert list(checks.check_version(*qdrant(version="2.0.0-dev"))) == []


def test_a_collection_that_a_rebuild_has_completed_is_in_order() -> None:
    assert list(checks.check_phase(*collection(phase=Phase.COMPLETE))) == []


def test_wide_limits_are_in_order() -> None:
    [wide] = collection(strict_limits={"enabled": True, "upsert_max_batchsize": 200, "max_query_limit": 5000})
    assert list(checks.check_strict_mode(wide, NEEDS)) == []


def test_the_oldest_version_that_will_do_is_warned_of_and_no_more() -> None:
    assert [finding.severity for finding in checks.check_version(*qdrant(version="1.16.0"))] == [WARNING]
