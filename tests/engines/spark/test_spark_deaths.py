"""Loads that lose what they run on, or are told to stop: it is said, nothing is half done, and the next one loads."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from spark_reading import connect, read_of, way_of

from dataloader_core import failpoints
from dataloader_core.errors import DestinationUnavailableError, LoadCancelledError
from dataloader_core.interfaces.engine import Destination
from dataloader_core.plan import Append
from dataloader_core.testing.conformance import ConformanceTable, rows
from dataloader_engines.spark import staging
from dataloader_engines.spark.destination import SparkDestination
from dataloader_engines.spark.engine import SparkEngine
from dataloader_engines.spark.errors import spark_errors
from dataloader_engines.spark.session import LoadSession, Seen
from dataloader_engines.spark.settings import SparkSettings
from tests.conformance.readers import read_by_delta_rs
from tests.support.processes import descendants

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = [
    pytest.mark.spark,
    # PySpark leaves it to the garbage collector to close the sockets of what has ended.
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]
SLOW = "CREATE VIEW slow AS SELECT g AS id, pg_sleep(0.001)::text AS nap FROM generate_series(1, 30000) g"
STAGES = ("engine.before_read", "engine.after_read", "rows are told")


@contextlib.contextmanager
def killing_workers() -> Iterator[None]:
    """As a machine without memory does, once there are any: the daemon that starts them lives."""
    over = threading.Event()

    def kill() -> None:
        while not over.wait(0.05):
            daemons = [pid for pid, command in descendants(os.getpid()).items() if "pyspark.daemon" in command]
            workers = [pid for daemon in daemons for pid in descendants(daemon)]
            if workers:
                time.sleep(1)  # into the rows
                for pid in workers:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                return

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_a_python_worker_that_is_killed_is_named(
    spark: SparkSession, postgres_server: Any, database: str, tmp_path: Path
) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(SLOW.encode())
    source = postgres_server.tcp_dsn(conninfo_to_dict(database)["dbname"])
    load = LoadSession(spark.newSession(), own=True, confs=True, lock=threading.RLock(), seen=Seen())
    with connect(source) as session, session.snapshot() as snapshot:
        read = read_of(session, "slow")
        way = way_of(snapshot, read, "arrow")
        with (
            killing_workers(),
            pytest.raises(DestinationUnavailableError, match="A Python worker of Spark was killed") as caught,
            spark_errors("/lake/t"),
        ):
            staging.write(load, str(tmp_path / "rows"), read, snapshot, way, 2)
    assert "`parallel`" in str(caught.value.cure)


@pytest.fixture
def table(spark: SparkSession, tmp_path: Path) -> Iterator[ConformanceTable]:
    engine = SparkEngine(SparkSettings(lake=str(tmp_path / "lake"), spark_parts=2))
    table = ConformanceTable(engine, read_by_delta_rs, f"t_{uuid4().hex}", {"id": "int", "name": "string"})
    table.create()
    table.load(rows("id name", (1, "a"), (2, "b")))
    yield table
    table.close()


def left_behind(load: Destination) -> list[Path]:
    assert isinstance(load, SparkDestination)
    root = Path(load.address.staging)
    return list(root.iterdir()) if root.is_dir() else []


def cancelled_from(stage: str, monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], None]:
    """Somebody cancels when the load reaches a stage; it is noticed when the load next asks."""
    reached = set()
    hit = failpoints.hit

    def noting(point: str) -> None:
        reached.add(point)
        hit(point)

    monkeypatch.setattr(failpoints, "hit", noting)

    def progress(rows: int, size: int) -> None:
        if stage in reached or rows:
            raise LoadCancelledError("somebody cancelled it")

    return progress


@pytest.mark.parametrize("stage", STAGES)
def test_a_load_cancelled_at_any_stage_leaves_nothing_behind(
    table: ConformanceTable, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, load = table.log.versions, table.open()
    step, more = table.step(Append(), unique=("id",)), rows("id name", (3, "c"))
    snapshot, look = table.snapshot(more), table.look()
    assert step.read is not None
    way = table._way(snapshot.ways(step.read), None)
    progress = cancelled_from(stage, monkeypatch)
    with pytest.raises(LoadCancelledError):
        load.prepare(step, table.source, snapshot, way, look, "evolve", progress)
    load.close()
    monkeypatch.undo()
    assert table.log.versions == before
    assert left_behind(load) == []
    table.load(more, Append())
    table.check()


def test_a_load_cancelled_between_reading_and_commit_leaves_nothing_behind(table: ConformanceTable) -> None:
    before, step = table.log.versions, table.step(Append())
    other = table.open()
    table.prepare(step, rows("id name", (3, "c")), through=other)
    other.close()  # what a load does at its end, whatever ended it
    assert table.log.versions == before
    assert left_behind(other) == []
    table.check()
