"""A read by JDBC: one connection and one partition for each SELECT, and every value of the column's exact type."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import reduce
from typing import TYPE_CHECKING, Final

from pydantic import SecretStr
from pyspark.sql import functions
from pyspark.sql import types as spark

from dataloader_core.errors import ConfigurationError, SourceUnavailableError, UnrepresentableValueError
from dataloader_core.interfaces.source import JdbcRead
from dataloader_engines.spark.drivers import Drivers, missing
from dataloader_engines.spark.kinds import JDBC_BY_CONNECT, is_connect
from dataloader_engines.spark.reading_errors import SPARK_ERRORS, as_text

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, DataFrameReader, SparkSession

_CELLS: Final = 1 << 18
_ROWS: Final = (100, 10_000)
"""Rows that a connection fetches at a time, at least and at most: wide ones are fewer."""
_WIDENED_BY: Final[dict[type[spark.DataType], tuple[type[spark.DataType], ...]]] = {
    spark.IntegerType: (spark.ShortType,),
    spark.LongType: (spark.ShortType, spark.IntegerType),
    spark.DoubleType: (spark.FloatType,),
}


def jdbc_dataframe(
    spark: SparkSession, read: JdbcRead, fields: spark.StructType, drivers: Drivers | None = None
) -> DataFrame:
    """The rows of all SELECTs. Opens a connection for each one's columns.

    Args:
        drivers: Asked for the driver where Spark does not have it.

    Raises:
        SourceUnavailableError: a column arrives as a type that may lose something on the way to the projected one.
        ConfigurationError: the session is one of Spark Connect, or the driver is not there, and not to be had here.
        DestinationUnavailableError: it could not be fetched.
    """
    if is_connect(spark):  # on Databricks only the session that is there tells
        raise ConfigurationError(
            f"A read by jdbc is refused: {JDBC_BY_CONNECT}.", cure="Set way_of_reading to 'arrow', or clear it."
        )
    low, high = _ROWS
    options = {
        "url": read.url,
        "driver": read.driver,
        "fetchsize": str(max(low, min(high, _CELLS // len(fields)))),
        **({"sessionInitStatement": read.session_init} if read.session_init else {}),
        **{name: _plain(value) for name, value in read.properties.items()},
    }
    # A reader each: `option` changes the one that it is called on.
    tables = [spark.read.format("jdbc").options(**options, dbtable=f"(\n{select}\n) q") for select in read.selects]
    frames = _frames(tables, read, fields)
    if frames is None and drivers is not None:
        drivers.bring(spark, read)
        frames = _frames(tables, read, fields)
    if frames is None:
        raise missing(read, f"Add {', '.join(read.packages)} to where Spark was started")
    return reduce(lambda one, other: one.unionAll(other), frames)


def _frames(tables: Sequence[DataFrameReader], read: JdbcRead, fields: spark.StructType) -> list[DataFrame] | None:
    """None: Spark does not know the driver's class."""
    try:
        return [_typed(table.load(), read.as_text, fields) for table in tables]
    except SPARK_ERRORS as error:
        if re.search(rf"ClassNotFoundException\W+{re.escape(read.driver)}\b", str(error)):
            return None
        raise


def _plain(value: str | SecretStr) -> str:
    """Only here does a secret leave its wrapping. A classic session's plans and events show no option of a read."""
    return value.get_secret_value() if isinstance(value, SecretStr) else value


def _typed(frame: DataFrame, as_text_: frozenset[str], fields: spark.StructType) -> DataFrame:
    found = frame.schema.fields
    if [field.name for field in found] != fields.names:
        raise SourceUnavailableError("The source gives other columns than the read names.", cure="Run the load again.")
    columns = [
        _parsed(frame, wanted) if wanted.name in as_text_ else _kept(frame, given, wanted)
        for given, wanted in zip(found, fields.fields, strict=True)
    ]
    return frame.select(*columns)


def _parsed(frame: DataFrame, wanted: spark.StructField) -> Column:
    """A text as the value that it writes. One that is no such value fails the job, whatever the session's ANSI mode."""
    text = frame[_quoted(wanted.name)]
    value = text.try_cast(wanted.dataType)
    refusal = UnrepresentableValueError(
        f"Column {wanted.name!r} holds a value that is no {wanted.dataType.simpleString()}.",
        cure="Set on_unrepresentable to 'null', correct it at the source, or cast the column in a `query`.",
    )
    refused = text.isNotNull() & value.isNull()
    failure = functions.raise_error(functions.lit(as_text(refusal)))
    checked: Column = functions.when(refused, failure).otherwise(value).alias(wanted.name)
    return checked


def _kept(frame: DataFrame, given: spark.StructField, wanted: spark.StructField) -> Column:
    """The column as it is, or widened. The cast also takes off what JDBC notes about a column: Delta would keep it."""
    kind = type(given.dataType)
    if given.dataType != wanted.dataType and kind not in _WIDENED_BY.get(type(wanted.dataType), ()):
        raise SourceUnavailableError(
            f"Column {wanted.name!r} arrives by JDBC as {given.dataType.simpleString()}, not as "
            f"{wanted.dataType.simpleString()}: its type changed since the load was planned.",
            cure="Load again: the next plan reads the new type.",
        )
    return frame[_quoted(wanted.name)].cast(wanted.dataType).alias(wanted.name)


def _quoted(name: str) -> str:
    return f"`{name.replace('`', '``')}`"
