"""From a source's catalog to entries: what is proposed, and why."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from dataloader_core.interfaces.source import CursorCandidate, DiscoveredTable
from dataloader_core.plan import Column, Relation
from dataloader_core.proposals import BACKFILL_ROWS, Place, Proposal, propose
from dataloader_core.table import SourceTable
from dataloader_core.tables_file.reading import parse
from dataloader_core.tables_file.writing import render
from dataloader_core.types import BIGINT, DATE, STRING, TIMESTAMP

PLACE = Place("crm")
STAMP = CursorCandidate("updated_at", 2, "stamped by a trigger on every change", True, False, "microsecond", True)
MADE = replace(STAMP, column="created_at", grade=3, reason="stamped when the row is made")


def column(name: str, type_: object = STRING) -> Column:
    return Column(name, name, type_, f'"{name}"', "text")  # type: ignore[arg-type]  # a text stands for a type


COLUMNS = (
    column("id", BIGINT),
    column("day", DATE),
    column("updated_at", TIMESTAMP),
    column("created_at", TIMESTAMP),
    column("serial", BIGINT),
)


def table(
    *cursors: CursorCandidate,
    name: str = "orders",
    schema: str = "public",
    rows: int | None = 1000,
    keys: tuple[tuple[str, ...], ...] = (("id",),),
) -> DiscoveredTable:
    return DiscoveredTable(SourceTable(Relation(schema, name), COLUMNS, keys=keys, row_estimate=rows), cursors)


def one(found: DiscoveredTable, place: Place = PLACE) -> Proposal:
    (proposal,) = propose([found], place)
    return proposal


def test_a_stamp_and_a_key_are_merged() -> None:
    proposal = one(table(STAMP, MADE))
    assert proposal.entry["load_strategy"] == "incremental"
    assert proposal.entry["incremental_column"] == "updated_at"
    assert proposal.entry["incremental_type"] == "timestamp"
    assert proposal.entry["primary_key_cols"] == ["id"]
    assert "stamped by a trigger" in proposal.reasons[0]
    assert "incremental_lookback" not in proposal.entry


def test_an_unproven_stamp_gets_a_lookback_and_says_so() -> None:
    proposal = one(table(replace(STAMP, proven=False)))
    assert proposal.entry["incremental_lookback"] == "1 hour"
    assert any("cannot be proven" in reason for reason in proposal.reasons)


def test_an_unproven_number_steps_back_by_a_number_and_a_date_by_days() -> None:
    counter = replace(STAMP, column="serial", grade=1, proven=False)
    assert one(table(counter)).entry["incremental_lookback"] == "10000"
    assert one(table(counter)).entry["incremental_type"] == "integer"
    assert one(table(replace(STAMP, column="day", proven=False))).entry["incremental_lookback"] == "2 days"


def test_without_a_key_everything_is_read() -> None:
    proposal = one(table(STAMP, keys=()))
    assert proposal.entry["load_strategy"] == "full"
    assert "no key to merge by" in proposal.reasons[0]
    assert "primary_key_cols" not in proposal.entry


def test_a_creation_stamp_does_not_hide_changes_of_a_small_table() -> None:
    assert one(table(MADE)).entry["load_strategy"] == "full"
    assert one(table(MADE, rows=None)).entry["load_strategy"] == "full"


def test_a_large_table_with_a_creation_stamp_is_appended_and_warned_about() -> None:
    proposal = one(table(MADE, rows=5_000_000))
    assert proposal.entry["load_strategy"] == "append_only"
    assert "not seen" in proposal.reasons[0]
    assert one(table(replace(MADE, proven=False), rows=5_000_000)).entry["load_strategy"] == "full"


def test_a_column_without_a_telling_name_is_no_watermark() -> None:
    assert one(table(replace(STAMP, grade=4))).entry["load_strategy"] == "full"


def test_a_very_large_table_begins_with_a_backfill_cut_by_its_key() -> None:
    proposal = one(table(STAMP, rows=BACKFILL_ROWS))
    assert proposal.entry["load_strategy"] == "chunked_backfill"
    assert proposal.entry["partition_column"] == "id"
    assert proposal.entry["strategy_options"] == {"then": "incremental"}


def test_a_composite_key_cuts_nothing() -> None:
    proposal = one(table(STAMP, rows=BACKFILL_ROWS, keys=(("id", "day"),)))
    assert proposal.entry["load_strategy"] == "incremental"
    assert any("in one piece" in reason for reason in proposal.reasons)


def test_a_watermark_that_may_be_null_or_has_no_index_is_reported() -> None:
    reasons = " ".join(one(table(replace(STAMP, nullable=True, indexed=False))).reasons)
    assert "may be NULL" in reasons
    assert "no index" in reasons


def test_notes_about_columns_that_were_not_chosen_are_left_out() -> None:
    found = replace(table(STAMP, MADE), notes=("Other tables inherit from it.", "'created_at' can be NULL: beware."))
    reasons = one(found).reasons
    assert "Other tables inherit from it." in reasons
    assert not any("created_at" in reason for reason in reasons)


def test_among_equal_candidates_the_proven_one_is_taken() -> None:
    worse = replace(STAMP, column="created_at", proven=False)
    assert one(table(worse, STAMP)).entry["incremental_column"] == "updated_at"


def test_destination_names_are_safe_and_different() -> None:
    found = [
        table(name="Order ID"),
        table(name="Order_ID"),
        table(name="order_id", schema="archive"),
        table(name="customers"),
    ]
    names = [str(p.entry["destination_table_name"]) for p in propose(found, PLACE)]
    assert names == ["public_Order_ID", "public_Order_ID_2", "archive_order_id", "customers"]


def test_keys_are_readable_and_odd_names_are_quoted() -> None:
    assert one(table(name="Order ID")).control_key == 'crm.public."Order ID"'


def test_the_place_decides_catalog_schema_and_cron() -> None:
    entry = one(table(), Place("crm", "silver", "raw", "0 * * * *")).entry
    assert (entry["destination_table_catalog"], entry["destination_table_schema"]) == ("silver", "raw")
    assert entry["load_cron"] == "0 * * * *"


def test_the_file_of_no_tables_can_be_read() -> None:
    assert parse(render([], "crm")) == []


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=30)


@given(names=st.lists(st.tuples(NAMES, NAMES), unique=True, max_size=5), notes=NAMES)
def test_whatever_the_names_the_file_reads_back_as_it_was_proposed(names: list[tuple[str, str]], notes: str) -> None:
    found = [replace(table(STAMP, name=name, schema=schema), notes=(notes,)) for schema, name in names]
    proposals = propose(found, PLACE)
    assert [dict(entry.given) for entry in parse(render(proposals, notes))] == [dict(p.entry) for p in proposals]
    destinations = [str(p.entry["destination_table_name"]).casefold() for p in proposals]
    assert len(set(destinations)) == len(destinations)
