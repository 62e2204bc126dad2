"""Statistics of data files: from the writer's texts to what Delta's log holds, and merged over files.

Delta's bounds must hold; where a bound cannot be told exactly it is left out. Numbers are written with all their
digits, never through floats; floats themselves get no bounds, because writers leave NaN out of theirs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Final

from dataloader_core.commit import TargetColumn
from dataloader_core.errors import ConfigurationError
from dataloader_core.interfaces.source import ColumnStats
from dataloader_core.types import INTEGERS, ColumnType
from dataloader_core.values import Value, order_key, timestamp_text

INDEXED_COLUMNS: Final = 32
"""Delta's own default: bounds of further columns only where they are keys."""
_STRING_LENGTH: Final = 32
_NUMBER = re.compile(r"-?\d+(\.\d+)?")
_PLAIN_TIME = re.compile(r"\d{4}-\d\d-\d\d([ T][\d:.]+([+-][\d:]+|Z)?)?")


def delta_stats(
    rows: int, stats: Mapping[str, ColumnStats], columns: Sequence[TargetColumn], keys: Collection[str]
) -> str:
    """The ``stats`` of an add action, as JSON text."""
    low: dict[str, str] = {}
    high: dict[str, str] = {}
    nulls: dict[str, str] = {}
    for at, column in enumerate(columns):
        found = stats.get(column.name)
        if found is None or (at >= INDEXED_COLUMNS and column.name not in keys):
            continue
        if found.nulls is not None:
            nulls[column.name] = str(found.nulls)
        bounds = _bounds(column.type, found)
        if bounds:
            low[column.name], high[column.name] = bounds
    parts = {
        "numRecords": str(rows),
        "minValues": _object(low),
        "maxValues": _object(high),
        "nullCount": _object(nulls),
    }
    return _object(parts)


def _object(raw: Mapping[str, str]) -> str:
    """A JSON object whose values are JSON text already: ``json`` would turn decimals into floats."""
    return "{" + ",".join(f"{json.dumps(k)}:{v}" for k, v in raw.items()) + "}"


def _bounds(kind: ColumnType, found: ColumnStats) -> tuple[str, str] | None:
    if found.low is None or found.high is None:
        return None
    if kind.name == "string":
        high = _upper_bound(found.high)
        return None if high is None else (json.dumps(found.low[:_STRING_LENGTH]), json.dumps(high))
    low_text, high_text = _exact(kind, found.low), _exact(kind, found.high)
    return (low_text, high_text) if low_text and high_text else None


def _upper_bound(text: str) -> str | None:
    """A text that is not below any that starts like ``text``, of bounded length."""
    if len(text) <= _STRING_LENGTH:
        return text
    prefix = text[:_STRING_LENGTH]
    while prefix:
        code = ord(prefix[-1]) + 1
        if code == 0xD800:  # surrogates are no characters
            code = 0xE000
        if code <= 0x10FFFF:
            return prefix[:-1] + chr(code)
        prefix = prefix[:-1]
    return None


def _exact(kind: ColumnType, text: str) -> str | None:
    if kind.name in (*INTEGERS, "decimal"):
        return text if _NUMBER.fullmatch(text) else None
    if kind.name not in ("date", "timestamp", "timestamp_ntz"):
        return None
    try:
        key = order_key(Value(kind, text))
    except ConfigurationError:
        return None  # before year 1, after 9999, or infinite
    if kind.name == "date":
        return json.dumps(text)
    plain, _, fraction = timestamp_text(int(key), zoned=False).partition(".")
    zone = "Z" if kind.name == "timestamp" else ""
    return json.dumps(f"{plain.replace(' ', 'T')}.{fraction.ljust(6, '0')}{zone}")


def merge_stats(
    files: Iterable[Mapping[str, ColumnStats]], types: Mapping[str, ColumnType]
) -> Mapping[str, ColumnStats]:
    """One set of bounds over several files, for the source to look at."""
    merged: dict[str, ColumnStats] = {}
    for stats in files:
        for name, found in stats.items():
            kind = types.get(name)
            if kind is not None:
                merged[name] = _wider(kind, merged[name], found) if name in merged else found
    return merged


def _wider(kind: ColumnType, a: ColumnStats, b: ColumnStats) -> ColumnStats:
    nulls = None if a.nulls is None or b.nulls is None else a.nulls + b.nulls
    return ColumnStats(_extreme(kind, a.low, b.low, min), _extreme(kind, a.high, b.high, max), nulls)


def _extreme(kind: ColumnType, a: str | None, b: str | None, pick: object) -> str | None:
    if a is None or b is None:
        # A file without bounds holds only NULLs, or values that the writer could not bound: unknown either way.
        return None
    keys = [_sort_key(kind, t) for t in (a, b)]
    odd = next((t for t, k in zip((a, b), keys, strict=True) if k is None), None)
    if odd is not None:
        return odd  # whoever looks must see it
    assert callable(pick)
    return a if pick(keys) == keys[0] else b


def _sort_key(kind: ColumnType, text: str) -> Decimal | str | None:
    if kind.name in ("date", "timestamp", "timestamp_ntz"):
        return text if _PLAIN_TIME.fullmatch(text) else None
    if kind.name in (*INTEGERS, "decimal", "float", "double"):
        try:
            number = Decimal(text)
        except InvalidOperation:
            return None
        return number if number.is_finite() else None
    return text
