"""Parts of a read for other processes: each opens its own connection and joins the snapshot that the load holds.

A part reads as the local engine does: DuckDB's scanner where it is installed, else ADBC. So the values are the same,
whoever reads them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeVar

from dataloader_core.errors import DataLoaderError, MissingDriverError, SourceUnavailableError
from dataloader_core.interfaces.source import ArrowPart
from dataloader_core.plan import Read
from dataloader_sources.postgresql.scanner import Reader, ReaderSettings, for_duckdb

if TYPE_CHECKING:
    import pyarrow as pa

    from dataloader_sources.postgresql.dialect import Postgres
    from dataloader_sources.postgresql.failures import Diagnosis
    from dataloader_sources.postgresql.inquiry import Inquiry
    from dataloader_sources.postgresql.layout import Layout

Answer = TypeVar("Answer")

_CELLS: Final = 1 << 18
"""Values of a batch: wide tables get shorter batches."""
_ROWS: Final = (2048, 65536)
"""Rows of a batch at least and at most; DuckDB makes them of vectors of 2,048."""


@dataclass(frozen=True)
class PostgresPart(ArrowPart):
    """Some rows of a read.

    Attributes:
        settings: How to connect, and the snapshot.
        read_of: The whole read, of which these are some rows.
        select: The SELECT that gives them.
        select_for_duckdb: The same for DuckDB's scanner; see :func:`for_duckdb`.
    """

    settings: ReaderSettings
    read_of: Read = field(repr=False)
    select: str
    select_for_duckdb: str = field(repr=False)

    def read(self) -> Iterator[pa.RecordBatch]:
        from dataloader_sources.postgresql.arrow import driver_problem
        from dataloader_sources.postgresql.extension import extension_problem

        if (problem := extension_problem()) is None:
            return self._by_duckdb()
        if (missing := driver_problem()) is None:
            return self._by_adbc()
        raise MissingDriverError(
            f"Neither DuckDB nor ADBC can read here: {problem} {missing}",
            cure="Install dataloader-core[postgresql] wherever a part of the read may be carried out: on a cluster, "
            "on its nodes.",
        )

    def _by_duckdb(self) -> Iterator[pa.RecordBatch]:
        columns = self.read_of.columns
        low, high = _ROWS
        rows = max(low, min(high, _CELLS // len(columns)))
        reader = Reader(self.settings)
        try:
            reader.open()
            yield from reader.batches(self.select_for_duckdb, columns, rows)
        except Exception as error:  # noqa: BLE001  # DuckDB repeats SQL and addresses: only its meaning goes on
            problem = self._explained(error)
        else:
            return
        finally:
            reader.close()
        raise problem

    def _by_adbc(self) -> Iterator[pa.RecordBatch]:
        from dataloader_sources.postgresql.arrow import ArrowStream

        stream = ArrowStream(self.settings, self.select, self.read_of, self._diagnosis())
        try:
            yield from stream.reader()
        finally:
            stream.close()

    def _explained(self, error: Exception) -> DataLoaderError:
        from dataloader_sources.postgresql.failures import explain

        try:
            # Whoever cannot connect, or not to this snapshot, hears why; the reader's own words are too many.
            with self._inquiry() as inquiry:
                return explain(error, self.select, inquiry.diagnosis(self.read_of))
        except DataLoaderError as problem:
            return problem

    def _diagnosis(self) -> Diagnosis:
        """Each question on a connection of its own, opened only when something went wrong."""
        from dataloader_sources.postgresql.failures import Diagnosis

        def asked(question: Callable[[Diagnosis], Answer]) -> Answer:
            with self._inquiry() as inquiry:
                return question(inquiry.diagnosis(self.read_of))

        return Diagnosis(
            replay=lambda sql: asked(lambda ways: ways.replay(sql)),
            guarded=lambda: asked(lambda ways: ways.guarded()),
            not_text=lambda: asked(lambda ways: ways.not_text()),
        )

    @contextmanager
    def _inquiry(self) -> Iterator[Inquiry]:
        """Questions in the snapshot.

        Raises:
            SourceUnavailableError: the server cannot be reached, or the snapshot has ended.
            SourceRefusedError: the server does not let this machine in.
        """
        import psycopg
        from psycopg.conninfo import conninfo_to_dict

        from dataloader_sources.postgresql.dialect import Postgres
        from dataloader_sources.postgresql.errors import connect_error
        from dataloader_sources.postgresql.inquiry import Inquiry

        conninfo = self.settings.conninfo.get_secret_value()
        try:
            connection = psycopg.connect(conninfo, autocommit=True, prepare_threshold=None)
        except psycopg.Error as error:
            where = "{host}:{port}/{dbname}".format_map(conninfo_to_dict(conninfo))
            raise connect_error(error, where) from None
        with closing(connection):
            try:
                connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                for statement in (self.settings.join, *self.settings.setup):
                    connection.execute(statement.encode())
            except psycopg.Error:
                raise SourceUnavailableError(
                    "The snapshot that the read belongs to has ended.", cure="Run the load again."
                ) from None
            yield Inquiry(Postgres(), connection)


def parts_of_read(dialect: Postgres, read: Read, layout: Layout, settings: ReaderSettings) -> list[PostgresPart]:
    """One part for each piece of the layout."""
    selects = zip(layout.selects(dialect, read), layout.selects(dialect, for_duckdb(read)), strict=True)
    return [PostgresPart(settings, read, select, bare) for select, bare in selects]
