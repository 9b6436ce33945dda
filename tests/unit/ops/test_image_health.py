"""The image's healthcheck: whom it asks, and what it makes of the answer."""

import ssl
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ops.image.health import trouble
from ops.settings import ApiSettings, Settings, WorkerSettings


class _Answer(BaseHTTPRequestHandler):
    status: int

    def do_GET(self) -> None:
        self.send_response(self.status if self.path == "/health/live" else 404)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Silent."""


Serve = Callable[..., int]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serves `/health/live` with a status, with TLS or without, and gives the port."""
    servers: list[tuple[ThreadingHTTPServer, threading.Thread]] = []

    def start(status: int, tls: ssl.SSLContext | None = None) -> int:
        server = ThreadingHTTPServer(("127.0.0.1", 0), type("Answer", (_Answer,), {"status": status}))
        if tls:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        servers.append((server, thread))
        return server.server_port

    yield start
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


WORKER = ["/opt/lockstep/bin/python", "/opt/lockstep/bin/lockstep", "worker", ""]
API = ["/sbin/docker-init", "--", "lockstep", "serve", ""]


def worker_at(port: int, host: str = "0.0.0.0") -> Settings:
    return Settings(_env_file=None, worker=WorkerSettings(web_host=host, web_port=port))


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """For a name that is not the one the healthcheck asks by."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "shop.example")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + timedelta(days=1))
    certificate_file, key_file = folder / "certificate.pem", folder / "key.pem"
    pem = serialization.Encoding.PEM
    certificate_file.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(pem))
    key_file.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return certificate_file, key_file


def test_a_worker_is_healthy_while_it_answers(serve: Serve) -> None:
    assert trouble(WORKER, worker_at(serve(200))) is None


def test_a_worker_whose_loop_stands_still_is_not(serve: Serve) -> None:
    assert trouble(WORKER, worker_at(serve(503))) == "/health/live answers 503"


def test_a_worker_that_does_not_listen_is_not() -> None:
    assert "does not answer" in (trouble(WORKER, worker_at(1)) or "")


def test_the_api_is_asked_at_its_own_port_behind_an_init(serve: Serve) -> None:
    settings = Settings(_env_file=None, api=ApiSettings(host="0.0.0.0", port=serve(200)))
    assert trouble(API, settings) is None
    assert trouble(WORKER, settings) is not None


def test_the_api_is_asked_with_tls_where_it_has_a_certificate(serve: Serve, tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    api = ApiSettings(port=serve(200, tls), tls_certificate=certificate, tls_key=key)
    assert trouble(API, Settings(_env_file=None, api=api)) is None


@pytest.mark.parametrize(
    "arguments", [["lockstep", "search", "worker", ""], ["lockstep", "topics", "apply", ""], ["sh", ""]]
)
def test_any_other_command_is_healthy(arguments: list[str]) -> None:
    assert trouble(arguments, worker_at(1)) is None
