"""TLS, end to end: the server of the wheel has none, so a small front speaks it and passes the rest on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from dataloader_core.errors import SourceRefusedError, SourceUnavailableError
from dataloader_core.interfaces.source import SessionOptions
from dataloader_sources.postgresql.connection import PostgresConnection
from dataloader_sources.postgresql.dialect import Postgres
from tests.conftest import PostgresServer
from tests.support.tls import PostgresTlsFront, certificate


@pytest.fixture
def front(postgres_server: PostgresServer, tmp_path: Path) -> Iterator[PostgresTlsFront]:
    cert, key = certificate(tmp_path, "localhost")
    running = PostgresTlsFront(f"{postgres_server.socket_dir}/.s.PGSQL.{postgres_server.port}", cert, key)
    running.start()
    yield running
    running.stop()


def settings(front: PostgresTlsFront, admin: psycopg.Connection, **fields: object) -> PostgresConnection:
    return PostgresConnection.model_validate(
        {"host": "localhost", "port": front.port, "user": "postgres", "database": admin.info.dbname, **fields}
    )


def test_a_verified_server_is_read_over_tls(front: PostgresTlsFront, admin: psycopg.Connection, tmp_path: Path) -> None:
    given = settings(front, admin, sslmode="verify-full", sslrootcert=tmp_path / "localhost.pem")
    with Postgres().connect(given, SessionOptions()) as session:
        assert session.connection.pgconn.ssl_in_use
        assert next(c for c in session.checks() if c.name == "encryption").detail == "TLS"


def test_another_root_or_another_host_is_refused(
    front: PostgresTlsFront, admin: psycopg.Connection, tmp_path: Path
) -> None:
    other, _ = certificate(tmp_path, "elsewhere")
    wrong_root = settings(front, admin, sslmode="verify-full", sslrootcert=other)
    wrong_host = settings(front, admin, host="127.0.0.1", sslmode="verify-full", sslrootcert=tmp_path / "localhost.pem")
    for given in (wrong_root, wrong_host):
        with pytest.raises(SourceRefusedError, match="Check sslmode and sslrootcert"):
            Postgres().connect(given, SessionOptions())


def test_a_root_certificate_that_is_not_there_is_named(
    front: PostgresTlsFront, admin: psycopg.Connection, tmp_path: Path
) -> None:
    given = settings(front, admin, sslmode="verify-ca", sslrootcert=tmp_path / "missing.pem")
    with pytest.raises((SourceRefusedError, SourceUnavailableError), match=r"missing\.pem"):
        Postgres().connect(given, SessionOptions())
