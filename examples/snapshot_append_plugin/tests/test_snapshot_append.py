from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from dataloader_snapshot_append.strategy import SnapshotAppend

from dataloader_core.errors import ConfigurationError
from dataloader_core.testing.builders import source_table, table_config
from dataloader_core.testing.interpreter import MemorySource, MemoryTarget, load

START = datetime(2024, 6, 15, 12, tzinfo=UTC)
PRICES = source_table(sku="string!", price="decimal(10,2)")


def prices(hours: int = 0, price: str = "9.99") -> MemorySource:
    return MemorySource(PRICES, [{"sku": "a", "price": price}], clock=START + timedelta(hours=hours))


def test_every_load_adds_a_snapshot_under_its_own_time() -> None:
    target, table = MemoryTarget(), table_config("snapshot_append")
    load(SnapshotAppend(), table, prices(), target)
    load(SnapshotAppend(), table, prices(1, "8.99"), target)
    assert target.rows == [
        {"sku": "a", "price": "9.99", "loaded_at": "2024-06-15 12:00:00+00:00"},
        {"sku": "a", "price": "8.99", "loaded_at": "2024-06-15 13:00:00+00:00"},
    ]


def test_load_full_forgets_the_snapshots_taken_so_far() -> None:
    target, table = MemoryTarget(), table_config("snapshot_append")
    load(SnapshotAppend(), table, prices(), target)
    target.load_full = True
    load(SnapshotAppend(), table, prices(2), target)
    assert [row["loaded_at"] for row in target.rows] == ["2024-06-15 14:00:00+00:00"]


def test_the_stamp_has_the_name_that_the_options_give() -> None:
    target = MemoryTarget()
    load(SnapshotAppend(), table_config("snapshot_append", strategy_options={"stamp_column": "seen"}), prices(), target)
    assert "seen" in target.rows[0]


@pytest.mark.parametrize("name", ["price", "PRICE"])
def test_a_stamp_that_would_hide_a_column_is_refused(name: str) -> None:
    table = table_config("snapshot_append", strategy_options={"stamp_column": name})
    with pytest.raises(ConfigurationError, match="has a column 'price' already"):
        load(SnapshotAppend(), table, prices(), MemoryTarget())


@pytest.mark.parametrize("policy", ["freeze", "fail"])
def test_a_first_load_that_may_add_no_column_is_refused(policy: str) -> None:
    with pytest.raises(ConfigurationError, match="needs schema_policy = evolve"):
        load(SnapshotAppend(), table_config("snapshot_append", schema_policy=policy), prices(), MemoryTarget())
