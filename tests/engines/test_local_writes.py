"""The thin path: create, look, replace, append, fence."""

from __future__ import annotations

import pytest
from local_table import ARROW, PARQUET, UID, Rows, Table

from dataloader_core.errors import LossRefusedError, RivalCommitError
from dataloader_core.interfaces.source import WayOfReading
from dataloader_core.plan import Append, LossPolicy, Replace

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


def test_close_deletes_what_was_prepared_and_keeps_what_was_committed(orders: Table) -> None:
    orders.load(TEN)
    orders.prepare(orders.step(Append()), TEN)
    assert len(list(orders.path.glob("*.parquet"))) == 2
    orders.destination.close()
    assert len(list(orders.path.glob("*.parquet"))) == 1
    assert len(orders.rows()) == 10
