"""What the tests of the readers share: a session on a real server, and both ways of reading into Arrow."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
from psycopg.conninfo import conninfo_to_dict

from dataloader_core.interfaces.source import ParquetFile, ParquetOptions, SessionOptions
from dataloader_core.plan import Column, Read, Relation
from dataloader_sources.postgresql.arrow import arrow_schema
from dataloader_sources.postgresql.connection import PostgresConnection
from dataloader_sources.postgresql.dialect import Postgres
from dataloader_sources.postgresql.session import PostgresSession
from dataloader_sources.postgresql.snapshot import PostgresSnapshot

WAYS = ("parquet", "arrow")


def connect(dsn: str, **options: Any) -> PostgresSession:
    given = conninfo_to_dict(dsn)
    settings = PostgresConnection(
        host=str(given.get("host", "localhost")),
        port=int(given.get("port", 5432)),
        user=str(given["user"]),
        password=given.get("password") or None,
        database=str(given["dbname"]),
    )
    return Postgres().connect(settings, SessionOptions(**options))


def run(dsn: str, *statements: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def read_of(session: PostgresSession, name: str, schema: str = "public", **given: Any) -> Read:
    policy = given.get("on_unrepresentable", "fail")
    table = session.describe(Relation(schema, name), on_unrepresentable=policy)
    return Read(table.relation, table.columns, **given)


def nothing(rows: int, size: int) -> None:
    """A progress that nobody watches."""


def write(snapshot: PostgresSnapshot, read: Read, folder: Path, **options: Any) -> Sequence[ParquetFile]:
    return snapshot.write_parquet(read, ParquetOptions(folder, "part-", **options), options.pop("progress", nothing))


def load(snapshot: PostgresSnapshot, read: Read, way: str, folder: Path) -> pa.Table:
    """The rows by one of the ways; the schema must be the projected one, to the letter."""
    expected = arrow_schema(read.columns)
    if way == "arrow":
        reader = snapshot.read_arrow(read)
        assert reader.schema.equals(expected)
        return reader.read_all()
    tables = [pq.read_table(file.path) for file in write(snapshot, read, folder)]
    for table in tables:
        assert table.schema.equals(expected)
    return pa.concat_tables(tables) if tables else expected.empty_table()


def server_text(session: PostgresSession, column: Column) -> str:
    """SQL for the projected value as a text that :func:`text_of` gives for the same value."""
    if column.type.name in ("timestamp", "timestamp_ntz", "binary"):
        return session.dialect.value_text(column, column.projection)
    return f"({column.projection})::text"


def text_of(column: Column, value: Any) -> str | None:
    """A Python value from Arrow as the server writes it; floats as Python's own shortest text."""
    if value is None:
        return None
    kind = column.type.name
    if kind == "boolean":
        return "true" if value else "false"
    if kind == "binary":
        return bytes(value).hex()
    if kind == "timestamp_ntz":
        return str(value.isoformat(" ", "microseconds"))
    if kind == "timestamp":
        return f"{value.replace(tzinfo=None).isoformat(' ', 'microseconds')}+00:00"
    return f"{value:f}" if kind == "decimal" else str(value)
