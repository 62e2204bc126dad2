"""The schema itself: applied in order, once, by whoever comes first; commented; with its roles."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from dataloader_core.control import migrate
from dataloader_core.control.database import ControlDatabase
from dataloader_core.control.processes import this_process
from dataloader_core.errors import (
    ConfigurationError,
    ControlUnavailableError,
    IllegalChangeError,
    SchemaVersionError,
)
from tests.conftest import PASSWORD, PostgresServer
from tests.control.conftest import INCREMENTAL, Add, Sql, row_of

FILES = [file.name for file in migrate.schema_files()]


def test_what_is_missing_is_applied_once(postgres_server: PostgresServer) -> None:
    with ControlDatabase(postgres_server.new_database("schema")) as control:
        assert list(control.migrate()) == FILES
        assert list(control.migrate()) == []
        control.check_schema()


def test_the_files_are_numbered_without_gaps() -> None:
    assert [file.number for file in migrate.schema_files()] == list(range(1, len(FILES) + 1))


def test_psql_can_apply_the_files_and_apply_them_again(postgres_server: PostgresServer, sql: Sql) -> None:
    dsn = postgres_server.new_database("schema")
    with psycopg.connect(dsn, autocommit=True) as connection:
        for _ in range(2):
            for file in migrate.schema_files():
                connection.execute(file.text.encode())
    with ControlDatabase(dsn) as control:
        assert list(control.migrate()) == []
        control.check_schema()
    with psycopg.connect(dsn) as connection:
        assert connection.execute("SELECT count(*) FROM control.schema_version WHERE checksum IS NULL").fetchone() == (
            0,
        )


@pytest.mark.skipif(shutil.which("psql") is None, reason="no psql on this machine")
def test_psql_itself_applies_the_files(postgres_server: PostgresServer) -> None:
    dsn = postgres_server.new_database("schema")
    for name in FILES:
        path = Path(migrate.__file__).parents[2] / "sql" / f"{name}.sql"
        subprocess.run(
            ["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", dsn, "-f", str(path)], check=True, timeout=60
        )
    with ControlDatabase(dsn) as control:
        control.check_schema()


def _migrate(dsn: str) -> None:
    with ControlDatabase(dsn) as control:
        control.migrate()


def test_two_processes_may_set_it_up_at_once(postgres_server: PostgresServer) -> None:
    dsn = postgres_server.new_database("schema")
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_migrate, args=(dsn,)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]


def test_an_older_program_refuses_a_newer_schema_by_name(dsn: str, sql: Sql) -> None:
    sql("INSERT INTO control.schema_version (number, name) VALUES (999, '999_of_tomorrow')")
    with ControlDatabase(dsn) as control:
        for refused in (control.check_schema, control.migrate, control.status):
            with pytest.raises(SchemaVersionError, match="'999_of_tomorrow'"):
                refused()


def test_a_database_without_the_schema_is_told_from_an_older_one(
    postgres_server: PostgresServer, dsn: str, sql: Sql
) -> None:
    with ControlDatabase(postgres_server.new_database("empty")) as control:
        with pytest.raises(SchemaVersionError, match="is not there") as refused:
            control.status()
        assert refused.value.cure == "Run `dataloader init`."
    sql("DELETE FROM control.schema_version WHERE number = %s", len(FILES))
    with ControlDatabase(dsn) as control, pytest.raises(SchemaVersionError, match=f"lacks {FILES[-1]}"):
        control.check_schema()


def test_a_file_that_was_changed_after_it_was_applied_is_refused(dsn: str, sql: Sql) -> None:
    sql("UPDATE control.schema_version SET checksum = 'other' WHERE number = 2")
    with ControlDatabase(dsn) as control, pytest.raises(SchemaVersionError, match=f"another '{FILES[1]}'"):
        control.migrate()


def test_everything_is_commented(sql: Sql) -> None:
    bare = sql(
        "SELECT c.relname || coalesce('.' || a.attname, '') AS name FROM pg_class c"
        " LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped"
        " WHERE c.relnamespace = 'control'::regnamespace AND c.relkind IN ('r', 'v')"
        " AND (col_description(c.oid, a.attnum) IS NULL AND a.attnum IS NOT NULL"
        "      OR obj_description(c.oid, 'pg_class') IS NULL)"
        " UNION ALL SELECT proname FROM pg_proc"
        " WHERE pronamespace = 'control'::regnamespace AND obj_description(oid, 'pg_proc') IS NULL ORDER BY 1"
    )
    assert [row["name"] for row in bare] == []


def test_the_ready_view_shows_what_a_tick_would_claim(control: ControlDatabase, add: Add, sql: Sql) -> None:
    key = add()
    add("later", next_load_date_time="2100-01-01")
    add("asleep", is_active=False)
    assert [row["control_key"] for row in sql("SELECT control_key FROM control.dataloader_control_vw")] == [key]
    control.tick(this_process("worker"))
    assert sql("SELECT control_key FROM control.dataloader_control_vw") == []


# roles


def _database(control: ControlDatabase) -> str:
    return control._connections.where.partition(" ")[0]


def _as(role: str, sql: Sql, statement: str) -> None:
    sql(f"SET ROLE {role}")
    try:
        sql(statement)
    finally:
        sql("RESET ROLE")


def test_a_reader_reads_and_writes_nothing(control: ControlDatabase, add: Add, sql: Sql) -> None:
    add()
    _as("dataloader_reader", sql, "SELECT * FROM control.dataloader_control_vw")
    for statement in ("UPDATE control.table_control SET filter = 'x'", "SELECT control.reset_table('x')"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            _as("dataloader_reader", sql, statement)


def test_an_editor_edits_configuration_and_no_state(control: ControlDatabase, add: Add, sql: Sql) -> None:
    key = add()
    _as(
        "dataloader_editor",
        sql,
        "INSERT INTO control.table_control (db_config_key, source_table_name, destination_table_catalog,"
        " destination_table_schema, destination_table_name, load_strategy) VALUES ('crm', 't', 'a', 'b', 't', 'full')",
    )
    _as("dataloader_editor", sql, "UPDATE control.table_control SET filter = 'x', next_load_date_time = now()")
    for change in ("last_status = NULL", "load_seq = 9", "committed_version = 1", "table_uid = gen_random_uuid()"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            _as("dataloader_editor", sql, f"UPDATE control.table_control SET {change}")
    control.claim_by_hand(key, this_process("hand"))
    _as("dataloader_editor", sql, f"SELECT control.cancel_load('{key}', 'not now')")
    _as("dataloader_editor", sql, f"SELECT control.reset_table('{key}')")
    assert row_of(control, key)["last_status"] is None


def test_an_editor_cannot_pass_for_a_load(
    postgres_server: PostgresServer, control: ControlDatabase, add: Add, sql: Sql
) -> None:
    add(**INCREMENTAL, incremental_value="5")
    postgres_server.new_login("an_editor", PASSWORD, "IN ROLE dataloader_editor")
    with psycopg.connect(postgres_server.tcp_dsn(_database(control), "an_editor", PASSWORD), autocommit=True) as editor:
        editor.execute("SET dataloader.writer = 'load'")
        with pytest.raises(psycopg.IntegrityError, match="while incremental_value '5' is kept"):
            editor.execute("UPDATE control.table_control SET filter = 'a > 1'")
        editor.execute("UPDATE control.table_control SET row_limit = 5")
    [_, edit] = sql("SELECT changed_by, changed_fields FROM control.table_control_history ORDER BY history_id")
    assert edit == {"changed_by": "an_editor", "changed_fields": ["row_limit"]}


def test_a_loader_can_do_all_that_a_load_does(
    postgres_server: PostgresServer, control: ControlDatabase, add: Add
) -> None:
    from dataloader_core.control.records import LoadProgress, LoadResult
    from tests.control.conftest import commit_of, started

    key = add(load_cron="0 4 * * *")
    postgres_server.new_login("a_loader", PASSWORD, "IN ROLE dataloader_loader")
    with ControlDatabase(postgres_server.tcp_dsn(_database(control), "a_loader", PASSWORD)) as loader:
        [[claim]] = loader.tick(this_process("worker")).batches
        claim = loader.start(claim, this_process("worker"))
        loader.heartbeat({claim.load_id: LoadProgress("x", 1, 1)})
        loader.succeed(claim, commit_of(claim), LoadResult())
        loader.fail(started(loader, key), "x")
        loader.reset(key)
        with pytest.raises(IllegalChangeError, match="does not allow"):
            loader.apply_rows([{"db_config_key": "crm"}], {})


def test_without_the_right_to_make_roles_the_schema_comes_without_them(postgres_server: PostgresServer) -> None:
    postgres_server.new_login("plain_owner", PASSWORD)
    name = conninfo_to_dict(postgres_server.new_database("plain", "OWNER plain_owner"))["dbname"]
    with ControlDatabase(postgres_server.tcp_dsn(str(name), "plain_owner", PASSWORD)) as control:
        assert list(control.migrate()) == FILES


def _rights(sql: Sql) -> list[dict[str, object]]:
    return sql(
        "SELECT what, grantee::regrole::text AS who, privilege_type AS may FROM ("
        "  SELECT c.relname::text AS what, x.* FROM pg_class c, aclexplode(c.relacl) x"
        "   WHERE c.relnamespace = 'control'::regnamespace"
        "  UNION ALL SELECT a.attrelid::regclass || '.' || a.attname, x.* FROM pg_attribute a, aclexplode(a.attacl) x"
        "  UNION ALL SELECT p.oid::regprocedure::text, x.* FROM pg_proc p, aclexplode(p.proacl) x"
        "   WHERE p.pronamespace = 'control'::regnamespace"
        "  UNION ALL SELECT n.nspname, x.* FROM pg_namespace n, aclexplode(n.nspacl) x WHERE n.nspname = 'control'"
        ") given WHERE grantee::regrole::text LIKE 'dataloader%' ORDER BY 1, 2, 3"
    )


def test_roles_that_are_made_later_get_every_right_from_one_file(dsn: str, sql: Sql) -> None:
    before = _rights(sql)
    assert {"what": "source_notes", "who": "dataloader_loader", "may": "INSERT"} in before
    sql("DROP OWNED BY dataloader_reader, dataloader_editor, dataloader_loader")
    assert _rights(sql) == []
    [roles] = [file for file in migrate.schema_files() if file.name.endswith("_roles")]
    sql(roles.text)
    assert _rights(sql) == before


def test_who_may_not_make_roles_is_told_which_are_missing(caplog: pytest.LogCaptureFixture) -> None:
    # A server of its own: roles belong to the whole server, and the shared one has them.
    folder = Path(tempfile.mkdtemp(prefix="dl-roles-"))
    folder.chmod(0o755)
    server = PostgresServer(folder)
    try:
        server.start()
        server.new_login("plain_owner", PASSWORD)
        name = conninfo_to_dict(server.new_database("plain", "OWNER plain_owner"))["dbname"]
        with ControlDatabase(server.tcp_dsn(str(name), "plain_owner", PASSWORD)) as control:
            control.migrate()
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
    told = [record.getMessage() for record in caplog.records if record.name == migrate.__name__]
    assert [message.split()[3] for message in told] == ["dataloader_reader", "dataloader_editor", "dataloader_loader"]
    assert all("Run sql/008_roles.sql" in message for message in told)


# connections


def test_a_wrong_password_is_told_at_once_and_never_repeated(postgres_server: PostgresServer) -> None:
    began = time.monotonic()
    control = ControlDatabase(postgres_server.tcp_dsn(password="not this one"))
    with pytest.raises(ControlUnavailableError, match="password authentication failed") as refused:
        control.status()
    assert "not this one" not in str(refused.value)
    assert time.monotonic() - began < 5


def test_an_unreachable_host_is_an_error_within_ten_seconds() -> None:
    began = time.monotonic()
    control = ControlDatabase("postgresql://u:hidden@127.0.0.1:1/db")
    with pytest.raises(ControlUnavailableError, match="out of reach") as refused:
        control.status()
    assert "hidden" not in str(refused.value)
    assert time.monotonic() - began < 10


def test_a_url_of_nonsense_is_refused_without_repeating_it() -> None:
    with pytest.raises(ConfigurationError, match="cannot be understood") as refused:
        ControlDatabase("postgresql://u:hidden@h:port:x/db?what")
    assert "hidden" not in str(refused.value)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PGDATESTYLE", "German"),
        ("PGTZ", "Asia/Tokyo"),
        ("PGCLIENTENCODING", "SQL_ASCII"),
        ("PGCLIENTENCODING", "LATIN1"),
    ],
)
def test_the_callers_own_libpq_variables_change_nothing(
    control: ControlDatabase, add: Add, dsn: str, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    add("Łódź", destination_table_name="lodz")
    [key] = control.rows()
    expected = row_of(control, key)
    monkeypatch.setenv(variable, value)
    with ControlDatabase(dsn) as other:
        assert row_of(other, key) == expected
        [[claim]] = other.tick(this_process("worker")).batches
        assert claim.control_key == key


def test_the_roles_own_settings_change_nothing(control: ControlDatabase, add: Add, dsn: str, sql: Sql) -> None:
    key = add()
    expected = row_of(control, key)
    sql(f"ALTER DATABASE {_database(control)} SET DateStyle = 'German'")
    sql(f"ALTER DATABASE {_database(control)} SET IntervalStyle = 'iso_8601'")
    with ControlDatabase(dsn) as other:
        assert row_of(other, key) == expected


def test_connections_heal_when_the_server_cuts_them(control: ControlDatabase, sql: Sql) -> None:
    control.sources()
    sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    assert [source.db_config_key for source in control.sources()] == ["crm"]


_KILLED = """
import sys
from dataloader_core.control.database import ControlDatabase
from dataloader_core.control.processes import this_process
with ControlDatabase(sys.argv[1]) as control:
    control.tick(this_process("worker"))
"""


@pytest.mark.parametrize(
    ("point", "claimed"), [("control.before_claim_commit", False), ("control.after_claim_commit", True)]
)
def test_a_claimer_killed_around_its_commit_claims_all_or_nothing(
    control: ControlDatabase, add: Add, dsn: str, point: str, claimed: bool
) -> None:
    keys = [add(f"t{i}") for i in range(3)]
    environ = {**os.environ, "DATALOADER_FAILPOINTS": f"{point}=kill"}
    done = subprocess.run([sys.executable, "-c", _KILLED, dsn], env=environ, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    assert {row_of(control, key)["last_status"] for key in keys} == {"Queued" if claimed else None}
    assert len(control.reap_lost_loads(lambda _: None)) == (3 if claimed else 0)
