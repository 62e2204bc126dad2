"""Folders where rows wait that this process does not see: nothing of a load stays there, ended or dead."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from dataloader_core.plan import Append
from dataloader_core.testing.conformance import ConformanceTable, rows
from dataloader_engines.spark import area
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
DBFS = {
    "fs.dbfs.impl": "org.apache.hadoop.fs.viewfs.ViewFileSystemOverloadScheme",
    "fs.viewfs.overload.scheme.target.dbfs.impl": "org.apache.hadoop.fs.LocalFileSystem",
}
"""Hadoop's own way to give a folder another scheme: Arrow knows none of that name."""
LEFT = ("part-0.parquet", "_temporary/0/task_1/part-0.parquet", "_temporary/0/_temporary/attempt_1/part-0.parquet")
"""What a load leaves that dies behind its read, between two tasks, or within one."""
NewTable = Callable[..., ConformanceTable]


@pytest.fixture(scope="module")
def dbfs(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``dbfs:/staging`` is on this machine."""
    folder = tmp_path_factory.mktemp("dbfs")
    hadoop = spark.sparkContext._jsc.hadoopConfiguration()
    for key, value in {**DBFS, "fs.viewfs.mounttable.default.link./staging": folder.as_uri()}.items():
        hadoop.set(key, value)
    return folder


@pytest.fixture
def new_table(spark: SparkSession, tmp_path: Path) -> Iterator[NewTable]:
    made: list[ConformanceTable] = []

    def new(**settings: str) -> ConformanceTable:
        given = {"lake": str(tmp_path / "lake"), "write_through": "off", **settings}
        engine = SparkEngine(SparkSettings.model_validate(given))
        made.append(ConformanceTable(engine, read_by_delta_rs, f"t_{uuid4().hex}", {"id": "int"}))
        return made[-1]

    yield new
    for table in made:
        table.close()


def crashed(folder: Path) -> None:
    """Rows of three loads that died long ago."""
    for file in LEFT:
        path = folder / f"1-{uuid4().hex}" / file
        path.parent.mkdir(parents=True)
        path.write_bytes(b"PAR1")


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_where_only_spark_sees_the_folder_it_empties_it(new_table: NewTable, dbfs: Path) -> None:
    table = new_table(staging="dbfs:/staging")
    waiting = dbfs / f"bronze.conformance.{table.name}"
    crashed(waiting)
    table.create()
    table.load(rows("id", (1,)), Append())
    table.check()
    assert files(waiting) == []


def test_a_server_with_another_disk_empties_its_own_folder(
    new_table: NewTable, tmp_path: Path, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    staging = tmp_path / "of [the] server"
    table = new_table(staging=str(staging), spark_remote=connect_url(spark))
    monkeypatch.setattr(area, "Path", lambda path: tmp_path / "of the client" / str(path).lstrip("/"))
    [waiting] = [staging / f"bronze.conformance.{table.name}"]
    crashed(waiting)
    table.create()
    table.load(rows("id", (1,)), Append())
    assert files(waiting) == []
    table.load(rows("id", (2,)), Append())
    table.check()
    assert files(waiting) == []


def test_a_load_that_wrote_nothing_leaves_no_folder(new_table: NewTable, tmp_path: Path, spark: SparkSession) -> None:
    table = new_table(spark_remote=connect_url(spark), staging=str(tmp_path / "staging"))
    with table.destination:
        session = table.destination.session  # type: ignore[attr-defined]  # the Spark engine's
        waiting = area.StagingArea(str(tmp_path / "staging"), 24)
        waiting.remove(session, waiting.new_folder())
    assert not (tmp_path / "staging").exists()
