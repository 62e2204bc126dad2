"""One reader: a DuckDB cursor with a PostgreSQL connection of its own, inside the snapshot of all readers."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psycopg.conninfo import conninfo_to_dict, make_conninfo
from pydantic import SecretStr

from dataloader_core.errors import SourceUnavailableError
from dataloader_core.interfaces.source import ParquetFile, ParquetOptions
from dataloader_core.parquet import overflows_delta_encoding, version_for
from dataloader_core.plan import Column, Read
from dataloader_core.types import ColumnType
from dataloader_sources.postgresql.extension import duckdb_cursor, quoted
from dataloader_sources.postgresql.failures import type_changed
from dataloader_sources.postgresql.statistics import column_stats

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

_DUCKDB_TYPES = {
    "boolean": "BOOLEAN", "smallint": "SMALLINT", "int": "INTEGER", "bigint": "BIGINT", "float": "FLOAT",
    "double": "DOUBLE", "string": "VARCHAR", "binary": "BLOB", "date": "DATE", "timestamp_ntz": "TIMESTAMP",
    "timestamp": "TIMESTAMP WITH TIME ZONE",
}  # fmt: skip
_WIDENED_BY = {
    "INTEGER": ("SMALLINT",),
    "BIGINT": ("SMALLINT", "INTEGER"),
    "DOUBLE": ("FLOAT",),
}
_ROW_GROUP_BYTES = 48 << 20
_NUMBERS = itertools.count(1)
_UNCLOSEABLE: list[duckdb.DuckDBPyConnection] = []


def duckdb_type(type_: ColumnType) -> str:
    return f"DECIMAL({type_.precision},{type_.scale})" if type_.name == "decimal" else _DUCKDB_TYPES[type_.name]


def for_duckdb(read: Read) -> Read:
    """The read without casts that DuckDB makes for nothing: it takes the padding off ``char(n)`` by itself.

    At the server a cast to text is about a tenth of the cost of a typical row.
    """
    return replace(read, columns=tuple(_unpadded(column) for column in read.columns))


def _unpadded(column: Column) -> Column:
    bare = _identifier(column.name)
    padded = column.native.startswith("character(") and column.projection == f"{bare}::text"
    return replace(column, projection=bare) if padded else column


@dataclass(frozen=True)
class ReaderSettings:
    """How readers connect.

    Attributes:
        conninfo: libpq's connection string, password included.
        snapshot: An exported snapshot's id.
        setup: Statements that run in each reader's transaction.
    """

    conninfo: SecretStr
    snapshot: str
    setup: Sequence[str] = ()

    @property
    def join(self) -> str:
        """The statement that puts a transaction into the snapshot, before any other."""
        return f"SET TRANSACTION SNAPSHOT '{quoted(self.snapshot)}'"


def attach(connection: duckdb.DuckDBPyConnection, name: str, conninfo: str) -> None:
    """Attach the source as ``name``. The password travels as a parameter of a secret and stands in no SQL.

    DuckDB repeats connection strings in its errors and in ``duckdb_databases()``. It opens connections when it needs
    them, so the secret lives as long as the attachment.
    """
    parameters = conninfo_to_dict(conninfo)
    secret = ""
    if password := parameters.get("password"):
        # An empty one stays: without it libpq would look for another password.
        del parameters["password"]
        connection.execute(f"CREATE TEMPORARY SECRET {name}_secret (TYPE postgres, PASSWORD ?)", [password])
        secret = f", SECRET {name}_secret"
    connection.execute(
        f"ATTACH '{quoted(make_conninfo('', **parameters))}' AS {name} (TYPE postgres, READ_ONLY{secret})"
    )


def detach(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    """Close the connections of ``name`` and forget its password. Whatever of it is not there is left alone."""
    for statement in (f"DETACH {name}", f"DROP TEMPORARY SECRET IF EXISTS {name}_secret"):
        with contextlib.suppress(Exception):
            connection.execute(statement)


class Reader:
    """Copies SELECTs to Parquet files, one after the other, all in one transaction.

    Used by one thread; :meth:`interrupt` may come from another. Every error is DuckDB's own: the caller knows
    how to find out what it means.
    """

    def __init__(self, settings: ReaderSettings) -> None:
        self._cursor = duckdb_cursor()
        self._name = f"source{next(_NUMBERS)}"
        self._settings = settings
        self.backend: int | None = None
        """Process id of the connection's backend, once known."""
        self.writing: Path | None = None
        self._interrupting = threading.Lock()
        self._ending = False

    def open(self) -> None:
        attach(self._cursor, self._name, self._settings.conninfo.get_secret_value())
        self._cursor.execute("BEGIN")
        self._run(self._settings.join)
        self.backend = int(self._row(f"FROM {self._query('SELECT pg_backend_pid() AS pid')}")[0])
        for statement in self._settings.setup:
            self._run(statement)

    def close(self) -> None:
        """End the transaction and the connection.

        A cursor that is closed inside a transaction rolls back in a destructor. With the connection gone that
        throws, and the process ends. So it is rolled back here, where an error is only an error, and undisturbed
        by interrupts; a cursor that will not leave its transaction is rather kept for ever than closed.
        """
        with self._interrupting:
            self._ending = True
        for _ in range(3):
            with contextlib.suppress(Exception):
                self._cursor.execute("ROLLBACK")
            if not self._in_transaction():
                detach(self._cursor, self._name)
                self._cursor.close()
                return
        _UNCLOSEABLE.append(self._cursor)

    def _in_transaction(self) -> bool:
        """DuckDB refuses to begin inside a transaction; one that has not touched the source is harmless."""
        try:
            self._cursor.execute("BEGIN")
            self._cursor.execute("ROLLBACK")
        except Exception:  # noqa: BLE001  # whatever keeps it from beginning, it must not be closed
            return True
        return False

    def interrupt(self) -> None:
        with self._interrupting, contextlib.suppress(Exception):
            if not self._ending:
                self._cursor.interrupt()

    def select(self, sql: str, columns: Sequence[Column]) -> str:
        """DuckDB's SELECT over the source's, giving exactly the projected types.

        Raises:
            SourceUnavailableError: a column arrives as a type that may lose something on the way to the projected one.
        """
        source = self._query(sql)
        found = self._cursor.execute(f"DESCRIBE FROM {source}").fetchall()
        if [row[0] for row in found] != [column.target for column in columns]:
            raise SourceUnavailableError(
                "The source gives other columns than the read names.", cure="Run the load again."
            )
        items = [_item(column, row[1]) for column, row in zip(columns, found, strict=True)]
        if all(item is None for item in items):
            return f"FROM {source}"
        named = (item or _identifier(column.target) for item, column in zip(items, columns, strict=True))
        return f"SELECT {', '.join(named)} FROM {source}"

    def batches(self, sql: str, columns: Sequence[Column], rows: int) -> Iterator[pa.RecordBatch]:
        """What the SELECT gives, as batches of about ``rows`` rows with exactly the projected types."""
        from dataloader_sources.postgresql.arrow import arrow_schema

        schema = arrow_schema(columns)
        for batch in self._cursor.execute(self.select(sql, columns)).to_arrow_reader(rows):
            # DuckDB has its own name for UTC; everything else is as it should be.
            yield batch.cast(schema)

    def copy(self, sql: str, columns: Sequence[Column], path: Path, options: ParquetOptions) -> ParquetFile | None:
        """Write what the SELECT gives to a file; without rows there is no file and the answer is None."""
        self.writing = path
        try:
            version = version_for(column.type for column in columns)
            file = self._copy(self.select(sql, columns), columns, path, options, version)
            types = {column.target: column.type for column in columns}
            if file is not None and version == "V2" and overflows_delta_encoding(types, file.stats):
                plain = path.with_suffix(".plain")
                file = self._copy(f"FROM read_parquet('{quoted(str(path))}')", columns, plain, options, "V1")
                assert file is not None
                plain.rename(path)
                file = replace(file, path=path)
        finally:
            self.writing = None
        return file

    def _copy(
        self, select: str, columns: Sequence[Column], path: Path, options: ParquetOptions, version: str
    ) -> ParquetFile | None:
        row = self._row(
            f"COPY ({select}) TO '{quoted(str(path))}' (FORMAT parquet, PARQUET_VERSION {version}, "
            f"COMPRESSION {options.compression}, ROW_GROUP_SIZE {options.row_group_rows}, "
            f"ROW_GROUP_SIZE_BYTES {_ROW_GROUP_BYTES}, RETURN_STATS)"
        )
        _, rows, size, _, statistics, *_ = row
        if not rows:
            path.unlink(missing_ok=True)
            return None
        return ParquetFile(path, rows, size, column_stats(statistics, columns))

    def _query(self, sql: str) -> str:
        return f"postgres_query('{self._name}', '{quoted(sql)}')"

    def _run(self, sql: str) -> None:
        self._cursor.execute(f"CALL postgres_execute('{self._name}', '{quoted(sql)}')").fetchall()

    def _row(self, sql: str) -> tuple[Any, ...]:
        row = self._cursor.execute(sql).fetchone()
        assert row is not None
        return tuple(row)


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _item(column: Column, found: str) -> str | None:
    """None where the column arrives as it should, else a cast that cannot change a value."""
    wanted = duckdb_type(column.type)
    if found == wanted:
        return None
    if found in _WIDENED_BY.get(wanted, ()) or (found == "VARCHAR" and column.type.name == "decimal"):
        name = _identifier(column.target)
        return f"CAST({name} AS {wanted}) AS {name}"
    raise type_changed(column, found, wanted)
