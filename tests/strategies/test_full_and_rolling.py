from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from dataloader_core.errors import ConfigurationError
from dataloader_core.plan import Comparison, KeepWatermark, LossPolicy, Merge, Replace, Split
from dataloader_core.testing.builders import source_table
from dataloader_core.types import ColumnType
from dataloader_core.values import Value
from dataloader_strategies.full import Full
from dataloader_strategies.rolling import Rolling

KEYED: dict[str, Any] = {"primary_key_cols": ("id",), "rolling_days": 3}


def test_full_replaces_everything_and_has_no_watermark(planned):
    (step,) = planned(Full).steps
    assert (step.write, step.watermark, step.read.where) == (Replace(), KeepWatermark(), ())


def test_full_takes_the_tables_own_settings_into_its_read(planned):
    (step,) = planned(
        Full,
        filter="note <> 'x'",
        row_limit=10,
        on_unrepresentable="null",
        partition_column="id",
        num_partitions=4,
        allow_empty=True,
        max_delete_fraction=0.1,
    ).steps
    assert (step.read.filter, step.read.row_limit, step.read.on_unrepresentable) == ("note <> 'x'", 10, "null")
    assert step.read.split == Split("id", 4)
    assert step.loss == LossPolicy(True, 0.1)


def test_full_carries_the_order_of_a_load_full(planned):
    assert planned(Full, load_full=True).load_full
    assert not planned(Full).load_full


def test_full_has_no_options(planned):
    with pytest.raises(ConfigurationError, match="Its options are: none"):
        planned(Full, strategy_options={"chunks": 3})


def test_rolling_merges_the_window_and_deletes_around_and_inside(planned):
    (step,) = planned(Rolling, rolling_column="day", **KEYED).steps
    start = Value(ColumnType("date"), "2024-06-12")
    assert step.read.where == (Comparison("day", ">=", start),)
    assert step.write == Merge(("id",), (Comparison("day", "<", start),), (Comparison("day", ">=", start),), True)
    assert step.watermark == KeepWatermark()


@pytest.mark.parametrize("options", [{"delete_outside": False}, {"delete_missing": False}])
def test_each_delete_of_rolling_is_a_setting(planned, options):
    (step,) = planned(Rolling, rolling_column="day", strategy_options=options, **KEYED).steps
    assert bool(step.write.delete_where) is options.get("delete_outside", True)
    assert bool(step.write.delete_missing_where) is options.get("delete_missing", True)


@pytest.mark.parametrize("how", [{"has_rows": False}, {"load_full": True}])
def test_rolling_overwrites_with_its_window_where_there_is_nothing_or_it_was_ordered(planned, how):
    (step,) = planned(Rolling, rolling_column="day", **KEYED, **how).steps
    assert step.write == Replace()
    assert [c.column for c in step.read.where] == ["day"]


def test_rolling_that_keeps_what_is_older_starts_with_everything(planned):
    options = {"delete_outside": False}
    (step,) = planned(Rolling, rolling_column="day", has_rows=False, strategy_options=options, **KEYED).steps
    assert step.read.where == ()


@pytest.mark.parametrize(
    ("type", "zone", "start"),
    [
        ("date", "UTC", "2024-06-12"),
        ("date", "Pacific/Auckland", "2024-06-13"),
        ("timestamp_ntz", "Pacific/Auckland", "2024-06-13 00:00:00"),
        ("timestamp", "Pacific/Auckland", "2024-06-12 12:00:00+00:00"),
        ("timestamp", "America/New_York", "2024-06-12 04:00:00+00:00"),
    ],
)
def test_the_window_starts_at_midnight_of_the_tables_time_zone(planned, type, zone, start):
    source = source_table((("id",),), id="bigint!", at=type)
    clock = datetime(2024, 6, 15, 13, tzinfo=UTC)
    (step,) = planned(Rolling, source=source, rolling_column="at", time_zone=zone, clock=clock, **KEYED).steps
    assert step.read.where[0].value == Value(ColumnType(type), start)


def test_a_midnight_that_the_clocks_skip_is_the_days_first_instant(planned):
    source = source_table((("id",),), id="bigint!", at="timestamp")
    clock = datetime(2024, 4, 27, 9, tzinfo=UTC)
    settings = {"rolling_column": "at", "time_zone": "Africa/Cairo", "clock": clock, "primary_key_cols": ("id",)}
    (step,) = planned(Rolling, source=source, rolling_days=1, **settings).steps
    assert step.read.where[0].value.text == "2024-04-25 22:00:00+00:00"


def test_the_conditions_on_the_target_use_its_own_names(planned):
    source = source_table((("id",),), id="bigint!", **{"order day": "date"})
    (step,) = planned(Rolling, source=source, rolling_column="order day", **KEYED).steps
    assert step.read.where[0].column == "order day"
    assert step.write.delete_where[0].column == "order_day"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rolling_days": 3, "primary_key_cols": ("id",)}, "needs rolling_column"),
        ({"rolling_column": "day", "primary_key_cols": ("id",)}, "needs rolling_days"),
        ({"rolling_column": "day", "rolling_days": -1, "primary_key_cols": ("id",)}, "needs rolling_days"),
        ({"rolling_column": "day", "rolling_days": 3}, "source's own key is id"),
        ({"rolling_column": "note", **KEYED}, "arrives as string"),
        ({"rolling_column": "day", "rolling_days": 900_000, "primary_key_cols": ("id",)}, "before the year 1"),
        ({"rolling_column": "day", "time_zone": "Mars/Olympus", **KEYED}, "time_zone 'Mars/Olympus' is unknown"),
        ({"rolling_column": "day", "strategy_options": {"delete_outsid": True}, **KEYED}, "delete_outsid"),
    ],
)
def test_rolling_refuses_what_it_cannot_do(planned, settings, message):
    with pytest.raises(ConfigurationError, match=message):
        planned(Rolling, **settings)
