"""Lockstep beside other consumers: the same records, endpoint and model, in turn, each with a kill and an outage."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from connectors.dense_encoder import load_dense_encoder
from connectors.kafka import KafkaAdmin
from connectors.qdrant import open_client
from ops.bench.figures import BenchReport, Figure, Ratio
from ops.bench.mix import Mix, with_repeat
from ops.bench.one_worker import one_worker
from ops.bench.peers.consumers import Peer, has_quix, peers_of
from ops.bench.peers.left_wrong import LeftWrong, left_wrong
from ops.bench.peers.trial import Turn, disturbed, undisturbed
from ops.bench.synthetic import publish
from ops.devstack.stack import Say
from ops.settings import Settings
from ops.stores import open_store
from schemas.product import Product
from schemas.recipe import Recipe

NO_QUIX = (
    "Quix Streams was not measured. It asks for another confluent-kafka than Lockstep: make an environment with "
    "`pip install -r requirements.lock`, then `pip install quixstreams==3.28.1`, and name its python by --quix-python."
)


async def run_peers(
    settings: Settings, home: Path, *, rows: int, changes: int, rounds: int, seed: int, quix_python: str, say: Say
) -> BenchReport:
    """Measure on a stack of its own: a broker, Qdrant, and one consumer at a time.

    Each indexes the catalogue first, undisturbed and not measured. In each round a tenth of the records comes twice.

    Raises:
        LockstepError: A part cannot be started, or a consumer does not get through.
    """
    mix = Mix(seed)
    quix = await has_quix(quix_python)
    turns: dict[str, list[Turn]] = defaultdict(list)
    async with (
        one_worker(settings, home, say=say) as stack,
        KafkaAdmin(stack.settings.kafka.brokers) as admin,
    ):
        brokers, qdrant = stack.settings.kafka.brokers, stack.settings.qdrant
        async with open_store(stack.settings) as store:
            live = await store.live_collection()
            peers = peers_of(stack, admin, live_collection=live.name, quix_python=quix_python if quix else None)
            for peer in peers[1:]:
                await store.create_collection(peer.collection, live.recipe)
        await publish(brokers, mix.snapshot(rows))
        for peer in peers:
            say(f"{peer.name}: indexing {rows:,} rows")
            await undisturbed(admin, peer)
        for number in range(rounds):
            records = list(mix.changes(changes))
            middle = len(records) // 2
            await publish(brokers, with_repeat(records, middle - len(records) // 10, middle))
            first = number % len(peers)
            for peer in (*peers[first:], *peers[:first]):
                turn = await disturbed(stack, admin, peer)
                turns[peer.name].append(turn)
                say(
                    f"{peer.name}: {turn.rate:,.0f} records a second, "
                    f"{turn.embeddings:,} embeddings, {turn.seconds:.0f} s with the faults"
                )
        say("comparing the collections with the rows")
        vectors = _vectors(settings, mix.rows)
        async with open_client(qdrant.url, api_key=None, timeout_seconds=qdrant.timeout_seconds) as client:
            wrong = {peer.name: await left_wrong(client, peer.collection, mix.rows, vectors) for peer in peers}
    return report(peers, turns, wrong, rows=rows, changes=changes, seed=seed, notes=() if quix else (NO_QUIX,))


def _vectors(settings: Settings, rows: dict[str, Product]) -> dict[str, NDArray[np.float32]]:
    recipe = Recipe()
    embedding = settings.embedding
    dense = load_dense_encoder(recipe.model, threads=embedding.threads, batch_size=embedding.batch_size)
    vectors = dense.encode([recipe.render(row) for row in rows.values()])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return dict(zip(rows, vectors, strict=True))


def report(
    peers: Sequence[Peer],
    turns: dict[str, list[Turn]],
    wrong: dict[str, LeftWrong],
    *,
    rows: int,
    changes: int,
    seed: int,
    notes: tuple[str, ...],
) -> BenchReport:
    """By consumer, and Lockstep's rate by each of the others'."""
    figures: list[Figure] = []
    for peer in peers:
        of = turns[peer.name]
        figures += (
            Figure(name=peer.name, unit="records/s", values=tuple(turn.rate for turn in of)),
            Figure(name="· until all is applied, faults included", unit="s", values=tuple(t.seconds for t in of)),
            Figure(name="· texts embedded", unit="texts", values=tuple(float(turn.embeddings) for turn in of)),
            Figure(name="· left wrong after all rounds", unit="points", values=(float(wrong[peer.name].total),)),
        )
    ours, *others = peers
    return BenchReport(
        scenario="peers",
        seed=seed,
        sizes={"rows": rows, "changes a round": changes},
        figures=tuple(figures),
        ratios=tuple(
            Ratio(
                name=f"{ours.name}, by {other.name}",
                values=tuple(a.rate / b.rate for a, b in zip(turns[ours.name], turns[other.name], strict=True)),
            )
            for other in others
        ),
        notes=(
            *(f"{peer.name} left {wrong[peer.name]}." for peer in peers),
            "records/s is from the first records applied to the kill, after a third of them; Qdrant was away for five "
            "seconds after two thirds. Who ends by itself is started again a second later, as after a kill.",
            "Right is what the records end in: every collection is compared with those rows, columns and vectors; only "
            "Lockstep's points have a provenance.",
            *notes,
        ),
    )
