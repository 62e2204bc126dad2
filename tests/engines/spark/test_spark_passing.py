"""Rows that pass from the source into the commit: what is told beforehand, what is checked afterwards, what ends it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from dataloader_core.errors import LoadCancelledError, PluginError
from dataloader_core.interfaces.source import SourceSnapshot, Tally
from dataloader_core.plan import Append, HighestRead, Merge, Read, Replace, Write
from dataloader_core.testing.conformance.table import ConformanceTable, Rows, rows
from dataloader_core.testing.memory import MemorySnapshot
from dataloader_engines.spark import reading_jobs
from dataloader_engines.spark.destination import SparkDestination
from dataloader_engines.spark.engine import SparkEngine
from dataloader_engines.spark.settings import SparkSettings
from dataloader_engines.spark.staging import Staged
from tests.conformance.readers import read_by_delta_rs

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = [
    pytest.mark.spark,
    # PySpark leaves it to the garbage collector to close the sockets of what has ended.
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]
TWO = rows("id name", (1, "a"), (2, "b"))
MORE = rows("id name", (3, "c"), (4, None), (5, "e"))


def new_table(tmp_path: Path, **settings: str) -> ConformanceTable:
    engine = SparkEngine(SparkSettings.model_validate({"lake": str(tmp_path / "lake"), "spark_parts": 2, **settings}))
    table = ConformanceTable(engine, read_by_delta_rs, f"t_{uuid4().hex}", {"id": "int", "name": "string"})
    table.create()
    table.load(TWO)
    return table


@pytest.fixture
def table(spark: SparkSession, tmp_path: Path) -> Iterator[ConformanceTable]:
    table = new_table(tmp_path)
    yield table
    table.close()


def folders(table: ConformanceTable) -> list[Path]:
    assert isinstance(table.destination, SparkDestination)
    root = Path(table.destination.address.staging)
    return list(root.iterdir()) if root.is_dir() else []


@pytest.mark.parametrize(
    ("write", "unique", "tells", "waits"),
    [
        (Append(), (), True, False),
        (Replace(), (), True, False),
        (Append(), (), False, True),
        (Replace(), ("id",), True, True),
        (Merge(("id",)), (), True, True),
    ],
    ids=["append", "replace", "untold", "unique", "merge"],
)
def test_rows_wait_in_files_only_where_they_must(
    table: ConformanceTable, write: Write, unique: tuple[str, ...], tells: bool, waits: bool
) -> None:
    given = Rows(MORE.rows, {"tells": tells})
    prepared = table.prepare(table.step(write, unique=unique), given)
    assert prepared.rows == len(MORE.rows)
    assert bool(folders(table)) is waits


def test_rows_can_be_made_to_wait(spark: SparkSession, tmp_path: Path) -> None:
    table = new_table(tmp_path, write_through="off")
    table.prepare(table.step(Append()), MORE)
    assert folders(table)
    table.close()


@dataclass
class Mistaken(MemorySnapshot):
    """Counts a row that it does not give."""

    def tally(self, read: Read, rule: HighestRead | None) -> Tally | None:
        told = super().tally(read, rule)
        return told and replace(told, rows=told.rows + 1)


def mistaken(table: ConformanceTable, given: Rows) -> SourceSnapshot:
    return Mistaken(table.snapshot(given).source)


@pytest.mark.parametrize("write", [Append(), Replace()], ids=["append", "replace"])
def test_a_source_that_gives_other_rows_than_it_told_is_named(table: ConformanceTable, write: Write) -> None:
    step, look = table.step(write), table.look()
    prepared = table.prepare(step, mistaken(table, MORE), look=look)
    with pytest.raises(PluginError, match=r"told 4 rows of .* and gave 3; they are committed as version 2") as caught:
        table.destination.commit(step, prepared, look, table.record())
    assert "DATALOADER_WRITE_THROUGH=off" in str(caught.value.cure)


@pytest.mark.parametrize("write", [Append(), Replace()], ids=["append", "replace"])
@pytest.mark.parametrize("feature", ["delta.enableChangeDataFeed", "delta.enableDeletionVectors"])
def test_what_was_written_is_counted_whatever_the_table_records(
    spark: SparkSession, table: ConformanceTable, feature: str, write: Write
) -> None:
    assert isinstance(table.destination, SparkDestination)
    spark.sql(f"ALTER TABLE {table.destination.address.sql} SET TBLPROPERTIES ('{feature}' = 'true')")
    table.destination.close()
    table.destination = table.open()
    table.load(MORE, write)
    assert sorted(row["id"] or "" for row in spark_rows(spark, table)) == sorted(
        row["id"] or "" for row in table.model.rows
    )


def spark_rows(spark: SparkSession, table: ConformanceTable) -> list[dict[str, str]]:
    assert isinstance(table.destination, SparkDestination)
    return [{"id": str(row.id)} for row in spark.table(table.destination.address.sql).select("id").collect()]


def test_a_load_cancelled_while_its_rows_pass_commits_nothing(
    table: ConformanceTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading_jobs, "_TICK", 0.005)  # these few rows have passed before the first of a deployment
    step, look, before = table.step(Append()), table.look(), table.log.versions
    cancelled: list[bool] = []

    def progress(_rows: int, _bytes: int) -> None:
        if cancelled:
            raise LoadCancelledError("somebody cancelled it")

    snapshot = table.snapshot(MORE)
    assert step.read is not None
    way = table._way(snapshot.ways(step.read), None)
    prepared = table.destination.prepare(step, table.source, snapshot, way, look, "evolve", progress)
    cancelled.append(True)
    with pytest.raises(LoadCancelledError, match="somebody cancelled it"):
        table.destination.commit(step, prepared, look, table.record())
    assert table.log.versions == before
    table.load(MORE, Append())
    table.check()


def test_the_view_goes_with_its_commit_or_with_the_load(spark: SparkSession, table: ConformanceTable) -> None:
    assert isinstance(table.destination, SparkDestination)
    own = table.destination.session.spark
    step, look = table.step(Append()), table.look()
    prepared = table.prepare(step, MORE, look=look)
    staged = prepared.handle
    assert isinstance(staged, Staged)
    assert own.catalog.tableExists(staged.relation)
    table.destination.commit(step, prepared, look, table.record())
    assert not own.catalog.tableExists(staged.relation)
    other = table.prepare(table.step(Append()), MORE).handle
    table.destination.close()
    assert not own.catalog.tableExists(other.relation)
