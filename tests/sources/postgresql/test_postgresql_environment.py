"""libpq reads PG* variables and files of the account: none of it reaches a source."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest
from adbc_driver_postgresql import dbapi
from pydantic import SecretStr
from reading import WAYS, connect, load, read_of, run

from dataloader_core.errors import SourceRefusedError
from dataloader_core.interfaces.source import SessionOptions
from dataloader_sources.postgresql.connection import PostgresConnection
from dataloader_sources.postgresql.dialect import Postgres
from dataloader_sources.postgresql.extension import duckdb_cursor
from dataloader_sources.postgresql.scanner import attach, detach

_ENCRYPTION = (80877103, 80877104)
_CLEAR_TEXT = b"R" + struct.pack("!ii", 8, 3)


class Listener:
    """A server that asks everybody for a password in clear text, keeps what it gets and hangs up."""

    def __init__(self) -> None:
        self.asked = 0
        self.told: list[bytes] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(5)

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._socket.accept()
                with client, suppress(OSError, struct.error):
                    client.settimeout(5)
                    self._ask(client)

    def _ask(self, client: socket.socket) -> None:
        with client.makefile("rwb") as stream:
            while True:
                length, code = struct.unpack("!ii", stream.read(8))
                stream.read(length - 8)
                if code not in _ENCRYPTION:
                    break
                stream.write(b"N")
                stream.flush()
            self.asked += 1
            stream.write(_CLEAR_TEXT)
            stream.flush()
            if stream.read(1) == b"p":
                (length,) = struct.unpack("!i", stream.read(4))
                self.told.append(stream.read(length - 4).rstrip(b"\0"))


@pytest.fixture
def listener() -> Iterator[Listener]:
    server = Listener()
    yield server
    server.close()


@pytest.fixture(params=["PGPASSWORD", "PGPASSFILE", "home", "PGSERVICE"])
def foreign_password(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The control database's password, in one of the places where libpq looks for it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    file = tmp_path / ".pgpass"
    if request.param == "PGPASSWORD":
        monkeypatch.setenv("PGPASSWORD", "control")
    elif request.param == "PGSERVICE":
        (tmp_path / "services").write_text("[control]\npassword=control\n")
        monkeypatch.setenv("PGSERVICEFILE", str(tmp_path / "services"))
        monkeypatch.setenv("PGSERVICE", "control")
    else:
        if request.param == "PGPASSFILE":
            file = tmp_path / "passwords"
            monkeypatch.setenv("PGPASSFILE", str(file))
        file.write_text("*:*:*:*:control\n")
        file.chmod(0o600)


def source_at(listener: Listener, password: str | None = None) -> PostgresConnection:
    secret = SecretStr(password) if password else None
    return PostgresConnection(host="127.0.0.1", port=listener.port, user="u", database="d", password=secret)


def by_duckdb(conninfo: str) -> None:
    cursor = duckdb_cursor()
    try:
        with suppress(Exception):  # it is refused; what counts is what was sent
            attach(cursor, "listening", conninfo)
            cursor.execute("FROM postgres_query('listening', 'SELECT 1')")
    finally:
        detach(cursor, "listening")
        cursor.close()


def by_adbc(conninfo: str) -> None:
    with suppress(Exception):
        dbapi.connect(conninfo).close()


def by_psycopg(conninfo: str) -> None:
    with suppress(psycopg.OperationalError):
        psycopg.connect(conninfo).close()


@pytest.mark.parametrize("opened", [by_psycopg, by_duckdb, by_adbc])
@pytest.mark.usefixtures("foreign_password")
def test_a_source_without_a_password_is_sent_none(listener: Listener, opened) -> None:
    opened(source_at(listener).conninfo(SessionOptions()))
    assert listener.asked
    assert listener.told == []


@pytest.mark.parametrize("opened", [by_psycopg, by_duckdb, by_adbc])
@pytest.mark.usefixtures("foreign_password")
def test_a_source_is_sent_its_own_password(listener: Listener, opened) -> None:
    opened(source_at(listener, "its own").conninfo(SessionOptions()))
    assert set(listener.told) == {b"its own"}


def test_a_missing_password_is_named(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", "control")
    with pytest.raises(SourceRefusedError, match="no password supplied"):
        Postgres().connect(source_at(listener), SessionOptions())


def test_an_address_of_the_environment_leads_nowhere_else(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOSTADDR", "127.0.0.2")
    by_psycopg(source_at(listener, "its own").conninfo(SessionOptions()))
    assert listener.told == [b"its own"]


@pytest.mark.parametrize("way", WAYS)
def test_settings_of_the_environment_change_no_session(
    database: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, way: str
) -> None:
    names = "current_setting('TimeZone') AS zone, current_setting('DateStyle') AS style"
    run(database, f"CREATE VIEW v AS SELECT 'ä' AS letter, {names}, '2026-07-01 12:00+00'::timestamptz::text AS noon")
    settings = {"PGTZ": "Asia/Tokyo", "PGDATESTYLE": "German", "PGCLIENTENCODING": "SQL_ASCII", "PGOPTIONS": "-c x.y=1"}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    expected = ("ä", "UTC", "ISO, YMD", "2026-07-01 12:00:00+00")
    with connect(database) as session, session.snapshot() as snapshot:
        assert session.fetch("TABLE v") == [expected]
        assert snapshot.ask("TABLE v") == [expected]
        rows = load(snapshot, read_of(session, "v"), way, tmp_path).to_pylist()
        assert [tuple(row.values()) for row in rows] == [expected]
