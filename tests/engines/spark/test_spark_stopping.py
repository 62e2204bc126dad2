"""A load that is to stop while Spark counts, merges or publishes: at once, and with nothing half done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from dataloader_core import failpoints
from dataloader_core.commit import Look
from dataloader_core.errors import LoadCancelledError
from dataloader_core.interfaces.engine import Prepared
from dataloader_core.plan import Append, Merge, Step
from dataloader_core.testing.conformance.table import ConformanceTable, Rows, rows
from dataloader_engines.spark import reading_jobs
from dataloader_engines.spark.engine import SparkEngine
from dataloader_engines.spark.settings import SparkSettings
from tests.conformance.readers import read_by_delta_rs

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = [
    pytest.mark.spark,
    # PySpark leaves it to the garbage collector to close the sockets of what has ended.
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]
START = "the commit's start"
BY_ID = Merge(("id",))
TWO = rows("id name", (1, "a"), (2, "b"))
CHANGED = rows("id name", (2, "B"), (3, "c"))


@dataclass
class Stop:
    """Asked for when a point of the engine's work is passed."""

    at: str | None = None
    passed: list[str] = field(default_factory=list)

    def hit(self, name: str) -> None:
        self.passed.append(name)

    def progress(self, _rows: int, _bytes: int) -> None:
        if self.at in self.passed:
            raise LoadCancelledError("somebody cancelled it")


@pytest.fixture
def stop(monkeypatch: pytest.MonkeyPatch) -> Stop:
    stop = Stop()
    monkeypatch.setattr(failpoints, "hit", stop.hit)
    # Statements of a test are short.
    monkeypatch.setattr(reading_jobs, "_TICK", 0.005)
    return stop


NewTable = Callable[[], ConformanceTable]


@pytest.fixture
def new_table(spark: SparkSession, tmp_path: Path) -> Iterator[NewTable]:
    made: list[ConformanceTable] = []

    def new() -> ConformanceTable:
        engine = SparkEngine(SparkSettings(lake=str(tmp_path / "lake"), write_through="off"))
        made.append(ConformanceTable(engine, read_by_delta_rs, f"t_{uuid4().hex}", {"id": "int", "name": "string"}))
        return made[-1]

    yield new
    for table in made:
        table.close()


def prepared(table: ConformanceTable, step: Step, given: Rows, look: Look, stop: Stop) -> Prepared:
    assert step.read is not None
    snapshot = table.snapshot(given)
    way = table._way(snapshot.ways(step.read), None)
    return table.destination.prepare(step, table.source, snapshot, way, look, "evolve", stop.progress)


def refuses_to_commit(
    table: ConformanceTable, step: Step, ready: Prepared, look: Look, stop: Stop, before: str, behind: str
) -> None:
    """Stopped behind one point and before the next, with the table as it was."""
    versions = table.log.versions
    stop.at, stop.passed = before, [before] if before == START else []
    with pytest.raises(LoadCancelledError, match="somebody cancelled it") as caught:
        table.destination.commit(step, ready, look, table.record())
    assert behind not in stop.passed
    assert caught.value.__context__ is None
    assert table.log.versions == versions
    stop.at = None


def test_a_merge_is_stopped_while_it_counts_and_while_it_merges(new_table: NewTable, stop: Stop) -> None:
    table = new_table()
    table.create()
    table.load(TWO, Append())
    step, look = table.step(BY_ID), table.look()
    ready = prepared(table, step, CHANGED, look, stop)
    refuses_to_commit(table, step, ready, look, stop, START, "engine.merge_found")
    refuses_to_commit(table, step, ready, look, stop, "engine.before_commit", "engine.after_commit")
    table.destination.commit(step, ready, look, table.record())
    table.expect(step, CHANGED)
    table.check()


def test_a_backfill_is_stopped_while_it_is_published(new_table: NewTable, stop: Stop) -> None:
    target, staging = new_table(), new_table()
    staging.uid = target.uid
    for table in (target, staging):
        table.create()
        table.load(TWO, Append())
    step, look = replace(target.step(), read=None), target.look()
    ready = target.destination.prepare_from(
        step, target.source, staging.destination, staging.look(), look, "evolve", stop.progress
    )
    refuses_to_commit(target, step, ready, look, stop, "engine.before_commit", "engine.after_commit")
    target.destination.commit(step, ready, look, target.record())
    assert len(target.rows()) == 2
