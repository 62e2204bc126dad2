"""How one read becomes several SELECTs that together give every row exactly once.

A heap table is cut into contiguous ranges of its pages (``ctid``), which costs no sort and no index and reads
each page once. A relation without pages of its own is cut on a column where that was asked for, else it is
one SELECT.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from itertools import pairwise

from dataloader_core.plan import Column, Comparison, Condition, IsNull, Read, Relation
from dataloader_core.types import INTEGERS
from dataloader_core.values import Value, order_key, timestamp_text
from dataloader_sources.postgresql.dialect import Postgres

BYTES_PER_FILE = 8 << 20
"""Below this much table a further file costs more than it gives."""


@dataclass(frozen=True, slots=True)
class Heap:
    """One heap table with its size, TOAST included; a partitioned table is read as the heaps of its leaves."""

    relation: Relation
    pages: int
    bytes: int


@dataclass(frozen=True, slots=True)
class PageRange:
    """Pages ``[start, end)`` of a heap; ``end`` None: as far as it goes, whatever was added meanwhile."""

    relation: Relation
    start: int
    end: int | None

    def select(self, dialect: Postgres, read: Read) -> str:
        """The read's rows in these pages."""
        conditions = [f"ctid >= '({self.start},0)'::tid"] if self.start else []
        conditions += [f"ctid < '({self.end},0)'::tid"] if self.end is not None else []
        narrowed = replace(read, relation=self.relation)
        return f"SELECT {dialect.select_list(narrowed)}\n{dialect.from_where(narrowed, *conditions)}"


@dataclass(frozen=True, slots=True)
class Pages:
    """Ranges of pages that are read one after the other."""

    ranges: tuple[PageRange, ...]

    def select(self, dialect: Postgres, read: Read) -> str:
        """The read's rows in these pages."""
        return "\nUNION ALL\n".join(part.select(dialect, read) for part in self.ranges)


@dataclass(frozen=True, slots=True)
class Slice:
    """The rows of a read for which further conditions hold; without any, all of them."""

    where: tuple[Condition, ...] = ()

    def select(self, dialect: Postgres, read: Read) -> str:
        """The read's rows in this slice."""
        return dialect.render(replace(read, where=(*read.where, *self.where)))


Piece = Pages | Slice


def file_count(size: int, at_most: int) -> int:
    return max(1, min(at_most, size // BYTES_PER_FILE))


def page_ranges(heaps: Sequence[Heap], files: int) -> list[list[PageRange]]:
    """About ``files`` groups of about equal size, in the order of the heaps and their pages.

    Every heap's last range is open-ended. Small heaps share a group, a large one spreads over several.
    """
    total = sum(max(heap.bytes, 1) for heap in heaps)
    groups: list[list[PageRange]] = [[] for _ in range(max(files, 1))]
    before = 0
    for heap in heaps:
        size = max(heap.bytes, 1)
        first = before * len(groups) // total
        last = (before + size - 1) * len(groups) // total
        cuts = _page_cuts(heap, [group * total // len(groups) - before for group in range(first + 1, last + 1)])
        for group, (start, end) in enumerate(pairwise([0, *cuts, None]), start=first):
            if end is None or end > (start or 0):
                groups[group].append(PageRange(heap.relation, start or 0, end))
        before += size
    return [group for group in groups if group]


def _page_cuts(heap: Heap, offsets: Sequence[int]) -> list[int]:
    """Byte offsets within a heap as page numbers, ascending."""
    return [offset * heap.pages // max(heap.bytes, 1) for offset in offsets]


def column_ranges(column: Column, low: Value, high: Value, parts: int) -> list[tuple[Condition, ...]]:
    """Conditions that cut a column into ``parts`` ranges; the outer ones are open, and one more takes the NULLs."""
    keys = _between(low, high, parts)
    texts = sorted({_value(column, key) for key in keys}, key=order_key)
    inner = [value for value in texts if low < value]
    if not inner:
        return [()]
    ranges: list[tuple[Condition, ...]] = [(Comparison(column.name, "<", inner[0]),)]
    for start, end in pairwise(inner):
        ranges.append((Comparison(column.name, ">=", start), Comparison(column.name, "<", end)))
    ranges.append((Comparison(column.name, ">=", inner[-1]),))
    if column.nullable:
        ranges.append((IsNull(column.name),))
    return ranges


def _between(low: Value, high: Value, parts: int) -> list[int | Decimal]:
    start, end = order_key(low), order_key(high)
    if isinstance(start, Decimal) or isinstance(end, Decimal):
        width = Decimal(end) - Decimal(start)
        return [Decimal(start) + width * part / parts for part in range(1, parts)]
    return [start + (end - start) * part // parts for part in range(1, parts)]


def _value(column: Column, key: int | Decimal) -> Value:
    name = column.type.name
    if name == "date":
        return Value(column.type, date.fromordinal(int(key)).isoformat())
    if name in ("timestamp", "timestamp_ntz"):
        return Value(column.type, timestamp_text(int(key) // 1000 * 1000, zoned=name == "timestamp"))
    if name in INTEGERS:
        return Value(column.type, str(int(key)))
    return Value(column.type, format(Decimal(key), "f"))
