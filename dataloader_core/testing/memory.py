"""A source that lives in this process and offers what every engine can read: Arrow, in parts too, and Parquet.

It shows nothing about a real database's snapshots, types or caps. Rows are those of an
:class:`~dataloader_core.testing.interpreter.MemorySource`, so that what an engine made of them can be held against
what the interpreter makes of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from dataloader_core.interfaces.source import (
    ArrowPart,
    Check,
    ColumnStats,
    DiscoveredTable,
    ParquetFile,
    ParquetOptions,
    Progress,
    SourceSession,
    SourceSnapshot,
    Tally,
    Unrepresentable,
    WayOfReading,
)
from dataloader_core.plan import Bounds, Cap, Column, HighestRead, Read, Relation
from dataloader_core.table import SourceTable
from dataloader_core.testing.interpreter import MemorySource, Row
from dataloader_core.testing.texts import arrow_table
from dataloader_core.types import INTEGERS, ColumnType
from dataloader_core.values import Value

if TYPE_CHECKING:
    import pyarrow as pa

_BOUNDED = (*INTEGERS, "decimal", "date")
"""Types for which the files say their lowest and highest value, as a source may do or not."""


@dataclass(frozen=True)
class MemoryPart(ArrowPart):
    """Rows on their way to another process, as an Arrow stream. ``error``: raised after them, each time."""

    stream: bytes = field(repr=False)
    error: Exception | None = None

    def read(self) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        with pa.ipc.open_stream(self.stream) as reader:
            yield from reader
        if self.error is not None:
            raise self.error


@dataclass
class MemorySnapshot(SourceSnapshot):
    """The rows of a moment.

    Attributes:
        source: What is read; take a copy of it where its rows change.
        files: How many Parquet files it writes at most.
        found: What it reports as values that do not fit.
        error: Raised when the rows are nearly read, as by a source that goes away.
        tells: Whether it tells beforehand what a read will give.
    """

    source: MemorySource
    files: int = 1
    found: tuple[Unrepresentable, ...] = ()
    error: Exception | None = None
    tells: bool = True

    def ways(self, read: Read) -> Sequence[WayOfReading]:
        return (
            WayOfReading("parquet", True, "rows are in memory"),
            WayOfReading("arrow", True, "rows are in memory", options={"parts": 1}),
        )

    def write_parquet(self, read: Read, options: ParquetOptions, progress: Progress) -> Sequence[ParquetFile]:
        import pyarrow.parquet as pq

        written = []
        for number, rows in enumerate(_pieces(self.source.read(read), min(self.files, options.files))):
            path = options.folder / f"{options.prefix}{number:03}.parquet"
            pq.write_table(arrow_table(rows, _types(read)), path)
            written.append(ParquetFile(path, len(rows), path.stat().st_size, _stats(rows, _types(read))))
            progress(sum(f.rows for f in written), sum(f.bytes for f in written))
        if self.error is not None:
            raise self.error
        return written

    def read_arrow(self, read: Read) -> pa.RecordBatchReader:
        import pyarrow as pa

        table = arrow_table(self.source.read(read), _types(read))

        def batches() -> Iterator[pa.RecordBatch]:
            yield from table.to_batches()
            if self.error is not None:
                raise self.error

        return pa.RecordBatchReader.from_batches(table.schema, batches())

    def arrow_parts(self, read: Read, parts: int) -> Sequence[ArrowPart]:
        pieces = _pieces(self.source.read(read), parts) or [[]]
        return [MemoryPart(_stream(arrow_table(rows, _types(read))), self.error) for rows in pieces]

    def unrepresentable(self, read: Read, stats: Mapping[str, ColumnStats] | None) -> Sequence[Unrepresentable]:
        return self.found

    def tally(self, read: Read, rule: HighestRead | None) -> Tally | None:
        if not self.tells:
            return None
        rows = len(self.source.read(read))
        if rule is None:
            return Tally(rows, unrepresentable=self.found)
        values = _values(self.source, read, self.source.table.column(rule.column))
        highest = self.highest(read, rule.column, rule.upto, rule.inclusive)
        above = sum(v > rule.upto or (v == rule.upto and not rule.inclusive) for v in values) if rule.upto else 0
        return Tally(rows, highest, above, self.found)

    def highest(self, read: Read, column: str, upto: Value | None, inclusive: bool) -> Value | None:
        found = _values(self.source, read, self.source.table.column(column))
        return max((v for v in found if upto is None or v < upto or (inclusive and v == upto)), default=None)


class MemorySession(SourceSession):
    """A connection to a source whose rows may change between its snapshots."""

    def __init__(self, source: MemorySource) -> None:
        self.source = source

    def close(self) -> None:
        """There is no connection."""

    def clock(self) -> datetime:
        return self.source.clock

    def checks(self) -> Sequence[Check]:
        return (Check("memory", True, f"{len(self.source.rows)} rows"),)

    def relations(self, schemas: Sequence[str] | None = None) -> Sequence[Relation]:
        return (self.source.table.relation,)

    def discover(self, relation: Relation) -> DiscoveredTable:
        return DiscoveredTable(self.source.table)

    def describe(
        self,
        relation: Relation,
        columns: Sequence[str] | None = None,
        on_unrepresentable: Literal["fail", "null"] = "fail",
    ) -> SourceTable:
        table = self.source.table
        return table if columns is None else replace(table, columns=tuple(map(table.column, columns)))

    def cap(self, table: SourceTable, column: Column) -> Cap:
        return self.source.cap

    def bounds(self, read: Read, column: Column) -> Bounds:
        found = sorted(_values(self.source, read, column))
        rows = self.count(read)
        return Bounds(found[0] if found else None, found[-1] if found else None, len(found) < rows, rows)

    def count(self, read: Read) -> int:
        return len(self.source.read(read))

    @contextmanager
    def snapshot(self) -> Iterator[MemorySnapshot]:
        yield MemorySnapshot(replace(self.source, rows=list(self.source.rows)))


def _types(read: Read) -> dict[str, ColumnType]:
    return {c.target: c.type for c in read.columns}


def _values(source: MemorySource, read: Read, column: Column) -> list[Value]:
    found = source.read(replace(read, columns=(column,)))
    return [Value(column.type, text) for row in found if (text := row[column.target]) is not None]


def _pieces(rows: list[Row], most: int) -> list[list[Row]]:
    """The rows in their order, in at most so many pieces, none of them empty."""
    size = -(-len(rows) // max(most, 1))
    return [rows[start : start + size] for start in range(0, len(rows), size)] if rows else []


def _stats(rows: Sequence[Row], types: Mapping[str, ColumnType]) -> dict[str, ColumnStats]:
    stats = {}
    for name, kind in types.items():
        if kind.name in _BOUNDED:
            found = sorted(Value(kind, text) for row in rows if (text := row[name]) is not None)
            low, high = (found[0].text, found[-1].text) if found else (None, None)
            stats[name] = ColumnStats(low, high, len(rows) - len(found))
    return stats


def _stream(table: pa.Table) -> bytes:
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())
