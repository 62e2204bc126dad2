"""The thin path: create, look, replace, append, fence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError
from local_table import ARROW, UID, Rows, Table

from dataloader_core.errors import DestinationUnavailableError, PluginError
from dataloader_core.plan import Append, Merge
from dataloader_engines.local import commits
from dataloader_engines.local.destination import LocalDestination
from dataloader_engines.local.settings import LocalSettings
from dataloader_engines.local.storage import ObjectStorage

TEN = "SELECT i::int AS id, 'n' || i AS name, (i * 1.25)::decimal(12,2) AS amount FROM range(10) t(i)"


def test_an_append_adds(orders: Table) -> None:
    orders.load(TEN)
    done = orders.load(Rows(TEN, parts=3), Append())
    assert len(orders.rows()) == 20
    assert done.rows_total == 20
    assert len(orders.look().handle.files) == 2, "crumbs of a parallel read become one file"


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
