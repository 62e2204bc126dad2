"""Whether a Delta table holds what its strategy promises, value for value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import pyarrow as pa

EXPECTED: Final[Mapping[str, str]] = {
    "nyc.airlines": "SELECT * FROM airlines",
    # An increment cannot see that a row is gone.
    "nyc.planes": "SELECT * FROM planes UNION ALL SELECT * FROM journal.deleted_planes",
    # Appended rows stay as they were first read.
    "nyc.weather": "SELECT * FROM journal.first_seen_weather UNION ALL SELECT * FROM weather w "
    "WHERE NOT EXISTS (SELECT FROM journal.first_seen_weather f WHERE f.id = w.id)",
    "nyc.departures": "SELECT * FROM departures WHERE flight_date >= (now() AT TIME ZONE 'UTC')::date - 7",
    "nyc.airports": "SELECT * FROM airports",
    "nyc.flights": "SELECT * FROM flights",
}
"""What each destination must hold in the end, asked of the source."""


@dataclass(frozen=True)
class Comparison:
    """Rows and a checksum over all values of all rows, whatever their order."""

    source_rows: int
    source_checksum: int
    delta_rows: int
    delta_checksum: int

    @property
    def equal(self) -> bool:
        return (self.source_rows, self.source_checksum) == (self.delta_rows, self.delta_checksum)


def compare(source_url: str, lake: Path, control_key: str) -> Comparison:
    """Both sides as Arrow, read without any of the code that loaded them, and summed up by one and the same query."""
    import adbc_driver_postgresql.dbapi as adbc
    from deltalake import DeltaTable
    from pyarrow import fs

    with adbc.connect(source_url) as connection, connection.cursor() as cursor:
        cursor.execute(EXPECTED[control_key])
        expected = cursor.fetch_arrow_table()
    folder = lake / "bronze" / Path(*control_key.split("."))
    # Arrow's own file system: with deltalake's, written in Python, a process may abort as it ends (arrow issue 34314).
    files = fs.SubTreeFileSystem(str(folder), fs.LocalFileSystem())
    found = DeltaTable(folder).to_pyarrow_table(columns=expected.column_names, filesystem=files)
    # Types may differ in form (a large string); a value that the other type cannot hold is an error here.
    return Comparison(*_sum(expected), *_sum(found.cast(expected.schema)))


def _sum(rows: pa.Table) -> tuple[int, int]:
    import duckdb

    with duckdb.connect() as connection:
        connection.register("side", rows)
        summed = connection.sql("SELECT count(*), coalesce(sum(hash(side)::HUGEINT), 0) % 4294967296 FROM side")
        count, checksum = summed.fetchall()[0]
    return int(count), int(checksum)
