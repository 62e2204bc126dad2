"""The thin path: create, look, replace, append, fence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import DeltaError
from local_table import ARROW, PARQUET, UID, Rows, Table

from dataloader_core.errors import DestinationUnavailableError, LossRefusedError, PluginError, RivalCommitError
from dataloader_core.interfaces.source import WayOfReading
from dataloader_core.plan import Append, LossPolicy, Merge, Replace, Write
from dataloader_core.types import ColumnType
from dataloader_engines.local import commits
from dataloader_engines.local.destination import LocalDestination
from dataloader_engines.local.settings import LocalSettings
from dataloader_engines.local.storage import ObjectStorage
from dataloader_engines.local.types import duckdb_type

TEN = "SELECT i::int AS id, 'n' || i AS name, (i * 1.25)::decimal(12,2) AS amount FROM range(10) t(i)"


@pytest.mark.parametrize("way", [PARQUET, ARROW], ids=lambda w: w.way)
def test_a_replace_leaves_exactly_what_was_read(orders: Table, way: WayOfReading) -> None:
    orders.load(TEN, way=way)
    done = orders.load("SELECT 1::int AS id, 'é' AS name, 2.50::decimal(12,2) AS amount", way=way)
    assert [(r[0], r[1], str(r[2])) for r in orders.rows()] == [(1, "é", "2.50")]
    assert (done.rows_written, done.rows_deleted, done.rows_total) == (1, 10, 1)


def test_an_append_adds(orders: Table) -> None:
    orders.load(TEN)
    done = orders.load(Rows(TEN, parts=3), Append())
    assert len(orders.rows()) == 20
    assert done.rows_total == 20
    assert len(orders.look().handle.files) == 2, "crumbs of a parallel read become one file"


def test_a_look_tells_what_the_last_commit_said(orders: Table) -> None:
    created = orders.look()
    assert created.exists
    assert not created.has_rows
    assert created.newest is None
    assert created.newest_fence is not None
    assert created.owner == UID
    orders.load(TEN)
    look = orders.look()
    assert look.has_rows
    assert look.newest is not None
    assert look.newest.version == look.app_version


def test_a_fence_changes_no_row_and_is_seen(orders: Table) -> None:
    orders.load(TEN)
    fence = orders.record(0)
    orders.destination.commit_empty(orders.look(), fence)
    look = orders.look()
    assert look.app_version == fence.version
    assert look.newest_fence == fence
    assert look.newest is not None
    assert look.newest.version < fence.version
    assert len(orders.rows()) == 10


def test_a_commit_through_an_old_look_is_refused_and_changes_nothing(orders: Table) -> None:
    look, step = orders.look(), orders.step(Replace())
    prepared = orders.prepare(step, TEN, look=look)
    orders.load("SELECT 7::int AS id, 'x' AS name, 1::decimal(12,2) AS amount", Append())
    with pytest.raises(RivalCommitError):
        orders.destination.commit(step, prepared, look, orders.record())
    assert [r[0] for r in orders.rows()] == [7]
    orders.destination.commit(step, prepared, orders.look(), orders.record())
    assert len(orders.rows()) == 10


@pytest.mark.parametrize("write", [Replace(), Append(), Merge(("id",))], ids=lambda w: type(w).__name__)
def test_a_rival_of_no_row_of_ours_is_a_rival_too(orders: Table, write: Write) -> None:
    look, step = orders.look(), orders.step(write)
    prepared = orders.prepare(step, TEN, look=look)
    batch = {"id": pa.array([77], pa.int32()), "name": ["theirs"], "amount": pa.array([None], pa.decimal128(12, 2))}
    write_deltalake(orders.path, pa.table(batch), mode="append")
    with pytest.raises(RivalCommitError):
        orders.destination.commit(step, prepared, look, orders.record())
    with pytest.raises(RivalCommitError):
        orders.destination.commit_empty(look, orders.record(0))
    assert [r[0] for r in orders.rows()] == [77]


def test_an_empty_source_does_not_empty_the_table(orders: Table) -> None:
    orders.load(TEN)
    with pytest.raises(LossRefusedError, match="10 rows"):
        orders.load(f"{TEN} WHERE false")
    orders.load(f"{TEN} WHERE false", loss=LossPolicy(allow_empty=True))
    assert orders.rows() == []


def test_a_replace_that_loses_too_much_is_refused_with_the_counts(orders: Table) -> None:
    orders.load(TEN)
    with pytest.raises(LossRefusedError, match=r"leave 4 rows .* holds 10"):
        orders.load(f"{TEN} WHERE i < 4", loss=LossPolicy(max_fraction=0.5))
    orders.load(f"{TEN} WHERE i < 5", loss=LossPolicy(max_fraction=0.5))
    assert len(orders.rows()) == 5


EVERY = {
    "b": ("boolean", "true"),
    "s": ("smallint", "-32768"),
    "i": ("int", "2147483647"),
    "l": ("bigint", "-9223372036854775808"),
    "f": ("float", "0.1"),
    "d": ("double", "'inf'"),
    "n": ("decimal(38,10)", "9999999999999999999999999999.9999999999"),
    "t": ("string", "'Ünï' || chr(0) || '😀'"),
    "x": ("binary", r"'\x00\xFF'"),
    "y": ("date", "'0001-01-01'"),
    "w": ("timestamp_ntz", "'0001-01-01 00:00:00.000001'"),
    "z": ("timestamp", "'9999-12-31 23:59:59.999999+00'"),
}


@pytest.mark.parametrize("way", [PARQUET, ARROW], ids=lambda w: w.way)
def test_every_type_arrives_exactly_by_either_way_and_through_a_merge(lake: Path, way: WayOfReading) -> None:
    table = Table(lake, {name: kind for name, (kind, _) in EVERY.items()})
    table.create()
    parts = [f"CAST({sql} AS {duckdb_type(ColumnType.parse(kind))}) AS {name}" for name, (kind, sql) in EVERY.items()]
    one = f"SELECT {', '.join(parts)}"
    nulls = f"SELECT {', '.join('NULL' if n != 'i' else '1' for n in EVERY)}"
    table.load(f"{one} UNION ALL {nulls}", way=way)
    table.load(f"{one} LIMIT 1", Merge(("i",)), way=way)
    con = duckdb.connect()
    con.execute("SET TimeZone = 'UTC'")
    expected = con.execute(f"SELECT * FROM ({one}) UNION ALL {nulls} ORDER BY i").fetchall()
    assert table.rows("i") == expected


def test_a_source_that_gives_another_type_is_refused(orders: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = pa.table({"id": pa.array([5.7]), "name": ["x"], "amount": ["1.00"]})
    monkeypatch.setattr(Rows, "read_arrow", lambda self, read: wrong.to_reader())
    with pytest.raises(PluginError, match="'id' should be int"):
        orders.load(TEN, way=ARROW)


def test_a_large_stream_becomes_several_files(lake: Path) -> None:
    table = Table(lake, {"v": "string"})
    table.create()
    noise = "SELECT string_agg(md5((i * 40 + j)::varchar), '') AS v FROM range(80000) a(i), range(40) b(j) GROUP BY i"
    table.load(noise, way=ARROW)
    assert len(table.look().handle.files) > 1
    assert sum(f.rows for f in table.look().handle.files) == 80_000


def test_a_commit_that_failed_only_to_answer_counts_as_done(orders: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    real = DeltaTable.create_write_transaction

    def lost(self: DeltaTable, *args: Any, **more: Any) -> None:
        real(self, *args, **more)
        raise DeltaError("the answer was lost")

    monkeypatch.setattr(DeltaTable, "create_write_transaction", lost)
    assert orders.load(TEN).table_version == 1
    monkeypatch.undo()
    orders.destination.close()
    assert len(orders.rows()) == 10


def test_files_of_a_commit_of_unknown_fate_are_kept(orders: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    real = DeltaTable.create_write_transaction

    def lost(self: DeltaTable, *args: Any, **more: Any) -> None:
        real(self, *args, **more)
        raise DeltaError("the answer was lost")

    monkeypatch.setattr(DeltaTable, "create_write_transaction", lost)
    monkeypatch.setattr(commits, "landed", lambda *_: None)
    with pytest.raises(DestinationUnavailableError):
        orders.load(TEN)
    orders.destination.close()
    assert len(orders.rows()) == 10


def test_an_object_store_is_written_through_arrows_file_systems(lake: Path) -> None:
    table = Table(lake, {"id": "int", "name": "string"})
    table.path.mkdir(parents=True)
    storage = ObjectStorage(table.path.as_uri(), None)
    table.destination = LocalDestination(storage, LocalSettings(lake=str(lake)))
    assert not table.look().exists
    table.create()
    table.load("SELECT i::int AS id, 'a' AS name FROM range(10) t(i)")
    table.load("SELECT 3::int AS id, 'b' AS name", Merge(("id",)))
    assert [r[1] for r in table.rows("id")] == ["a"] * 3 + ["b"] + ["a"] * 6
    temp = storage.temp
    table.destination.close()
    assert not temp.exists()
    assert len(table.rows()) == 10
    table.destination.drop(UID)
    assert not table.look().exists


def test_close_deletes_what_was_prepared_and_keeps_what_was_committed(orders: Table) -> None:
    orders.load(TEN)
    orders.prepare(orders.step(Append()), TEN)
    assert len(list(orders.path.glob("*.parquet"))) == 2
    orders.destination.close()
    assert len(list(orders.path.glob("*.parquet"))) == 1
    assert len(orders.rows()) == 10
