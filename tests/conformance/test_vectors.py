"""Deletion vectors that Spark made: a row that they delete never comes back when the local engine writes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dataloader_core.plan import Append, Merge, Write
from dataloader_core.testing.conformance import ConformanceTable, rows
from dataloader_core.testing.conformance.table import ordered
from tests.conformance.readers import read_by_delta_rs
from tests.support.loads import local_engine

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = [
    pytest.mark.spark,
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]
TEN = rows("id name", *((i, f"n{i}") for i in range(10)))


@pytest.fixture
def table(tmp_path: Path, spark: SparkSession) -> ConformanceTable:
    """Loaded by the local engine; then Spark deletes two of ten rows, by a vector."""
    table = ConformanceTable(local_engine(tmp_path), read_by_delta_rs, "orders", {"id": "int", "name": "string"})
    table.create()
    table.load(TEN)
    run(spark, table, "ALTER TABLE {} SET TBLPROPERTIES ('delta.enableDeletionVectors' = 'true')")
    run(spark, table, "DELETE FROM {} WHERE id IN (3, 4)")
    table.model.rows = [row for row in table.model.rows if row["id"] not in ("3", "4")]
    return table


def run(spark: SparkSession, table: ConformanceTable, statement: str) -> None:
    spark.sql(statement.format(f"delta.`{table.log.folder}`"))


def test_the_local_engine_refuses_by_name_while_there_are_vectors(table: ConformanceTable) -> None:
    assert any("deletionVector" in file for file in table.log.state().files.values()), "nothing was tried"
    assert any("deletion vectors" in problem for problem in table.look().problems)
    table.check()


@pytest.mark.parametrize("write", [Append(), Merge(("id",))], ids=["append", "merge"])
def test_after_the_cure_it_writes_and_no_deleted_row_is_back(
    table: ConformanceTable, spark: SparkSession, write: Write
) -> None:
    run(spark, table, "ALTER TABLE {} SET TBLPROPERTIES ('delta.enableDeletionVectors' = 'false')")
    still = table.look().problems
    assert any("deletion vectors" in problem for problem in still), "switched off, but the vectors are still there"
    run(spark, table, "REORG TABLE {} APPLY (PURGE)")
    assert table.look().problems == ()
    table.load(rows("id name", (5, "again"), (20, "new")), write)
    table.check()
    assert "3" not in {row["id"] for row in table.rows()}
    assert ordered(table.rows()) == ordered(table.model.rows)
