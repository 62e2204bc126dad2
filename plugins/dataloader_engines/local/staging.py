"""Rows on their way: from a source to Parquet files that nobody can see until a commit names them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa

from dataloader_core.commit import TargetColumn
from dataloader_core.errors import PluginError, UnrepresentableValueError
from dataloader_core.interfaces.source import ParquetOptions, Progress, SourceSnapshot, Unrepresentable, WayOfReading
from dataloader_core.plan import HighestRead, Read
from dataloader_core.schema import target_column
from dataloader_core.values import Value
from dataloader_engines.local.duck import DataFile, Duck, projection, quote, row_group_rows, text
from dataloader_engines.local.stats import merge_stats
from dataloader_engines.local.storage import Storage
from dataloader_engines.local.types import duckdb_type, holds_exactly

ARROW_FILE_MB: Final = 64
_SMALL_FILE: Final = 4 << 20
_COALESCED: Final = 64 << 20


@dataclass
class Stager:
    """Writes one step's rows into the storage's staging folder, under names that hold ``token``."""

    storage: Storage
    duck: Duck
    token: str
    threads: int
    files: int

    def read(
        self, read: Read, snapshot: SourceSnapshot, way: WayOfReading, progress: Progress
    ) -> tuple[list[DataFile], Sequence[Unrepresentable]]:
        """Everything the read gives, as files; what could not be told under ``on_unrepresentable = null``.

        Raises:
            UnrepresentableValueError: under ``on_unrepresentable = fail``.
        """
        columns = [target_column(c) for c in read.columns]
        if way.way == "parquet":
            files = self._written_by_source(read, columns, snapshot, progress)
            stats = merge_stats([f.stats for f in files], {c.name: c.type for c in columns})
            found = snapshot.unrepresentable(read, stats)
        else:
            files = self._written_from_arrow(read, columns, snapshot, progress)
            found = snapshot.unrepresentable(read, None)
        if found and read.on_unrepresentable == "fail":
            raise _unrepresentable(found)
        return self._coalesce(files, columns), found

    def _written_by_source(
        self, read: Read, columns: Sequence[TargetColumn], snapshot: SourceSnapshot, progress: Progress
    ) -> list[DataFile]:
        options = ParquetOptions(
            self.storage.staging,
            f"part-{self.token}-",
            files=self.files,
            threads=self.threads,
            row_group_rows=row_group_rows(len(columns)),
        )
        written = snapshot.write_parquet(read, options, progress)
        files = [DataFile(f.path, f.rows, os.stat(f.path).st_size, f.stats) for f in written if f.rows]
        for file in files:
            self._check(file.path, columns)
        return files

    def _check(self, path: Path, columns: Sequence[TargetColumn]) -> None:
        """A file of other types than the table's would be committed in silence and read as garbage."""
        present = list(self.duck.present(path).values())
        wanted = [(c.name, duckdb_type(c.type)) for c in columns]
        if present != wanted:
            wrong = next((w for w in wanted if w not in present), ("order", "of columns"))
            raise _other_columns(*wrong)

    def _written_from_arrow(
        self, read: Read, columns: Sequence[TargetColumn], snapshot: SourceSnapshot, progress: Progress
    ) -> list[DataFile]:
        stream = _Watched(snapshot.read_arrow(read), progress)
        for column in columns:
            at = stream.reader.schema.get_field_index(column.name)
            if at < 0 or not holds_exactly(column.type, stream.reader.schema.field(at).type):
                raise _other_columns(column.name, str(column.type))
        self.duck.register("arrow_rows", stream.reader)
        present = {name.casefold(): name for name in stream.reader.schema.names}
        try:
            return self.duck.copy_split(
                f"SELECT {projection(columns, present)} FROM arrow_rows",
                self.storage.staging,
                f"part-{self.token}-",
                columns,
                ARROW_FILE_MB,
            )
        except (duckdb.Error, pa.ArrowException):
            if stream.error is not None:
                raise stream.error from None
            raise
        finally:
            self.duck.forget("arrow_rows")

    def _coalesce(self, files: list[DataFile], columns: Sequence[TargetColumn]) -> list[DataFile]:
        """One file instead of many crumbs: every increment would leave as many behind."""
        size = sum(f.bytes for f in files)
        if len(files) < 2 or size > _COALESCED or size / len(files) > _SMALL_FILE:
            return files
        whole = self.duck.copy(f"SELECT * FROM {parquet(f.path for f in files)}", self.new_path("whole"), columns)
        for file in files:
            file.path.unlink()
        return [whole]

    def new_path(self, what: object) -> Path:
        return self.storage.staging / f"part-{self.token}-{what}.parquet"

    def copy_of(self, source: Path, number: int) -> Path:
        """The same bytes under a name of this step; a hard link where the file system can."""
        target = self.new_path(f"copy{number}")
        try:
            os.link(source, target)
        except OSError:
            shutil.copyfile(source, target)
        return target


def parquet(paths: Iterator[Path] | Sequence[Path]) -> str:
    """DuckDB's table function over these files."""
    return f"read_parquet([{', '.join(text(p) for p in paths)}])"


def highest_read(
    duck: Duck, files: Sequence[DataFile], read: Read, rule: HighestRead, snapshot: SourceSnapshot
) -> tuple[Value | None, int]:
    """The highest value read that is not above the rule's bound, and how many rows are above it."""
    if not files:
        return None, 0
    column = next((c for c in read.columns if c.name == rule.column), None)
    if column is None or not column.exact:
        return snapshot.highest(read, rule.column, rule.upto, rule.inclusive), 0
    name, kind = quote(column.target), duckdb_type(column.type)
    below = "true"
    if rule.upto is not None:
        bound = text(rule.upto.text.removeprefix("0x"))
        bound = f"from_hex({bound})" if column.type.name == "binary" else f"CAST({bound} AS {kind})"
        below = f"{name} {'<=' if rule.inclusive else '<'} {bound}"
    shown = (
        f"hex(max({name}) FILTER ({below}))"
        if column.type.name == "binary"
        else f"CAST(max({name}) FILTER ({below}) AS VARCHAR)"
    )
    [(high, above)] = duck.run(f"SELECT {shown}, count(*) FILTER (NOT {below}) FROM {parquet([f.path for f in files])}")
    return (None if high is None else Value(column.type, high)), above


def _other_columns(name: str, kind: str) -> PluginError:
    return PluginError(
        f"The source gave other columns than planned; {name!r} should be {kind}.",
        cure="Report this to the authors of the source's plugin, or set way_of_reading.",
    )


def _unrepresentable(found: Sequence[Unrepresentable]) -> UnrepresentableValueError:
    listed = "; ".join(f"{u.column}: {u.kind} in {u.rows} rows" for u in found)
    return UnrepresentableValueError(
        f"Values that the column's type cannot hold: {listed}.",
        cure="Set on_unrepresentable to 'null', correct them at the source, or cast the column in a `query`.",
    )


class _Watched:
    """A reader that reports progress. DuckDB tells only the text of what its input raises, so it is kept here."""

    def __init__(self, inner: Any, progress: Progress) -> None:
        self.error: BaseException | None = None
        self._progress = progress
        self.reader = pa.RecordBatchReader.from_batches(inner.schema, self._batches(inner))

    def _batches(self, inner: Any) -> Iterator[pa.RecordBatch]:
        rows = size = 0
        try:
            for batch in inner:
                rows, size = rows + batch.num_rows, size + batch.nbytes
                self._progress(rows, size)
                yield batch
        except GeneratorExit:
            raise
        except BaseException as error:
            self.error = error
            raise
