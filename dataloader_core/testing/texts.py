"""Rows of texts as Arrow tables, and back: how the suites write values down and compare them, exactly.

A text is canonical when it is the one that :func:`rows_of` gives for its value: ``true``, digits, a decimal with all
digits of its scale, hex digits for ``binary``, ISO for dates and times (UTC for ``timestamp``), Python's shortest text
for a ``double`` and for the double that a ``float`` widens to.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal, localcontext
from typing import TYPE_CHECKING, Any, Final

from dataloader_core.testing.interpreter import Row
from dataloader_core.types import INTEGERS, MAX_PRECISION, ColumnType
from dataloader_core.values import Value, order_key, timestamp_text

if TYPE_CHECKING:
    import pyarrow as pa

_TIMES: Final = ("timestamp", "timestamp_ntz")
_NANOS: Final = 1000
"""Nanoseconds of a microsecond."""


def canonical(kind: ColumnType, text: str) -> str:
    """The same value as :func:`rows_of` writes it."""
    return _text(kind, _value(kind, text))


def canonical_rows(rows: Iterable[Row], types: Mapping[str, ColumnType]) -> list[Row]:
    return [{n: None if t is None else canonical(types[n], t) for n, t in row.items()} for row in rows]


def arrow_table(rows: Sequence[Row], types: Mapping[str, ColumnType]) -> pa.Table:
    """The rows with exactly these columns and the closed set's own Arrow types."""
    import pyarrow as pa

    arrays = [
        pa.array([None if (t := row[name]) is None else _value(kind, t) for row in rows], arrow_type(kind))
        for name, kind in types.items()
    ]
    return pa.table(arrays, names=list(types))


def rows_of(table: pa.Table, types: Mapping[str, ColumnType]) -> list[Row]:
    """The table's rows as canonical texts. ``types`` are those that the table is known to have."""
    columns = {name: _texts(kind, table.column(name)) for name, kind in types.items()}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def arrow_type(kind: ColumnType) -> pa.DataType:
    import pyarrow as pa

    if kind.name == "decimal":
        return pa.decimal128(kind.precision, kind.scale)
    if kind.name in _TIMES:
        return pa.timestamp("us", tz="UTC" if kind.name == "timestamp" else None)
    return {
        "boolean": pa.bool_(), "smallint": pa.int16(), "int": pa.int32(), "bigint": pa.int64(), "float": pa.float32(),
        "double": pa.float64(), "string": pa.string(), "binary": pa.binary(), "date": pa.date32(),
    }[kind.name]  # fmt: skip


def _texts(kind: ColumnType, column: Any) -> list[str | None]:
    import pyarrow as pa

    if kind.name in _TIMES:  # as numbers: a datetime ends before the year 9999 does, in zones east of UTC
        column = column.cast(pa.timestamp("us", column.type.tz)).cast(pa.int64())
    return [None if value is None else _text(kind, value) for value in column.to_pylist()]


def _value(kind: ColumnType, text: str) -> Any:
    if kind.name in _TIMES:
        return int(order_key(Value(kind, text))) // _NANOS
    if kind.name == "decimal":
        with localcontext(prec=MAX_PRECISION):
            return Decimal(text).quantize(Decimal(1).scaleb(-(kind.scale or 0)))
    return _PARSE[kind.name](text)


def _text(kind: ColumnType, value: Any) -> str:
    if kind.name in _TIMES:
        return timestamp_text(value * _NANOS, zoned=kind.name == "timestamp")
    if kind.name == "boolean":
        return "true" if value else "false"
    if kind.name == "binary":
        return bytes(value).hex()
    return f"{value:f}" if kind.name == "decimal" else str(value)


def _single(text: str) -> float:
    return float(struct.unpack("f", struct.pack("f", float(text)))[0])


_PARSE: Final[Mapping[str, Callable[[str], Any]]] = {
    **dict.fromkeys(INTEGERS, int),
    "boolean": {"true": True, "false": False}.__getitem__,
    "float": _single,
    "double": float,
    "string": str,
    "binary": bytes.fromhex,
    "date": date.fromisoformat,
}
