"""Questions about the rows of a read, as SQL.

Each stands around a SELECT that the dialect renders from the same relation, conditions and limit, so that question
and read always speak of the same rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from dataloader_core.plan import Column, Read
from dataloader_core.types import BOOLEAN, STRING, ColumnType
from dataloader_core.values import Value
from dataloader_sources.postgresql.dialect import Postgres
from dataloader_sources.postgresql.guards import within_type


@dataclass(frozen=True, slots=True)
class Suspicion:
    """A kind of value that a column may hold, and the condition over the bare relation that finds it."""

    column: Column
    kind: str
    condition: str


def count_suspicions(dialect: Postgres, read: Read, suspicions: Sequence[Suspicion]) -> str:
    """One row with a count for each suspicion."""
    columns = tuple(_probe(f"c{i}", BOOLEAN, f"({s.condition})") for i, s in enumerate(suspicions))
    counts = ", ".join(f"count(*) FILTER (WHERE c{i})" for i in range(len(suspicions)))
    return _over(dialect, counts, read, columns)


def highest(dialect: Postgres, read: Read, column: Column, upto: Value | None, *, inclusive: bool) -> str:
    """One text: the highest value that the type can hold and that is not above ``upto``, at full precision."""
    conditions = [condition] if column.guards and (condition := within_type("v", column.type)) else []
    if upto is not None:
        conditions.append(f"v {'<=' if inclusive else '<'} {dialect.literal(upto)}")
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    return _over(dialect, dialect.value_text(column, "max(v)"), read, _values(column)) + where


def tally(dialect: Postgres, read: Read, column: Column | None, upto: Value | None, *, inclusive: bool) -> str:
    """One row: how many rows, how many with a value that its type cannot hold, and of ``column``, if there is one, the
    text of its :func:`highest` value and how many rows are above ``upto``.
    """
    refused = " OR ".join(f"NOT ({c})" for c in _conditions(dialect, read.columns))
    probes = [_probe("refused", BOOLEAN, f"({refused or 'false'})")]
    items = ["count(*)", "count(*) FILTER (WHERE refused)"]
    if column is not None:
        probes += _values(column)
        held = (within_type("v", column.type) if column.guards else None) or "true"
        below = "true" if upto is None else f"v {'<=' if inclusive else '<'} {dialect.literal(upto)}"
        items.append(dialect.value_text(column, f"max(v) FILTER (WHERE {held} AND {below})"))
        items.append(f"count(*) FILTER (WHERE {held} AND NOT ({below}))")
    return _over(dialect, ", ".join(items), read, probes)


def _conditions(dialect: Postgres, columns: Sequence[Column]) -> list[str]:
    """For each column with guards: that its value can be held."""
    found = (within_type(dialect.quote(c.name), c.type) for c in columns if c.guards)
    return [condition for condition in found if condition is not None]


def lowest_and_highest(dialect: Postgres, read: Read, column: Column) -> str:
    """Two texts: the ends of what the type can hold of the column."""
    condition = within_type("v", column.type) if column.guards else None
    ends = f"{dialect.value_text(column, 'min(v)')}, {dialect.value_text(column, 'max(v)')}"
    return _over(dialect, ends, read, _values(column)) + (f" WHERE {condition}" if condition else "")


def check_text(dialect: Postgres, read: Read, column: Column) -> str:
    """Counts the column's values; fails with ``character_not_in_repertoire`` where one is not UTF-8.

    In a database without an encoding of its own (SQL_ASCII) nothing else checks the bytes.
    """
    text = _probe("v", STRING, f"convert_from(textsend(({column.projection})::text), 'UTF8')")
    return _over(dialect, "count(v)", read, (text,))


def _probe(target: str, type_: ColumnType, projection: str) -> Column:
    return Column(name=target, target=target, type=type_, projection=projection, native="")


def _over(dialect: Postgres, items: str, read: Read, columns: Sequence[Column]) -> str:
    limit = f"\nLIMIT {read.row_limit}" if read.row_limit is not None else ""
    inner = f"SELECT {dialect.select_list(replace(read, columns=tuple(columns)))}\n{dialect.from_where(read)}{limit}"
    return f"SELECT {items} FROM (\n{inner}\n) AS probe"


def _values(column: Column) -> tuple[Column]:
    return (_probe("v", column.type, column.projection),)
