"""What PostgreSQL says about a read by JDBC: data only, which Spark's tests carry out."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from pydantic import SecretStr
from reading import connect, read_of, run

from dataloader_core.interfaces.engine import Engine
from dataloader_core.interfaces.source import JdbcRead, SessionOptions, WayOfReading
from dataloader_core.loading.ways import choose_way
from dataloader_core.plan import Column, Read
from dataloader_core.types import TIMESTAMP, decimal
from dataloader_core.values import Value
from dataloader_sources.postgresql.connection import PostgresConnection
from dataloader_sources.postgresql.dialect import Postgres
from dataloader_sources.postgresql.jdbc import jdbc_read
from dataloader_sources.postgresql.layout import Layout
from dataloader_sources.postgresql.ranges import Slice
from dataloader_sources.postgresql.scanner import ReaderSettings


@pytest.fixture
def items(postgres_server, database: str) -> str:
    """A table whose every column has a story, by TCP."""
    run(
        database,
        "CREATE TABLE items (id int, price numeric(9,2), day date, at timestamptz, wall timestamp, note text)",
    )
    return postgres_server.tcp_dsn(conninfo_to_dict(database)["dbname"])


def described(read: Read, **connection: Any) -> JdbcRead:
    """The read over a connection that nobody opens."""
    given = PostgresConnection(**{"host": "db.example", "user": "loader", "database": "crm", **connection})
    reader = ReaderSettings(SecretStr(""), "00000003-1", ("SET TimeZone = 'UTC'",))
    return jdbc_read(Postgres(), read, Layout((Slice(),), ""), given, SessionOptions("crm #1"), reader)


def engine(*reads: str) -> Engine:
    return cast("Engine", SimpleNamespace(name="some", reads=reads, refuses=lambda way: None))


def way(found: list[WayOfReading] | tuple[WayOfReading, ...], name: str) -> WayOfReading:
    return next(w for w in found if w.way == name)


def test_what_the_driver_would_damage_travels_as_text(items: str) -> None:
    with connect(items) as session, session.snapshot() as snapshot:
        found = snapshot.jdbc(read_of(session, "items"), 2)
        [select] = found.selects
        types = [kind for _, kind, _ in session.result_fields(select)]
    assert found.as_text == {"day", "at", "wall"}
    text, numeric, integer = 25, 1700, 23
    assert types == [integer, numeric, text, text, text, text]


def test_a_partition_runs_in_the_snapshot_and_in_the_settings_of_every_session(items: str) -> None:
    with connect(items) as session, session.snapshot() as snapshot:
        found = snapshot.jdbc(read_of(session, "items"), 2)
        assert found.session_init is not None
        with psycopg.connect(items, autocommit=True) as other:
            run(items, "INSERT INTO items (id) VALUES (1)")
            other.execute(found.session_init.encode())
            rows = other.execute(found.selects[0].encode()).fetchall()
            zone, mode = other.execute(
                "SELECT current_setting('TimeZone'), current_setting('transaction_read_only')"
            ).fetchone() or ("", "")
    assert (rows, zone, mode) == ([], "UTC", "on")


def test_the_password_is_a_secret_among_the_properties_and_nowhere_else(items: str) -> None:
    with connect(items) as session, session.snapshot() as snapshot:
        found = snapshot.jdbc(read_of(session, "items"), 2)
    assert isinstance(found.properties["password"], SecretStr)
    assert "horse" not in repr(found)
    assert "horse" not in found.url
    assert "loader" not in found.url


def test_time_outs_name_and_read_only_mode_are_those_of_the_session(items: str) -> None:
    options = {"application_name": "dataloader crm #7", "login_timeout": timedelta(seconds=7)}
    with connect(items, **options) as session, session.snapshot() as snapshot:
        found = dict(snapshot.jdbc(read_of(session, "items"), 1).properties)
    assert found["ApplicationName"] == "dataloader crm #7 jdbc [ro]"
    assert found["loginTimeout"] == found["connectTimeout"] == "7"
    assert found["socketTimeout"] == "3660"
    assert "-c default_transaction_read_only=on" in str(found["options"])
    assert "-c statement_timeout=3600000" in str(found["options"])
    assert "-c lock_timeout=60000" in str(found["options"])


def test_tls_is_asked_for_as_elsewhere(items: str) -> None:
    with connect(items) as session:
        read = read_of(session, "items")
    strict = described(read, sslmode="verify-full", sslrootcert=Path("/etc/ca.pem"), sslpassword="k")
    system = described(read, sslmode="verify-full", sslrootcert="system")
    assert strict.properties["sslmode"] == system.properties["sslmode"] == "verify-full"
    assert strict.properties["sslrootcert"] == "/etc/ca.pem"
    assert isinstance(strict.properties["sslpassword"], SecretStr)
    assert "sslrootcert" not in system.properties
    assert system.properties["sslfactory"] == "org.postgresql.ssl.DefaultJavaSSLFactory"


@pytest.mark.parametrize(
    ("connection", "url"),
    [
        ({}, "jdbc:postgresql://db.example:5432/crm"),
        ({"host": "::1", "port": 6000}, "jdbc:postgresql://[::1]:6000/crm"),
        ({"database": "Ürgh/db?user=x"}, "jdbc:postgresql://db.example:5432/%C3%9Crgh%2Fdb%3Fuser%3Dx"),
    ],
)
def test_the_url_holds_host_port_and_database(items: str, connection: dict[str, Any], url: str) -> None:
    with connect(items) as session:
        assert described(read_of(session, "items"), **connection).url == url


def test_question_marks_that_are_operators_are_doubled_and_those_in_text_are_not(items: str) -> None:
    with connect(items) as session:
        read = read_of(session, "items")
    given = """note::jsonb ? 'a?' AND note <> E'\\'?' AND "note" <> $q$?$q$ /* ? */ AND note::jsonb ?| '{x}' -- ?"""
    [select] = described(replace(read, filter=given)).selects
    assert given.replace(" ? ", " ?? ", 1).replace("?|", "??|") in select


def test_constants_keep_their_type(items: str) -> None:
    with connect(items) as session, session.snapshot() as snapshot:
        read = read_of(session, "items")
        constants = (
            Column("n", "n", decimal(30, 20), "NULL", "constant", constant=Value(decimal(30, 20), "1.5")),
            Column("t", "t", TIMESTAMP, "NULL", "constant", constant=Value(TIMESTAMP, "2024-01-01 00:00:00+00:00")),
        )
        found = snapshot.jdbc(replace(read, columns=(*read.columns, *constants)), 1)
        *_, number, time = session.result_fields(found.selects[0])
    assert number == ("n", 1700, ((30 << 16) | 20) + 4)
    assert time[1] == 25
    assert "t" in found.as_text


def test_a_server_behind_a_unix_socket_is_no_server_for_jdbc(items: str, database: str) -> None:
    with connect(database) as session, session.snapshot() as snapshot:
        found = way(snapshot.ways(read_of(session, "items")), "jdbc")
    assert not found.usable
    assert "unix socket" in found.reason


def test_each_engine_takes_its_own_way_and_the_local_one_the_same_as_ever(items: str) -> None:
    with connect(items) as session, session.snapshot() as snapshot:
        offered = snapshot.ways(read_of(session, "items"))
    assert choose_way(engine("parquet", "arrow"), offered, None).way == "parquet"
    assert choose_way(engine("arrow", "jdbc", "spark"), offered, None).way == "arrow"
    assert choose_way(engine("arrow", "jdbc", "spark"), offered, "jdbc").way == "jdbc"
    assert way(offered, "arrow").options["parts"] >= 1
    assert way(offered, "jdbc").options["packages"] == ("org.postgresql:postgresql:42.7.14",)
