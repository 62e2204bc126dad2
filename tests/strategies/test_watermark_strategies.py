from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dataloader_core.errors import ConfigurationError, TransientError
from dataloader_core.plan import Append, Cap, Comparison, FixedWatermark, HighestRead, KeepWatermark, Merge, Replace
from dataloader_core.testing.builders import source_table
from dataloader_core.types import BIGINT, TIMESTAMP, ColumnType
from dataloader_core.values import Value
from dataloader_strategies.append_only import AppendOnly
from dataloader_strategies.check_and_load import CheckAndLoad
from dataloader_strategies.incremental import Incremental

ELEVEN = "2024-06-15 11:00:00+00:00"
CAP = Cap(Value(TIMESTAMP, "2024-06-15 12:00:00+00:00"), False, True, "no transaction is older")
UNPROVEN = replace(CAP, proven=False, reason="clients stamp the values.")
HELD = Cap(None, False, True, "transaction 'p1' is prepared", hold=True)
MERGING: dict[str, Any] = {"primary_key_cols": ("id",), "incremental_column": "stamp"}
APPENDING: dict[str, Any] = {"incremental_column": "stamp"}


def at(text: str) -> Value:
    return Value(TIMESTAMP, text)


def test_incremental_reads_above_the_cap_but_keeps_its_watermark_below(planned):
    (step,) = planned(Incremental, watermark=ELEVEN, **MERGING).steps
    assert step.read.where == (Comparison("stamp", ">", at(ELEVEN)),)
    assert step.write == Merge(("id",), proven=True)
    assert step.watermark == HighestRead("stamp", at(ELEVEN), CAP.value, False)


def test_incremental_steps_back_by_its_lookback_and_not_its_floor(planned):
    plan = planned(Incremental, watermark=ELEVEN, incremental_lookback="90 min", **MERGING)
    (step,) = plan.steps
    assert step.read.where == (Comparison("stamp", ">=", at("2024-06-15 09:30:00+00:00")),)
    assert step.watermark.floor == at(ELEVEN)
    assert any("Reads again from" in reason for reason in plan.reasons)


@pytest.mark.parametrize("state", [{"watermark": None}, {"watermark": ELEVEN, "load_full": True}])
@pytest.mark.parametrize("strategy", [Incremental, CheckAndLoad])
def test_without_a_watermark_or_by_order_everything_is_read_and_overwritten(planned, strategy, state):
    plan = planned(strategy, **MERGING, **state)
    (step,) = plan.steps
    assert (step.read.where, step.write) == ((), Replace())
    assert step.watermark == HighestRead("stamp", None, CAP.value, False)
    assert plan.load_full is state.get("load_full", False)


@pytest.mark.parametrize("strategy", [Incremental, CheckAndLoad, AppendOnly])
def test_an_unproven_cap_with_nothing_against_late_rows_is_refused_with_its_reason(planned, strategy):
    with pytest.raises(ConfigurationError, match=r"Clients stamp the values\. Set watermark_delay"):
        planned(strategy, watermark=ELEVEN, cap=UNPROVEN, **MERGING)


def test_a_lookback_makes_up_for_an_unproven_cap_and_the_clock_still_bounds_the_watermark(planned):
    (step,) = planned(Incremental, watermark=ELEVEN, cap=UNPROVEN, incremental_lookback="1h", **MERGING).steps
    assert step.watermark.upto == UNPROVEN.value


@pytest.mark.parametrize("cap", [CAP, UNPROVEN])
@pytest.mark.parametrize("strategy", [Incremental, CheckAndLoad, AppendOnly])
def test_a_delay_is_taken_off_the_cap(planned, strategy, cap):
    (step,) = planned(strategy, watermark=ELEVEN, cap=cap, watermark_delay="30 min", **MERGING).steps
    assert step.watermark.upto == at("2024-06-15 11:30:00+00:00")


def test_a_lookback_is_no_cure_where_rows_are_appended(planned):
    with pytest.raises(ConfigurationError, match="would double them"):
        planned(AppendOnly, watermark=ELEVEN, incremental_lookback="1h", **APPENDING)


def test_append_only_reads_up_to_the_cap_and_says_how_many_it_leaves(planned):
    plan = planned(AppendOnly, watermark=ELEVEN, count=4, **APPENDING)
    (step,) = plan.steps
    assert step.read.where == (Comparison("stamp", ">", at(ELEVEN)), Comparison("stamp", "<", CAP.value))
    assert step.write == Append()
    assert any(note.startswith("4 rows lie above the cap") for note in plan.notes)


def test_append_only_starts_with_everything_up_to_the_cap(planned):
    (step,) = planned(AppendOnly, cap=replace(CAP, inclusive=True), **APPENDING).steps
    assert step.read.where == (Comparison("stamp", "<=", CAP.value),)
    assert step.write == Replace()


def test_append_only_does_nothing_while_the_watermark_is_held(planned):
    plan = planned(AppendOnly, watermark=ELEVEN, cap=HELD, **APPENDING)
    assert plan.steps == ()
    assert any("'p1' is prepared" in note for note in plan.notes)


def test_an_order_that_cannot_be_carried_out_now_stays_an_order(planned):
    with pytest.raises(TransientError, match=r"'p1' is prepared.* It stays ordered"):
        planned(AppendOnly, watermark=ELEVEN, load_full=True, cap=HELD, **APPENDING)


def test_incremental_goes_on_merging_while_the_watermark_is_held(planned):
    plan = planned(Incremental, watermark=ELEVEN, cap=HELD, **MERGING)
    (step,) = plan.steps
    assert step.watermark == KeepWatermark()
    assert step.write == Merge(("id",), proven=True)
    assert any("'p1' is prepared" in note for note in plan.notes)


def test_a_reload_under_a_held_cap_keeps_a_watermark_and_drops_garbage(planned):
    (kept,) = planned(Incremental, watermark=ELEVEN, load_full=True, cap=HELD, **MERGING).steps
    (dropped,) = planned(Incremental, watermark="garbage", load_full=True, cap=HELD, **MERGING).steps
    assert kept.watermark == KeepWatermark()
    assert dropped.watermark == FixedWatermark(None)


@pytest.mark.parametrize("strategy", [Incremental, CheckAndLoad, AppendOnly])
@pytest.mark.parametrize("garbage", ["garbage", "2024-13-01", "1' OR 1=1", "2024-06-15 11:00:00 Europe/Berlin"])
def test_a_watermark_of_garbage_never_becomes_a_literal(planned, strategy, garbage):
    with pytest.raises(ConfigurationError, match="is not a watermark of type timestamp"):
        planned(strategy, watermark=garbage, **MERGING)


def test_load_full_is_the_way_out_of_a_watermark_of_garbage(planned):
    (step,) = planned(Incremental, watermark="garbage", load_full=True, **MERGING).steps
    assert step.write == Replace()


def test_a_watermark_above_the_cap_is_reported(planned):
    plan = planned(Incremental, watermark="2087-01-01 00:00:00+00:00", **MERGING)
    assert any("lies above" in note and "load_full" in note for note in plan.notes)


def test_a_cursor_that_can_be_null_is_reported_with_the_cure(planned):
    source = source_table((("id",),), id="bigint!", stamp="timestamp")
    merged = planned(Incremental, source=source, watermark=ELEVEN, **MERGING)
    appended = planned(AppendOnly, source=source, watermark=ELEVEN, **APPENDING)
    assert any("only by a load_full" in note and "NOT NULL" in note for note in merged.notes)
    assert any("never" in note for note in appended.notes)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"incremental_column": "note"}, "arrives as string .* whose order"),
        ({"incremental_column": "score"}, "arrives as double .* whose order"),
        ({"incremental_column": "stamp", "incremental_type": "integer"}, "Set it to 'timestamp'"),
        ({"incremental_column": "id", "incremental_type": "timestamp"}, "Set it to 'integer'"),
        ({"incremental_column": "id", "watermark_delay": "2 hours"}, "watermark_delay '2 hours': .* give a number"),
        ({"incremental_column": "stamp", "watermark_delay": "100"}, "watermark_delay '100': .* give an interval"),
        ({"incremental_column": "stamp", "watermark_delay": "soon"}, "neither a number nor an interval"),
        ({}, "set incremental_column"),
        ({"incremental_column": "stampp"}, "Unknown incremental_column 'stampp'.*Did you mean 'stamp'"),
    ],
)
@pytest.mark.parametrize("strategy", [Incremental, CheckAndLoad, AppendOnly])
def test_a_column_or_distance_that_cannot_carry_a_watermark_is_refused(planned, strategy, settings, message):
    with pytest.raises(ConfigurationError, match=message):
        planned(strategy, primary_key_cols=("id",), watermark=None, **settings)


@pytest.mark.parametrize("strategy", [Incremental, CheckAndLoad])
def test_a_merge_without_keys_is_refused_with_the_sources_own_key(planned, strategy):
    with pytest.raises(ConfigurationError, match="source's own key is id"):
        planned(strategy, watermark=ELEVEN, incremental_column="stamp")


def test_a_distance_on_a_change_counter_is_refused(planned):
    source = source_table((("id",),), id="bigint!", version="binary!")
    with pytest.raises(ConfigurationError, match="binary column, which has no distances"):
        planned(Incremental, source=source, primary_key_cols=("id",), incremental_column="version", watermark_delay="1")


def test_names_that_differ_in_case_only_are_matched_to_the_catalog(planned):
    (step,) = planned(Incremental, watermark=ELEVEN, primary_key_cols=("ID",), incremental_column="STAMP").steps
    assert step.write.keys == ("id",)
    assert step.watermark.column == "stamp"


def test_keys_are_called_as_in_the_destination(planned):
    source = source_table((), stamp="timestamp!", **{"order id": "bigint!"})
    (step,) = planned(
        Incremental, source=source, watermark=ELEVEN, primary_key_cols=("order id",), incremental_column="stamp"
    ).steps
    assert step.write.keys == ("order_id",)


def test_check_and_load_does_nothing_where_nothing_changed(planned):
    plan = planned(CheckAndLoad, watermark=ELEVEN, count=0, **MERGING)
    assert plan.steps == ()
    assert "nothing changed" in plan.notes[0]


def test_check_and_load_then_loads_as_incremental_does(planned):
    changed = planned(CheckAndLoad, watermark=ELEVEN, count=5, **MERGING)
    assert changed.steps == planned(Incremental, watermark=ELEVEN, **MERGING).steps
    assert changed.strategy == "check_and_load"
    assert changed.notes[0].startswith("5 rows")


def test_check_and_load_can_reload_the_whole_table_and_needs_no_keys_for_it(planned):
    options = {"reload": "full"}
    (step,) = planned(CheckAndLoad, watermark=ELEVEN, strategy_options=options, **APPENDING).steps
    assert (step.write, step.read.where) == (Replace(), ())
    assert step.watermark == HighestRead("stamp", at(ELEVEN), CAP.value, False)


def test_a_date_as_watermark_keeps_out_of_the_day_that_is_not_over(planned):
    today = Cap(Value(ColumnType("date"), "2024-06-15"), False, True, "the day is not over")
    settings = {"primary_key_cols": ("id",), "incremental_column": "day", "watermark": "2024-06-13", "cap": today}
    (step,) = planned(Incremental, **settings).steps
    assert (step.watermark.upto, step.watermark.inclusive) == (today.value, False)


@pytest.mark.parametrize(("keys", "unique"), [(("id",), ()), (("note",), ("note",)), (("id", "note"), ())])
def test_a_first_load_checks_keys_that_no_constraint_proves(planned, keys, unique):
    """Doubled keys would come in with the overwrite, and every later merge would keep them."""
    (step,) = planned(Incremental, incremental_column="stamp", primary_key_cols=keys).steps
    assert step.unique == unique


@pytest.mark.parametrize("strategy", [Incremental, CheckAndLoad])
def test_a_limited_load_moves_no_watermark(planned, strategy):
    """Rows below the highest one read were left out, and would never be read again."""
    (step,) = planned(strategy, watermark=ELEVEN, row_limit=10, **MERGING).steps
    assert step.watermark == KeepWatermark()
    (step,) = planned(strategy, watermark=ELEVEN, row_limit=10, load_full=True, **MERGING).steps
    assert step.watermark == FixedWatermark(None)


def test_a_limited_reload_of_everything_forgets_the_watermark(planned):
    options = {"reload": "full"}
    (step,) = planned(CheckAndLoad, watermark=ELEVEN, row_limit=10, strategy_options=options, **MERGING).steps
    assert (step.write, step.watermark) == (Replace(), FixedWatermark(None))


def test_a_limited_append_is_refused_where_the_next_one_would_double_it(planned):
    with pytest.raises(ConfigurationError, match="row_limit of 10"):
        planned(AppendOnly, watermark=ELEVEN, row_limit=10, **APPENDING)
    (step,) = planned(AppendOnly, row_limit=10, **APPENDING).steps
    assert (step.write, step.watermark) == (Replace(), FixedWatermark(None))


ONE = "2024-06-15 13:00:00+00:00"
"""A watermark an hour above the cap: the source's clock was set back."""
MICROSECOND_BELOW = at("2024-06-15 11:59:59.999999+00:00")


@pytest.mark.parametrize("strategy", [Incremental, CheckAndLoad])
def test_under_a_clock_that_was_set_back_a_merge_takes_its_watermark_back(planned, strategy):
    """What is stamped from then on lies below the old watermark, and as much may have come before this load."""
    plan = planned(strategy, watermark=ONE, **MERGING)
    (step,) = plan.steps
    assert step.watermark == HighestRead("stamp", MICROSECOND_BELOW, CAP.value, False)
    assert step.read.where == (Comparison("stamp", ">=", at("2024-06-15 10:59:59.999998+00:00")),)
    assert any(ONE in note and "order load_full" in note for note in plan.notes)


def test_a_lookback_that_reaches_further_down_decides(planned):
    (step,) = planned(Incremental, watermark=ONE, incremental_lookback="1 day", **MERGING).steps
    assert step.read.where == (Comparison("stamp", ">=", at("2024-06-14 11:59:59.999999+00:00")),)


def test_under_a_clock_that_was_set_back_an_append_is_refused_with_both_values(planned):
    with pytest.raises(ConfigurationError, match=r"13:00:00.* above the cap .*12:00:00.*Order load_full"):
        planned(AppendOnly, watermark=ONE, **APPENDING)
    (step,) = planned(AppendOnly, watermark=ONE, load_full=True, **APPENDING).steps
    assert step.write == Replace()


@pytest.mark.parametrize("strategy", [Incremental, CheckAndLoad, AppendOnly])
def test_a_new_delay_alone_takes_no_watermark_back(planned, strategy):
    plan = planned(strategy, watermark=ELEVEN, watermark_delay="2 hours", **MERGING)
    (step,) = plan.steps
    assert step.read.where[0] == Comparison("stamp", ">", at(ELEVEN))
    assert step.watermark.floor == at(ELEVEN)


def test_a_delay_is_kept_below_a_cap_that_fell(planned):
    (step,) = planned(Incremental, watermark=ONE, watermark_delay="1 hour", **MERGING).steps
    assert step.watermark == HighestRead(
        "stamp", at("2024-06-15 10:59:59.999999+00:00"), at("2024-06-15 11:00:00+00:00"), False
    )


@pytest.mark.parametrize(("proven", "where"), [(True, Comparison("id", ">=", Value(BIGINT, "-990"))), (False, None)])
def test_the_highest_number_seen_may_fall_and_a_sequence_may_not(planned, proven, where):
    """Without proof the cap is only the highest value there: deleting that row says nothing of a counter set back."""
    cap = Cap(Value(BIGINT, "5"), True, proven, "the sequence's last value")
    settings = {"primary_key_cols": ("id",), "incremental_column": "id", "incremental_lookback": "1"}
    (step,) = planned(Incremental, watermark="1000", cap=cap, **settings).steps
    assert step.read.where == (where or Comparison("id", ">=", Value(BIGINT, "999")),)
    assert step.watermark.floor == Value(BIGINT, "5" if proven else "1000")


def test_no_key_of_the_source_is_proven_where_its_values_may_become_null(planned, orders):
    columns = tuple(replace(c, nullable=False, guards=("infinity",)) if c.name == "day" else c for c in orders.columns)
    source = replace(orders, columns=columns, keys=(("day",),))
    settings = {"source": source, "incremental_column": "stamp", "primary_key_cols": ("day",)}
    (kept,) = planned(Incremental, **settings).steps
    (emptied,) = planned(Incremental, on_unrepresentable="null", **settings).steps
    assert (kept.unique, emptied.unique) == ((), ("day",))
