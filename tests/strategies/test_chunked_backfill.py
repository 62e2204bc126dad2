"""Plans of backfills. Long: chunk columns, limits, watermarks and resumes each have their corner cases."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataloader_core.errors import ConfigurationError, TransientError
from dataloader_core.plan import (
    Append,
    Backfill,
    Bounds,
    Cap,
    Column,
    Comparison,
    FixedWatermark,
    HighestRead,
    IsNull,
    LossPolicy,
    Replace,
)
from dataloader_core.testing.builders import source_table, table_config
from dataloader_core.testing.interpreter import MemorySource, MemoryTarget, load, matches
from dataloader_core.types import BIGINT, TIMESTAMP, ColumnType
from dataloader_core.values import Value, timestamp_text
from dataloader_strategies.chunked_backfill import ChunkedBackfill
from dataloader_strategies.chunks import boundaries, chunk_conditions, needs_null_chunk, number_of_chunks

KEYED: dict[str, Any] = {"primary_key_cols": ("id",), "incremental_column": "stamp"}
NOON = Cap(Value(TIMESTAMP, "2024-06-15 12:00:00+00:00"), False, True, "no transaction is older")
JUST_BEFORE_NOON = Value(TIMESTAMP, "2024-06-15 11:59:59.999999+00:00")


def ids(low: int | None, high: int | None, *, has_null: bool = False, rows: int | None = 5000) -> Bounds:
    def value(number: int | None) -> Value | None:
        return None if number is None else Value(BIGINT, str(number))

    return Bounds(value(low), value(high), has_null, rows)


def texts(conditions: tuple[Any, ...]) -> list[str]:
    return [f"{c.column} IS NULL" if isinstance(c, IsNull) else f"{c.column} {c.op} {c.value}" for c in conditions]


def test_intervals_are_half_open_and_the_last_one_is_closed(planned):
    plan = planned(ChunkedBackfill, bounds=ids(0, 90), strategy_options={"chunks": 3}, **KEYED)
    assert [texts(s.read.where) for s in plan.steps] == [
        ["id >= 0", "id < 30"],
        ["id >= 30", "id < 60"],
        ["id >= 60", "id <= 90"],
    ]
    assert [type(s.write) for s in plan.steps] == [Replace, Append, Append]
    assert plan.becomes == "incremental"


def test_nulls_are_a_chunk_of_their_own(planned):
    plan = planned(ChunkedBackfill, bounds=ids(0, 9, has_null=True), strategy_options={"chunks": 1}, **KEYED)
    assert texts(plan.steps[-1].read.where) == ["id IS NULL"]
    assert plan.steps[-1].progress.complete


def test_a_single_value_is_one_closed_chunk(planned):
    (step,) = planned(ChunkedBackfill, bounds=ids(5, 5), strategy_options={"chunks": 9}, **KEYED).steps
    assert texts(step.read.where) == ["id >= 5", "id <= 5"]


def test_an_empty_source_is_one_read_that_overwrites_under_the_rules_of_loss(planned):
    (step,) = planned(ChunkedBackfill, bounds=ids(None, None, rows=0), **KEYED).steps
    assert step.write == Replace()
    assert step.loss == LossPolicy(False, 0.5)
    assert not replace(step.progress, done=0).complete
    assert step.progress.complete


def test_the_watermark_is_fixed_under_the_cap_and_becomes_true_with_the_last_chunk_only(planned):
    plan = planned(ChunkedBackfill, bounds=ids(0, 90), strategy_options={"chunks": 3}, **KEYED)
    assert [s.watermark for s in plan.steps] == [
        FixedWatermark(None),
        FixedWatermark(None),
        FixedWatermark(JUST_BEFORE_NOON),
    ]
    assert {s.progress.watermark for s in plan.steps} == {JUST_BEFORE_NOON.text}


def test_a_delay_is_taken_off_the_fixed_watermark_too(planned):
    settings = {"watermark_delay": "1 hour", "strategy_options": {"chunks": 1}, **KEYED}
    (step,) = planned(ChunkedBackfill, bounds=ids(0, 90), cap=replace(NOON, proven=False), **settings).steps
    assert step.watermark.value.text == "2024-06-15 10:59:59.999999+00:00"


def test_every_step_says_how_far_it_came(planned):
    plan = planned(ChunkedBackfill, bounds=ids(0, 90), strategy_options={"chunks": 3}, **KEYED)
    assert [s.progress.done for s in plan.steps] == [1, 2, 3]
    assert {s.progress.started_seq for s in plan.steps} == {7}


STORED = Backfill("id", ("0", "30", "60", "90"), False, "2024-06-14 00:00:00+00:00", "incremental", 2, 4)


def test_a_resume_uses_what_was_stored_and_asks_nothing(planned):
    plan = planned(ChunkedBackfill, backfill=STORED, strategy_options={"chunks": 50}, **KEYED)
    (step,) = plan.steps
    assert texts(step.read.where) == ["id >= 60", "id <= 90"]
    assert step.write == Append()
    assert step.watermark.value.text == STORED.watermark
    assert step.progress.started_seq == 4


def test_a_resume_before_the_first_commit_still_overwrites(planned):
    plan = planned(ChunkedBackfill, backfill=replace(STORED, done=0), **KEYED)
    assert [type(s.write) for s in plan.steps] == [Replace, Append, Append]


def test_load_full_starts_anew(planned):
    options = {"chunks": 1}
    plan = planned(
        ChunkedBackfill, backfill=STORED, load_full=True, bounds=ids(0, 7), strategy_options=options, **KEYED
    )
    (step,) = plan.steps
    assert (step.write, step.progress.started_seq, plan.load_full) == (Replace(), 7, True)


def test_a_backfill_of_which_only_the_hand_over_is_missing_has_no_steps(planned):
    plan = planned(ChunkedBackfill, backfill=replace(STORED, done=3), **KEYED)
    assert (plan.steps, plan.becomes) == ((), "incremental")


def test_a_resume_ends_as_it_was_started(planned):
    plan = planned(ChunkedBackfill, backfill=STORED, strategy_options={"then": "full"}, **KEYED)
    assert plan.becomes == "incremental"
    assert any("then = incremental" in note for note in plan.notes)


def test_a_resume_over_a_column_of_another_type_is_refused(planned):
    source = source_table((("id",),), id="date!", stamp="timestamp!")
    with pytest.raises(ConfigurationError, match="Order load_full to start the backfill anew"):
        planned(ChunkedBackfill, source=source, backfill=STORED, **KEYED)


def test_publishing_at_the_end_stages_every_chunk_and_replaces_once(planned):
    options = {"chunks": 3, "publish": "at_end"}
    *chunks, last = planned(ChunkedBackfill, bounds=ids(0, 90), strategy_options=options, **KEYED).steps
    assert all(s.staged and s.watermark == FixedWatermark(None) for s in chunks)
    assert (last.read, last.write, last.staged) == (None, Replace(), False)
    assert last.watermark == FixedWatermark(JUST_BEFORE_NOON)
    assert last.loss == LossPolicy(False, 0.5)


def test_all_chunks_staged_leaves_the_publishing(planned):
    stored = replace(STORED, done=3, publish="at_end")
    (step,) = planned(ChunkedBackfill, backfill=stored, **KEYED).steps
    assert step.read is None


def test_the_first_of_many_chunks_overwrites_whatever_its_share(planned):
    plan = planned(ChunkedBackfill, bounds=ids(0, 90), strategy_options={"chunks": 3}, max_delete_fraction=0.1, **KEYED)
    assert plan.steps[0].loss == LossPolicy(True, 1.0)
    assert any("publish = at_end checks it" in note for note in plan.notes)


def test_chunks_before_append_only_stop_at_the_watermark(planned):
    plan = planned(ChunkedBackfill, bounds=ids(0, 90), strategy_options={"chunks": 2, "then": "append_only"}, **KEYED)
    limit = Comparison("stamp", "<=", JUST_BEFORE_NOON)
    assert all(s.read.where[-1] == limit for s in plan.steps)


def test_chunks_before_a_merge_do_not(planned):
    plan = planned(ChunkedBackfill, bounds=ids(0, 90), strategy_options={"chunks": 2}, **KEYED)
    assert all(c.column == "id" for s in plan.steps for c in s.read.where)


def test_a_successor_without_watermark_asks_for_no_cap_and_gets_none(planned):
    options = {"chunks": 2, "then": "full"}
    unknown = Cap(None, False, False, "nobody knows")
    plan = planned(ChunkedBackfill, bounds=ids(0, 9), cap=unknown, strategy_options=options, primary_key_cols=("id",))
    assert {s.watermark for s in plan.steps} == {FixedWatermark(None)}


def test_the_watermark_column_as_chunk_column_ends_at_the_watermark(planned):
    bounds = Bounds(Value(TIMESTAMP, "2024-01-01"), Value(TIMESTAMP, "2087-01-01 00:00:00+00:00"), False, 5000)
    settings = {"partition_column": "stamp", "strategy_options": {"chunks": 2}, **KEYED}
    plan = planned(ChunkedBackfill, bounds=bounds, **settings)
    assert plan.steps[-1].read.where[-1] == Comparison("stamp", "<=", JUST_BEFORE_NOON)


def test_the_watermark_column_as_chunk_column_needs_more_than_a_lookback(planned):
    settings = {"partition_column": "stamp", "incremental_lookback": "1 hour", **KEYED}
    with pytest.raises(ConfigurationError, match="Set watermark_delay"):
        planned(ChunkedBackfill, bounds=ids(0, 9), cap=replace(NOON, proven=False), **settings)


def test_a_backfill_waits_for_a_prepared_transaction(planned):
    held = Cap(None, False, True, "transaction 'p1' is prepared", hold=True)
    with pytest.raises(TransientError, match="'p1' is prepared"):
        planned(ChunkedBackfill, bounds=ids(0, 9), cap=held, **KEYED)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"partition_column": "day", **KEYED}, "'day' is no part of the primary key"),
        ({"partition_column": "note", "strategy_options": {"immutable": True}, **KEYED}, "arrives as string"),
        ({"primary_key_cols": ("id", "day"), "incremental_column": "stamp"}, "the key has 2 columns"),
        ({"incremental_column": "stamp"}, "incremental merges by key"),
        ({"primary_key_cols": ("id",)}, "incremental reads from a watermark"),
        ({"strategy_options": {"then": "rolling"}, **KEYED}, "rolling needs rolling_column"),
        ({"strategy_options": {"then": "append_only"}, "incremental_lookback": "1h", **KEYED}, "would double them"),
        ({"strategy_options": {"then": "chunked_backfill"}, **KEYED}, "then: Input should be 'incremental'"),
        ({"strategy_options": {"then_options": {"reload": "full"}}, **KEYED}, "then_options: .* reload"),
        ({"strategy_options": {"chunks": 2, "chunk_rows": 2}, **KEYED}, "not both"),
        ({"strategy_options": {"chunks": 0}, **KEYED}, "greater than or equal to 1"),
    ],
)
def test_what_would_lose_or_double_rows_later_is_refused_at_once(planned, settings, message):
    with pytest.raises(ConfigurationError, match=message):
        planned(ChunkedBackfill, bounds=ids(0, 9), **settings)


def test_a_declared_immutable_column_may_be_cut(planned):
    day = Value(ColumnType("date"), "2024-01-01")
    settings = {"partition_column": "day", "strategy_options": {"immutable": True, "chunks": 1}, **KEYED}
    plan = planned(ChunkedBackfill, bounds=Bounds(day, day, True, 10), **settings)
    assert len(plan.steps) == 2


@pytest.mark.parametrize(
    ("rows", "chunks"),
    [(None, 1), (0, 1), (1_000_000, 1), (6_000_000, 6), (100_000_000, 10), (10**9, 20), (10**12, 1000)],
)
def test_the_number_of_chunks_follows_the_estimate(rows, chunks):
    assert number_of_chunks(rows, chunks=None, chunk_rows=None) == chunks


def test_the_number_of_chunks_follows_the_settings_first():
    assert number_of_chunks(100, chunks=None, chunk_rows=30) == 4
    assert number_of_chunks(100, chunks=7, chunk_rows=None) == 7


def exact(name: str, number: int) -> str:
    if name == "date":
        return Value(ColumnType("date"), "2000-01-01").text[:5] + f"01-{number % 28 + 1:02d}"
    if name.startswith("timestamp"):
        return timestamp_text(number * 1001, zoned=name == "timestamp")
    if name.startswith("decimal"):
        return f"{Decimal(number).scaleb(-2):f}"
    return str(number)


@given(
    name=st.sampled_from(["bigint", "date", "timestamp", "timestamp_ntz", "decimal(38,2)"]),
    numbers=st.lists(st.integers(-(10**15), 10**15), min_size=1, max_size=30),
    chunks=st.integers(1, 20),
)
def test_every_row_is_in_exactly_one_chunk(name, numbers, chunks):
    type = ColumnType.parse(name)
    column = Column("c", "c", type, "c", name)
    values = sorted(Value(type, exact(name, n)) for n in numbers)
    cuts = boundaries(values[0], values[-1], chunks)
    progress = Backfill("c", cuts, True, None, "full", 0, 1)
    conditions = chunk_conditions(progress, column, open_end=True)
    assert len(conditions) == progress.chunks <= chunks + 1
    for text in [*(v.text for v in values), None]:
        assert sum(matches({"c": text}, where, {"c": column}) for where in conditions) == 1


@given(
    low=st.integers(-50, 50),
    width=st.integers(0, 60),
    chunks=st.integers(1, 6),
    has_null=st.booleans(),
    beyond=st.lists(st.integers(-200, 200), max_size=9),
)
def test_what_lies_outside_all_bounds_is_in_exactly_one_chunk_too(low, width, chunks, has_null, beyond):
    column = Column("c", "c", BIGINT, "c", "numeric", guards=("NaN",))
    cuts = boundaries(Value(BIGINT, str(low)), Value(BIGINT, str(low + width)), chunks)
    null_chunk = needs_null_chunk(cuts, column, has_null=has_null, open_end=True)
    progress = Backfill("c", cuts, null_chunk, None, "full", 0, 1)
    conditions = chunk_conditions(progress, column, open_end=True)
    assert len(conditions) == progress.chunks
    for text in [*map(str, (low, low + width, *beyond)), *([None] if has_null else [])]:
        assert sum(matches({"c": text}, where, {"c": column}) for where in conditions) == 1


def test_a_watermark_column_is_never_read_beyond_its_last_boundary():
    column = Column("c", "c", BIGINT, "c", "numeric", guards=("NaN",))
    progress = Backfill("c", ("0", "5", "9"), True, None, "incremental", 0, 1)
    assert [texts(where) for where in chunk_conditions(progress, column, open_end=False)] == [
        ["c < 5"],
        ["c >= 5", "c <= 9"],
        ["c IS NULL"],
    ]


def test_a_source_with_nothing_to_cut_is_read_whole(planned):
    (step,) = planned(ChunkedBackfill, bounds=ids(None, None, has_null=True), **KEYED).steps
    assert step.read.where == ()


def test_boundaries_of_38_digits_are_exact():
    type = ColumnType("decimal", 38, 0)
    low, high = Value(type, "1" + "0" * 37), Value(type, "9" * 38)
    cuts = boundaries(low, high, 3)
    assert cuts == (
        "1" + "0" * 37,
        "39999999999999999999999999999999999999",
        "69999999999999999999999999999999999999",
        "9" * 38,
    )


def test_increments_go_on_from_the_fixed_watermark(planned):
    from dataloader_strategies.incremental import Incremental

    (step,) = planned(Incremental, watermark=JUST_BEFORE_NOON.text, **KEYED).steps
    assert step.watermark == HighestRead("stamp", JUST_BEFORE_NOON, NOON.value, False)


def test_a_limit_that_is_set_and_removed_in_between_leaves_no_watermark(planned):
    """Else the increments would go on from a watermark below which the limited chunk left rows out."""
    limited = planned(ChunkedBackfill, backfill=STORED, row_limit=3, **KEYED)
    assert {s.progress.watermark for s in limited.steps} == {None}
    begun = replace(limited.steps[0].progress, done=1)
    *_, last = planned(ChunkedBackfill, backfill=begun, **KEYED).steps
    assert last.watermark == FixedWatermark(None)


def test_a_limit_that_is_set_when_all_chunks_are_there_takes_nothing_from_them(planned):
    stored = replace(STORED, done=3, publish="at_end")
    (step,) = planned(ChunkedBackfill, backfill=stored, row_limit=3, **KEYED).steps
    assert step.watermark.value.text == STORED.watermark


def test_options_edited_in_between_are_for_another_backfill(planned):
    started = {"chunks": 3, "then": "check_and_load", "then_options": {"reload": "full"}}
    settings = {"incremental_column": "stamp", "partition_column": "id"}
    first = planned(ChunkedBackfill, bounds=ids(0, 90), strategy_options=started, **settings).steps[0].progress
    assert Backfill.from_json(first.to_json()) == first
    edited = planned(ChunkedBackfill, backfill=first, strategy_options={"then": "full"}, **settings)
    assert (edited.becomes, edited.steps[-1].progress.then_options) == ("check_and_load", {"reload": "full"})
    assert any('then_options = {"reload": "full"}' in note for note in edited.notes)


def test_a_resume_needs_what_its_own_end_needs(planned):
    """Whatever the row says of the next backfill: the strategy that was stored is what it becomes."""
    stored = replace(STORED, then="rolling", watermark=None)
    with pytest.raises(ConfigurationError, match="rolling needs rolling_column"):
        planned(ChunkedBackfill, backfill=stored, strategy_options={"then": "full"}, **KEYED)
    with pytest.raises(ConfigurationError, match=r"ends as 'gone'.* Order load_full"):
        planned(ChunkedBackfill, backfill=replace(STORED, then="gone"), **KEYED)


UNPROVEN_KEY = {"primary_key_cols": ("note",), "incremental_column": "stamp", "partition_column": "id"}


@pytest.mark.parametrize("then", ["incremental", "check_and_load"])
def test_keys_that_nothing_proves_could_be_doubled_across_chunks(planned, then):
    options = {"then": then, "immutable": True}
    with pytest.raises(ConfigurationError, match=r"\(note\) are unique .* chunks of 'id'.* Set partition_column"):
        planned(ChunkedBackfill, bounds=ids(0, 9), strategy_options=options, **UNPROVEN_KEY)


def test_unproven_keys_are_checked_in_each_chunk_where_the_chunk_column_is_among_them(planned):
    source = source_table((), 5000, id="bigint!", stamp="timestamp!", note="string")
    settings = {"source": source, **UNPROVEN_KEY, "primary_key_cols": ("note", "id")}
    plan = planned(ChunkedBackfill, bounds=ids(0, 9), strategy_options={"chunks": 2}, **settings)
    assert {s.unique for s in plan.steps} == {("note", "id")}


@pytest.mark.parametrize("options", [{"then": "full"}, {"then": "check_and_load", "then_options": {"reload": "full"}}])
def test_keys_are_nothing_to_a_backfill_that_ends_without_a_merge(planned, options):
    options = {"immutable": True, "chunks": 2, **options}
    plan = planned(ChunkedBackfill, bounds=ids(0, 9), strategy_options=options, **UNPROVEN_KEY)
    assert {s.unique for s in plan.steps} == {()}


@pytest.mark.parametrize("chunks", [1, 3])
def test_rows_below_all_bounds_are_read_though_there_are_nulls(chunks):
    """-infinity, which the bounds do not know, in a watermark column that can be NULL."""
    column = Column("c", "c", BIGINT, "c", "numeric", guards=("NaN",))
    cuts = boundaries(Value(BIGINT, "0"), Value(BIGINT, "9"), chunks)
    null_chunk = needs_null_chunk(cuts, column, has_null=True, open_end=False)
    conditions = chunk_conditions(Backfill("c", cuts, null_chunk, None, "full", 0, 1), column, open_end=False)
    for text in ["-99", "0", "9", None]:
        assert sum(matches({"c": text}, where, {"c": column}) for where in conditions) == 1
    assert not any(matches({"c": "10"}, where, {"c": column}) for where in conditions)


def test_a_column_that_got_guards_in_between_is_another_column(planned):
    column = Column("id", "id", BIGINT, "id", "numeric", guards=("NaN",))
    with pytest.raises(ConfigurationError, match="Order load_full"):
        chunk_conditions(Backfill("id", ("0", "9"), True, None, "full", 0, 1), column, open_end=True)


def test_a_first_chunk_without_rows_under_the_watermark_proves_nothing():
    """Rows dated ahead fill the first chunk, and the table holds rows of before."""
    table = source_table((("id",),), id="bigint!", stamp="bigint!")
    rows = [{"id": str(n), "stamp": "99" if n < 50 else "5"} for n in range(100)]
    source = MemorySource(table, list(rows), Cap(Value(BIGINT, "10"), False, True, "the clock"))
    target = MemoryTarget([{"id": "1", "stamp": "1"}])
    options = {"chunks": 2, "then": "append_only"}
    load(ChunkedBackfill(), table_config("chunked_backfill", strategy_options=options, **KEYED), source, target)
    assert target.rows == rows[50:]
