"""The merge, in the three ways that it can be written: MERGE, an overwrite of its window, or a rewrite.

Final rows of every merge: those read, and those of the table that match no delete condition and have no key that was
read. An overwrite of the rows that match the delete conditions gives the same where no other row has a key that was
read, and where every row read lies inside: this is looked up first. It rewrites only the window's files, where a MERGE
searches them all.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from dataloader_core import failpoints
from dataloader_core.commit import TargetColumn
from dataloader_core.plan import Merge
from dataloader_core.types import INTEGERS
from dataloader_engines.spark import commits
from dataloader_engines.spark.look import Entry
from dataloader_engines.spark.sql import either, quote, text

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from dataloader_engines.spark.writing import Writer

_AS_IT_LIES: Final = {"spark.databricks.delta.merge.materializeSource": "none"}
"""What was read lies in files that nobody changes; Delta would copy it, for fear that a second scan finds others."""
_TABLE: Final = "dataloader_table"
_READ: Final = "dataloader_read"
_MATCHED: Final = "dataloader_matched"
"""Names that nobody gives a column: Spark takes ``t.id`` for a field of a column ``t`` where there is one."""
_PRUNABLE: Final = (*INTEGERS, "decimal", "date", "timestamp", "timestamp_ntz")
_BY_JAVAS_CALENDAR: Final = ("date", "timestamp")
_FIRST_DAY: Final = "1582-10-15"
"""Of Java's calendar, which has none of the ten days before: a condition on one of them reaches files, and overwrites,
as one on 1582-10-20 (seen with Spark 4.1), so that rows were not found, or lost."""
_OF_FILES: Final = "_metadata"
"""What Spark itself knows of a row's file. A column of that name hides it."""


@dataclass(frozen=True, slots=True)
class Tally:
    """What a merge will find.

    Attributes:
        there: Rows of the table, where the merge deletes; otherwise those in the range of the keys that were read.
        deleted: Rows that go without being replaced.
        updated: Rows that are replaced.
        strays: Rows outside the window with a key that was read, and rows read that lie outside.
        doubled: Rows that share such a key with another. A MERGE would keep them all.
        files: Files with rows in the range of the keys; ``touched``: those with rows that are replaced. None where
            nobody asks, as the merge deletes, or nobody knows.
    """

    there: int
    deleted: int
    updated: int
    strays: int
    doubled: int
    files: int | None = None
    touched: int | None = None


def window(writer: Writer, write: Merge, table: str = "") -> str:
    """The rows that the merge may delete."""
    return either(write.delete_where, write.delete_missing_where, names=writer.names, table=table)


def tally(writer: Writer, write: Merge) -> Tally:
    """Count before anything is written: over the keys alone, which costs little beside the merge."""
    return _tally_of_window(writer, write) if window(writer, write) != "false" else _tally_of_range(writer, write)


def _tally_of_range(writer: Writer, write: Merge) -> Tally:
    # By the hash of its path: beside the keys, that is what is sent around. A column of that name hides it.
    file = "NULL" if _OF_FILES in writer.names else f"xxhash64({_TABLE}.{_OF_FILES}.file_path)"
    [row] = writer.session.sql(
        f"SELECT count(*) AS there, count_if({_READ}.{_MATCHED}) AS updated, "
        f"count(DISTINCT {_if_matched(writer, write)}) AS keys, "
        f"size(collect_set({file})) AS files, size(collect_set(if({_READ}.{_MATCHED}, {file}, NULL))) AS touched "
        f"{_with_read(writer, write)} WHERE {key_range(writer, write, _TABLE)}"
    ).collect()
    return Tally(row.there, 0, row.updated, 0, row.updated - row.keys, row.files or None, row.touched)


def _tally_of_window(writer: Writer, write: Merge) -> Tally:
    inside = f"coalesce({window(writer, write, f'{_TABLE}.')}, false)"
    staged = writer.staged_sql(writer.change.columns)
    [row] = writer.session.sql(
        f"SELECT count(*) AS there, count_if({inside}) AS inside, "
        f"count_if({inside} AND {_READ}.{_MATCHED}) AS replaced, count_if({_READ}.{_MATCHED}) AS updated, "
        f"count(DISTINCT {_if_matched(writer, write)}) AS keys, "
        f"(SELECT count_if(NOT coalesce({window(writer, write)}, false)) FROM ({staged})) AS outside "
        f"{_with_read(writer, write)}"
    ).collect()
    strays = row.updated - row.replaced + row.outside
    return Tally(row.there, row.inside - row.replaced, row.updated, strays, row.updated - row.keys)


def _with_read(writer: Writer, write: Merge) -> str:
    """The table with the keys that were read, where ``_MATCHED`` is true."""
    keys = _keys(writer, write)
    read = f"SELECT {_listed(keys)}, true AS {_MATCHED} FROM ({writer.staged_sql(writer.change.columns)})"
    return f"FROM {writer.address.sql} {_TABLE} LEFT JOIN ({read}) {_READ} ON {_on(keys)}"


def _if_matched(writer: Writer, write: Merge) -> str:
    """The keys of a row of the table; NULL, which is not counted, where none was read that is like them."""
    return ", ".join(f"if({_READ}.{_MATCHED}, {_of(_TABLE, key)}, NULL)" for key in _keys(writer, write))


def merged(writer: Writer, write: Merge, where: str = "true") -> DataFrame:
    """The final rows among those of the table that match ``where``."""
    keys = _keys(writer, write)
    gone = f"coalesce({window(writer, write, f'{_TABLE}.')}, false)"
    staged = writer.staged_sql(writer.change.columns)
    return writer.typed(
        f"SELECT {_TABLE}.* FROM ({writer.table_sql(where)}) {_TABLE} LEFT ANTI JOIN ({staged}) {_READ} ON {_on(keys)} "
        f"WHERE NOT {gone} UNION ALL {staged}"
    )


def union_all(writer: Writer) -> DataFrame:
    """The table's rows and those read, in the new schema."""
    return writer.typed(f"{writer.table_sql()} UNION ALL {writer.staged_sql(writer.change.columns)}")


def key_range(writer: Writer, write: Merge, table: str = "") -> str:
    """A condition that every row with a key that was read meets; the narrower, the fewer files are written anew.

    Args:
        table: What the table is called in a join, where Delta then leaves out files without such keys.
    """
    key = _keys(writer, write)[0]
    bounds = writer.staged.bounds.get(key.name.casefold())
    if bounds is None or key.type.name not in _PRUNABLE:
        return "true"
    if key.type.name in _BY_JAVAS_CALENDAR and bounds[0] < _FIRST_DAY:
        return "true"
    low, high = (f"CAST({text(bound)} AS {key.type})" for bound in bounds)
    name = _of(table, key) if table else quote(key.name)
    return f"{name} >= {low} AND {name} <= {high}"


def land_merge(writer: Writer, write: Merge, *, adds: bool) -> Entry:
    """One MERGE statement, whose transaction is in the session's configuration meanwhile.

    Args:
        adds: Rows were read that are not in the table. Where none were, Delta needs no outer join of both sides: it
            sends the rows read to each part of the table, and shuffles nothing. Whoever deletes one of these rows
            between the count and the statement has then deleted it after the load.
    """
    view = f"dataloader_{uuid4().hex}"
    writer.rows().createOrReplaceTempView(view)
    failpoints.hit("engine.before_commit")
    try:
        entry = commits.land(
            writer.session,
            writer.address,
            writer.handle.version,
            writer.record,
            lambda: _run(writer, _statement(writer, write, view, adds=adds)),
            around=_in_transaction(writer),
        )
    finally:
        writer.session.spark.catalog.dropTempView(view)
    failpoints.hit("engine.after_commit")
    return entry


@contextmanager
def _in_transaction(writer: Writer) -> Iterator[None]:
    with writer.stoppable(), writer.session.preferring(_AS_IT_LIES), writer.session.transaction(writer.record):
        yield


def _run(writer: Writer, statement: str) -> None:
    writer.session.sql(statement).collect()


def _statement(writer: Writer, write: Merge, view: str, *, adds: bool) -> str:
    """Columns are named one by one: Delta's ``*`` does not know a name with a backtick."""
    columns = [quote(c.name) for c in writer.change.columns]
    changed = ", ".join(f"{c} = {_READ}.{c}" for c in columns)
    values = ", ".join(f"{_READ}.{c}" for c in columns)
    added = f" WHEN NOT MATCHED THEN INSERT ({', '.join(columns)}) VALUES ({values})" if adds else ""
    evolution = "WITH SCHEMA EVOLUTION " if writer.change.added else ""
    deletes = window(writer, write, f"{_TABLE}.")
    gone = f" WHEN NOT MATCHED BY SOURCE AND ({deletes}) THEN DELETE" if deletes != "false" else ""
    return (
        f"MERGE {evolution}INTO {writer.address.sql} {_TABLE} USING {view} {_READ} "
        f"ON {_on(_keys(writer, write))} AND {key_range(writer, write, _TABLE)} "
        f"WHEN MATCHED THEN UPDATE SET {changed}{added}{gone}"
    )


def _keys(writer: Writer, write: Merge) -> list[TargetColumn]:
    return [writer.names[key.casefold()] for key in write.keys]


def _on(keys: list[TargetColumn]) -> str:
    return " AND ".join(f"{_of(_TABLE, key)} = {_of(_READ, key)}" for key in keys)


def _of(table: str, key: TargetColumn) -> str:
    return f"{table}.{quote(key.name)}"


def _listed(keys: list[TargetColumn]) -> str:
    return ", ".join(quote(key.name) for key in keys)
