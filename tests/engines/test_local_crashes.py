"""Rival processes, kills and broken storage: one winner, no half commits, nothing deleted that a commit names."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import duckdb
import pyarrow as pa
import pytest
from local_table import ARROW, PARQUET, UID, Rows, Table

from dataloader_core.commit import Look
from dataloader_core.errors import (
    DestinationRefusedError,
    DestinationUnavailableError,
    LoadCancelledError,
    RivalCommitError,
    SourceUnavailableError,
    UnrepresentableValueError,
)
from dataloader_core.interfaces.source import Unrepresentable
from dataloader_core.plan import Append, LossPolicy, Merge, Read, Replace, Write

COLUMNS = {"id": "int", "name": "string"}
SPAWN = multiprocessing.get_context("spawn")


def numbered(start: int, count: int, name: str = "x") -> str:
    return f"SELECT i::int AS id, '{name}' AS name FROM range({start}, {start + count}) t(i)"


def race(lake: Path, worker: int, write: Write, barrier: Any, wins: Any) -> None:
    table = Table(lake, COLUMNS)
    for round_number in range(5):
        table.seq = 100 * round_number + worker
        look, step = table.look(), table.step(write)
        prepared = table.prepare(step, numbered(worker * 10, 10, f"w{worker}"), look=look)
        barrier.wait(60)
        try:
            table.destination.commit(step, prepared, look, table.record())
            wins.put((round_number, worker))
        except RivalCommitError:
            pass
        barrier.wait(60)
    table.destination.close()


@pytest.mark.parametrize("write", [Append(), Replace(), Merge(("id",))], ids=["append", "replace", "merge"])
def test_of_four_rivals_through_equal_looks_exactly_one_commits(lake: Path, write: Write) -> None:
    table = Table(lake, COLUMNS)
    table.create()
    barrier, wins = SPAWN.Barrier(4), SPAWN.Queue()
    workers = [SPAWN.Process(target=race, args=(lake, n, write, barrier, wins)) for n in range(4)]
    for worker in workers:
        worker.start()
    won = [wins.get(timeout=100) for _ in range(5)]
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    assert wins.empty()
    assert sorted(r for r, _ in won) == [0, 1, 2, 3, 4]
    assert table.look().table_version == 5
    expected = {"append": 50, "replace": 10, "merge": 10 * len({w for _, w in won})}
    assert len(table.rows()) == expected[type(write).__name__.lower()]
    named = {f.path for f in table.look().handle.files}
    assert named <= {f.name for f in table.path.glob("*.parquet")}


def racing_create(lake: Path, barrier: Any, wins: Any) -> None:
    table = Table(lake, COLUMNS)
    barrier.wait(60)
    try:
        table.create()
        wins.put("won")
    except RivalCommitError:
        wins.put("lost")


def test_of_four_creations_exactly_one_wins(lake: Path) -> None:
    barrier, wins = SPAWN.Barrier(4), SPAWN.Queue()
    workers = [SPAWN.Process(target=racing_create, args=(lake, barrier, wins)) for _ in range(4)]
    for worker in workers:
        worker.start()
    outcomes = sorted(wins.get(timeout=100) for _ in workers)
    for worker in workers:
        worker.join(60)
    assert outcomes == ["lost", "lost", "lost", "won"]
    assert Table(lake, COLUMNS).look().table_version == 0


KILLED = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from local_table import Table
from test_local_crashes import COLUMNS, numbered
from dataloader_core.plan import Merge
table = Table(Path(sys.argv[2]), COLUMNS)
table.seq = 50
table.load(numbered(5, 10, "new"), Merge(("id",)))
"""
POINTS = {
    "engine.before_read": False,
    "engine.after_read": False,
    "engine.merge_found": False,
    "engine.before_rewrite": False,
    "engine.merge_written": False,
    "engine.before_commit": False,
    "engine.after_commit": True,
}


@pytest.mark.parametrize(("point", "committed"), POINTS.items(), ids=POINTS)
def test_a_kill_leaves_the_table_as_before_or_as_after(lake: Path, point: str, committed: bool) -> None:
    table = Table(lake, COLUMNS)
    table.create()
    table.load(numbered(0, 10, "old"))
    environment = os.environ | {"DATALOADER_FAILPOINTS": f"{point}=kill"}
    here = str(Path(__file__).parent)
    done = subprocess.run([sys.executable, "-c", KILLED, here, str(lake)], env=environment, timeout=120, check=False)
    assert done.returncode == -signal.SIGKILL
    before = [(i, "old") for i in range(10)]
    after = [(i, "old") for i in range(5)] + [(i, "new") for i in range(5, 15)]
    assert table.rows() == (after if committed else before)
    table.seq = 60
    table.load(numbered(5, 10, "new"), Merge(("id",)))
    assert table.rows() == after


def test_a_full_disk_changes_nothing_and_says_so(lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = Table(lake, COLUMNS)
    table.create()
    table.load(numbered(0, 10))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Rows, "write_parquet", full)
    with pytest.raises(DestinationUnavailableError, match="no space left"):
        table.load(numbered(0, 10), Append())
    assert len(table.rows()) == 10
    assert len(list(table.path.glob("*.parquet"))) == 1


def test_a_file_system_that_fills_up_or_turns_read_only_changes_nothing(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(small)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("this user may not mount a file system")
    table = Table(small, COLUMNS)
    try:
        table.create()
        table.load(numbered(0, 10))
        noise = "SELECT i::int AS id, md5(i::varchar) || md5((i + 1)::varchar) AS name FROM range(200000) t(i)"
        for way in (PARQUET, ARROW):
            with pytest.raises(DestinationUnavailableError):
                table.load(noise, Append(), way=way)
        assert len(table.rows()) == 10
        assert len(list(table.path.glob("*"))) == 2, "the file and the log: what was begun is deleted"
        subprocess.run(["mount", "-o", "remount,ro", str(small)], check=True)
        with pytest.raises(DestinationRefusedError, match="permission"):
            table.load(numbered(0, 10), Append())
    finally:
        table.destination.close()
        subprocess.run(["umount", "-l", str(small)], check=True)


def test_a_folder_without_write_permission_is_refused(lake: Path) -> None:
    lake.mkdir()
    lake.chmod(0o500)
    table = Table(lake, COLUMNS)
    if os.access(lake, os.W_OK):
        lake.chmod(0o700)
        pytest.skip("this user may write anywhere")
    with pytest.raises(DestinationRefusedError, match="permission"):
        table.create()
    lake.chmod(0o700)


@pytest.mark.parametrize("error", [SourceUnavailableError("The source went away."), LoadCancelledError("Stopped.")])
def test_a_source_that_dies_in_mid_stream_leaves_nothing(
    lake: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    table = Table(lake, COLUMNS)
    table.create()

    def dying(self: Rows, read: Read) -> pa.RecordBatchReader:
        schema = pa.schema([("id", pa.int32()), ("name", pa.string())])

        def batches() -> Any:
            for _ in range(300):
                yield pa.record_batch([pa.array(range(1000), pa.int32()), pa.array(["x"] * 1000)], schema=schema)
            raise error

        return pa.RecordBatchReader.from_batches(schema, batches())

    monkeypatch.setattr(Rows, "read_arrow", dying)
    with pytest.raises(type(error), match=str(error)):
        table.load(numbered(0, 1), way=ARROW)
    assert list(table.path.glob("*.parquet")) == []


def test_unrepresentable_values_fail_by_name_or_are_counted(lake: Path) -> None:
    table = Table(lake, COLUMNS)
    table.create()
    rows = Rows(numbered(0, 5), found=(Unrepresentable("id", "NaN", 2),))
    with pytest.raises(UnrepresentableValueError, match="id: NaN in 2 rows"):
        table.load(rows)
    assert list(table.path.glob("*.parquet")) == []
    step = table.step(on_unrepresentable="null")
    prepared = table.prepare(step, rows)
    assert prepared.unrepresentable == rows.found


def test_the_source_is_told_the_bounds_over_all_files(lake: Path) -> None:
    table = Table(lake, COLUMNS)
    table.create()
    rows = Rows(numbered(-3, 100), parts=4)
    table.load(rows)
    assert rows.asked is not None
    assert (rows.asked["id"].low, rows.asked["id"].high, rows.asked["id"].nulls) == ("-3", "96", 0)


def test_a_wide_table_and_strange_names_arrive(lake: Path) -> None:
    names = [f'col "{i}" ü%/.' for i in range(1500)]
    table = Table(lake, dict.fromkeys(names, "int"))
    table.create()
    listed = ", ".join(f'{i} AS "{n.replace(chr(34), chr(34) * 2)}"' for i, n in enumerate(names))
    table.load(f"SELECT {listed}")
    table.load(f"SELECT {listed}", Merge((names[1499],)))
    assert table.rows() == [tuple(range(1500))]


def test_one_large_value_arrives(lake: Path) -> None:
    table = Table(lake, {"id": "int", "v": "string"})
    table.create()
    table.load("SELECT 1::int AS id, repeat('x', 20000000) AS v")
    table.load("SELECT 2::int AS id, 'y' AS v", Merge(("id",)))
    [(length,)] = duckdb.sql(
        f"SELECT max(length(v)) FROM read_parquet('{table.path / table.look().handle.files[0].path}')"
    ).fetchall()
    assert length == 20_000_000


def no_progress(_rows: int, _bytes: int) -> None:
    pass


def test_a_staging_table_replaces_its_target_and_stays_until_it_is_dropped(lake: Path) -> None:
    target, staging = Table(lake, COLUMNS), Table(lake, COLUMNS, "orders__backfill_1")
    target.create()
    target.load(numbered(100, 3))
    staging.create()
    for start in (0, 10, 20):
        staging.load(numbered(start, 10), Append())
    step = target.step(loss=LossPolicy())
    look = target.look()
    prepared = target.destination.prepare_from(
        step, target.source, staging.destination, staging.look(), look, "evolve", no_progress
    )
    assert prepared.rows == 30
    done = target.destination.commit(step, prepared, look, target.record())
    assert done.rows_total == 30
    assert [r[0] for r in target.rows()] == list(range(30))
    target.destination.close()
    staging.destination.drop(UID)
    assert len(target.rows()) == 30
    assert sorted(b.low for b in target.look().handle.bounds("id")) == ["0", "10", "20"]


def test_a_staging_table_of_another_row_or_changed_by_hand_is_refused_for_what_it_is(lake: Path) -> None:
    target, staging = Table(lake, COLUMNS), Table(lake, COLUMNS, "orders__backfill_1")
    other = uuid4()
    target.create()
    staging.create(other)
    staging.load(numbered(0, 3), Append())
    step = target.step(loss=LossPolicy())

    def publish(aside: Look) -> None:
        target.destination.prepare_from(
            step, target.source, staging.destination, aside, target.look(), "evolve", no_progress
        )

    aside = staging.look(other)
    with pytest.raises(DestinationRefusedError, match=f"belongs to {other}, the target to {UID}\\.") as foreign:
        publish(aside)
    assert "changed" not in foreign.value.problem
    with pytest.raises(
        DestinationRefusedError, match=r"no longer as the backfill left it: It has a generated column\. Drop"
    ):
        publish(replace(aside, owner=UID, problems=("It has a generated column.",)))


def test_a_data_file_that_is_gone_is_told_and_nothing_is_committed(lake: Path) -> None:
    table = Table(lake, COLUMNS)
    table.create()
    table.load(numbered(0, 5))
    next(table.path.glob("*.parquet")).unlink()
    with pytest.raises(DestinationUnavailableError, match="is gone"):
        table.load(numbered(0, 5), Merge(("id",)))
    assert table.look().table_version == 1
    table.load(numbered(0, 5))
    assert len(table.rows()) == 5


def test_storage_that_is_gone_does_not_hide_what_went_wrong(lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = Table(lake, COLUMNS)
    table.create()

    def broken(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(table.destination.storage, "discard", broken)
    rows = Rows(numbered(0, 5), found=(Unrepresentable("id", "NaN", 2),))
    with pytest.raises(UnrepresentableValueError):
        table.load(rows)
    table.destination.close()


def test_a_vacuum_that_takes_waiting_files_is_noticed_before_the_commit(lake: Path) -> None:
    table = Table(lake, COLUMNS)
    table.create()
    look, step = table.look(), table.step(Append())
    prepared = table.prepare(step, numbered(0, 5), look=look)
    for file in table.path.glob("*.parquet"):
        file.unlink()
    with pytest.raises(DestinationUnavailableError, match="is gone"):
        table.destination.commit(step, prepared, look, table.record())
    assert table.look().table_version == 0
