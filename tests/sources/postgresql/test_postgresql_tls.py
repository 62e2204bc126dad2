"""TLS, end to end: the server of the wheel has none, so a small front speaks it and passes the rest on."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from dataloader_core.errors import SourceRefusedError, SourceUnavailableError
from dataloader_core.interfaces.source import SessionOptions
from dataloader_sources.postgresql.connection import PostgresConnection
from dataloader_sources.postgresql.dialect import Postgres
from tests.conftest import PostgresServer

OPENSSL = shutil.which("openssl")
SSL_REQUEST = bytes.fromhex("0000000804d2162f")  # length 8 and the code 80877103 of the protocol's SSLRequest

pytestmark = pytest.mark.skipif(OPENSSL is None, reason="openssl, which makes the certificates, is not installed")


def certificate(folder: Path, host: str) -> tuple[Path, Path]:
    """A self-signed certificate, which is its own root, and its key."""
    cert, key = folder / f"{host}.pem", folder / f"{host}.key"
    subprocess.run(
        [
            *(str(OPENSSL), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={host}"),
            *("-addext", f"subjectAltName=DNS:{host}", "-keyout", str(key), "-out", str(cert)),
        ],
        check=True,
        capture_output=True,
    )
    return cert, key


def pass_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError, ValueError):
        while data := source.recv(65536):
            target.sendall(data)
    for end in (source, target):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


class Front(threading.Thread):
    """Answers SSLRequest with S, ends TLS, and passes everything on to the server's socket."""

    def __init__(self, backend: str, cert: Path, key: Path) -> None:
        super().__init__(daemon=True)
        self.backend = backend
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(cert, key)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.pairs: list[threading.Thread] = []

    def run(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                thread = threading.Thread(target=self.serve, args=(client,), daemon=True)
                thread.start()
                self.pairs.append(thread)

    def serve(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as server, suppress(OSError):
            assert client.recv(8, socket.MSG_WAITALL) == SSL_REQUEST
            client.sendall(b"S")
            with self.context.wrap_socket(client, server_side=True) as secure:
                server.connect(self.backend)
                back = threading.Thread(target=pass_on, args=(server, secure), daemon=True)
                back.start()
                pass_on(secure, server)
                back.join()

    def stop(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.join()
        for thread in self.pairs:
            thread.join(10)


@pytest.fixture
def front(postgres_server: PostgresServer, tmp_path: Path) -> Iterator[Front]:
    cert, key = certificate(tmp_path, "localhost")
    running = Front(f"{postgres_server.socket_dir}/.s.PGSQL.{postgres_server.port}", cert, key)
    running.start()
    yield running
    running.stop()


def settings(front: Front, admin: psycopg.Connection, **fields: object) -> PostgresConnection:
    return PostgresConnection.model_validate(
        {"host": "localhost", "port": front.port, "user": "postgres", "database": admin.info.dbname, **fields}
    )


def test_a_verified_server_is_read_over_tls(front: Front, admin: psycopg.Connection, tmp_path: Path) -> None:
    given = settings(front, admin, sslmode="verify-full", sslrootcert=tmp_path / "localhost.pem")
    with Postgres().connect(given, SessionOptions()) as session:
        assert session.connection.pgconn.ssl_in_use
        assert next(c for c in session.checks() if c.name == "encryption").detail == "TLS"


def test_another_root_or_another_host_is_refused(front: Front, admin: psycopg.Connection, tmp_path: Path) -> None:
    other, _ = certificate(tmp_path, "elsewhere")
    wrong_root = settings(front, admin, sslmode="verify-full", sslrootcert=other)
    wrong_host = settings(front, admin, host="127.0.0.1", sslmode="verify-full", sslrootcert=tmp_path / "localhost.pem")
    for given in (wrong_root, wrong_host):
        with pytest.raises(SourceRefusedError, match="Check sslmode and sslrootcert"):
            Postgres().connect(given, SessionOptions())


def test_a_root_certificate_that_is_not_there_is_named(front: Front, admin: psycopg.Connection, tmp_path: Path) -> None:
    given = settings(front, admin, sslmode="verify-ca", sslrootcert=tmp_path / "missing.pem")
    with pytest.raises((SourceRefusedError, SourceUnavailableError), match=r"missing\.pem"):
        Postgres().connect(given, SessionOptions())
