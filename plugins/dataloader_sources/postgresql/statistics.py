"""What DuckDB says about a file that it wrote (``RETURN_STATS``), as the core's :class:`ColumnStats`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal

from dataloader_core.interfaces.source import ColumnStats
from dataloader_core.plan import Column
from dataloader_core.types import ColumnType

_TEXT_LIMIT = 256
"""DuckDB cuts longer strings, so a text of this many bytes is a bound and not a value that was read."""


def column_stats(raw: Mapping[str, Mapping[str, str]], columns: Sequence[Column]) -> dict[str, ColumnStats]:
    """Statistics by target name; a column that DuckDB says nothing about has none."""
    found = {_unquoted(key): values for key, values in raw.items()}
    return {c.target: _stats(c.type, found[c.target]) for c in columns if c.target in found}


def _unquoted(key: str) -> str:
    return key[1:-1].replace('""', '"') if key.startswith('"') else key


def _stats(type_: ColumnType, values: Mapping[str, str]) -> ColumnStats:
    nulls = values.get("null_count")
    low, high = values.get("min"), values.get("max")
    if low is None or high is None or not _usable(type_, low, high, values):
        low = high = None
    elif type_.name == "boolean":
        low, high = (_boolean(text) for text in (low, high))
    return ColumnStats(low, high, None if nulls is None else int(nulls))


def _boolean(text: str) -> str:
    return "true" if text in ("1", "true") else "false"


def _usable(type_: ColumnType, low: str, high: str, values: Mapping[str, str]) -> bool:
    if type_.name == "binary":
        return False
    if type_.name == "string":
        return max(len(low.encode()), len(high.encode())) < _TEXT_LIMIT
    if type_.name in ("float", "double"):
        finite = math.isfinite(float(low)) and math.isfinite(float(high))
        return finite and values.get("has_nan", "false") == "false"
    return True


def may_hold_unrepresentable(column: Column, stats: ColumnStats | None, *, nulled: bool) -> bool:
    """Whether a guarded value can be behind these statistics.

    The reader turns NaN in a ``numeric(p,s)`` into 0; infinite, BC and far dates show in the text of the lowest
    or highest value. Where the projection already made them NULL (``nulled``), only the NULLs tell.
    """
    if stats is None:
        return True
    if nulled:
        return stats.nulls != 0
    if stats.low is None or stats.high is None:
        return True
    if column.type.name == "decimal":
        return Decimal(stats.low) <= 0 <= Decimal(stats.high)
    if column.type.name in ("date", "timestamp", "timestamp_ntz"):
        return not (_plain_year(stats.low) and _plain_year(stats.high))
    return True


def _plain_year(text: str) -> bool:
    """Years 1 to 9999 are four digits and a dash; DuckDB writes ``infinity``, ``(BC)`` or more digits otherwise."""
    return text[:4].isdigit() and text[4:5] == "-" and text[:4] != "0000" and "BC" not in text
