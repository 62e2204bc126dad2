"""One DuckDB for one table's load: bounded memory, exact types, files written with their statistics."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

import duckdb

from dataloader_core.commit import TargetColumn
from dataloader_core.interfaces.source import ColumnStats
from dataloader_core.parquet import Version, overflows_delta_encoding, version_for
from dataloader_core.plan import Comparison, Condition, IsNull
from dataloader_engines.local.types import duckdb_type

log = logging.getLogger(__name__)

T = TypeVar("T")

MAX_ROW_GROUP: Final = 122_880
_ROW_GROUP_VALUES: Final = 2_000_000
_GROWTH: Final = 4
_ROW_GROUP_MB: Final = 32
"""Long texts would otherwise make a group of many times the memory allowed."""


@dataclass(frozen=True)
class DataFile:
    """A data file that waits in the staging folder. ``stats`` by column of the table."""

    path: Path
    rows: int
    bytes: int
    stats: Mapping[str, ColumnStats] = field(default_factory=dict)


def quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def text(value: object) -> str:
    return "'" + str(value).replace("'", "''") + "'"


def row_group_rows(columns: int) -> int:
    """Wide tables get shorter row groups: a group is held in memory as a whole."""
    return max(2048, min(MAX_ROW_GROUP, _ROW_GROUP_VALUES // max(columns, 1) // 2048 * 2048))


def condition_sql(where: Sequence[Condition], types: Mapping[str, TargetColumn]) -> str:
    """Conditions joined by AND, over bare columns; never true for NULL unless asked. ``types``: by casefolded name."""
    parts = []
    for c in where:
        column = types[c.column.casefold()]
        name = quote(column.name)
        if isinstance(c, IsNull):
            parts.append(f"{name} IS NULL")
        elif isinstance(c, Comparison):
            parts.append(f"{name} {c.op} CAST({_literal(c)} AS {duckdb_type(column.type)})")
    return "(" + " AND ".join(parts) + ")"


def _literal(comparison: Comparison) -> str:
    value = comparison.value
    if value.type.name == "binary":
        return f"from_hex({text(value.text.removeprefix('0x'))})"
    return text(value.text)


def projection(columns: Sequence[TargetColumn], present: Mapping[str, str]) -> str:
    """These columns in their exact types; NULL where a file lacks one. ``present``: a file's own names, casefolded."""

    def source(name: str) -> str:
        return quote(present[name.casefold()]) if name.casefold() in present else "NULL"

    return ", ".join(f"CAST({source(c.name)} AS {duckdb_type(c.type)}) AS {quote(c.name)}" for c in columns)


class Duck:
    """A DuckDB in memory that spills to ``temp``. Statements run on cursors, up to ``threads`` at once.

    One long value takes several times its size at once and cannot be spilled: a statement that does not fit runs once
    more with ``_GROWTH`` times the memory, which then stays.
    """

    def __init__(self, temp: Path, *, threads: int, memory_mb: int) -> None:
        self.threads = threads
        self._more_mb: int | None = memory_mb * _GROWTH
        self._con = duckdb.connect(":memory:", config={"threads": threads})
        self._con.execute(f"SET memory_limit = '{memory_mb}MiB'")
        self._con.execute(f"SET temp_directory = {text(temp / 'spill')}")
        self._con.execute("SET preserve_insertion_order = false")
        self._con.execute("SET TimeZone = 'UTC'")
        self._con.execute("SET enable_progress_bar = false")

    def close(self) -> None:
        self._con.close()

    def run(self, sql: str) -> list[tuple[Any, ...]]:
        return self._with_room(lambda: self._con.execute(sql).fetchall())

    def register(self, name: str, arrow: Any) -> None:
        self._con.register(name, arrow)

    def forget(self, name: str) -> None:
        self._con.unregister(name)

    def parallel(self, jobs: Sequence[tuple[str, Path]], columns: Sequence[TargetColumn]) -> list[DataFile]:
        """Write each query to its file, several at once, each on one core."""
        if len(jobs) < 2 or self.threads < 2:
            return [self.copy(sql, path, columns) for sql, path in jobs]
        self._con.execute("SET threads = 1")
        try:
            with ThreadPoolExecutor(self.threads) as pool:
                return list(pool.map(lambda job: self._on_cursor(job[0], job[1], columns), jobs))
        except duckdb.OutOfMemoryException:
            # Long values: what does not fit twice may fit once.
            return [self.copy(sql, path, columns) for sql, path in jobs]
        finally:
            self._con.execute(f"SET threads = {self.threads}")

    def _on_cursor(self, sql: str, path: Path, columns: Sequence[TargetColumn]) -> DataFile:
        cursor = self._con.cursor()
        try:
            return _copy(cursor, sql, path, columns)
        finally:
            cursor.close()

    def copy(self, sql: str, path: Path, columns: Sequence[TargetColumn]) -> DataFile:
        return self._with_room(lambda: _copy(self._con, sql, path, columns))

    def _with_room(self, statement: Callable[[], T]) -> T:
        """Statements here give the same when they run again: they replace what they make."""
        try:
            return statement()
        except duckdb.OutOfMemoryException:
            if self._more_mb is None:
                raise
            log.info("rows do not fit into the memory allowed; trying again with %d MiB", self._more_mb)
        self._con.execute(f"SET memory_limit = '{self._more_mb}MiB'")
        self._more_mb = None
        return statement()

    def copy_split(
        self, sql: str, folder: Path, prefix: str, columns: Sequence[TargetColumn], mb: int
    ) -> list[DataFile]:
        """Write a query to as many files of about ``mb`` MiB as it needs; none for no rows."""
        options = _options(columns, _stream_version(columns))
        rows = self._con.execute(
            f"COPY ({sql}) TO {text(folder)} ({options}, FILE_SIZE_BYTES '{mb}MiB', "
            f"FILENAME_PATTERN {text(prefix + '{i}')}, OVERWRITE_OR_IGNORE)"
        ).fetchall()
        return [_written(row) for row in rows]

    def present(self, path: Path) -> dict[str, tuple[str, str]]:
        """A Parquet file's columns: casefolded name -> its own name and DuckDB's type."""
        rows = self.run(f"DESCRIBE SELECT * FROM read_parquet({text(path)})")
        return {name.casefold(): (name, kind) for name, kind, *_ in rows}


def _stream_version(columns: Sequence[TargetColumn]) -> Version:
    """A stream cannot be written a second time once its integers turn out to lie too far apart."""
    return "V1" if any(c.type.name == "int" for c in columns) else version_for(c.type for c in columns)


def _options(columns: Sequence[TargetColumn], version: Version) -> str:
    return (
        f"FORMAT parquet, PARQUET_VERSION {version}, COMPRESSION snappy, RETURN_STATS, "
        f"ROW_GROUP_SIZE {row_group_rows(len(columns))}, ROW_GROUP_SIZE_BYTES '{_ROW_GROUP_MB}MiB'"
    )


def _copy(con: duckdb.DuckDBPyConnection, sql: str, path: Path, columns: Sequence[TargetColumn]) -> DataFile:
    def write(version: Version) -> DataFile:
        [row] = con.execute(f"COPY ({sql}) TO {text(path)} ({_options(columns, version)})").fetchall()
        return _written(row)

    file = write(version_for(c.type for c in columns))
    return write("V1") if overflows_delta_encoding({c.name: c.type for c in columns}, file.stats) else file


def _written(row: tuple[Any, ...]) -> DataFile:
    filename, rows, size, _, stats, *_ = row
    return DataFile(Path(filename), rows, size, {_unquote(name): _column_stats(s) for name, s in stats.items()})


def _unquote(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name


def _column_stats(found: Mapping[str, str]) -> ColumnStats:
    nulls = found.get("null_count")
    return ColumnStats(found.get("min"), found.get("max"), int(nulls) if nulls is not None else None)
