"""The closed set of column types as DuckDB, Delta and Arrow name them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from deltalake import Field, Schema
from deltalake.schema import PrimitiveType

from dataloader_core.commit import TargetColumn
from dataloader_core.errors import ConfigurationError
from dataloader_core.types import ColumnType

_DUCKDB: Final = {
    "boolean": "BOOLEAN",
    "smallint": "SMALLINT",
    "int": "INTEGER",
    "bigint": "BIGINT",
    "float": "FLOAT",
    "double": "DOUBLE",
    "string": "VARCHAR",
    "binary": "BLOB",
    "date": "DATE",
    "timestamp_ntz": "TIMESTAMP",
    "timestamp": "TIMESTAMP WITH TIME ZONE",
}
_ARROW: Final = {
    "boolean": ("bool",),
    "smallint": ("int16",),
    "int": ("int32",),
    "bigint": ("int64",),
    "float": ("float",),
    "double": ("double",),
    "string": ("string", "large_string", "string_view"),
    "binary": ("binary", "large_binary", "binary_view"),
    "date": ("date32[day]",),
}
_DELTA: Final = {"smallint": "short", "int": "integer", "bigint": "long"}
_FROM_DELTA: Final = {delta: name for name, delta in _DELTA.items()}


def duckdb_type(kind: ColumnType) -> str:
    if kind.name == "decimal":
        return f"DECIMAL({kind.precision},{kind.scale})"
    return _DUCKDB[kind.name]


def holds_exactly(kind: ColumnType, arrow: Any) -> bool:
    """Whether an Arrow type is the column's own: a cast from another would round, cut or guess in silence."""
    import pyarrow as pa

    if kind.name == "decimal":
        return bool(pa.types.is_decimal128(arrow)) and (arrow.precision, arrow.scale) == (kind.precision, kind.scale)
    if kind.name in ("timestamp", "timestamp_ntz"):
        zoned = kind.name == "timestamp"
        return bool(pa.types.is_timestamp(arrow)) and arrow.unit == "us" and (arrow.tz is not None) == zoned
    return str(arrow) in _ARROW[kind.name]


def delta_field(column: TargetColumn) -> Field:
    """A nullable field; the comment travels as Delta keeps it, in the field's metadata."""
    metadata: dict[str, Any] = {"comment": column.comment} if column.comment else {}
    return Field(
        column.name, PrimitiveType(_DELTA.get(column.type.name, str(column.type))), nullable=True, metadata=metadata
    )


def delta_schema(columns: Sequence[TargetColumn]) -> Schema:
    return Schema([delta_field(c) for c in columns])


def read_columns(fields: Iterable[Field]) -> tuple[tuple[TargetColumn, ...], tuple[str, ...]]:
    """A Delta schema's columns, and a sentence for each whose type is none of ours."""
    columns, problems = [], []
    for field in fields:
        kind = column_type(field)
        if kind is None:
            problems.append(f"Column {field.name} has a type that is never written here: {field.type}.")
        else:
            columns.append(TargetColumn(field.name, kind, (field.metadata or {}).get("comment")))
    return tuple(columns), tuple(problems)


def column_type(field: Field) -> ColumnType | None:
    if not isinstance(field.type, PrimitiveType):
        return None
    name = field.type.type
    try:
        return ColumnType.parse(_FROM_DELTA.get(name, name))
    except ConfigurationError:
        return None
