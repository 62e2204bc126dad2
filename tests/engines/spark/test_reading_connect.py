"""The same reading by Spark Connect, where there is neither a JVM to ask nor a context: values, errors, cancelling."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from spark_reading import connect, load, read_of, way_of

from dataloader_core.errors import ConfigurationError, LoadCancelledError, SourceRefusedError
from dataloader_engines.spark.reading import dataframe
from dataloader_engines.spark.reading_errors import reading_errors
from dataloader_engines.spark.reading_jobs import stoppable
from dataloader_engines.spark.session import connect as connect_session
from tests.sources.postgresql.type_cases import create_cases
from tests.support.spark import connect_url

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = [
    pytest.mark.spark,
    # PySpark leaves it to the garbage collector to close the socket that collected rows came through.
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]
SLOW = "CREATE VIEW slow AS SELECT g AS id, pg_sleep(0.001)::text AS nap FROM generate_series(1, 100000) g"


@pytest.fixture(scope="module")
def remote(spark: SparkSession) -> Iterator[SparkSession]:
    """A session of Spark Connect, in the JVM of the other tests' session."""
    session = connect_session(connect_url(spark))
    yield session
    session.client.close()


@pytest.fixture(scope="module")
def source(postgres_server) -> str:
    dsn = postgres_server.new_database("connect")
    create_cases(dsn)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(SLOW.encode())
        connection.execute("CREATE VIEW broken AS SELECT id, 1 / (id - 1) AS n FROM cases")
    return postgres_server.tcp_dsn(conninfo_to_dict(dsn)["dbname"])


def test_every_type_is_what_the_local_engine_reads(remote: SparkSession, source: str, tmp_path: Path) -> None:
    with connect(source) as session, session.snapshot() as snapshot:
        read = read_of(session, "cases")
        found = load(remote, snapshot, read, "arrow", tmp_path).sort_by("id")
        wanted = snapshot.read_arrow(read).read_all().sort_by("id")
    assert found.schema.remove_metadata().equals(wanted.schema)
    assert repr(found.to_pylist()) == repr(wanted.to_pylist())


def test_an_error_of_an_executor_comes_out_as_it_was(remote: SparkSession, source: str) -> None:
    with connect(source) as session, session.snapshot() as snapshot:
        read = read_of(session, "broken")
        frame = dataframe(remote, snapshot, read, way_of(snapshot, read, "arrow"), 2)
        with pytest.raises(SourceRefusedError, match="division by zero"), reading_errors(snapshot, read):
            frame.write.format("noop").mode("overwrite").save()


def test_a_read_by_jdbc_is_refused_before_its_password_is_sent(remote: SparkSession, source: str) -> None:
    with connect(source) as session, session.snapshot() as snapshot:
        read = read_of(session, "cases")
        with pytest.raises(ConfigurationError, match="event log, the source's password"):
            dataframe(remote, snapshot, read, way_of(snapshot, read, "jdbc"), 2)


def test_a_cancelled_load_ends_its_job(remote: SparkSession, source: str) -> None:
    cancelled = time.monotonic() + 3

    def progress(rows: int, size: int) -> None:
        if time.monotonic() > cancelled:
            raise LoadCancelledError("somebody cancelled it")

    with connect(source) as session, session.snapshot() as snapshot:
        read = read_of(session, "slow")
        frame = dataframe(remote, snapshot, read, way_of(snapshot, read, "arrow"), 2)
        with pytest.raises(LoadCancelledError), stoppable(remote, progress), reading_errors(snapshot, read):
            frame.write.format("noop").mode("overwrite").save()
    assert time.monotonic() - cancelled < 50
