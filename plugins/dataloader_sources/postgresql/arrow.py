"""Reading through ADBC: one connection in the snapshot, record batches cast to exactly the projected types.

Slower than the fast road, but it needs nothing beyond a wheel of PyPI.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from dataloader_core.errors import DataLoaderError, UnrepresentableValueError
from dataloader_core.plan import Column, Read
from dataloader_core.types import ColumnType
from dataloader_sources.postgresql.failures import Diagnosis, explain, guarded, type_changed

if TYPE_CHECKING:
    import pyarrow as pa

    from dataloader_sources.postgresql.scanner import ReaderSettings

_BATCH_BYTES = 8 << 20


def driver_problem() -> str | None:
    """Why ADBC cannot be used, or None where it can."""
    for module in ("pyarrow", "adbc_driver_manager", "adbc_driver_postgresql"):
        if find_spec(module) is None:
            return f"{module} is not installed: pip install 'dataloader-core[postgresql]'."
    return None


def arrow_type(type_: ColumnType) -> pa.DataType:
    import pyarrow as pa

    if type_.name == "decimal":
        return pa.decimal128(type_.precision, type_.scale)
    return {
        "boolean": pa.bool_(),
        "smallint": pa.int16(),
        "int": pa.int32(),
        "bigint": pa.int64(),
        "float": pa.float32(),
        "double": pa.float64(),
        "string": pa.string(),
        "binary": pa.binary(),
        "date": pa.date32(),
        "timestamp_ntz": pa.timestamp("us"),
        "timestamp": pa.timestamp("us", "UTC"),
    }[type_.name]


def arrow_schema(columns: Sequence[Column]) -> pa.Schema:
    import pyarrow as pa

    return pa.schema([pa.field(column.target, arrow_type(column.type)) for column in columns])


class ArrowStream:
    """One SELECT as record batches. Its connection ends with the last batch, with an error, or with the snapshot."""

    def __init__(self, settings: ReaderSettings, sql: str, read: Read, diagnosis: Diagnosis) -> None:
        self._settings = settings
        self._sql = sql
        self._read = read
        self._diagnosis = diagnosis
        self._connection: Any = None
        self._cursor: Any = None

    def reader(self) -> pa.RecordBatchReader:
        """Opens the connection; what fails at once raises here."""
        import pyarrow as pa

        try:
            source = self._open()
        except Exception as error:  # noqa: BLE001  # ADBC repeats the connection string: only its meaning goes on
            problem = self._explained(error)
        else:
            return pa.RecordBatchReader.from_batches(arrow_schema(self._read.columns), self._batches(source))
        raise problem

    def close(self) -> None:
        cursor, connection = self._cursor, self._connection
        self._cursor = self._connection = None
        for part in (cursor, connection):
            if part is not None:
                with contextlib.suppress(Exception):  # it is going away, whatever it says
                    part.close()

    def _open(self) -> pa.RecordBatchReader:
        from adbc_driver_postgresql import StatementOptions, dbapi

        self._connection = dbapi.connect(self._settings.conninfo.get_secret_value(), autocommit=True)
        self._cursor = self._connection.cursor()
        self._run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        self._run(self._settings.join)
        for statement in self._settings.setup:
            self._run(statement)
        hint = {StatementOptions.BATCH_SIZE_HINT_BYTES.value: _BATCH_BYTES}
        self._cursor.adbc_statement.set_options(**hint)
        self._cursor.execute(self._sql)
        return self._cursor.fetch_record_batch()

    def _run(self, sql: str) -> None:
        self._cursor.executescript(sql)

    def _batches(self, source: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
        try:
            for batch in source:
                yield cast_batch(batch, self._read.columns, self._diagnosis)
        except GeneratorExit:
            self.close()
            raise
        except Exception as error:  # noqa: BLE001  # as above
            problem = self._explained(error)
        else:
            self.close()
            return
        raise problem

    def _explained(self, error: Exception) -> DataLoaderError:
        self.close()
        return explain(error, self._sql, self._diagnosis)


def cast_batch(batch: pa.RecordBatch, columns: Sequence[Column], diagnosis: Diagnosis) -> pa.RecordBatch:
    """The batch with target names and exactly the projected types; decimals arrive as text and lose no digit.

    Raises:
        SourceUnavailableError: a column arrives as another type than was planned.
        UnrepresentableValueError: a value does not fit its column.
    """
    import pyarrow as pa

    arrays = [_cast(array, column, diagnosis) for array, column in zip(batch.columns, columns, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=arrow_schema(columns))


def _may_arrive_as(found: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether a cast gives the values that were sent: Arrow also takes a wall clock for an instant, and reads text."""
    import pyarrow.types as kinds

    if kinds.is_timestamp(wanted):
        return bool(kinds.is_timestamp(found) and (found.tz is None) == (wanted.tz is None))
    if kinds.is_integer(wanted) or kinds.is_floating(wanted):
        alike = kinds.is_integer if kinds.is_integer(wanted) else kinds.is_floating
        return bool(alike(found) and found.bit_width <= wanted.bit_width)
    text = kinds.is_string(found) or kinds.is_large_string(found)
    binary = kinds.is_binary(found) or kinds.is_large_binary(found)
    if kinds.is_string(wanted) or kinds.is_decimal(wanted):
        return bool(text)
    return bool(binary and kinds.is_binary(wanted))


def _cast(array: pa.Array, column: Column, diagnosis: Diagnosis) -> pa.Array:
    import pyarrow as pa

    wanted = arrow_type(column.type)
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    if array.type == wanted:
        return array
    if not _may_arrive_as(array.type, wanted):
        raise type_changed(column, str(array.type), str(wanted))
    try:
        return array.cast(wanted)
    except pa.ArrowInvalid:
        found = diagnosis.guarded()
    if found:
        raise guarded(found)
    raise UnrepresentableValueError(
        f"Column {column.name!r} ({column.native}) holds a value that is no {column.type}.",
        cure="Give the column a cast in a query of your own, or leave it out.",
    )
