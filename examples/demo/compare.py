"""Whether a Delta table holds what its strategy promises, value for value."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import psycopg

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
    with psycopg.connect(source_url, options="-c timezone=UTC") as connection:
        cursor = connection.execute(EXPECTED[control_key].encode())
        columns = [column.name for column in cursor.description or ()]
        expected = _sum(cursor)
    return Comparison(*expected, *_sum(_delta_rows(lake / "bronze" / Path(*control_key.split(".")), columns)))


def _delta_rows(folder: Path, columns: Sequence[str]) -> Iterable[tuple[Any, ...]]:
    import pyarrow as pa
    from deltalake import DeltaTable

    reader = pa.RecordBatchReader.from_stream(
        DeltaTable(folder).to_pyarrow_dataset().scanner(columns=columns).to_reader()
    )
    for batch in reader:
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def _sum(rows: Iterable[tuple[Any, ...]]) -> tuple[int, int]:
    count = checksum = 0
    for row in rows:
        count += 1
        checksum += zlib.crc32(repr([_plain(value) for value in row]).encode())
    return count, checksum % 2**32


def _plain(value: object) -> object:
    # Drivers differ in the class of their time zones, not in the instant.
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value
