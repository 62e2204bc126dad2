"""What goes wrong while Spark reads comes out as the error that it was: no stack trace, no value, no short result."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from spark_reading import WAYS, connect, load, read_of, way_of

from dataloader_core.errors import (
    ConfigurationError,
    DataLoaderError,
    LoadCancelledError,
    MissingDriverError,
    SourceRefusedError,
    SourceUnavailableError,
    UnrepresentableValueError,
)
from dataloader_core.plan import Read
from dataloader_engines.spark.reading import dataframe
from dataloader_engines.spark.reading_errors import reading_errors
from dataloader_engines.spark.reading_jdbc import jdbc_dataframe
from dataloader_engines.spark.reading_jobs import stoppable
from dataloader_sources.postgresql.snapshot import PostgresSnapshot

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = [
    pytest.mark.spark,
    # PySpark leaves it to the garbage collector to close the socket that collected rows came through.
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]
both = pytest.mark.parametrize("way", WAYS)
SLOW = """CREATE VIEW slow AS SELECT g AS id, CASE WHEN g % 4 = 0 THEN pg_sleep(0.001)::text END AS nap
FROM generate_series(1, {rows}) g"""
"""More than a millisecond for every fourth row: the 10,000 rows that JDBC fetches at a time take three seconds."""
_READERS = "FROM pg_stat_activity WHERE datname = current_database() AND application_name ~ ' (arrow|jdbc) '"


@pytest.fixture
def source(postgres_server, database: str) -> str:
    """A database of one's own, by TCP."""
    return postgres_server.tcp_dsn(conninfo_to_dict(database)["dbname"])


def run(dsn: str, *statements: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def readers(dsn: str) -> int:
    with psycopg.connect(dsn, autocommit=True) as connection:
        return connection.execute(f"SELECT count(*) {_READERS} AND state = 'active'".encode()).fetchall()[0][0]


def wait_for(condition: Callable[[], bool], seconds: float = 120) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


@contextlib.contextmanager
def meanwhile(work: Callable[[], None]) -> Iterator[None]:
    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def carry_out(spark: SparkSession, snapshot: PostgresSnapshot, read: Read, way: str) -> None:
    """Read everything, to nowhere."""
    with reading_errors(snapshot, read):
        dataframe(spark, snapshot, read, way_of(snapshot, read, way), 2).write.format("noop").mode("overwrite").save()


@both
def test_a_connection_that_ends_in_mid_stream_fails_the_read(way: str, spark: SparkSession, source: str) -> None:
    run(source, SLOW.format(rows=12_000))  # by JDBC the server is asked for all of them again, to hear its own error

    def end_them() -> None:
        assert wait_for(lambda: readers(source) > 0)
        time.sleep(0.5)
        run(source, f"SELECT pg_terminate_backend(pid) {_READERS}")

    with connect(source) as session, session.snapshot() as snapshot:
        read = read_of(session, "slow")
        with meanwhile(end_them), pytest.raises(SourceUnavailableError, match="went away in the middle"):
            carry_out(spark, snapshot, read, way)


@both
def test_what_the_server_refuses_is_told_without_the_value(way: str, spark: SparkSession, source: str) -> None:
    run(
        source,
        "CREATE TABLE t (id int, secret text)",
        "INSERT INTO t SELECT g, 'number-' || g FROM generate_series(1, 1000) g",
        "CREATE VIEW v AS SELECT id, CASE WHEN id = 700 THEN secret::int ELSE id END AS n FROM t",
    )
    with connect(source) as session, session.snapshot() as snapshot:
        read = read_of(session, "v")
        with pytest.raises(SourceRefusedError, match="invalid text representation") as caught:
            carry_out(spark, snapshot, read, way)
    assert "number-700" not in str(caught.value)
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None


@both
def test_a_statement_that_takes_too_long_is_told_as_that(way: str, spark: SparkSession, source: str) -> None:
    run(source, SLOW.format(rows=10_000))
    with connect(source, statement_timeout=timedelta(seconds=1)) as session, session.snapshot() as snapshot:
        read = read_of(session, "slow")
        with pytest.raises(SourceUnavailableError, match=r"statement time.?out"):
            carry_out(spark, snapshot, read, way)


GUARDED = (
    "CREATE TABLE guarded (id int, n numeric(9,2), d date, w timestamp, t timestamptz)",
    "INSERT INTO guarded VALUES (1, 1.5, '2024-01-01', '2024-01-01', '2024-01-01'), (2, 'NaN', NULL, NULL, NULL),"
    " (3, NULL, 'infinity', NULL, NULL), (4, NULL, '0044-03-15 BC', '-infinity', NULL), (5, NULL, '20000-01-01',"
    " '0044-03-15 BC', 'infinity'), (6, 0, NULL, NULL, '0044-03-15 00:00:00+00 BC')",
)


@both
def test_values_that_no_type_holds_become_null_where_that_is_the_policy(
    way: str, spark: SparkSession, source: str, tmp_path: Path
) -> None:
    run(source, *GUARDED)
    with connect(source) as session, session.snapshot() as snapshot:
        read = read_of(session, "guarded", on_unrepresentable="null")
        found = load(spark.newSession(), snapshot, read, way, tmp_path).sort_by("id")
        wanted = snapshot.read_arrow(read).read_all().sort_by("id")
    assert found.to_pylist() == wanted.to_pylist()
    assert found["d"].to_pylist()[1:] == [None] * 5


@pytest.mark.parametrize(
    ("row", "kind"), [(2, "n: NaN in 1 rows"), (3, "d: infinity"), (4, "w: infinity"), (6, "t: before year 1")]
)
def test_jdbc_never_passes_such_a_value_on(row: int, kind: str, spark: SparkSession, source: str) -> None:
    run(source, *GUARDED)
    with connect(source) as session, session.snapshot() as snapshot:
        read = read_of(session, "guarded", filter=f"id = {row}")
        with pytest.raises(UnrepresentableValueError, match=kind):
            carry_out(spark, snapshot, read, "jdbc")


def test_jdbc_never_passes_such_a_value_on_without_ansi_mode_either(spark: SparkSession, source: str) -> None:
    run(source, *GUARDED)
    lenient = spark.newSession()
    lenient.conf.set("spark.sql.ansi.enabled", "false")
    with connect(source) as session, session.snapshot() as snapshot:
        read = read_of(session, "guarded", filter="id = 3")
        with pytest.raises(UnrepresentableValueError, match="d: infinity in 1 rows"):
            carry_out(lenient, snapshot, read, "jdbc")


@both
def test_a_cancelled_load_ends_its_job_and_the_sessions_at_the_source(
    way: str, spark: SparkSession, source: str
) -> None:
    run(source, SLOW.format(rows=100_000))

    def progress(rows: int, size: int) -> None:
        if readers(source):
            raise LoadCancelledError("somebody cancelled it")

    with connect(source) as session, session.snapshot() as snapshot:
        read = read_of(session, "slow")
        started = time.monotonic()
        with pytest.raises(LoadCancelledError, match="somebody cancelled it") as caught, stoppable(spark, progress):
            carry_out(spark, snapshot, read, way)
        assert time.monotonic() - started < 60
        assert wait_for(lambda: readers(source) == 0)
    assert caught.value.__context__ is None
    assert not spark.sparkContext.getJobTags()


@both
def test_the_password_is_in_no_plan(way: str, spark: SparkSession, source: str, capsys: pytest.CaptureFixture) -> None:
    run(source, "CREATE TABLE t (id int)")
    with connect(source) as session, session.snapshot() as snapshot:
        read = read_of(session, "t")
        dataframe(spark, snapshot, read, way_of(snapshot, read, way), 2).explain("extended")
    shown = capsys.readouterr().out
    assert "id" in shown
    assert "horse" not in shown


def test_a_driver_that_is_not_there_is_named_with_its_coordinates(spark: SparkSession, source: str) -> None:
    run(source, "CREATE TABLE t (id int)")
    with connect(source) as session, session.snapshot() as snapshot:
        given = replace(snapshot.jdbc(read_of(session, "t"), 1), driver="no.such.Driver")
        with pytest.raises(ConfigurationError, match=r"no JDBC driver no\.such\.Driver.*org\.postgresql:postgresql:"):
            jdbc_dataframe(spark, given, fields_of("id"))


def fields_of(*names: str):
    from pyspark.sql import types

    return types.StructType([types.StructField(name, types.IntegerType()) for name in names])


def test_a_wrong_password_of_the_executor_is_told_as_that(spark: SparkSession, postgres_server, source: str) -> None:
    run(source, "CREATE TABLE t (id int)")
    with connect(source) as session, session.snapshot() as snapshot:
        read = read_of(session, "t")
        parts = snapshot.arrow_parts(read, 1)
        wrong = [replace(p, settings=replace(p.settings, conninfo=_other_password(p))) for p in parts]
        snapshot.arrow_parts = lambda *_: wrong  # type: ignore[method-assign]  # damaged on purpose
        with pytest.raises(DataLoaderError, match="password authentication failed") as caught:
            carry_out(spark, snapshot, read, "arrow")
    assert "horse" not in str(caught.value)


def _other_password(part):
    from pydantic import SecretStr

    return SecretStr(part.settings.conninfo.get_secret_value().replace("horse", "battery"))


def test_a_python_without_the_package_is_told_as_that(spark: SparkSession, source: str) -> None:
    run(source, "CREATE TABLE t (id int)")
    with connect(source) as session, session.snapshot() as snapshot:
        read = read_of(session, "t")

        def fails(rows):
            import dataloader_not_installed  # noqa: F401  # it must fail

            return rows

        frame = spark.range(1).mapInArrow(fails, "id long")
        with pytest.raises(MissingDriverError, match="'dataloader_not_installed'"), reading_errors(snapshot, read):
            frame.collect()
