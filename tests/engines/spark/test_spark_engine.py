"""What the Spark engine does beyond the shared suites: how it writes, by which session, and what it leaves alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pyarrow as pa
import pytest
from pyspark.errors import PySparkValueError
from pyspark.sql import Row
from pyspark.sql.classic.dataframe import DataFrame

from dataloader_core.errors import (
    ConfigurationError,
    DestinationRefusedError,
    LossRefusedError,
    RivalCommitError,
    SchemaChangeError,
)
from dataloader_core.interfaces.engine import Destination, Engine
from dataloader_core.plan import Append, Comparison, HighestRead, LossPolicy, Merge
from dataloader_core.testing.conformance import ConformanceTable, Rows, rows
from dataloader_core.types import DATE
from dataloader_core.values import Value
from dataloader_engines.spark import session, writing
from dataloader_engines.spark.destination import SparkDestination
from dataloader_engines.spark.engine import SparkEngine
from dataloader_engines.spark.settings import SparkSettings
from tests.conformance.readers import read_by_delta_rs
from tests.support.spark import connect_url

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = [
    pytest.mark.spark,
    # py4j leaves the sockets of its callbacks to the garbage collector
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]

COLUMNS = {"id": "int", "day": "date", "name": "string"}
BY_ID = Merge(("id",))
START = Value(DATE, "2024-01-10")
WINDOW = Merge(("id",), (Comparison("day", "<", START),), (Comparison("day", ">=", START),))
THREE = rows("id day name", (1, "2024-01-10", "a"), (2, "2024-01-11", "b"), (3, None, "c"))
NewTable = Callable[..., ConformanceTable]


@pytest.fixture
def new_table(spark: SparkSession, tmp_path: Path) -> Iterator[NewTable]:
    made: list[ConformanceTable] = []

    def new(types: Mapping[str, str] = COLUMNS, engine: Engine | None = None, **settings: Any) -> ConformanceTable:
        settings = {"lake": str(tmp_path / "lake"), "spark_parts": 2, **settings}
        engine = engine or SparkEngine(SparkSettings(**settings))
        table = ConformanceTable(engine, read_by_delta_rs, f"t_{uuid4().hex}", types)
        made.append(table)
        return table

    yield new
    for table in made:
        table.close()


def destination(table: ConformanceTable) -> SparkDestination:
    assert isinstance(table.destination, SparkDestination)
    return table.destination


def properties(spark: SparkSession, table: ConformanceTable) -> dict[str, str]:
    found = spark.sql(f"SHOW TBLPROPERTIES {destination(table).address.sql}").collect()
    return {r.key: r.value for r in found}


def folders(table: ConformanceTable) -> list[Path]:
    root = Path(destination(table).address.staging)
    return sorted(root.iterdir()) if root.is_dir() else []


def whole_life(table: ConformanceTable) -> list[str]:
    """Every kind of write after another; how each was written."""
    table.create()
    done = [table.load(THREE), table.load(rows("id day name", (4, "2024-01-12", "d")), Append())]
    done.append(table.load(rows("id day name", (2, "2024-01-11", "B"), (5, "2024-01-12", "e")), BY_ID))
    done.append(table.load(rows("id day name", (6, "2024-01-13", "f")), BY_ID))
    done.append(table.load(rows("id day name", (2, "2024-01-12", "w"), (7, "2024-01-15", "x")), WINDOW))
    done.append(table.load(rows("id day name", (3, "2024-01-12", "was null")), WINDOW))
    done.append(table.load(rows("id day name"), BY_ID))
    table.check()
    return [str(d.metrics["written_by"]) for d in done]


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
