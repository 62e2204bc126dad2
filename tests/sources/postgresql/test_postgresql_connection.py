"""Connections: what they are called, what they may do, and what is said when they fail."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from pydantic import SecretStr, ValidationError
from reading import connect

from dataloader_core.errors import ConfigurationError, SourceRefusedError, SourceUnavailableError
from dataloader_core.interfaces.source import SessionOptions
from dataloader_core.plan import Relation
from dataloader_sources.postgresql.connection import PostgresConnection, application_name
from dataloader_sources.postgresql.dialect import Postgres
from dataloader_sources.postgresql.errors import connect_error
from dataloader_sources.postgresql.session import PostgresSession


def test_service_name_is_another_name_of_the_database() -> None:
    assert PostgresConnection(user="u", service_name="shop").database == "shop"  # type: ignore[call-arg]  # bad or text input
    assert PostgresConnection(user="u", database="shop").database == "shop"


def test_a_field_that_is_not_known_is_refused() -> None:
    with pytest.raises(ValidationError, match="sslmod"):
        PostgresConnection(user="u", database="d", sslmod="require")  # type: ignore[call-arg]  # bad or text input


@pytest.mark.parametrize(("text", "seconds"), [("2", 2), ("500 ms", 0.5), ("1 minute", 60), (3, 3)])
def test_spans_are_taken_as_people_write_them(text: object, seconds: float) -> None:
    given = PostgresConnection(user="u", database="d", look_wait=text)  # type: ignore[arg-type]  # bad or text input
    assert given.look_wait == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["soon", "-1", "1 day"])
def test_a_span_that_is_none_or_too_long_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="look_wait"):
        PostgresConnection(user="u", database="d", look_wait=text)  # type: ignore[arg-type]  # bad or text input


def test_the_application_name_is_cut_between_characters_and_keeps_its_mark() -> None:
    name = application_name("dataloader " + "ä" * 60)
    assert len(name.encode()) <= 63
    assert name.endswith("ä [ro]")


def test_tls_settings_reach_libpq() -> None:
    settings = PostgresConnection(user="u", database="d", sslmode="verify-full", sslrootcert="/ca.pem")  # type: ignore[arg-type]  # bad or text input
    fields = conninfo_to_dict(settings.conninfo(SessionOptions(login_timeout=timedelta(seconds=7))))
    assert (fields["sslmode"], fields["sslrootcert"], fields["connect_timeout"]) == ("verify-full", "/ca.pem", "7")


def test_the_password_shows_in_no_repr() -> None:
    settings = PostgresConnection(user="u", database="d", password=SecretStr("s3cret"))
    assert "s3cret" not in repr(settings)
    assert "s3cret" in settings.conninfo(SessionOptions())


def test_a_session_carries_its_name_and_time_outs_and_reads_only(database: str, admin: psycopg.Connection) -> None:
    options = {
        "application_name": "dataloader crm.public.orders #12",
        "statement_timeout": timedelta(minutes=5),
        "lock_timeout": timedelta(seconds=3),
    }
    with connect(database, **options) as session:
        names = ("application_name", "statement_timeout", "lock_timeout", "TimeZone", "IntervalStyle", "DateStyle")
        found = [session.fetch(f"SHOW {name}")[0][0] for name in names]
        assert found == ["dataloader crm.public.orders #12 [ro]", "5min", "3s", "UTC", "iso_8601", "ISO, YMD"]
        with pytest.raises(SourceRefusedError, match="only ever read"):
            session.fetch("CREATE TABLE x (i int)")
        second = conninfo_to_dict(session.conninfo(" reader 1"))
        assert second["application_name"] == "dataloader crm.public.orders #12 reader 1 [ro]"


@pytest.mark.parametrize(
    "statement",
    ["SET work_mem = '9MB'", "SET SESSION work_mem TO '9MB';", "SELECT set_config('work_mem', '9MB', false)"],
)
def test_an_init_statement_reaches_the_session_and_its_snapshot(database: str, statement: str) -> None:
    with connect(database, init_statement=statement) as session, session.snapshot() as snapshot:
        assert session.fetch("SHOW work_mem") == [("9MB",)]
        assert snapshot.ask("SHOW work_mem") == [("9MB",)]


def test_a_per_cent_sign_in_an_init_statement_is_nothing_special(database: str) -> None:
    with connect(database, init_statement="SET search_path = '50%'") as session:
        assert session.fetch("SHOW search_path") == [('"50%"',)]


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("BEGIN READ WRITE; INSERT INTO log VALUES (1); COMMIT", "not one statement"),
        ("SET work_mem = '9MB'; INSERT INTO log VALUES (1)", "not one statement"),
        (" ; -- nothing", "not one statement"),
        ("BEGIN READ WRITE", "starts with 'BEGIN'"),
        ("COMMIT", "starts with 'COMMIT'"),
        ("DO $$BEGIN INSERT INTO log VALUES (1); END$$", "starts with 'DO'"),
        ("CALL noting()", "starts with 'CALL'"),
        ("INSERT INTO log VALUES (1)", "starts with 'INSERT'"),
        ("WITH x AS (INSERT INTO log VALUES (1) RETURNING 1) TABLE x", "starts with 'WITH'"),
        ("SET default_transaction_read_only = off", "writable"),
        ('SET SESSION "default_transaction_read_only" TO off', "writable"),
        ("RESET default_transaction_read_only", "writable"),
        ("SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE", "writable"),
        ("SET TRANSACTION READ WRITE", "writable"),
        ("SET transaction_read_only = off", "writable"),
        ("SELECT set_config('default_transaction_read_only', 'off', false)", "writable"),
        ('SET U&"default_transaction_read\\005Fonly" = off', "escapes"),
        ("SET LOCAL work_mem = '9MB'", "SET LOCAL"),
        ("RESET ALL", "all settings"),
        ("SET session_replication_role = replica", "session_replication_role"),
        ("SET TIME ZONE 'Asia/Tokyo'", "TimeZone"),
        ("SELECT set_config('datestyle', 'German', false)", "DateStyle"),
        ("SET application_name = 'x'", "application_name"),
    ],
)
def test_an_init_statement_may_not_write_or_take_a_setting_away(
    database: str, admin: psycopg.Connection, statement: str, found: str
) -> None:
    admin.execute("CREATE TABLE log (i int)")
    admin.execute("CREATE PROCEDURE noting() BEGIN ATOMIC INSERT INTO log VALUES (1); END")
    with pytest.raises(ConfigurationError, match=found):
        connect(database, init_statement=statement)
    assert admin.execute("SELECT count(*) FROM log").fetchone() == (0,)


@pytest.mark.parametrize("call", ["noting()", "set_config('transaction_read_only', 'off', true), noting()"])
def test_a_function_that_the_init_statement_calls_cannot_write(
    database: str, admin: psycopg.Connection, call: str
) -> None:
    admin.execute("CREATE TABLE log (i int)")
    admin.execute("CREATE FUNCTION noting() RETURNS void LANGUAGE sql AS 'INSERT INTO log VALUES (1)'")
    with pytest.raises(SourceRefusedError):
        connect(database, init_statement=f"SELECT {call}")
    assert admin.execute("SELECT count(*) FROM log").fetchone() == (0,)


def test_a_statement_that_takes_too_long_ends(database: str) -> None:
    with (
        connect(database, statement_timeout=timedelta(milliseconds=50)) as session,
        pytest.raises(SourceUnavailableError, match="statement timeout"),
    ):
        session.fetch("SELECT pg_sleep(5)")


def test_a_locked_table_is_not_waited_for_for_ever(database: str, admin: psycopg.Connection) -> None:
    admin.execute("CREATE TABLE t (i int)")
    with psycopg.connect(database) as holder, connect(database, lock_timeout=timedelta(milliseconds=50)) as session:
        holder.execute("LOCK TABLE t")
        with pytest.raises(SourceUnavailableError, match="lock timeout"):
            session.fetch("SELECT * FROM t")


def refused(dsn: str, **fields: object) -> str:
    given = conninfo_to_dict(dsn)
    settings = {k: given[k] for k in ("host", "user", "password") if k in given}
    model = PostgresConnection.model_validate(
        {**settings, "port": int(given.get("port", 5432)), "database": given["dbname"], **fields}
    )
    with pytest.raises((SourceRefusedError, SourceUnavailableError)) as caught:
        Postgres().connect(model, SessionOptions(login_timeout=timedelta(seconds=2)))
    assert caught.value.cure
    return f"{type(caught.value).__name__} {caught.value}"


def test_what_fails_at_login_is_told_apart(postgres_server) -> None:
    dsn = postgres_server.tcp_dsn()
    secret = "not the password"
    wrong = refused(dsn, password=secret)
    assert "SourceRefusedError" in wrong
    assert "password authentication failed" in wrong
    assert secret not in wrong
    assert "SourceRefusedError" in refused(dsn, database="nowhere")
    assert "Check `database`" in refused(dsn, database="nowhere")
    assert "SourceUnavailableError" in refused(dsn, port=1)
    assert "SourceUnavailableError" in refused(dsn, host="no-such-host.invalid")
    assert "sslmode" in refused(dsn, sslmode="require")


def test_a_server_that_goes_away_is_unavailable_and_a_source_that_is_dropped_is_refused(
    database: str, admin: psycopg.Connection
) -> None:
    with connect(database) as session:
        admin.execute("SELECT pg_terminate_backend(%s)", (session.connection.info.backend_pid,))
        with pytest.raises(SourceUnavailableError):
            session.clock()


def test_a_pool_that_refuses_settings_is_named_with_the_cure() -> None:
    error = connect_error(psycopg.OperationalError("FATAL: unsupported startup parameter: options"), "h:1/d")
    assert isinstance(error, SourceRefusedError)
    assert "connection pool" in str(error)
    assert "session mode" in str(error)


def test_checks_pass_on_a_plain_primary(session: PostgresSession) -> None:
    found = {check.name: check for check in session.checks()}
    assert [name for name, check in found.items() if not check.ok] == []
    assert set(found) >= {"version", "encryption", "read-only", "encoding", "server", "caps", "clock"}


def test_the_clock_is_the_servers_and_aware(session: PostgresSession) -> None:
    assert abs(session.clock() - datetime.now(UTC)) < timedelta(minutes=1)


def test_an_unknown_relation_of_an_empty_schema_follows_the_search_path(
    session: PostgresSession, admin: psycopg.Connection
) -> None:
    admin.execute("CREATE TABLE here (i int)")
    assert str(session.describe(Relation("", "here")).relation) == "public.here"


def test_listing_the_plugin_imports_no_driver() -> None:
    code = (
        "import sys; from dataloader_sources.postgresql import plugin; records = list(plugin.dataloader_sources()); "
        "assert records[0].name == 'postgresql' and records[0].aliases == ('postgres',); "
        "loaded = {'psycopg', 'duckdb', 'pyarrow', 'adbc_driver_postgresql', 'sqlglot'} & set(sys.modules); "
        "assert not loaded, loaded"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
