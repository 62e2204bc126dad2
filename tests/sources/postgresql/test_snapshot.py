"""One moment for all that is asked of a source. Long: one case for each way in which it does not hold still."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import psycopg
import pyarrow.parquet as pq
import pytest
from reading import WAYS, connect, load, nothing, read_of, run, write

from dataloader_core.errors import (
    DestinationUnavailableError,
    LoadCancelledError,
    SourceRefusedError,
    SourceUnavailableError,
    UnrepresentableValueError,
)
from dataloader_core.interfaces.source import ColumnStats, ParquetOptions
from dataloader_core.plan import Comparison, Read, Relation
from dataloader_core.types import BIGINT
from dataloader_core.values import Value
from dataloader_sources.postgresql import extension
from dataloader_sources.postgresql.statistics import may_hold_unrepresentable

ROWS = 300_000
_SESSIONS = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"


@pytest.fixture(scope="module")
def big(postgres_server) -> str:
    """A table of about 50 MB, which several connections read by page ranges."""
    dsn = postgres_server.new_database("big")
    run(
        dsn,
        "CREATE TABLE big (id bigint PRIMARY KEY, grp int, amount numeric(12,2), pad text)",
        f"INSERT INTO big SELECT g, g % 7, g / 100.0, repeat(md5(g::text), 4) FROM generate_series(1, {ROWS}) g",
        "VACUUM ANALYZE big",
    )
    return dsn


def terminate_readers(dsn: str) -> int:
    """Ends the connections that copy; the session and the snapshot's holder stay."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        sql = f"SELECT pg_terminate_backend(pid) FROM ({_SESSIONS} AND query LIKE 'COPY%') AS readers"
        return len(connection.execute(sql.encode()).fetchall())


def sessions(dsn: str) -> int:
    with psycopg.connect(dsn, autocommit=True) as connection:
        return len(connection.execute(_SESSIONS.encode()).fetchall())


def wait_for(condition: Callable[[], bool], seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@contextmanager
def meanwhile(work: Callable[[threading.Event], None]) -> Iterator[None]:
    stopped = threading.Event()
    thread = threading.Thread(target=work, args=(stopped,))
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


def test_parallel_readers_see_one_moment_while_others_write(postgres_server, tmp_path: Path) -> None:
    dsn = postgres_server.new_database("accounts")
    run(
        dsn,
        "CREATE TABLE account (id int PRIMARY KEY, balance bigint, pad text) WITH (fillfactor = 70)",
        "INSERT INTO account SELECT g, 100, repeat('x', 600) FROM generate_series(1, 60000) g",
    )

    def transfer(stopped: threading.Event) -> None:
        numbers = random.Random(7)
        with psycopg.connect(dsn, autocommit=True) as connection:
            while not stopped.is_set():
                one, other = numbers.randint(1, 60000), numbers.randint(1, 60000)
                with connection.transaction():
                    connection.execute("UPDATE account SET balance = balance - 7 WHERE id = %s", [one])
                    connection.execute("UPDATE account SET balance = balance + 7 WHERE id = %s", [other])
                connection.execute("INSERT INTO account SELECT max(id) + 1, 0, repeat('y', 600) FROM account")

    with meanwhile(transfer), connect(dsn) as session:
        time.sleep(0.2)
        with session.snapshot() as snapshot:
            rows, total = snapshot.ask("SELECT count(*), sum(balance)::bigint FROM account")[0]
            time.sleep(0.3)
            read = read_of(session, "account")
            files = write(snapshot, read, tmp_path, files=8)
            highest = snapshot.highest(read, "id", None, True)
            table = load(snapshot, read, "arrow", tmp_path)
    assert len(files) > 1
    written = pq.read_table([str(file.path) for file in files])
    assert written.num_rows == rows == sum(file.rows for file in files) == table.num_rows
    assert sum(written["balance"].to_pylist()) == total == 60000 * 100
    assert sorted(written["id"].to_pylist()) == sorted(table["id"].to_pylist()) == list(range(1, rows + 1))
    assert highest == Value(highest.type, str(rows))


def test_rows_written_after_the_snapshot_are_not_read(postgres_server, tmp_path: Path) -> None:
    dsn = postgres_server.new_database("moment")
    run(dsn, "CREATE TABLE t (id int)", "INSERT INTO t VALUES (1)")
    with connect(dsn) as session, session.snapshot() as snapshot:
        run(dsn, "INSERT INTO t VALUES (2)")
        read = read_of(session, "t")
        for way in WAYS:
            assert load(snapshot, read, way, tmp_path)["id"].to_pylist() == [1]


def test_a_table_truncated_after_the_snapshot_is_no_empty_table(postgres_server, tmp_path: Path) -> None:
    dsn = postgres_server.new_database("truncated")
    run(dsn, "CREATE TABLE t (id int)", "INSERT INTO t VALUES (1)")
    with connect(dsn) as session, session.snapshot() as snapshot:
        read = read_of(session, "t")
        run(dsn, "TRUNCATE t")
        with pytest.raises(SourceUnavailableError, match=r"public\.t was truncated or rewritten"):
            write(snapshot, read, tmp_path)
        with pytest.raises(SourceUnavailableError, match="truncated"):
            snapshot.read_arrow(read)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("before", "after", "value"),
    [
        ("integer", "bigint", "1"),
        ("integer", "numeric(12,4)", "1"),
        ("integer", "text", "1"),
        ("integer", "double precision", "1"),
        ("text", "integer", "1"),
        ("date", "timestamp", "2024-01-02"),
        ("timestamp with time zone", "timestamp", "2024-01-02 12:00+02"),
        ("timestamp without time zone", "timestamptz", "2024-01-02 12:00"),
    ],
)
def test_a_type_that_changes_between_plan_and_read_is_worth_another_try(
    postgres_server, tmp_path: Path, way: str, before: str, after: str, value: str
) -> None:
    dsn = postgres_server.new_database("changed")
    run(dsn, f"CREATE TABLE t (x {before})", f"INSERT INTO t VALUES ('{value}')")
    with connect(dsn) as session:
        read = read_of(session, "t")
        run(dsn, f"ALTER TABLE t ALTER x TYPE {after} USING x::{after}")
        with session.snapshot() as snapshot:
            with pytest.raises(SourceUnavailableError, match=rf"'x' was {before} .* its type changed") as caught:
                load(snapshot, read, way, tmp_path)
            assert "Load again" in str(caught.value)
        with session.snapshot() as snapshot:
            assert load(snapshot, read_of(session, "t"), way, tmp_path).num_rows == 1


def test_a_table_that_is_read_cannot_be_dropped_meanwhile(postgres_server, tmp_path: Path) -> None:
    dsn = postgres_server.new_database("locked")
    run(dsn, "CREATE TABLE t (id int)", "INSERT INTO t VALUES (1)")
    with connect(dsn) as session, session.snapshot() as snapshot:
        write(snapshot, read_of(session, "t"), tmp_path)
        with pytest.raises(psycopg.errors.LockNotAvailable):
            run(dsn, "SET lock_timeout = '100ms'", "DROP TABLE t")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("DROP TABLE t", "does not exist"),
        ("ALTER TABLE t RENAME TO u", "does not exist"),
        ("ALTER TABLE t DROP COLUMN word", "word"),
        ("ALTER TABLE t RENAME COLUMN word TO other", "word"),
    ],
)
def test_a_table_changed_after_it_was_configured_is_refused(
    postgres_server, tmp_path: Path, way: str, change: str, named: str
) -> None:
    dsn = postgres_server.new_database("changed")
    run(dsn, "CREATE TABLE t (id int, word text)", "INSERT INTO t VALUES (1, 'x')")
    with connect(dsn) as session:
        read = read_of(session, "t")
        run(dsn, change)
        with session.snapshot() as snapshot, pytest.raises(SourceRefusedError, match=named):
            load(snapshot, read, way, tmp_path)


@pytest.mark.parametrize("way", WAYS)
def test_a_table_without_permission_is_refused_by_name(postgres_server, tmp_path: Path, way: str) -> None:
    dsn = postgres_server.new_database("denied")
    run(dsn, "CREATE TABLE secret_table (id int)")
    postgres_server.new_login(f"nobody_{way}", "their own")
    name = dsn.rsplit("/", 1)[1].split("?")[0]
    with connect(dsn) as session:
        read = read_of(session, "secret_table")
    denied = postgres_server.tcp_dsn(name, f"nobody_{way}", "their own")
    with (
        connect(denied) as session,
        session.snapshot() as snapshot,
        pytest.raises(SourceRefusedError, match="secret_table"),
    ):
        load(snapshot, read, way, tmp_path)


@pytest.mark.parametrize("way", WAYS)
def test_a_read_whose_connections_die_is_never_short(big: str, tmp_path: Path, way: str) -> None:
    for attempt in range(4):
        folder = tmp_path / str(attempt)
        folder.mkdir()

        def kill(stopped: threading.Event) -> None:
            wait_for(lambda: stopped.is_set() or terminate_readers(big) > 0)

        with meanwhile(kill), connect(big) as session, session.snapshot() as snapshot:
            read = read_of(session, "big")
            with pytest.raises(SourceUnavailableError):
                load(snapshot, read, way, folder)
    assert wait_for(lambda: sessions(big) == 0)


def test_a_cancelled_read_ends_at_once_and_leaves_no_session(big: str, tmp_path: Path) -> None:
    run(big, "CREATE OR REPLACE VIEW slow AS SELECT id, pg_sleep(0.001 * id)::text AS nap FROM big")
    seen: list[tuple[int, int]] = []

    def impatient(rows: int, size: int) -> None:
        seen.append((rows, size))
        if len(seen) == 3:
            raise LoadCancelledError("Asked to stop.")

    with connect(big) as session, session.snapshot() as snapshot:
        started = time.monotonic()
        with pytest.raises(LoadCancelledError):
            snapshot.write_parquet(read_of(session, "slow"), ParquetOptions(tmp_path, "part-"), impatient)
        assert time.monotonic() - started < 3
        assert snapshot.ask("SELECT 1") == [(1,)]
    assert wait_for(lambda: sessions(big) == 0)


def test_progress_ends_at_what_was_written(big: str, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    with connect(big) as session, session.snapshot() as snapshot:
        options = ParquetOptions(tmp_path, "part-", files=4)
        files = snapshot.write_parquet(read_of(session, "big"), options, lambda *now: seen.append(now))
    assert seen == sorted(seen)
    assert seen[-1] == (ROWS, sum(file.bytes for file in files))
    assert [file.bytes for file in files] == [file.path.stat().st_size for file in files]
    assert len(seen) > 2


def test_an_abandoned_stream_leaves_no_session(big: str) -> None:
    with connect(big) as session, session.snapshot() as snapshot:
        reader = snapshot.read_arrow(read_of(session, "big"))
        assert reader.read_next_batch().num_rows > 0
    assert wait_for(lambda: sessions(big) == 0)


def test_the_password_stands_in_no_error(postgres_server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dsn = postgres_server.new_database("closed")
    run(dsn, "CREATE TABLE t (id int)", "INSERT INTO t VALUES (1)")
    secret = "it's \\ quite secret"
    postgres_server.new_login("careful", secret)
    run(dsn, "GRANT SELECT ON t TO careful")
    name = dsn.rsplit("/", 1)[1].split("?")[0]
    with connect(postgres_server.tcp_dsn(name, "careful", secret)) as session, session.snapshot() as snapshot:
        read = read_of(session, "t")
        for way in WAYS:
            assert load(snapshot, read, way, tmp_path)["id"].to_pylist() == [1]
        run(dsn, "ALTER ROLE careful CONNECTION LIMIT 0")
        for way in WAYS:
            with pytest.raises(SourceUnavailableError) as caught:
                load(snapshot, read, way, tmp_path)
            chain = [caught.value, caught.value.__cause__, caught.value.__context__]
            assert not any("quite secret" in repr(error) for error in chain)


def test_highest_is_exact_and_bounded(postgres_server) -> None:
    dsn = postgres_server.new_database("highest")
    run(
        dsn,
        "CREATE TABLE t (id bigint, at timestamptz, d date, n numeric(20,6), b bytea)",
        "INSERT INTO t VALUES (1, '2024-01-01 00:00:00.000001+00', '2024-01-01', 1.000001, '\\x01'), "
        "(9007199254740993, '2087-01-01 00:00:00.123456+00', 'infinity', 'NaN', '\\xff00'), "
        "(NULL, NULL, NULL, NULL, NULL)",
    )
    with connect(dsn) as session, session.snapshot() as snapshot:
        read = read_of(session, "t")

        def top(column: str, upto: Value | None = None, inclusive: bool = True, read: Read = read) -> str | None:
            value = snapshot.highest(read, column, upto, inclusive)
            return None if value is None else value.text

        assert top("id") == "9007199254740993"
        assert top("id", Value(BIGINT, "9007199254740993"), False) == "1"
        assert top("id", Value(BIGINT, "9007199254740993"), True) == "9007199254740993"
        assert top("id", Value(BIGINT, "0")) is None
        assert top("at") == "2087-01-01 00:00:00.123456+00:00"
        at = read.columns[1].type
        assert top("at", Value(at, "2024-06-01 00:00:00+00:00"), False) == "2024-01-01 00:00:00.000001+00:00"
        assert top("d") == "2024-01-01"
        assert top("n") == "1.000001"
        assert top("b") == "ff00"
        below = replace(read, where=(Comparison("id", "<", Value(BIGINT, "5")),))
        assert top("id", read=below) == "1"
        with pytest.raises(SourceRefusedError, match="'missing' is not among those read"):
            top("missing")


def guarded_table(dsn: str) -> None:
    run(
        dsn,
        "CREATE TABLE odd (id int, n numeric(10,2), d date, ts timestamp, tz timestamptz, fine date)",
        "INSERT INTO odd VALUES (1, 1, '2024-01-01', '2024-01-01', '2024-01-01', '2024-01-01'), "
        "(2, 'NaN', 'infinity', '0044-03-15 BC', '10000-01-01', '2024-01-02'), "
        "(3, -5, '-infinity', 'infinity', '-infinity', NULL), (4, NULL, NULL, NULL, NULL, NULL), "
        "(5, 7, '5874897-12-31', '294276-12-31', '0001-12-31 BC', '0001-01-01')",
    )


ODD = {
    ("n", "NaN", 1), ("d", "infinity", 2), ("d", "after year 9999", 1), ("ts", "before year 1", 1),
    ("ts", "infinity", 1), ("ts", "after year 9999", 1), ("tz", "after year 9999", 1), ("tz", "infinity", 1),
    ("tz", "before year 1", 1),
}  # fmt: skip


@pytest.mark.parametrize("policy", ["fail", "null"])
def test_values_that_the_types_cannot_hold_are_found_by_column_kind_and_count(
    postgres_server, tmp_path: Path, policy: str
) -> None:
    dsn = postgres_server.new_database("odd")
    guarded_table(dsn)
    with connect(dsn) as session, session.snapshot() as snapshot:
        read = read_of(session, "odd", on_unrepresentable=policy)
        (file,) = write(snapshot, read, tmp_path)
        for stats in (None, file.stats):
            assert {(u.column, u.kind, u.rows) for u in snapshot.unrepresentable(read, stats)} == ODD
        few = replace(read, where=(Comparison("id", "=", Value(read.columns[0].type, "1")),))
        assert snapshot.unrepresentable(few, None) == []


@pytest.mark.parametrize("way", WAYS)
def test_they_become_null_where_the_policy_says_so(postgres_server, tmp_path: Path, way: str) -> None:
    dsn = postgres_server.new_database("nulled")
    guarded_table(dsn)
    with connect(dsn) as session, session.snapshot() as snapshot:
        table = load(snapshot, read_of(session, "odd", on_unrepresentable="null"), way, tmp_path).sort_by("id")
    assert [str(value) for value in table["n"].to_pylist()] == ["1.00", "None", "-5.00", "None", "7.00"]
    for column in ("d", "ts", "tz"):
        assert table[column].is_null().to_pylist() == [False, True, True, True, True]
    assert table["fine"].is_null().to_pylist() == [False, False, True, True, False]


def test_a_stream_fails_on_a_value_that_its_type_cannot_hold(postgres_server, tmp_path: Path) -> None:
    dsn = postgres_server.new_database("stream")
    run(dsn, "CREATE TABLE t (n numeric(5,1))", "INSERT INTO t VALUES (1), ('NaN')")
    with connect(dsn) as session, session.snapshot() as snapshot:
        read = read_of(session, "t")
        with pytest.raises(UnrepresentableValueError, match=r"'n': NaN \(1 row\)"):
            load(snapshot, read, "arrow", tmp_path)


def test_only_columns_whose_range_may_hide_a_guarded_value_are_looked_at(postgres_server) -> None:
    dsn = postgres_server.new_database("ranges")
    run(dsn, "CREATE TABLE t (n numeric(5,1), d date)")
    with connect(dsn) as session:
        number, day = read_of(session, "t").columns

    def suspect(column, low: str | None, high: str | None, nulls: int | None = 0, nulled: bool = False) -> bool:
        return may_hold_unrepresentable(column, ColumnStats(low, high, nulls), nulled=nulled)

    assert suspect(number, "-1.0", "1.0")
    assert suspect(number, "0.0", "9.0")
    assert not suspect(number, "0.1", "9.0")
    assert not suspect(number, "-9.0", "-0.1")
    assert suspect(number, None, None)
    assert not suspect(day, "0001-01-01", "9999-12-31")
    assert suspect(day, "0044-03-15 (BC)", "2024-01-01")
    assert suspect(day, "2024-01-01", "infinity")
    assert suspect(day, "2024-01-01", "10000-01-01")
    assert not suspect(number, "-1.0", "1.0", nulls=0, nulled=True)
    assert suspect(number, "-1.0", "1.0", nulls=1, nulled=True)
    assert suspect(number, "-1.0", "1.0", nulls=None, nulled=True)


@pytest.mark.parametrize("way", WAYS)
def test_bytes_that_are_no_text_are_refused_by_column(postgres_server, tmp_path: Path, way: str) -> None:
    dsn = postgres_server.new_database(
        "ascii", "ENCODING 'SQL_ASCII' TEMPLATE template0 LOCALE_PROVIDER libc LOCALE 'C'"
    )
    run(
        dsn,
        "CREATE TABLE t (id int, fine text, broken text)",
        "INSERT INTO t VALUES (1, 'Zürich', 'x'), (2, 'y', convert_from('\\xff41', 'SQL_ASCII'))",
    )
    with connect(dsn) as session, session.snapshot() as snapshot:
        read = read_of(session, "t")
        with pytest.raises(UnrepresentableValueError, match=r"'broken'.*UTF-8"):
            load(snapshot, read, way, tmp_path)
        whole = replace(read, columns=read.columns[:2])
        assert load(snapshot, whole, way, tmp_path)["fine"].to_pylist() == ["Zürich", "y"]


def test_a_lost_snapshot_is_a_passing_fault(big: str) -> None:
    with connect(big) as session, session.snapshot() as snapshot:
        read = read_of(session, "big")
        run(big, f"SELECT pg_terminate_backend(pid) FROM ({_SESSIONS} AND application_name LIKE '% snapshot%') AS s")
        with pytest.raises(SourceUnavailableError):
            snapshot.highest(read, "id", None, True)
        with pytest.raises(SourceUnavailableError):
            snapshot.unrepresentable(read, None)


def test_a_folder_that_cannot_be_written_is_not_the_sources_fault(big: str) -> None:
    with connect(big) as session, session.snapshot() as snapshot:
        options = ParquetOptions(Path("/nonexistent/folder"), "part-")
        with pytest.raises(DestinationUnavailableError, match="could not be written"):
            snapshot.write_parquet(read_of(session, "big"), options, nothing)


def test_the_init_statement_reaches_every_reader(postgres_server, tmp_path: Path) -> None:
    dsn = postgres_server.new_database("init")
    run(dsn, "CREATE SCHEMA elsewhere", "CREATE TABLE elsewhere.t (id int)", "INSERT INTO elsewhere.t VALUES (1)")
    with connect(dsn, init_statement="SET search_path = elsewhere") as session, session.snapshot() as snapshot:
        table = session.describe(Relation(query="SELECT id FROM t"))
        for way in WAYS:
            assert load(snapshot, Read(table.relation, table.columns), way, tmp_path)["id"].to_pylist() == [1]


@pytest.mark.parametrize("way", WAYS)
def test_a_statement_time_out_is_said_to_be_one(big: str, tmp_path: Path, way: str) -> None:
    run(big, "CREATE OR REPLACE VIEW sleepy AS SELECT id, pg_sleep(0.01)::text AS nap FROM big")
    with (
        connect(big, statement_timeout=timedelta(milliseconds=300)) as session,
        session.snapshot() as snapshot,
        pytest.raises(SourceUnavailableError, match="time-out"),
    ):
        load(snapshot, read_of(session, "sleepy"), way, tmp_path)


@pytest.mark.parametrize("way", WAYS)
def test_an_error_of_the_sources_own_is_passed_on_without_its_value(postgres_server, tmp_path: Path, way: str) -> None:
    dsn = postgres_server.new_database("casts")
    run(
        dsn,
        "CREATE TABLE t (word text)",
        "INSERT INTO t VALUES ('1'), ('private')",
        "CREATE VIEW numbers AS SELECT word::int AS n FROM t",
    )
    with connect(dsn) as session, session.snapshot() as snapshot:
        with pytest.raises(SourceRefusedError, match="invalid text representation") as caught:
            load(snapshot, read_of(session, "numbers"), way, tmp_path)
        assert "private" not in str(caught.value)
        assert snapshot.ask("SELECT 1") == [(1,)]


def test_a_killed_reader_leaves_no_query_at_the_source(big: str, tmp_path: Path) -> None:
    run(big, "CREATE OR REPLACE VIEW napping AS SELECT id, pg_sleep(0.01)::text AS nap FROM big")
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); from pathlib import Path; from reading import *\n"
        "with connect(sys.argv[2]) as session, session.snapshot() as snapshot:\n"
        "    write(snapshot, read_of(session, 'napping'), Path(sys.argv[3]))\n"
    )
    arguments = [sys.executable, "-c", program, str(Path(__file__).parent), big, str(tmp_path)]
    with subprocess.Popen(arguments) as process:
        assert wait_for(lambda: sessions(big) == 3, 30)
        process.kill()
    assert wait_for(lambda: sessions(big) == 0, 15)


def test_a_missing_extension_is_named_and_leaves_the_other_way(big: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extension, "extension_problem", lambda: "not to be had")
    with connect(big) as session, session.snapshot() as snapshot:
        parquet, arrow, _ = snapshot.ways(read_of(session, "big"))
    assert (parquet.usable, parquet.reason) == (False, "not to be had")
    assert arrow.usable


def test_reads_of_one_process_do_not_disturb_each_other(big: str, tmp_path: Path) -> None:
    run(big, "CREATE TABLE IF NOT EXISTS small AS SELECT * FROM big LIMIT 100")

    def one(number: int) -> int:
        folder = tmp_path / str(number)
        folder.mkdir()
        with connect(big) as session, session.snapshot() as snapshot:
            return sum(file.rows for file in write(snapshot, read_of(session, "small"), folder))

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(one, range(40))) == [100] * 40
    assert wait_for(lambda: sessions(big) == 0)
    with extension.duckdb_cursor() as cursor:
        assert cursor.execute("FROM duckdb_secrets()").fetchall() == []
        assert cursor.execute("SELECT count(*) FROM duckdb_databases() WHERE type = 'postgres'").fetchone() == (0,)
