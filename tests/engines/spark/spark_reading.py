"""What the tests of reading with Spark share: a session on a real server by TCP, and a read as an Arrow table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq
from psycopg.conninfo import conninfo_to_dict

from dataloader_core.interfaces.source import SessionOptions, SourceSnapshot, WayOfReading
from dataloader_core.plan import Read, Relation
from dataloader_engines.spark.drivers import Drivers
from dataloader_engines.spark.reading import dataframe
from dataloader_engines.spark.reading_errors import reading_errors
from dataloader_sources.postgresql.connection import PostgresConnection
from dataloader_sources.postgresql.dialect import Postgres
from dataloader_sources.postgresql.session import PostgresSession

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

WAYS = ("arrow", "jdbc")


def connect(dsn: str, **options: Any) -> PostgresSession:
    given = conninfo_to_dict(dsn)
    settings = PostgresConnection(
        host=str(given["host"]),
        port=int(given["port"]),
        user=str(given["user"]),
        password=given.get("password"),
        database=str(given["dbname"]),
    )
    return Postgres().connect(settings, SessionOptions(**options))


def read_of(session: PostgresSession, name: str, schema: str = "public", **given: Any) -> Read:
    table = session.describe(Relation(schema, name), on_unrepresentable=given.get("on_unrepresentable", "fail"))
    return Read(table.relation, table.columns, **given)


def way_of(snapshot: SourceSnapshot, read: Read, way: str) -> WayOfReading:
    found = next(w for w in snapshot.ways(read) if w.way == way)
    assert found.usable, found.reason
    return found


def load(
    spark: SparkSession,
    snapshot: SourceSnapshot,
    read: Read,
    way: str,
    folder: Path,
    parts: int = 2,
    drivers: Drivers | None = None,
) -> pa.Table:
    """The rows as Spark writes them to Parquet, in whatever order."""
    target = folder / uuid4().hex
    spark.conf.set("spark.sql.parquet.outputTimestampType", "TIMESTAMP_MICROS")
    frame = dataframe(spark, snapshot, read, way_of(snapshot, read, way), parts, drivers)
    with reading_errors(snapshot, read):
        frame.write.parquet(str(target))
    return pq.read_table(target)
