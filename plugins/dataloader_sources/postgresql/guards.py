"""Values that PostgreSQL holds and the closed set does not: how to find them, how to make them NULL.

A ``numeric(p,s)`` may be NaN (never infinite: the server refuses that with a precision). Dates and timestamps may be
infinite, and reach from 4713 BC far beyond year 9999, where Delta's readers end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dataloader_core.types import ColumnType

if TYPE_CHECKING:
    from dataloader_core.interfaces.source import SourceDialect
    from dataloader_core.plan import Column

NAN: Final = "NaN"
INFINITY: Final = "infinity"
BEFORE: Final = "before year 1"
AFTER: Final = "after year 9999"
NUMBER_GUARDS: Final = (NAN,)
TIME_GUARDS: Final = (INFINITY, BEFORE, AFTER)

_LIMITS: Final = {
    "date": ("'0001-01-01'::date", "'10000-01-01'::date"),
    "timestamp_ntz": ("'0001-01-01 00:00:00'::timestamp", "'10000-01-01 00:00:00'::timestamp"),
    "timestamp": ("'0001-01-01 00:00:00+00'::timestamptz", "'10000-01-01 00:00:00+00'::timestamptz"),
}


def guard_condition(dialect: SourceDialect, column: Column) -> list[tuple[str, str]]:
    """For each kind of value that the column's type cannot hold: its name and the condition that finds it.

    The conditions of one column exclude each other, and together are exactly the values that
    ``on_unrepresentable = null`` makes NULL.
    """
    name = dialect.quote(column.name)
    return [(kind, _condition(kind, name, column.type)) for kind in column.guards]


def without_guarded(column: str, kind: ColumnType) -> str:
    """The quoted column with every guarded value as NULL."""
    if kind.name == "decimal":
        return f"nullif({column}, 'NaN')"
    low, high = _LIMITS[kind.name]
    return f"CASE WHEN {column} >= {low} AND {column} < {high} THEN {column} END"


def within_type(column: str, kind: ColumnType) -> str | None:
    """The condition that the quoted column's value can be held; None: every value can."""
    if kind.name == "decimal":
        return f"{column} <> 'NaN'"
    if kind.name in _LIMITS:
        low, high = _LIMITS[kind.name]
        return f"{column} >= {low} AND {column} < {high}"
    return None


def _condition(kind: str, column: str, of: ColumnType) -> str:
    if kind == NAN:
        return f"{column} = 'NaN'"
    low, high = _LIMITS[of.name]
    return {
        INFINITY: f"{column} IN ('infinity', '-infinity')",
        BEFORE: f"({column} < {low} AND {column} > '-infinity')",
        AFTER: f"({column} >= {high} AND {column} < 'infinity')",
    }[kind]
