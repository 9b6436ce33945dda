"""Checks of Qdrant: its version, the alias, and the collection behind it."""

import re
from dataclasses import dataclass

from connectors.dense_encoder import dimensions_of
from connectors.qdrant_requests import payload_indexes
from connectors.qdrant_setup import CollectionSetup, QdrantSetup
from ops.doctor.finding import Check, Findings, problem, warning
from schemas.collection import Phase
from schemas.document import DENSE_VECTOR, SPARSE_VECTOR
from schemas.errors import EmbeddingError
from schemas.ranking import DEPTH

MIN_VERSION = (1, 16)
"""The first with conditional writes and metadata of collections: without the condition an older change wins."""
CLEAN_RECOVERY_VERSION = (1, 19)
"""Before it a crash may bring back points that were deleted by a filter."""
SCROLL_LIMIT = 1000
"""What reconcile asks for at once."""

CREATE = "lockstep collections create"
REBUILD = "lockstep rebuild"


@dataclass(frozen=True, slots=True)
class Needs:
    """What strict mode must allow: points in one write."""

    batch_records: int


def check_version(qdrant: QdrantSetup) -> Findings:
    """A server that does not know a condition ignores it."""
    version = tuple(int(part) for part in re.findall(r"\d+", qdrant.version)[:2])
    if version < MIN_VERSION:
        yield problem(
            f"Qdrant {qdrant.version} is too old: before 1.16 it ignores the condition that keeps older changes out",
            "upgrade Qdrant to 1.19 or newer, then: lockstep reconcile --fix",
        )
    elif version < CLEAN_RECOVERY_VERSION:
        yield warning(
            f"Qdrant {qdrant.version} may bring deleted points back when it crashes, which 1.19 does not",
            "upgrade Qdrant to 1.19 or newer; until then after each crash: lockstep reconcile --fix",
        )


def check_alias(qdrant: QdrantSetup) -> Findings:
    """Workers hold, and searches fail, without it."""
    if qdrant.target is not None:
        return
    if qdrant.alias_is_collection:
        yield problem(
            f"{qdrant.alias} is a collection, not an alias: Lockstep cannot move it",
            f"set LOCKSTEP_QDRANT_ALIAS to another name\n{CREATE}",
        )
    else:
        yield problem(f"alias {qdrant.alias} does not exist: nothing can be indexed or found", CREATE)


def check_recipe(collection: CollectionSetup) -> Findings:
    """Workers and searches embed as the collection says."""
    if collection.recipe is None:
        yield problem(
            f"collection {collection.name} does not say how it was made: the alias points at one that is not ours",
            "lockstep collections list\nlockstep rebuild",
        )


def check_model(collection: CollectionSetup) -> Findings:
    """A model that this installation does not know holds every worker that starts."""
    if collection.recipe is None:
        return
    model = collection.recipe.model
    try:
        dimensions = dimensions_of(model)
    except EmbeddingError as error:
        yield problem(f"collection {collection.name}: {error}", f"LOCKSTEP_EMBEDDING_MODEL=<a known model>\n{REBUILD}")
        return
    if dimensions != collection.recipe.dimensions:
        yield problem(
            f"model {model} has {dimensions} dimensions, the recipe of {collection.name} says "
            f"{collection.recipe.dimensions}",
            REBUILD,
        )


def check_vectors(collection: CollectionSetup) -> Findings:
    """Vectors of another size are refused, those of another distance are ranked wrongly."""
    recipe = collection.recipe
    if recipe is None:
        return
    if collection.dimensions is None:
        yield problem(f"collection {collection.name} has no vector named {DENSE_VECTOR}", REBUILD)
    elif (collection.dimensions, collection.distance) != (recipe.dimensions, recipe.distance):
        yield problem(
            f"vectors of {collection.name} are {collection.dimensions} x {collection.distance}, its recipe's are "
            f"{recipe.dimensions} x {recipe.distance}",
            REBUILD,
        )
    if not collection.sparse_has_idf:
        yield problem(
            f"collection {collection.name} has no sparse vector named {SPARSE_VECTOR} with modifier idf", REBUILD
        )


def check_phase(collection: CollectionSetup) -> Findings:
    """A rebuild that was killed leaves its phase."""
    match collection.phase:
        case Phase.FILLING:
            yield problem(f"collection {collection.name} is live, and has a part of the rows only", REBUILD)
        case Phase.FOLLOWING:
            yield problem(
                f"collection {collection.name} is live, and its rebuild has not come to its end: if none is running, "
                "changes of its last moments are missing",
                REBUILD,
            )


def check_indexes(collection: CollectionSetup) -> Findings:
    """Without its index a field cannot be counted by, and filters read every point; strict mode refuses both."""
    for field, schema in payload_indexes().items():
        found = collection.indexes.get(field)
        if found == schema.value:
            continue
        state = "is missing" if found is None else f"has type {found}, not {schema.value}"
        yield problem(
            f"payload index {field} of {collection.name} {state}",
            f'curl -X PUT "$LOCKSTEP_QDRANT_URL/collections/{collection.name}/index?wait=true" '
            "-H 'content-type: application/json' "
            f'-d \'{{"field_name":"{field}","field_schema":"{schema.value}"}}\'',
        )


def check_status(collection: CollectionSetup) -> Findings:
    """Red: an optimiser failed, most often for want of disk or memory."""
    if collection.status == "red":
        yield problem(f"collection {collection.name} is red: an optimisation failed", "see Qdrant's log and its disk")
    elif collection.status == "grey":
        yield warning(
            f"collection {collection.name} is grey: it waits for a write before it optimises",
            f'curl -X PATCH "$LOCKSTEP_QDRANT_URL/collections/{collection.name}" -d \'{{"optimizers_config":{{}}}}\' '
            "-H 'content-type: application/json'",
        )


def check_strict_mode(collection: CollectionSetup, needs: Needs) -> Findings:
    """A refused write is answered 400, and would be taken for the record's fault."""
    least = {
        "upsert_max_batchsize": needs.batch_records,
        # Each point of a batch has a clause of two conditions.
        "filter_max_conditions": 2 * needs.batch_records,
        "max_query_limit": max(SCROLL_LIMIT, DEPTH),
        "max_payload_index_count": len(payload_indexes()),
    }
    for limit, needed in least.items():
        allowed = collection.strict_limits.get(limit)
        if allowed is not None and allowed < needed:
            yield problem(
                f"strict mode of {collection.name} allows {limit} {allowed}, and {needed} are needed",
                f'curl -X PATCH "$LOCKSTEP_QDRANT_URL/collections/{collection.name}" '
                "-H 'content-type: application/json' "
                f'-d \'{{"strict_mode_config":{{"{limit}":{needed}}}}}\'',
            )


CHECKS = (
    Check("Qdrant is new enough", check_version, (QdrantSetup,)),
    Check("the alias exists", check_alias, (QdrantSetup,)),
    Check("the collection was made by Lockstep", check_recipe, (CollectionSetup,)),
    Check("its model is known here", check_model, (CollectionSetup,)),
    Check("its vectors are those of its recipe", check_vectors, (CollectionSetup,)),
    Check("it is filled", check_phase, (CollectionSetup,)),
    Check("its payload indexes are there", check_indexes, (CollectionSetup,)),
    Check("it is not red or grey", check_status, (CollectionSetup,)),
    Check("strict mode allows what is sent", check_strict_mode, (CollectionSetup, Needs)),
)
