"""One moment of a PostgreSQL database, as many connections as like see it, and the two ways to read it."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

import psycopg
from pydantic import SecretStr

from dataloader_core.errors import (
    DataLoaderError,
    SourceRefusedError,
)
from dataloader_core.interfaces.source import (
    ArrowPart,
    ColumnStats,
    JdbcRead,
    ParquetFile,
    ParquetOptions,
    Progress,
    SourceSnapshot,
    Tally,
    Unrepresentable,
    WayOfReading,
)
from dataloader_core.plan import Column, HighestRead, Read
from dataloader_core.values import Value
from dataloader_sources.postgresql import probes
from dataloader_sources.postgresql.errors import connect_error, translate
from dataloader_sources.postgresql.failures import explain, lost, unwritable
from dataloader_sources.postgresql.inquiry import Inquiry
from dataloader_sources.postgresql.layout import Layout, Part, lay_out, only_rows, parts_of

if TYPE_CHECKING:
    import pyarrow as pa

    from dataloader_sources.postgresql.arrow import ArrowStream
    from dataloader_sources.postgresql.scanner import ReaderSettings
    from dataloader_sources.postgresql.session import PostgresSession


class PostgresSnapshot(SourceSnapshot):
    """Holds a snapshot in a connection of its own until the context ends, and shares it with the readers.

    What is read stays locked against DROP and TRUNCATE (ACCESS SHARE) from the first question about it: a TRUNCATE
    would otherwise empty the table for every snapshot, an older one too.
    """

    def __init__(self, session: PostgresSession) -> None:
        self._session = session
        self._dialect = session.dialect
        self._stack = contextlib.ExitStack()
        self._streams: list[ArrowStream] = []
        self._exported = ""
        self._seen: dict[Read, list[Part]] = {}

    def __enter__(self) -> PostgresSnapshot:
        try:
            self._connection = psycopg.connect(
                self._session.conninfo(" snapshot"), autocommit=True, prepare_threshold=None
            )
        except psycopg.Error as error:
            raise connect_error(error, self._session.where) from None
        self._stack.callback(self._connection.close)
        try:
            self._session.set_up(self._connection)
            self._connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            row = self._connection.execute("SELECT pg_export_snapshot()").fetchone()
        except psycopg.Error as error:
            self._stack.close()
            raise translate(error) from None
        except BaseException:
            self._stack.close()
            raise
        assert row is not None
        self._exported = str(row[0])
        self._inquiry = Inquiry(self._dialect, self._connection)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for stream in self._streams:
            stream.close()
        self._stack.close()

    def ways(self, read: Read) -> Sequence[WayOfReading]:
        return self._parquet_way(read), *self._ways_of_others(read)

    def _parquet_way(self, read: Read) -> WayOfReading:
        from dataloader_sources.postgresql.extension import extension_problem

        if (problem := extension_problem()) is not None:
            return WayOfReading("parquet", False, problem)
        layout = self._lay_out(read, files=16)
        parallel = min(self._session.options.parallel, len(layout.pieces))
        return WayOfReading("parquet", True, f"DuckDB writes the files: {layout.reason}", parallel)

    def _ways_of_others(self, read: Read) -> tuple[WayOfReading, WayOfReading]:
        """Ways whose bytes pass through the engine, in parts if it can share them out."""
        from dataloader_sources.postgresql.arrow import driver_problem
        from dataloader_sources.postgresql.jdbc import JDBC, jdbc_problem

        layout = self._lay_out_at_once(read, self._session.options.parallel)
        missing = driver_problem()
        stream = f"ADBC: a stream on one connection, or DuckDB for an engine that shares out {layout.reason}"
        arrow = WayOfReading("arrow", missing is None, missing or stream, options={"parts": len(layout.pieces)})
        problem = jdbc_problem(self._session.settings)
        options = {"driver": JDBC.driver, "packages": JDBC.packages}
        told = problem or f"{JDBC.driver}: {layout.reason}"
        return arrow, WayOfReading("jdbc", problem is None, told, len(layout.pieces), options)

    def write_parquet(self, read: Read, options: ParquetOptions, progress: Progress) -> Sequence[ParquetFile]:
        from dataloader_sources.postgresql.parquet import ParquetCrew, ReadFailed
        from dataloader_sources.postgresql.scanner import for_duckdb

        layout = self._lay_out(read, options.files, options.threads)
        selects = layout.selects(self._dialect, for_duckdb(read))
        crew = ParquetCrew(self._reader_settings(), selects, read.columns, options, self._terminate)
        try:
            return crew.write(min(options.threads, self._session.options.parallel), progress)
        except ReadFailed as failed:
            error = unwritable(failed.cause, options.folder) or explain(
                failed.cause, failed.sql, self._inquiry.diagnosis(read)
            )
        raise error

    def read_arrow(self, read: Read) -> pa.RecordBatchReader:
        from dataloader_sources.postgresql.arrow import ArrowStream

        self._look_at(read)
        stream = ArrowStream(
            self._reader_settings(" arrow"), self._dialect.render(read), read, self._inquiry.diagnosis(read)
        )
        self._streams.append(stream)
        return stream.reader()

    def arrow_parts(self, read: Read, parts: int) -> Sequence[ArrowPart]:
        from dataloader_sources.postgresql.parts import parts_of_read

        layout = self._lay_out_at_once(read, parts)
        return parts_of_read(self._dialect, read, layout, self._reader_settings(" arrow"))

    def jdbc(self, read: Read, parts: int) -> JdbcRead:
        from dataloader_sources.postgresql.jdbc import jdbc_read

        layout = self._lay_out_at_once(read, parts)
        settings, options = self._session.settings, self._session.options
        return jdbc_read(self._dialect, read, layout, settings, options, self._reader_settings())

    def why_failed(self, read: Read) -> DataLoaderError | None:
        """Reads the rows again for the server's own error; where that works, the connection was lost."""
        return self._inquiry.diagnosis(read).replay(self._dialect.render(read)) or lost()

    def unrepresentable(self, read: Read, stats: Mapping[str, ColumnStats] | None) -> Sequence[Unrepresentable]:
        return self._inquiry.unrepresentable(read, stats)

    def tally(self, read: Read, rule: HighestRead | None) -> Tally | None:
        """Of tables of this server alone: a view may hold a clock, costs what it costs, and so may a filter."""
        if read.filter is not None or read.row_limit is not None or not only_rows(self._look_at(read)):
            return None
        return self._inquiry.tally(read, rule, self._column(read, rule.column) if rule is not None else None)

    def highest(self, read: Read, column: str, upto: Value | None, inclusive: bool) -> Value | None:
        found = self._column(read, column)
        text = self.ask(probes.highest(self._dialect, read, found, upto, inclusive=inclusive))[0][0]
        return None if text is None else Value(found.type, text)

    def ask(self, sql: str, parameters: Mapping[str, Any] | None = None) -> Sequence[Sequence[Any]]:
        """Rows of a question in the snapshot. A failed one leaves the snapshot as it was.

        Raises:
            DataLoaderError: what the server's error means.
        """
        return self._inquiry.ask(sql, parameters)

    def _lay_out(self, read: Read, files: int, threads: int = 2) -> Layout:
        parts = self._look_at(read)
        parallel = min(threads, self._session.options.parallel)
        return lay_out(self._dialect, read, parts, self.ask, self._connection.info.server_version, files, parallel)

    def _lay_out_at_once(self, read: Read, parts: int) -> Layout:
        """In pieces that may all be read at the same time: whoever reads them, they are the source's connections."""
        parts = max(1, min(parts, self._session.options.parallel))
        return self._lay_out(read, parts, parts)

    def _look_at(self, read: Read) -> list[Part]:
        """Lock what is read, and hear now, with the server's own error code, what would fail later."""
        if read not in self._seen:
            self.ask(f"SELECT FROM (\n{self._dialect.render(read)}\n) AS probe LIMIT 0")
            self._seen[read] = parts_of(self._dialect, read, self.ask)
        return self._seen[read]

    def _reader_settings(self, suffix: str = "") -> ReaderSettings:
        from dataloader_sources.postgresql.scanner import ReaderSettings

        return ReaderSettings(SecretStr(self._session.conninfo(suffix)), self._exported, self._session.setup())

    def _terminate(self, backends: Sequence[int]) -> None:
        with contextlib.suppress(DataLoaderError):
            self.ask("SELECT pg_terminate_backend(pid) FROM unnest(%(pids)s::int[]) AS pid", {"pids": list(backends)})

    def _column(self, read: Read, name: str) -> Column:
        for column in read.columns:
            if column.name == name:
                return column
        for column in read.columns:
            if column.target == name:
                return column
        raise SourceRefusedError(f"Column {name!r} is not among those read.", cure="Add it to `columns`.")
