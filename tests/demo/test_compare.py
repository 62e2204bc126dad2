"""The demo's verdict is worth something: a comparison that can say no."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pyarrow as pa
import pytest
from deltalake import write_deltalake

from examples.demo.compare import compare

ROWS = [("AA", "American"), ("DL", "Delta"), ("XX", None)]


@pytest.fixture
def source(database: str) -> str:
    with psycopg.connect(database) as connection:
        connection.execute("CREATE TABLE airlines (carrier text, name text, at timestamptz, f float8)")
        connection.cursor().executemany("INSERT INTO airlines VALUES (%s, %s, '2026-01-01 12:00+02', 0.1)", ROWS)
    return database


def lake_with(folder: Path, rows: list[tuple[str, str | None]]) -> Path:
    noon = datetime(2026, 1, 1, 10, tzinfo=UTC)
    table = pa.table(
        {
            "carrier": [carrier for carrier, _ in rows],
            "name": [name for _, name in rows],
            "f": [0.1] * len(rows),
            "at": pa.array([noon] * len(rows), pa.timestamp("us", "UTC")),
        }
    )
    write_deltalake(str(folder / "bronze" / "nyc" / "airlines"), table)
    return folder


def test_the_same_rows_in_another_order_are_equal(source: str, tmp_path: Path) -> None:
    assert compare(source, lake_with(tmp_path, ROWS[::-1]), "nyc.airlines").equal


def test_a_changed_value_is_different(source: str, tmp_path: Path) -> None:
    found = compare(source, lake_with(tmp_path, [*ROWS[:2], ("XX", "")]), "nyc.airlines")
    assert found.source_rows == found.delta_rows
    assert not found.equal


def test_a_doubled_row_in_place_of_another_is_different(source: str, tmp_path: Path) -> None:
    assert not compare(source, lake_with(tmp_path, [ROWS[0], ROWS[0], ROWS[2]]), "nyc.airlines").equal


def test_a_missing_row_is_different(source: str, tmp_path: Path) -> None:
    assert not compare(source, lake_with(tmp_path, ROWS[:2]), "nyc.airlines").equal
