"""Whole reads by both of Spark's ways: schemas, names, snapshots, pieces, and settings that must not matter."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from spark_reading import WAYS, connect, load, read_of, way_of

from dataloader_core.errors import ConfigurationError
from dataloader_core.plan import Column, Comparison, Split
from dataloader_core.schema import target_column
from dataloader_core.types import TIMESTAMP
from dataloader_core.values import Value
from dataloader_engines.spark.reading import dataframe
from dataloader_engines.spark.types import spark_schema

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = [
    pytest.mark.spark,
    pytest.mark.parametrize("way", WAYS),
    # PySpark leaves it to the garbage collector to close the socket that collected rows came through.
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]


@pytest.fixture
def source(postgres_server, database: str) -> str:
    """A database of one's own, by TCP."""
    return postgres_server.tcp_dsn(conninfo_to_dict(database)["dbname"])


def run(dsn: str, *statements: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


@pytest.fixture
def big(source: str) -> str:
    """About 30 MB, which two connections share."""
    run(
        source,
        "CREATE TABLE big (id int PRIMARY KEY, balance bigint, pad text) WITH (fillfactor = 70)",
        "INSERT INTO big SELECT g, 100, repeat('x', 600) FROM generate_series(1, 40000) g",
        "VACUUM ANALYZE big",
    )
    return source


def test_the_schema_is_the_projected_one_without_notes_of_the_driver(
    way: str, spark: SparkSession, source: str
) -> None:
    run(
        source,
        "CREATE TABLE t (a int2, b numeric(38,10), c varchar(5), d char(3), e timestamp, f timestamptz, g date,"
        " h bytea, i bool, j real, k money, l oid, m numeric(5,-2), n numeric, o jsonb)",
    )
    with connect(source) as session, session.snapshot() as snapshot:
        read = read_of(session, "t")
        frame = dataframe(spark, snapshot, read, way_of(snapshot, read, way), 2)
        assert frame.schema.jsonValue() == spark_schema([target_column(c) for c in read.columns]).jsonValue()
        assert frame.count() == 0


def test_all_partitions_see_one_moment_while_others_write(
    way: str, spark: SparkSession, big: str, tmp_path: Path
) -> None:
    @contextmanager
    def transfers() -> Iterator[None]:
        stopped = threading.Event()

        def transfer() -> None:
            with psycopg.connect(big, autocommit=True) as connection:
                while not stopped.is_set():
                    with connection.transaction():
                        connection.execute("UPDATE big SET balance = balance - 7 WHERE id = 1 + random() * 39999")
                        connection.execute("INSERT INTO big SELECT max(id) + 1, 7, repeat('y', 600) FROM big")

        thread = threading.Thread(target=transfer)
        thread.start()
        try:
            yield
        finally:
            stopped.set()
            thread.join()

    with transfers(), connect(big) as session:
        time.sleep(0.2)
        with session.snapshot() as snapshot:
            rows, total = snapshot.ask("SELECT count(*), sum(balance)::bigint FROM big")[0]
            time.sleep(0.2)
            read = read_of(session, "big")
            assert len(snapshot.arrow_parts(read, 2)) == len(snapshot.jdbc(read, 2).selects) == 2
            table = load(spark.newSession(), snapshot, read, way, tmp_path)
    assert table.num_rows == rows
    assert sorted(table["id"].to_pylist()) == list(range(1, rows + 1))
    assert sum(table["balance"].to_pylist()) == total


def test_two_jobs_over_one_frame_read_the_same_rows(way: str, spark: SparkSession, big: str) -> None:
    with connect(big) as session, session.snapshot() as snapshot:
        read = read_of(session, "big")
        frame = dataframe(spark, snapshot, read, way_of(snapshot, read, way), 2)
        first = frame.count()
        run(big, "DELETE FROM big WHERE id % 2 = 0")
        assert frame.count() == first == 40000


def test_names_of_all_kinds_arrive_as_they_are(way: str, spark: SparkSession, source: str, tmp_path: Path) -> None:
    names = ['say "hi"', "with space", "a.b", "Größe", "日本", "CamelCase", "back`tick", "per%cent", "select", "it's"]
    columns = ", ".join('"' + name.replace('"', '""') + '" int' for name in names)
    run(source, 'CREATE SCHEMA "Odd one"', f'CREATE TABLE "Odd one"."it\'s ?" ({columns})')
    run(source, f'INSERT INTO "Odd one"."it\'s ?" VALUES ({", ".join(str(i) for i in range(len(names)))})')
    with connect(source) as session, session.snapshot() as snapshot:
        read = read_of(session, "it's ?", "Odd one")
        frame = dataframe(spark, snapshot, read, way_of(snapshot, read, way), 2)
        assert frame.columns == [column.target for column in read.columns]
        assert [tuple(row) for row in frame.collect()] == [tuple(range(len(names)))]


def test_the_zones_of_jvm_and_session_change_nothing(
    way: str, spark: SparkSession, source: str, tmp_path: Path
) -> None:
    run(
        source,
        "CREATE TABLE t (day date, wall timestamp, at timestamptz)",
        "INSERT INTO t VALUES ('1582-10-10', '2024-03-10 02:30:00', '1582-10-10 00:00:00+00')",
    )
    zones = spark._jvm.java.util.TimeZone
    before = zones.getDefault()
    elsewhere = spark.newSession()
    elsewhere.conf.set("spark.sql.session.timeZone", "America/New_York")
    zones.setDefault(zones.getTimeZone("America/New_York"))
    try:
        with connect(source) as session, session.snapshot() as snapshot:
            table = load(elsewhere, snapshot, read_of(session, "t"), way, tmp_path)
    finally:
        zones.setDefault(before)
    assert table.to_pylist() == [
        {
            "day": date(1582, 10, 10),
            "wall": datetime(2024, 3, 10, 2, 30),
            "at": datetime(1582, 10, 10, tzinfo=UTC),
        }
    ]


def test_conditions_filters_limits_and_constants_hold(
    way: str, spark: SparkSession, source: str, tmp_path: Path
) -> None:
    run(
        source,
        "CREATE TABLE t (id int, at timestamptz, tags jsonb)",
        "INSERT INTO t SELECT g, '2024-01-01 00:00:00+00'::timestamptz + g * interval '1 us', '{\"a?\": 1}'"
        " FROM generate_series(1, 20) g",
    )
    now = Value(TIMESTAMP, "2024-06-01 12:00:00.000001+00:00")
    with connect(source) as session, session.snapshot() as snapshot:
        read = read_of(session, "t", filter="tags ? 'a?' -- a comment", row_limit=3)
        above = Comparison("at", ">", Value(TIMESTAMP, "2024-01-01 00:00:00.000010+00:00"))
        constant = Column("loaded", "loaded", TIMESTAMP, "NULL", "constant", constant=now)
        read = replace(read, where=(above,), columns=(*read.columns, constant))
        table = load(spark.newSession(), snapshot, read, way, tmp_path)
    assert table.num_rows == 3
    assert min(table["id"].to_pylist()) > 10
    assert set(table["loaded"].to_pylist()) == {datetime(2024, 6, 1, 12, microsecond=1, tzinfo=UTC)}


def test_a_view_is_read_by_ranges_of_the_column_that_was_asked_for(
    way: str, spark: SparkSession, source: str, tmp_path: Path
) -> None:
    run(
        source,
        "CREATE TABLE t (id int, amount numeric(38,10))",
        "INSERT INTO t SELECT nullif(g, 50), g + 0.0000000001 FROM generate_series(1, 100) g",
        "CREATE VIEW v AS SELECT * FROM t",
    )
    with connect(source, parallel=4) as session, session.snapshot() as snapshot:
        read = read_of(session, "v", split=Split("id", 3))
        frame = dataframe(spark, snapshot, read, way_of(snapshot, read, way), 4)
        table = load(spark.newSession(), snapshot, read, way, tmp_path, parts=4)
        assert frame.rdd.getNumPartitions() == 4
    assert sorted(table["amount"].to_pylist()) == [Decimal(g) + Decimal("0.0000000001") for g in range(1, 101)]


def test_partitioned_tables_come_whole(way: str, spark: SparkSession, source: str, tmp_path: Path) -> None:
    run(
        source,
        "CREATE TABLE p (id int, at date) PARTITION BY RANGE (id)",
        "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10)",
        "CREATE TABLE p2 (at date, id int)",
        "ALTER TABLE p ATTACH PARTITION p2 FOR VALUES FROM (10) TO (100)",
        "INSERT INTO p SELECT g, date '2024-01-01' + g FROM generate_series(1, 30) g",
    )
    with connect(source) as session, session.snapshot() as snapshot:
        table = load(spark.newSession(), snapshot, read_of(session, "p"), way, tmp_path)
    assert sorted(table["id"].to_pylist()) == list(range(1, 31))


def test_a_wide_table_comes_whole(way: str, spark: SparkSession, source: str) -> None:
    columns = [f"c{i}" for i in range(1200)]
    run(source, f"CREATE TABLE wide ({', '.join(f'{c} int' for c in columns)})")
    run(source, f"INSERT INTO wide SELECT {', '.join('g' for _ in columns)} FROM generate_series(1, 3000) g")
    with connect(source) as session, session.snapshot() as snapshot:
        read = read_of(session, "wide")
        frame = dataframe(spark, snapshot, read, way_of(snapshot, read, way), 2)
        row = frame.selectExpr("count(*) AS n", "sum(c0) AS first", "sum(c1199) AS last").first()
    assert row is not None
    assert row.asDict() == {"n": 3000, "first": 4501500, "last": 4501500}


def test_connections_show_the_loads_name_and_are_read_only(way: str, spark: SparkSession, source: str) -> None:
    run(
        source,
        "CREATE VIEW me AS SELECT current_setting('application_name') AS name,"
        " current_setting('transaction_read_only') AS mode, current_setting('statement_timeout') AS most,"
        " current_setting('lock_timeout') AS waits",
    )
    with connect(source, application_name="dataloader crm #7") as session, session.snapshot() as snapshot:
        read = read_of(session, "me")
        [row] = dataframe(spark, snapshot, read, way_of(snapshot, read, way), 2).collect()
    assert row.asDict() == {"name": f"dataloader crm #7 {way} [ro]", "mode": "on", "most": "1h", "waits": "1min"}


def test_a_way_that_is_none_for_spark_is_refused(way: str, spark: SparkSession, source: str) -> None:
    run(source, "CREATE TABLE t (id int)")
    with connect(source) as session, session.snapshot() as snapshot:
        read = read_of(session, "t")
        other = replace(way_of(snapshot, read, way), way="parquet")
        with pytest.raises(ConfigurationError, match="Spark cannot read by 'parquet'"):
            dataframe(spark, snapshot, read, other, 2)
