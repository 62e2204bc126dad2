"""A source that lives in this process: what tests of the protocol need of one, and no more.

It shows nothing about a real database's snapshots, types or caps: rows are ``(id, v, note)``, and whatever was
written is committed at once with the next value of one counter.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq

from dataloader_core.interfaces.source import (
    Check,
    ColumnStats,
    DiscoveredTable,
    ParquetFile,
    ParquetOptions,
    Progress,
    SourceSession,
    SourceSnapshot,
    Unrepresentable,
    WayOfReading,
)
from dataloader_core.plan import Bounds, Cap, Column, Comparison, Condition, Read, Relation
from dataloader_core.table import SourceTable
from dataloader_core.types import BIGINT, STRING
from dataloader_core.values import Value

SCHEMA = pa.schema([("id", pa.int64()), ("v", pa.int64()), ("note", pa.string())])
COLUMNS = (
    Column("id", "id", BIGINT, "id", "bigint", nullable=False),
    Column("v", "v", BIGINT, "v", "bigint", nullable=False),
    Column("note", "note", STRING, "note", "text"),
)
Row = tuple[int, int, str]


class MemoryTable:
    """Rows by id; ``v`` grows with every change, as a sequence in a trigger would make it."""

    def __init__(self) -> None:
        self.rows: dict[int, Row] = {}
        self.counter = 0

    def insert(self, how_many: int) -> None:
        for _ in range(how_many):
            self.counter += 1
            self.rows[len(self.rows) + 1] = (len(self.rows) + 1, self.counter, f"new {self.counter}")

    def update(self, every: int) -> None:
        for key in [k for k in self.rows if k % every == 0]:
            self.counter += 1
            self.rows[key] = (key, self.counter, f"changed {self.counter}")

    def matching(self, where: Sequence[Condition]) -> list[Row]:
        return [row for row in self.rows.values() if all(_holds(row, c) for c in where)]


def _holds(row: Row, condition: Condition) -> bool:
    if not isinstance(condition, Comparison):
        return False
    here, there = row[SCHEMA.get_field_index(condition.column)], int(condition.value.text)
    return {
        "=": here == there,
        "<": here < there,
        "<=": here <= there,
        ">": here > there,
        ">=": here >= there,
    }[condition.op]


class MemorySnapshot(SourceSnapshot):
    def __init__(self, table: MemoryTable) -> None:
        self._rows = MemoryTable()
        self._rows.rows = dict(table.rows)

    def ways(self, read: Read) -> Sequence[WayOfReading]:
        return (WayOfReading("parquet", True, "rows are in memory"),)

    def write_parquet(self, read: Read, options: ParquetOptions, progress: Progress) -> Sequence[ParquetFile]:
        rows = self._rows.matching(read.where)
        if not rows:
            return ()
        path = options.folder / f"{options.prefix}-0.parquet"
        table = pa.table(list(zip(*rows, strict=True)), schema=SCHEMA)
        pq.write_table(table, path)
        progress(len(rows), path.stat().st_size)
        stats = {
            name: ColumnStats(str(min(column)), str(max(column)), 0)
            for name, column in zip(("id", "v"), list(zip(*rows, strict=True))[:2], strict=True)
        }
        return (ParquetFile(path, len(rows), path.stat().st_size, stats),)

    def read_arrow(self, read: Read) -> pa.RecordBatchReader:
        return pa.RecordBatchReader.from_batches(SCHEMA, [])

    def unrepresentable(self, read: Read, stats: Mapping[str, ColumnStats] | None) -> Sequence[Unrepresentable]:
        return ()

    def highest(self, read: Read, column: str, upto: Value | None, inclusive: bool) -> Value | None:
        raise AssertionError("the columns are exact")


class MemorySession(SourceSession):
    def __init__(self, table: MemoryTable) -> None:
        self._table = table

    def close(self) -> None:
        pass

    def clock(self) -> datetime:
        return datetime.now(UTC)

    def checks(self) -> Sequence[Check]:
        return ()

    def relations(self, schemas: Sequence[str] | None = None) -> Sequence[Relation]:
        return (Relation("public", "t"),)

    def discover(self, relation: Relation) -> DiscoveredTable:
        return DiscoveredTable(self.describe(relation))

    def describe(self, relation, columns=None, on_unrepresentable="fail") -> SourceTable:  # type: ignore[no-untyped-def]
        return SourceTable(relation, COLUMNS, keys=(("id",),), row_estimate=len(self._table.rows))

    def cap(self, table: SourceTable, column: Column) -> Cap:
        return Cap(Value(BIGINT, str(self._table.counter)), True, True, "one counter, and nothing is in flight")

    def bounds(self, read: Read, column: Column) -> Bounds:
        found = [row[SCHEMA.get_field_index(column.name)] for row in self._table.matching(read.where)]
        low, high = (Value(BIGINT, str(pick(found))) if found else None for pick in (min, max))
        return Bounds(low, high, False, len(found))

    def count(self, read: Read) -> int:
        return len(self._table.matching(read.where))

    @contextmanager
    def snapshot(self) -> Iterator[MemorySnapshot]:  # type: ignore[override]
        yield MemorySnapshot(self._table)


class MemoryAccess:
    """Stands where ``SourceAccess`` stands."""

    def __init__(self, table: MemoryTable) -> None:
        self.table = table

    def session(self, application_name: str) -> MemorySession:
        return MemorySession(self.table)
