"""Joins everything into the HTTP API and serves it until it is told to stop."""

import asyncio
import logging
import signal
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from connectors.kafka import KafkaAdmin
from connectors.postgres_catalogue import open_catalogue
from ops.api import catalogue_routes, dead_letter_routes, health_routes, search_routes, sync_routes
from ops.api.access import Access
from ops.api.app import Limits, create_api
from ops.api.browsers import is_loopback
from ops.api.dashboard import add_dashboard
from ops.api.dashboard_sampler import Looking, Sampler
from ops.api.known_tokens import KnownTokens
from ops.api.metrics_routes import add_metrics
from ops.api.request_counters import RequestCounters
from ops.beside import beside
from ops.counted_search import CountedSearch
from ops.dead_letter_jobs import LetterRetries, LettersAtHand, retry_letter
from ops.ending import end
from ops.index_age import IndexAge
from ops.query_vectors import QueryVectors
from ops.reconcile.jobs import ReconcileJobs
from ops.reconcile.run import run as reconcile
from ops.settings import ApiSettings, Settings
from ops.status.report import SyncStatus
from ops.status_watch import StatusWatch
from ops.stores import open_embedders, open_rows, open_store
from ops.sync_status import sync_status
from ops.terminal import ExitCode
from schemas.errors import LockstepError, SettingsError
from streams.ports import Embedders, VectorStore
from streams.topics import PRODUCT_CHANGES

logger = logging.getLogger(__name__)

IDLE_SECONDS = 15.0
"""What a connection has to send its first, or its next, request's head in."""
LINGER_SECONDS = 2.0
"""How long the rest of a refused body is read and dropped, so that its sender sees the answer."""


async def run_api(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; requests in flight then have `shutdown_seconds` to end, and a second signal none.

    Raises:
        SettingsError: The address cannot be used, or is open to other machines while no token exists; the tokens or the
            certificate cannot be read.
    """
    api = settings.api
    tokens = KnownTokens(settings.tokens_file)
    if not tokens.exist and not is_loopback(api.host):
        raise SettingsError(
            f"LOCKSTEP_API_HOST={api.host} is open to other machines, and no token exists",
            hint="lockstep tokens create NAME --scope search, or LOCKSTEP_API_HOST=127.0.0.1",
        )
    tls = _tls(api)
    async with open_api(settings, tokens) as app:
        await serve(app, api, tls)


async def serve(app: web.Application, api: ApiSettings, tls: ssl.SSLContext | None = None) -> None:
    """Serve an application as `run_api` says."""
    told_to_stop = asyncio.Event()

    def stop() -> None:
        if told_to_stop.is_set():
            logger.warning("api ends at once", extra={"action": "api_exit"})
            end(ExitCode.INTERRUPTED)
        told_to_stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    logging.getLogger("aiohttp.server").addFilter(_without_trace)
    runner = web.AppRunner(
        app,
        access_log=None,  # the boundary writes our own
        auto_decompress=False,  # compressed bodies are refused: none may grow while it is dropped
        keepalive_timeout=IDLE_SECONDS,
        lingering_time=LINGER_SECONDS,
        shutdown_timeout=api.shutdown_seconds / 2,  # aiohttp waits so long twice: for the answer, then for its handler
    )
    await runner.setup()
    try:
        await _listen(runner, api, tls)
        await told_to_stop.wait()
        logger.info("api stops", extra={"action": "api_stopping", "within_seconds": api.shutdown_seconds})
    finally:
        await runner.cleanup()
    logger.info("api stopped", extra={"action": "api_stop"})


@asynccontextmanager
async def open_api(settings: Settings, tokens: KnownTokens) -> AsyncIterator[web.Application]:
    """The application over the parts that the settings name, each connected at its first use; closed at the end."""
    async with AsyncExitStack() as opened:
        catalogue = await opened.enter_async_context(open_catalogue(settings.postgres.dsn.get_secret_value()))
        rows = await opened.enter_async_context(open_rows(settings, connect_now=False, timeout_seconds=10.0))
        store = await opened.enter_async_context(open_store(settings))
        admin = await opened.enter_async_context(KafkaAdmin(settings.kafka.brokers))
        age = IndexAge(rows, admin)
        await opened.enter_async_context(age.watched())
        embedders = open_embedders(settings, threads=1)  # for a short text a second one costs more than it brings
        opened.callback(embedders.close)
        vectors = QueryVectors(embedders)
        opened.push_async_callback(vectors.close)
        await opened.enter_async_context(beside(_warm_up(store, embedders)))
        jobs = ReconcileJobs(lambda asked, progress: reconcile(settings, asked, progress=progress, embedders=embedders))
        opened.push_async_callback(jobs.close)
        letters = LettersAtHand(settings.kafka.brokers, admin)
        retries = LetterRetries(lambda found: retry_letter(settings, rows, store, found))
        opened.push_async_callback(retries.close)
        dead_letters = dead_letter_routes.operations(letters.read, retries)

        async def status(before: SyncStatus | None) -> SyncStatus:
            return await sync_status(settings, rows, store, admin, before=before, letters=letters)

        sampler = Sampler(Looking(status, age, letters, retries))
        await opened.enter_async_context(sampler.running())

        async def at_hand() -> SyncStatus | None:
            return sampler.latest.status if sampler.latest else None

        async def status_now() -> SyncStatus:
            return await status(await at_hand())

        watch = StatusWatch(at_hand, store.collections.all)
        await opened.enter_async_context(watch.watched())
        api = settings.api
        gate = Access(tokens, rate_per_second=api.rate_per_second)
        counters = RequestCounters()
        search = CountedSearch(store, vectors, rows, counters)
        app = create_api(
            (
                *catalogue_routes.operations(catalogue),
                *search_routes.operations(search, age),
                *sync_routes.operations(status_now, jobs),
                *dead_letters,
                *health_routes.operations(
                    {
                        "postgres": lambda: rows.existing_keys([]),
                        "qdrant": store.live_collection,
                        "broker": lambda: admin.watermarks(PRODUCT_CHANGES),
                    }
                ),
            ),
            gate=gate,
            limits=Limits(
                request_bytes=api.request_bytes, request_seconds=api.request_seconds, concurrency=api.concurrency
            ),
            host=api.host,
            origins=api.allowed_origins,
            https=api.tls_certificate is not None,
        )
        add_dashboard(
            app,
            gate=gate,
            sampler=sampler,
            search=search,
            retry=dead_letters[-1],
            https=api.tls_certificate is not None,
        )
        add_metrics(app, gate=gate, counters=counters, age=age, watch=watch)
        yield app


def _tls(api: ApiSettings) -> ssl.SSLContext | None:
    if api.tls_certificate is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(api.tls_certificate, api.tls_key)
    except OSError as error:
        raise SettingsError(
            f"LOCKSTEP_API_TLS_CERTIFICATE and _KEY cannot be used: {error.strerror or error}",
            hint="name two PEM files that belong together and that this user may read",
        ) from error
    return context


def _without_trace(record: logging.LogRecord) -> bool:
    """What a client sends that is no HTTP is no failure of ours: one line, without the bytes that it sent."""
    if record.exc_info and isinstance(record.exc_info[1], HttpProcessingError):
        record.levelno, record.levelname, record.exc_info = logging.INFO, "INFO", None
    return True


async def _listen(runner: web.AppRunner, api: ApiSettings, tls: ssl.SSLContext | None) -> None:
    try:
        await web.TCPSite(runner, api.host, api.port, ssl_context=tls).start()
    except OSError as error:
        raise SettingsError(
            f"LOCKSTEP_API_PORT={api.port} cannot be used on {api.host}: {error.strerror or error}",
            hint="set LOCKSTEP_API_HOST and LOCKSTEP_API_PORT",
        ) from error
    address = f"{'https' if tls else 'http'}://{api.host}:{api.port}"
    logger.info("api serves", extra={"action": "api_start", "web": address})


async def _warm_up(store: VectorStore, embedders: Embedders) -> None:
    """Load the model; without Qdrant the first search does it."""
    try:
        await embedders.for_recipe((await store.live_collection()).recipe)
    except LockstepError as error:
        logger.info("model not loaded yet", extra={"action": "warm_up", "reason": str(error)})
