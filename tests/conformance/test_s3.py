"""Tables on S3: one engine's each, and the other refuses them by name before it reads or writes anything.

A stand-in of S3 serves a folder. The local engine reaches it over HTTP, as it does S3; Spark, whose own client of S3 is
not in its distribution, reaches the same folder under the same kind of name (``s3a://``) by Hadoop's mounts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from dataloader_core.commit import ENGINE_PROPERTY
from dataloader_core.errors import RivalCommitError
from dataloader_core.interfaces.engine import Destination, Engine
from dataloader_core.plan import Append, Merge
from dataloader_core.testing.conformance import ConformanceTable, rows
from dataloader_core.testing.conformance.delta_log import DeltaLog
from dataloader_engines.spark.engine import SparkEngine
from dataloader_engines.spark.settings import SparkSettings
from tests.conformance.readers import read_folder
from tests.support.loads import local_engine
from tests.support.s3 import s3

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

TWO = rows("id name", (1, "a"), (2, "b"))
THREE = rows("id name", (2, "B"), (3, "c"))
BY_ID = Merge(("id",))
NewTable = Callable[[str], ConformanceTable]


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A bucket as its folder; its name is nobody else's, because Spark remembers file systems by name."""
    folder = tmp_path / f"lake-{uuid4().hex}"
    (folder / "bronze").mkdir(parents=True)
    with s3(tmp_path) as environ:
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        yield folder


@pytest.fixture
def new_table(bucket: Path) -> Iterator[NewTable]:
    """The table of the bucket in an engine's hands; each call has a destination and a model of its own."""
    made: list[ConformanceTable] = []

    def new(engine: str) -> ConformanceTable:
        types = {"id": "int", "name": "string"}
        made.append(ConformanceTable(engine_of(engine, bucket), lambda _: read_folder(folder_of(bucket)), "t", types))
        return made[-1]

    yield new
    for table in made:
        table.close()


@pytest.fixture
def mounted(spark: SparkSession, bucket: Path) -> None:
    """Spark finds the bucket's folder below ``s3a://``."""
    conf = spark.sparkContext._jsc.hadoopConfiguration()
    conf.set("fs.s3a.impl", "org.apache.hadoop.fs.viewfs.ViewFileSystemOverloadScheme")
    conf.set("fs.viewfs.overload.scheme.target.file.impl", "org.apache.hadoop.fs.LocalFileSystem")
    conf.set(f"fs.viewfs.mounttable.{bucket.name}.link./bronze", (bucket / "bronze").as_uri())


def engine_of(name: str, bucket: Path) -> Engine:
    if name == "local":
        return local_engine(f"s3://{bucket.name}")
    return SparkEngine(SparkSettings(lake=f"s3a://{bucket.name}", spark_parts=2))


def folder_of(bucket: Path) -> Path:
    return bucket / "bronze" / "conformance" / "t"


def somebody_elses(bucket: Path) -> None:
    folder_of(bucket).mkdir(parents=True)
    write_deltalake(str(folder_of(bucket)), pa.table({"id": pa.array([1], pa.int32()), "name": ["a"]}))


def entries(bucket: Path) -> list[Path]:
    return sorted(bucket.rglob("*"))


def test_the_local_engine_keeps_the_protocol_by_conditional_writes(bucket: Path, new_table: NewTable) -> None:
    table, rival = new_table("local"), new_table("local")
    table.create()
    with pytest.raises(RivalCommitError):
        rival.create()
    table.load(TWO)
    step, look, record = table.step(Append()), table.look(), table.record()
    prepared = table.prepare(step, THREE, look=look)
    table.fence()
    with pytest.raises(RivalCommitError):
        table.destination.commit(step, prepared, look, record)
    table.check()
    table.load(THREE, BY_ID)
    table.check()
    table.destination.drop(table.uid)
    assert not table.look().exists
    assert not [path for path in entries(bucket) if path.is_file()]


def taken_over(table: ConformanceTable) -> None:
    """As ``adopt`` has a load do with a table that somebody else made."""
    table.destination.commit_empty(table.look(), table.record(0), own=True)


def test_a_table_that_the_local_engine_takes_over_gets_its_mark(bucket: Path, new_table: NewTable) -> None:
    somebody_elses(bucket)
    taken_over(new_table("local"))
    assert DeltaLog(folder_of(bucket)).state().properties[ENGINE_PROPERTY] == "local"


@pytest.mark.spark
@pytest.mark.usefixtures("mounted")
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
def test_a_table_that_spark_takes_over_gets_its_mark(bucket: Path, new_table: NewTable) -> None:
    somebody_elses(bucket)
    taken_over(new_table("spark"))
    assert DeltaLog(folder_of(bucket)).state().properties[ENGINE_PROPERTY] == "spark"


@pytest.mark.spark
@pytest.mark.usefixtures("mounted")
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
def test_a_table_whose_catalog_alone_knows_that_it_lies_on_s3_gets_its_mark(
    bucket: Path, spark: SparkSession, tmp_path: Path
) -> None:
    name = f"t_{uuid4().hex}"

    class InCatalog(SparkEngine):
        def destination(self, catalog: str, schema: str, table: str) -> Destination:
            return super().destination("spark_catalog", "default", name)

    engine = InCatalog(SparkSettings(staging=str(tmp_path / "staging"), spark_parts=2))
    table = ConformanceTable(engine, lambda _: read_folder(folder_of(bucket)), name, {"id": "int", "name": "string"})
    spark.sql(
        f"CREATE TABLE {name} (id INT, name STRING) USING delta LOCATION 's3a://{bucket.name}/bronze/conformance/t' "
        f"TBLPROPERTIES ('dataloader.table_uid' = '{table.uid}')"
    )
    table.load(TWO)
    table.close()
    assert DeltaLog(folder_of(bucket)).state().properties[ENGINE_PROPERTY] == "spark"


@pytest.mark.spark
@pytest.mark.usefixtures("mounted")
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
@pytest.mark.parametrize(("first", "second"), [("local", "spark"), ("spark", "local")])
def test_the_second_engine_refuses_by_name_until_the_mark_is_changed(
    bucket: Path, new_table: NewTable, first: str, second: str
) -> None:
    table, other = new_table(first), new_table(second)
    table.create()
    table.load(TWO)
    assert DeltaLog(folder_of(bucket)).state().properties[ENGINE_PROPERTY] == first
    before = entries(bucket)
    [problem] = other.look(uid=table.uid).problems
    assert f"loaded by the {first} engine" in problem
    assert entries(bucket) == before
    table.load(THREE, BY_ID)
    table.check()
    DeltaLog(folder_of(bucket)).set_properties(**{ENGINE_PROPERTY: second})
    assert any(f"loaded by the {second} engine" in p for p in table.look().problems)
    other.uid, other.seq, other.model = table.uid, table.seq, table.model
    other.load(rows("id name", (4, "d")), BY_ID)
    other.check()
    other.destination.drop(table.uid)
    assert not other.look().exists
