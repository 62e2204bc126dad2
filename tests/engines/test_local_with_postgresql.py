"""Both ends real: PostgreSQL's rows in a Delta table, by either way of reading, value for value."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest
from local_table import Table

from dataloader_core.errors import SchemaChangeError, UnrepresentableValueError
from dataloader_core.interfaces.engine import Committed
from dataloader_core.interfaces.source import SessionOptions
from dataloader_core.plan import Append, HighestRead, KeepWatermark, LossPolicy, Merge, Read, Relation, Replace, Step
from dataloader_sources.postgresql.connection import PostgresConnection
from dataloader_sources.postgresql.dialect import Postgres

ROWS = """
CREATE TABLE items (id bigint PRIMARY KEY, price numeric(20,4), note text, raw bytea, at timestamptz, wall timestamp,
    day date, ok boolean, ratio double precision);
COMMENT ON TABLE items IS 'what is sold';
COMMENT ON COLUMN items.price IS 'in euros';
INSERT INTO items SELECT i, i * 1.0001, 'näme ' || i, decode(lpad(to_hex(i), 8, '0'), 'hex'),
    timestamptz '2024-01-01 00:00:00.000001+00' + i * interval '1 second', timestamp '2024-01-01' + i * interval '1 h',
    date '2024-01-01' + i % 100, i % 2 = 0, i / 7.0 FROM generate_series(1, 30000) i;
INSERT INTO items (id) VALUES (0);
"""
Load = Callable[..., Committed]


@pytest.fixture
def load(database: str, lake: Path) -> Load:
    parts = urlsplit(database)
    host = parse_qs(parts.query).get("host", [parts.hostname or ""])[0]
    port = int(parse_qs(parts.query).get("port", [str(parts.port or 5432)])[0])
    connection = PostgresConnection(
        host=host, port=port, user=parts.username or "postgres", database=parts.path.lstrip("/")
    )
    with psycopg.connect(database, autocommit=True) as pg:
        pg.execute(ROWS)

    def run(write: Any, way: str = "parquet", name: str = "items", **more: Any) -> Committed:
        table = Table(lake, {}, name)
        with Postgres().connect(connection, SessionOptions()) as session:
            found = session.describe(Relation("public", "items"), None, more.get("unrepresentable", "fail"))
            table.columns, table.comment = found.columns, found.comment
            if not table.look().exists:
                table.create()
            table.seq = (table.look().app_version or 0) // 2**20
            read = Read(found.relation, found.columns, on_unrepresentable=more.get("unrepresentable", "fail"))
            step = Step(read, write, more.get("watermark", KeepWatermark()), "test", LossPolicy(max_fraction=1))
            look = table.look()
            with session.snapshot() as snapshot, table.destination as destination:
                [wanted] = [w for w in snapshot.ways(read) if w.way == way]
                assert wanted.usable, wanted.reason
                prepared = destination.prepare(step, found, snapshot, wanted, look, "evolve", lambda *_: None)
                run.prepared = prepared  # type: ignore[attr-defined]  # kept for the tests alone
                return destination.commit(step, prepared, look, table.record())

    return run


@pytest.mark.parametrize("way", ["parquet", "arrow"])
def test_a_full_load_is_equal_row_by_row(load: Load, lake: Path, database: str, way: str) -> None:
    assert load(Replace(), way).rows_written == 30001
    with psycopg.connect(database, options="-c TimeZone=UTC") as pg:
        expected = pg.execute("SELECT * FROM items ORDER BY id").fetchall()
    table = Table(lake, {}, "items")
    assert [tuple(r) for r in table.rows("id")] == expected
    assert {c.name: c.comment for c in table.look().columns}["price"] == "in euros"


@pytest.mark.parametrize("way", ["parquet", "arrow"])
def test_changes_are_merged(load: Load, lake: Path, database: str, way: str) -> None:
    load(Replace(), way)
    with psycopg.connect(database, autocommit=True) as pg:
        pg.execute("UPDATE items SET note = 'changed' WHERE id % 1000 = 0")
        pg.execute("INSERT INTO items (id, note) VALUES (99999, 'new')")
        done = load(Merge(("id",)), way)
        expected = pg.execute("SELECT id, note FROM items ORDER BY id").fetchall()
    assert done.rows_total == 30002
    assert [(r[0], r[2]) for r in Table(lake, {}, "items").rows("id")] == expected


def test_a_nan_fails_by_name_and_becomes_null_where_that_is_wanted(load: Load, lake: Path, database: str) -> None:
    with psycopg.connect(database, autocommit=True) as pg:
        pg.execute("UPDATE items SET price = 'NaN' WHERE id IN (3, 4)")
    with pytest.raises(UnrepresentableValueError, match="price"):
        load(Replace())
    load(Replace(), unrepresentable="null")
    assert [u.rows for u in load.prepared.unrepresentable] == [2]  # type: ignore[attr-defined]  # kept for the tests alone
    assert [r[0] for r in Table(lake, {}, "items").rows("id") if r[1] is None] == [0, 3, 4]


def test_the_watermark_is_the_highest_read(load: Load) -> None:
    load(Append(), watermark=HighestRead("at", None))
    assert str(load.prepared.highest).startswith("2024-01-01 08:20:00.000001")  # type: ignore[attr-defined]  # kept for the tests alone


def test_a_changed_column_is_refused_under_a_merge_and_taken_by_a_replace(load: Load, database: str) -> None:
    load(Replace())
    with psycopg.connect(database, autocommit=True) as pg:
        pg.execute("ALTER TABLE items ALTER COLUMN day TYPE text")
    with pytest.raises(SchemaChangeError, match="day: date in the table, string at the source"):
        load(Merge(("id",)))
    load(Replace())
