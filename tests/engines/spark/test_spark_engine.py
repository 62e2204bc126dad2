"""What the Spark engine does beyond the shared suites: how it writes, by which session, and what it leaves alone."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from pyspark.errors import PySparkValueError

from dataloader_core.errors import (
    ConfigurationError,
    DestinationRefusedError,
    LossRefusedError,
    RivalCommitError,
    SchemaChangeError,
)
from dataloader_core.interfaces.engine import Destination, Engine
from dataloader_core.plan import Append, HighestRead, LossPolicy
from dataloader_core.testing.conformance import ConformanceTable, Rows, rows
from dataloader_core.types import DATE
from dataloader_core.values import Value
from dataloader_engines.spark import session
from dataloader_engines.spark.engine import SparkEngine
from dataloader_engines.spark.settings import SparkSettings
from tests.conformance.readers import read_by_delta_rs
from tests.engines.spark.new_tables import (
    BY_ID,
    COLUMNS,
    THREE,
    WINDOW,
    NewTable,
    destination,
    new_table,
    properties,
    whole_life,
)

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["new_table"]
pytestmark = [
    pytest.mark.spark,
    # py4j leaves the sockets of its callbacks to the garbage collector
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]


def folders(table: ConformanceTable) -> list[Path]:
    root = Path(destination(table).address.staging)
    return sorted(root.iterdir()) if root.is_dir() else []


class InCatalog(SparkEngine):
    """Puts every table into one schema of the only catalog that Spark has outside Databricks."""

    def destination(self, catalog: str, schema: str, table: str) -> Destination:
        return super().destination("spark_catalog", "crm", table)


@pytest.fixture
def catalog(spark: SparkSession, tmp_path: Path) -> Engine:
    spark.sql("CREATE SCHEMA IF NOT EXISTS spark_catalog.crm")
    return InCatalog(SparkSettings(staging=str(tmp_path / "staging")))


def test_a_table_by_its_three_names(new_table: NewTable, catalog: Engine, spark: SparkSession) -> None:
    table = new_table(engine=catalog)

    def read(_: Destination) -> pa.Table:
        found = spark.table(destination(table).address.sql).toArrow()
        assert isinstance(found, pa.Table)
        return found

    table._read = read
    whole_life(table)
    assert table.look().owner == table.uid
    assert folders(table) == []
    table.destination.drop(table.uid)
    assert not table.look().exists


@pytest.mark.parametrize("kind", ["VIEW {name} AS SELECT 1 AS id", "TABLE {name} USING parquet AS SELECT 1 AS id"])
def test_what_is_no_delta_table_is_refused(
    new_table: NewTable, catalog: Engine, spark: SparkSession, kind: str
) -> None:
    table = new_table(engine=catalog)
    spark.sql("CREATE " + kind.format(name=destination(table).address.sql))
    with pytest.raises(DestinationRefusedError, match="no Delta table"):
        table.look()


def test_a_schema_that_is_missing_is_named(new_table: NewTable, tmp_path: Path) -> None:
    class Nowhere(SparkEngine):
        def destination(self, catalog: str, schema: str, table: str) -> Destination:
            return super().destination("spark_catalog", "nowhere", table)

    table = new_table(engine=Nowhere(SparkSettings(staging=str(tmp_path))))
    assert not table.look().exists
    with pytest.raises(DestinationRefusedError, match=r"catalog or schema of spark_catalog\.nowhere"):
        table.create()


def test_of_two_that_create_at_once_one_is_told(new_table: NewTable) -> None:
    table = new_table()
    records = [table.record(0), table.record(0)]

    def create(number: int) -> bool:
        try:
            table.open().create(table.source, records[number])
        except RivalCommitError:
            return False
        return True

    with ThreadPoolExecutor(2) as pool:
        created = list(pool.map(create, (0, 1)))
    assert sorted(created) == [False, True]
    assert table.look().newest_fence == records[created.index(True)]


def test_a_stale_commit_that_delta_skips_in_silence_is_noticed(new_table: NewTable) -> None:
    """The handle is made to look fresh, so that nothing but Delta's own check is left."""
    from dataclasses import replace

    table = new_table()
    table.create()
    stale = table.record()
    step = table.step(Append())
    prepared = table.prepare(step, THREE)
    table.fence()
    look = table.look()
    with pytest.raises(RivalCommitError):
        table.destination.commit(step, prepared, replace(look), stale)
    assert table.rows() == []


def test_rows_wait_in_a_folder_that_is_gone_after_the_commit_and_after_a_failure(new_table: NewTable) -> None:
    table = new_table()
    table.create()
    table.load(THREE)
    assert folders(table) == []
    prepared = table.prepare(table.step(Append(), unique=("id",)), THREE)
    assert prepared.rows == 3
    assert prepared.bytes > 0
    assert len(folders(table)) == 1
    other = table.open()
    other.close()
    assert len(folders(table)) == 1
    table.destination.close()
    assert folders(table) == []


def test_the_highest_value_and_what_is_above_the_cap_are_asked_of_what_was_read(new_table: NewTable) -> None:
    table = new_table()
    table.create()
    rule = HighestRead("day", None, Value(DATE, "2024-01-10"))
    prepared = table.prepare(table.step(Append(), watermark=rule), Rows(THREE.rows, {"tells": False}))
    assert (prepared.highest, prepared.above) == (Value(DATE, "2024-01-10"), 1)


def test_a_window_that_loses_too_much_is_refused_before_anything_changes(new_table: NewTable) -> None:
    table = new_table()
    table.create()
    table.load(THREE)
    before = table.log.versions
    with pytest.raises(LossRefusedError, match="1 of 3"):
        table.load(rows("id day name", (1, "2024-01-10", "a")), WINDOW, loss=LossPolicy(max_fraction=0.2))
    assert table.log.versions == before


def test_rows_are_told_by_an_overwrite_and_counted_after_anybody_elses_commit(
    new_table: NewTable, spark: SparkSession
) -> None:
    table = new_table()
    table.create()
    table.load(THREE)
    name = destination(table).address.sql
    assert table.look().handle.entry.rows_total == table.look().handle.rows == 3
    spark.sql(f"DELETE FROM {name} WHERE id = 1")
    assert table.look().handle.rows == 2
    done = table.load(rows("id day name", *((i, None, "x") for i in range(5))))
    assert (done.rows_deleted, table.look().handle.rows) == (2, 5)
    table.load(rows("id day name", (4, None, "y"), (5, None, "y")), BY_ID)
    assert (table.look().has_rows, table.look().handle.rows) == (True, None), "counted only where a write wants it"
    assert table.load(rows("id day name", (1, "2024-01-10", "z"))).rows_deleted == 6
    table.load(rows("id day name"), WINDOW, loss=LossPolicy(allow_empty=True, max_fraction=1))
    assert (table.look().has_rows, table.look().handle.rows) == (False, 0)
    table.load(THREE)
    spark.sql(f"DELETE FROM {name}")
    assert (table.look().has_rows, table.look().handle.rows) == (False, 0)


def test_tuning_sets_what_nobody_chose_and_leaves_the_rest(new_table: NewTable, spark: SparkSession) -> None:
    table = new_table(tuning="on")
    table.create()
    name = destination(table).address.sql
    assert properties(spark, table)["delta.enableDeletionVectors"] == "true"
    spark.sql(f"ALTER TABLE {name} SET TBLPROPERTIES ('delta.enableDeletionVectors' = 'false')")
    table.load(THREE)
    table.load(rows("id day name", (1, "2024-01-10", "new")), BY_ID)
    found = properties(spark, table)
    assert found["delta.enableDeletionVectors"] == "false"
    assert json.loads(found["clusteringColumns"]) == [["id"]]
    # a schema taken whole forgets the clustering, which is set again
    table.have({**COLUMNS, "more": "int"})
    table.load(rows("id day name more", (1, None, "a", 1), (2, None, "b", 2)))
    assert json.loads(properties(spark, table)["clusteringColumns"]) == [["id"]]


def test_a_partitioned_table_keeps_its_partitions_or_its_schema_change_is_refused(
    new_table: NewTable, spark: SparkSession
) -> None:
    table = new_table()
    name = destination(table).address.sql
    spark.sql(
        f"CREATE TABLE {name} (id INT, day DATE, name STRING) USING delta PARTITIONED BY (day) "
        f"TBLPROPERTIES ('dataloader.table_uid' = '{table.uid}')"
    )
    table.load(THREE)
    table.load(rows("id day name", (1, "2024-01-11", "moved"), (4, None, "d")), BY_ID)
    table.check()
    table.have({**COLUMNS, "more": "int"})
    table.load(rows("id day name more", (1, None, "a", 1), (2, "2024-01-11", "b", 2)))
    table.check()
    table.have({**COLUMNS, "id": "bigint"})
    with pytest.raises(SchemaChangeError, match="partitioned by day"):
        table.load(rows("id day name", (1, None, "a")))
    [detail] = spark.sql(f"DESCRIBE DETAIL {name}").collect()
    assert detail.partitionColumns == ["day"]


def test_a_session_of_another_time_zone_is_refused() -> None:
    class Stubborn:
        def set(self, key: str, value: str) -> None:
            raise PySparkValueError("it takes nothing")

        def get(self, key: str) -> str:
            return "Europe/Berlin"

    class Session:
        conf = Stubborn()

    with pytest.raises(ConfigurationError, match="Europe/Berlin"):
        session._configure(Session())  # type: ignore[arg-type]  # all of a session that it needs


def test_a_session_that_reads_literals_otherwise_is_refused(spark: SparkSession) -> None:
    other = spark.newSession()
    other.conf.set("spark.sql.parser.escapedStringLiterals", "true")
    with pytest.raises(ConfigurationError, match="backslashes"):
        session._check_escapes(other)
    session._check_escapes(spark)


def test_without_tuning_a_table_gets_no_property_but_its_owner(new_table: NewTable, spark: SparkSession) -> None:
    table = new_table()
    table.create()
    assert {k for k in properties(spark, table) if not k.startswith("delta.")} == {"dataloader.table_uid"}
    assert "delta.enableDeletionVectors" not in properties(spark, table)


def test_where_the_log_was_cleaned_up_checkpoints_still_know_the_last_commit(
    new_table: NewTable, spark: SparkSession
) -> None:
    table = new_table()
    table.create()
    table.load(THREE)
    version = table.look().app_version
    name = destination(table).address.sql
    spark.sql(f"ALTER TABLE {name} SET TBLPROPERTIES ('delta.checkpointInterval' = '1')")
    spark.sql(f"INSERT INTO {name} VALUES (9, NULL, 'somebody else')")
    spark.sql(f"INSERT INTO {name} VALUES (10, NULL, 'somebody else')")
    log = Path(destination(table).address.path or "") / "_delta_log"
    for entry in sorted(log.glob("*.json"))[:-1]:
        entry.unlink()
    for crc in log.glob("*.crc"):
        crc.unlink()
    found = ConformanceTable(table.engine, read_by_delta_rs, table.name, COLUMNS)
    found.uid = table.uid
    look = found.look()
    found.close()
    assert (look.app_version, look.newest) == (version, None)
    assert look.owner == table.uid
