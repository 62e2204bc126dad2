"""The closed set of column types as Spark names them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from pyspark.sql import types as spark

from dataloader_core.commit import TargetColumn
from dataloader_core.types import ColumnType

_SPARK: Final[dict[str, type[spark.DataType]]] = {
    "boolean": spark.BooleanType,
    "smallint": spark.ShortType,
    "int": spark.IntegerType,
    "bigint": spark.LongType,
    "float": spark.FloatType,
    "double": spark.DoubleType,
    "string": spark.StringType,
    "binary": spark.BinaryType,
    "date": spark.DateType,
    "timestamp_ntz": spark.TimestampNTZType,
    "timestamp": spark.TimestampType,
}
DEFAULT: Final = "CURRENT_DEFAULT"
"""Where a field's metadata has what the column holds if a writer names no value."""
_NAMES: Final = {kind: name for name, kind in _SPARK.items()}


def spark_type(kind: ColumnType) -> spark.DataType:
    if kind.name == "decimal":
        assert kind.precision is not None
        assert kind.scale is not None
        return spark.DecimalType(kind.precision, kind.scale)
    return _SPARK[kind.name]()


def column_type(kind: spark.DataType) -> ColumnType | None:
    """The type of ours that this is; None for one that is never written here, a collated string among them."""
    if isinstance(kind, spark.DecimalType):
        return ColumnType("decimal", kind.precision, kind.scale)
    name = _NAMES.get(type(kind))
    if name is None or kind != _SPARK[name]():
        return None
    return ColumnType(name)  # type: ignore[arg-type]  # the keys are the closed set's names


def spark_schema(columns: Iterable[TargetColumn]) -> spark.StructType:
    """Nullable fields without metadata: what a read gives, not what a table says about it."""
    return spark.StructType([spark.StructField(column.name, spark_type(column.type)) for column in columns])


def commented_schema(
    columns: Iterable[TargetColumn], defaults: Mapping[str, str] = MappingProxyType({})
) -> spark.StructType:
    """Nullable fields with their comments and defaults, as Delta takes them over into the table's schema."""

    def told(column: TargetColumn) -> dict[str, str]:
        found = {"comment": column.comment, DEFAULT: defaults.get(column.name)}
        return {key: value for key, value in found.items() if value}

    return spark.StructType([spark.StructField(c.name, spark_type(c.type), True, told(c)) for c in columns])
