"""Rows on their way: from a source to Parquet files that no table names, and what must be asked of them.

Everything is asked of these files and never of the source again: they are what a commit writes, however often it is
tried, and of them only samples of doubled keys reach the driver. See :mod:`~dataloader_engines.spark.passing` for rows
that need not wait.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from dataloader_core.errors import KeyValuesError, UnrepresentableValueError
from dataloader_core.interfaces.source import ColumnStats, Progress, SourceSnapshot, Unrepresentable, WayOfReading
from dataloader_core.plan import Column, HighestRead, Read
from dataloader_core.schema import SchemaPolicy
from dataloader_core.types import INTEGERS
from dataloader_core.values import Value
from dataloader_engines.spark import reading
from dataloader_engines.spark.passing import Passing
from dataloader_engines.spark.reading_errors import reading_errors
from dataloader_engines.spark.session import LoadSession
from dataloader_engines.spark.sql import literal, quote, unglobbed

_SAMPLES: Final = 5
_BOUNDED: Final = (*INTEGERS, "decimal", "date", "timestamp", "timestamp_ntz", "float", "double")


@dataclass(frozen=True)
class Origin:
    """Where rows come from.

    Attributes:
        columns: The source's, before the schema policy.
        comment: The source's on the table.
    """

    columns: Sequence[Column]
    policy: SchemaPolicy
    comment: str | None


@dataclass(frozen=True)
class Staged:
    """One step's rows, ready for a commit; the engine's part of ``Prepared``.

    Attributes:
        relation: What a query reads them from, in SQL.
        folder: Where they lie, to be deleted after the commit; None: nowhere yet (``passing``), or in a table that is
            dropped elsewhere.
        passing: How they are read while the commit writes them; None: they were read.
        names: Their columns' names.
        progress: Raises once the load is to stop; asked while the rows are committed.
        bounds: Lowest and highest value of the merge's first key, as text of its type; None where it is not known.
    """

    relation: str
    folder: str | None
    names: tuple[str, ...]
    rows: int
    bytes: int
    origin: Origin
    progress: Progress
    bounds: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    passing: Passing | None = None


@dataclass(frozen=True)
class Facts:
    """What one query over the files told. ``stats`` by target name, ``keys``: how many there are, none of them NULL."""

    rows: int
    nulls: Mapping[str, int]
    keys: int
    stats: Mapping[str, ColumnStats]
    highest: Value | None
    above: int


def write(
    session: LoadSession,
    folder: str,
    read: Read,
    snapshot: SourceSnapshot,
    way: WayOfReading,
    parts: int,
) -> None:
    """Carry the read out, into Parquet files of a new folder.

    Raises:
        What the source raises, also on an executor.
    """
    with reading_errors(snapshot, read):
        frame = reading.dataframe(session.spark, snapshot, read, way, parts, session.drivers)
        frame.write.option("compression", "snappy").parquet(folder)


def relation(folder: str) -> str:
    """The folder's files as a table in SQL."""
    return f"parquet.{quote(unglobbed(folder))}"


def ask(
    session: LoadSession,
    relation: str,
    read: Read,
    keys: Sequence[str],
    rule: HighestRead | None,
    *,
    bounded: Sequence[str] = (),
) -> Facts:
    """Count the rows and their keys, and find the bounds that guards, merges and watermarks want: in one query."""
    watermark = _column(read.columns, rule) if rule is not None else None
    guarded = [c for c in read.columns if (c.guards or c.target in bounded) and c.type.name in _BOUNDED]
    distinct = f"count(DISTINCT {', '.join(map(quote, keys))})" if keys else "0"
    wanted = ["count(*)", *(f"count({quote(k)})" for k in keys), distinct]
    for column in guarded:
        name = quote(column.target)
        wanted += [f"CAST(min({name}) AS STRING)", f"CAST(max({name}) AS STRING)", f"count({name})"]
    if watermark is not None:
        assert rule is not None
        wanted += _watermark_sql(watermark, rule)
    [row] = session.sql(f"SELECT {', '.join(wanted)} FROM {relation}").collect()
    told = iter(row)
    rows = next(told)
    nulls = {key: rows - next(told) for key in keys}
    found = next(told)
    stats = {c.target: _stats(next(told), next(told), rows - next(told)) for c in guarded}
    if watermark is None:
        return Facts(rows, nulls, found, stats, None, 0)
    high = next(told)
    return Facts(rows, nulls, found, stats, None if high is None else Value(watermark.type, high), next(told) or 0)


def _column(columns: Sequence[Column], rule: HighestRead) -> Column | None:
    """The watermark's column where what was read can tell it."""
    return next((c for c in columns if c.name == rule.column and c.exact), None)


def _watermark_sql(column: Column, rule: HighestRead) -> list[str]:
    name = quote(column.target)
    below = "true"
    if rule.upto is not None:
        below = f"{name} {'<=' if rule.inclusive else '<'} {literal(rule.upto, column.type)}"
    high = f"max({name}) FILTER (WHERE {below})"
    shown = f"hex({high})" if column.type.name == "binary" else f"CAST({high} AS STRING)"
    return [shown, f"count(*) FILTER (WHERE NOT ({below}))"]


def _stats(low: str | None, high: str | None, nulls: int) -> ColumnStats:
    return ColumnStats(low, high, nulls)


def check_fits(read: Read, found: Sequence[Unrepresentable]) -> None:
    """That values which the types cannot hold may become NULL.

    Raises:
        UnrepresentableValueError: under ``on_unrepresentable = fail``.
    """
    if found and read.on_unrepresentable == "fail":
        listed = "; ".join(f"{u.column}: {u.kind} in {u.rows} rows" for u in found)
        raise UnrepresentableValueError(
            f"Values that the column's type cannot hold: {listed}.",
            cure="Set on_unrepresentable to 'null', correct them at the source, or cast the column in a `query`.",
        )


def check_keys(session: LoadSession, relation: str, keys: Sequence[str], facts: Facts) -> None:
    """A NULL or doubled key would be inserted again with every load.

    Raises:
        KeyValuesError: names the columns; up to five values are in its ``samples`` and nowhere else.
    """
    empty = [f"{key} ({count} rows)" for key, count in facts.nulls.items() if count]
    if empty:
        raise KeyValuesError(
            f"Key columns are NULL: {', '.join(empty)}.",
            cure="Choose other primary_key_cols, or leave those rows out with a `filter`.",
        )
    if facts.keys == facts.rows:
        return
    listed = ", ".join(map(quote, keys))
    doubled = session.sql(
        f"SELECT {listed} FROM {relation} GROUP BY {listed} HAVING count(*) > 1 LIMIT {_SAMPLES}"
    ).collect()
    raise KeyValuesError(
        f"Keys ({', '.join(keys)}) occur more than once in what was read.",
        cure="Choose primary_key_cols that are unique, or make the rows unique in a `query`.",
        samples=[", ".join(map(str, row)) for row in doubled],
    )
