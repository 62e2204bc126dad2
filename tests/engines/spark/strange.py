"""Tables that a statement of Spark's SQL makes, for loads to change."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pyarrow as pa
import pytest

from dataloader_core.interfaces.engine import Destination
from dataloader_core.testing.conformance import ConformanceTable
from dataloader_engines.spark.engine import SparkEngine
from dataloader_engines.spark.settings import SparkSettings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

COLUMNS = {"id": "int", "name": "string"}
Made = Callable[..., ConformanceTable]


@pytest.fixture
def made(spark: SparkSession, tmp_path: Path) -> Iterator[Made]:
    """Makes a table by a statement with ``{}`` for its name; it belongs to our row."""
    tables: list[ConformanceTable] = []

    def read(destination: Destination) -> pa.Table:
        found = spark.table(f"delta.`{destination.location}`").toArrow()
        assert isinstance(found, pa.Table)
        return found

    def make(statement: str, types: Mapping[str, str] = COLUMNS, **settings: Any) -> ConformanceTable:
        engine = SparkEngine(SparkSettings(lake=str(tmp_path / "lake"), spark_parts=1, **settings))
        table = ConformanceTable(engine, read, f"t_{uuid4().hex}", types)
        tables.append(table)
        run(spark, table, statement)
        run(spark, table, f"ALTER TABLE {{}} SET TBLPROPERTIES ('dataloader.table_uid' = '{table.uid}')")
        return table

    yield make
    for table in tables:
        table.close()


def run(spark: SparkSession, table: ConformanceTable, statement: str) -> None:
    spark.sql(statement.format(f"delta.`{table.destination.location}`")).collect()


def settings_of(spark: SparkSession, table: ConformanceTable) -> Mapping[str, str]:
    found = spark.sql(f"SHOW TBLPROPERTIES delta.`{table.destination.location}`").collect()
    return {r.key: r.value for r in found}
