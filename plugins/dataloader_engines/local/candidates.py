"""Which files of a table may hold rows that a merge touches, told from the log's statistics alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from dataloader_core.commit import TargetColumn
from dataloader_core.plan import Comparison, Condition
from dataloader_engines.local.duck import Duck, condition_sql, quote, text
from dataloader_engines.local.look import Handle
from dataloader_engines.local.types import duckdb_type

_PRUNABLE: Final = frozenset({"smallint", "int", "bigint", "decimal", "string", "date", "timestamp", "timestamp_ntz"})
"""Not floats: other writers leave NaN out of their bounds, and NaN is a key like any other."""
_SLACK: Final = "INTERVAL 1 MILLISECOND"
"""Spark cuts the upper bound of a timestamp to milliseconds."""


def has_bounds(handle: Handle, column: TargetColumn) -> bool:
    there = {c.name: c.type for c in handle.columns}.get(column.name)
    return (
        there == column.type
        and column.type.name in _PRUNABLE
        and f"min.{column.name}" in handle.adds.schema.names
        and f"max.{column.name}" in handle.adds.schema.names
    )


def make_bounds(duck: Duck, handle: Handle, column: TargetColumn, files: Iterable[int] | None = None) -> None:
    """Make the table ``bounds`` of these files (None: all): ``i``, ``lo``, ``hi``.

    From text, because handing Arrow to DuckDB imports pandas where that is installed: a second and 50 MB.
    """
    found = handle.bounds(column.name)
    kind = duckdb_type(column.type)
    rows = range(len(found)) if files is None else files
    values = ", ".join(f"({i}, {_sql(found[i].low)}, {_sql(found[i].high)})" for i in rows) or "(NULL, NULL, NULL)"
    duck.run(
        f"CREATE OR REPLACE TABLE bounds AS SELECT i, CAST(lo AS {kind}) AS lo, CAST(hi AS {kind}) AS hi "
        f"FROM (VALUES {values}) v(i, lo, hi) WHERE i IS NOT NULL"
    )


def _sql(value: str | None) -> str:
    return "NULL" if value is None else text(value)


def by_keys(duck: Duck, handle: Handle, keys: Sequence[TargetColumn], incoming: str) -> set[int]:
    """Files whose bounds of every key contain at least one incoming value of it."""
    found = set(range(len(handle.files)))
    for key in keys:
        if not has_bounds(handle, key):
            continue
        make_bounds(duck, handle, key)
        name = quote(key.name)
        # The smallest incoming value that is not below the file's lower bound decides.
        rows = duck.run(
            f"SELECT i FROM bounds WHERE lo IS NULL OR hi IS NULL UNION ALL "
            f"SELECT b.i FROM bounds b ASOF JOIN (SELECT DISTINCT {name} AS k FROM {incoming}) s ON b.lo <= s.k "
            f"WHERE s.k <= {_upper(key)}"
        )
        found &= {i for (i,) in rows}
    return found


def by_conditions(duck: Duck, handle: Handle, where: Sequence[Condition], types: dict[str, TargetColumn]) -> set[int]:
    """Files whose bounds do not rule out a row that meets all conditions. ``types``: by casefolded name."""
    found = set(range(len(handle.files)))
    for condition in where:
        column = types[condition.column.casefold()]
        if not isinstance(condition, Comparison) or not has_bounds(handle, column):
            continue
        make_bounds(duck, handle, column)
        tests = {
            "lo": condition.op in ("<", "<=", "="),
            "hi": condition.op in (">", ">=", "="),
        }
        parts = []
        for bound in (b for b, wanted in tests.items() if wanted):
            op = {"=": "<=" if bound == "lo" else ">="}.get(condition.op, condition.op)
            value = condition_sql([Comparison(condition.column, op, condition.value)], types)  # type: ignore[arg-type]  # `<=` or `>=`
            side = "lo" if bound == "lo" else _upper(column)
            parts.append(value.replace(quote(column.name), side, 1))
        rows = duck.run(f"SELECT i FROM bounds b WHERE lo IS NULL OR hi IS NULL OR ({' AND '.join(parts)})")
        found &= {i for (i,) in rows}
    return found


def _upper(column: TargetColumn) -> str:
    return f"(b.hi + {_SLACK})" if column.type.name.startswith("timestamp") else "b.hi"
