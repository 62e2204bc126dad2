"""How the Spark engine writes: the cheapest way that is equal, and no row of it on the driver."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pyspark.sql import Row
from pyspark.sql.classic.dataframe import DataFrame

from dataloader_core.plan import Append, Merge
from dataloader_core.testing.conformance import ConformanceTable, rows
from dataloader_engines.spark import writing
from dataloader_engines.spark.engine import SparkEngine
from dataloader_engines.spark.settings import SparkSettings
from tests.engines.spark.new_tables import BY_ID, START, THREE, WINDOW, NewTable, destination, new_table, whole_life
from tests.support.spark import connect_url

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["new_table"]
pytestmark = [
    pytest.mark.spark,
    # py4j leaves the sockets of its callbacks to the garbage collector
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]


def test_each_write_takes_the_cheapest_way_that_is_equal(new_table: NewTable) -> None:
    ways = whole_life(new_table())
    assert ways == ["overwrite", "append", "merge", "append", "replace window", "merge", "append"]


def test_where_a_session_takes_no_configuration_merges_are_rewrites(new_table: NewTable) -> None:
    ways = whole_life(new_table(session_confs="off"))
    assert ways == ["overwrite", "append", "rewrite", "append", "replace window", "rewrite", "append"]


def test_spark_connect_gives_the_same_table(new_table: NewTable, spark: SparkSession) -> None:
    ways = whole_life(new_table(spark_remote=connect_url(spark)))
    assert ways == ["overwrite", "append", "merge", "append", "replace window", "merge", "append"]


@pytest.mark.parametrize("known_by", [None, "delta.enableDeletionVectors", "delta.enableChangeDataFeed"])
def test_a_merge_that_adds_rows_to_the_files_that_it_changes_is_a_rewrite_unless_the_table_knows_its_rows(
    new_table: NewTable, spark: SparkSession, known_by: str | None
) -> None:
    table = new_table()
    table.create()
    if known_by:
        name = destination(table).address.sql
        spark.sql(f"ALTER TABLE {name} SET TBLPROPERTIES ('{known_by}' = 'true')")
    table.load(rows("id day name", *((i, None, "old") for i in range(20))))
    changed = rows("id day name", *((i, None, "new") for i in range(0, 30, 2)))
    done = table.load(changed, BY_ID)
    table.check()
    assert done.metrics["written_by"] == ("merge" if known_by else "rewrite")
    assert done.metrics["rows_updated"] == 10
    assert table.load(changed, BY_ID).metrics["written_by"] == "merge"  # it only updates
    table.check()


def test_a_key_may_have_any_name(new_table: NewTable) -> None:
    for types in ({"matched": "int", "s": "int", "t": "string"}, {"_metadata": "int", "t": "int", "s": "string"}):
        table = new_table(types)
        table.create()
        names = " ".join(types)
        table.load(rows(names, (1, 1, "a"), (2, 2, "b")))
        for key in list(types)[:2]:
            table.load(rows(names, (2, 2, key), (3, 3, key)), Merge((key,)))
        table.check()


def test_an_overwrite_gives_files_of_contiguous_rows_so_that_a_merge_finds_its_keys_in_few(
    new_table: NewTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "_ROWS_PER_FILE", 4)
    table = new_table()
    table.create()
    table.load(rows("id day name", *((i, None, "old") for i in range(32))))
    done = table.load(rows("id day name", (30, None, "new"), (31, None, "new"), (32, None, "more")), BY_ID)
    table.check()
    assert (done.metrics["written_by"], done.metrics["files_removed"]) == ("rewrite", 1)


def test_no_row_reaches_the_driver_whatever_is_written(
    new_table: NewTable, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[int] = []
    collect = DataFrame.collect

    def counting(frame: DataFrame) -> list[Row]:
        found = collect(frame)
        told.append(len(found))
        return found

    def refused(frame: DataFrame, *_: Any, **__: Any) -> None:
        raise AssertionError("rows of a load are on the driver")

    monkeypatch.setattr(DataFrame, "collect", counting)  # take, head and first go by it
    for name in ("toPandas", "toArrow", "toLocalIterator"):
        monkeypatch.setattr(DataFrame, name, refused)
    many = [(i, f"2024-01-{i % 28 + 1:02}", "old") for i in range(500)]
    table = new_table()
    table.create()
    table.load(rows("id day name", *many))
    table.load(rows("id day name", *((i + 500, day, "more") for i, day, _ in many)), Append())
    table.load(rows("id day name", *((i + 300, day, "new") for i, day, _ in many)), BY_ID)
    table.load(rows("id day name", *((i + 700, day, "again") for i, day, _ in many)), BY_ID)
    table.load(rows("id day name", *(row for row in many if row[1] >= START.text)), WINDOW)
    assert told
    assert max(told) < 50, "as many rows as a history or a table's properties have, and no more"


def test_merges_side_by_side_commit_each_under_its_own_transaction(new_table: NewTable, tmp_path: Path) -> None:
    engine = SparkEngine(SparkSettings(lake=str(tmp_path / "lake"), spark_parts=2))
    tables = [new_table(engine=engine) for _ in range(3)]

    def live(table: ConformanceTable) -> str:
        table.create()
        table.load(THREE)
        done = [table.load(rows("id day name", (i, None, "new"), (i + 10, None, "more")), BY_ID) for i in (1, 2, 3)]
        return str(done[-1].metrics["written_by"])

    with ThreadPoolExecutor(len(tables)) as beside:
        assert len(list(beside.map(live, tables))) == len(tables)
    for table in tables:
        table.check()
        look = table.look()
        assert look.owner == table.uid
        assert look.newest is not None
        assert look.app_version == look.newest.version
