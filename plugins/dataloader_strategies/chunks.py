"""Chunks of a backfill: where a column is cut, and what each chunk reads."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import ROUND_FLOOR, Decimal, localcontext
from itertools import pairwise
from typing import Final

from dataloader_core.errors import ConfigurationError
from dataloader_core.plan import Backfill, Column, Comparison, Condition, IsNull
from dataloader_core.types import INTEGERS, MAX_PRECISION, ColumnType
from dataloader_core.values import Value, order_key, timestamp_text

CHUNK_TYPES: Final = (*INTEGERS, "decimal", "date", "timestamp_ntz", "timestamp")
MAX_CHUNKS: Final = 1000
_FEWEST_ROWS: Final = 1_000_000
_MOST_ROWS: Final = 50_000_000
_WANTED_CHUNKS: Final = 10
_MICROSECOND: Final = 1000


def number_of_chunks(rows: int | None, *, chunks: int | None, chunk_rows: int | None) -> int:
    """How many chunks ``rows`` (an estimate) become.

    Without a setting: about ten, but none below a million rows, where a commit would cost more than it saves,
    and none above 50 million.
    """
    if chunks is not None:
        return chunks
    estimate = max(rows or 0, 0)
    size = chunk_rows or min(_MOST_ROWS, max(_FEWEST_ROWS, estimate // _WANTED_CHUNKS))
    return min(MAX_CHUNKS, max(1, -(-estimate // size)))


def boundaries(low: Value, high: Value, chunks: int) -> tuple[str, ...]:
    """Ascending texts that cut [low, high] into at most ``chunks`` intervals of equal width.

    The ends keep the source's own text, which may be finer than what is computed between them. A single value
    gives two equal boundaries: one chunk, closed at both ends.
    """
    first, last = order_key(low), order_key(high)
    inner: list[str] = []
    previous = low
    for number in range(1, chunks):
        cut = _value(low.type, first, last, number, chunks)
        if previous < cut < high:
            inner.append(cut.text)
            previous = cut
    return (low.text, *inner, high.text)


def _value(type: ColumnType, first: int | Decimal, last: int | Decimal, number: int, of: int) -> Value:
    """The value ``number / of`` of the way from ``first`` to ``last``, rounded down to the type's own steps."""
    if isinstance(first, Decimal) or isinstance(last, Decimal):
        with localcontext(prec=2 * MAX_PRECISION):
            cut = (Decimal(first) + (Decimal(last) - Decimal(first)) * number / of).quantize(
                Decimal(1).scaleb(-(type.scale or 0)), ROUND_FLOOR
            )
        return Value(type, f"{cut:f}")
    key = first + (last - first) * number // of
    if type.name == "date":
        return Value(type, date.fromordinal(key).isoformat())
    if type.name in ("timestamp", "timestamp_ntz"):
        return Value(type, timestamp_text(key - key % _MICROSECOND, zoned=type.name == "timestamp"))
    return Value(type, str(key))


def needs_null_chunk(cuts: Sequence[str], column: Column, *, has_null: bool, open_end: bool) -> bool:
    """Whether the NULLs are a chunk of their own; a single chunk without ends has them already.

    Without boundaries it stands for the one chunk that reads everything.
    """
    everything = len(cuts) == 2 and bool(column.guards) and open_end
    return not cuts or (has_null and not everything)


def chunk_conditions(backfill: Backfill, column: Column, *, open_end: bool) -> Sequence[tuple[Condition, ...]]:
    """What each chunk reads, in order: [b0, b1), [b1, b2), ... the last one closed, then the NULLs.

    A column with guards may hold what lies outside all bounds (infinity, NaN, a BC date): its first chunk has no
    lower end and its last none above, so that such a row fails the load or becomes NULL instead of being left out.
    Without boundaries there is one chunk, everything.

    Args:
        open_end: False: nothing above the last boundary may be read, whatever the column can hold.

    Raises:
        ConfigurationError: the stored boundaries are not of the column's type any more.
    """
    changed = ConfigurationError(
        f"The backfill was cut on {column.name!r} while it had another type; it is {column.type} now.",
        cure="Order load_full to start the backfill anew.",
    )
    try:
        cuts = [Value(column.type, text) for text in backfill.boundaries]
    except ConfigurationError:
        raise changed from None
    if not cuts:
        return [()]
    chunks = len(cuts) - 1
    beyond = bool(column.guards)
    if beyond and open_end and chunks == 1 and backfill.null_chunk:
        # One chunk without ends reads the NULLs too, so it is never given a chunk of NULLs.
        raise changed
    ranges: list[tuple[Condition, ...]] = []
    for number, (start, end) in enumerate(pairwise(cuts), 1):
        conditions: list[Condition] = []
        if number > 1 or not beyond:
            conditions.append(Comparison(column.name, ">=", start))
        if number < chunks:
            conditions.append(Comparison(column.name, "<", end))
        elif not (open_end and beyond):
            conditions.append(Comparison(column.name, "<=", end))
        ranges.append(tuple(conditions))
    return [*ranges, (IsNull(column.name),)] if backfill.null_chunk else ranges
