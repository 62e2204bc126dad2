"""A read as a DataFrame, by the way that was chosen: target names, exactly the projected types, one snapshot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dataloader_core.errors import ConfigurationError
from dataloader_core.interfaces.source import SourceSnapshot, WayOfReading
from dataloader_core.plan import Read
from dataloader_core.schema import target_column
from dataloader_engines.spark.drivers import Drivers
from dataloader_engines.spark.reading_arrow import arrow_dataframe
from dataloader_engines.spark.reading_errors import reading_errors
from dataloader_engines.spark.reading_jdbc import jdbc_dataframe
from dataloader_engines.spark.types import spark_schema

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def dataframe(
    spark: SparkSession,
    snapshot: SourceSnapshot,
    read: Read,
    way: WayOfReading,
    parts: int,
    drivers: Drivers | None = None,
) -> DataFrame:
    """The rows of the read. Nothing of them is read yet: carry the jobs out while the snapshot is open.

    Two jobs over it read twice, both the same rows. Put :func:`reading_errors` around each of them.

    Args:
        way: One of ``snapshot.ways(read)``.
        parts: How many partitions are wanted; a source may give fewer.
        drivers: Asked for a JDBC driver where Spark does not have it.

    Raises:
        ConfigurationError: the way is none for Spark.
        What the source raises.
    """
    fields = spark_schema([target_column(column) for column in read.columns])
    if way.way == "arrow" and way.options.get("parts"):
        return arrow_dataframe(spark, snapshot.arrow_parts(read, parts), fields)
    if way.way == "jdbc":
        with reading_errors(snapshot, read):
            return jdbc_dataframe(spark, snapshot.jdbc(read, parts), fields, drivers)
    raise ConfigurationError(
        f"Spark cannot read by {way.way!r}: {way.reason}.", cure="Set way_of_reading to another, or clear it."
    )
