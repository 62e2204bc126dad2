"""Whether the rows that a file would make can work, and what it changes."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest

from dataloader_core.plugins.manager import default_registry
from dataloader_core.table import SourceConfig
from dataloader_core.tables_file import Entry, Known, changes, check
from dataloader_core.tables_file.changes import TableChange, Wishes
from dataloader_core.tables_file.reading import parse

CRM = SourceConfig("crm", "postgresql", {}, "env", default_target_schema="crm_raw")
BASE: dict[str, Any] = {
    "control_key": "crm.public.orders",
    "db_config_key": "crm",
    "source_table_schema": "public",
    "source_table_name": "orders",
    "destination_table_catalog": "bronze",
    "destination_table_schema": "crm",
    "destination_table_name": "orders",
    "load_strategy": "full",
}
ROW: dict[str, Any] = {
    **BASE,
    "is_active": True,
    "primary_key_cols": [],
    "strategy_options": {},
    "max_delete_fraction": Decimal("0.5"),
    "incremental_value": None,
}


def known(*rows: Mapping[str, Any]) -> Known:
    return Known(default_registry(), {"crm": CRM}, {row["control_key"]: row for row in rows})


def entry(**fields: Any) -> Entry:
    given = {name: value for name, value in {**BASE, **fields}.items() if value is not ...}
    return Entry(given["control_key"], 3, dict.fromkeys(given, 4), given)


def only(**fields: Any) -> Entry:
    """An entry that gives the key and these fields."""
    return Entry(BASE["control_key"], 3, {}, {"control_key": BASE["control_key"], **fields})


def problems(*entries: Entry, rows: tuple[Mapping[str, Any], ...] = ()) -> list[str]:
    return [str(problem) for problem in check(entries, known(*rows))]


def test_a_complete_entry_has_no_problem() -> None:
    assert problems(entry()) == []


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"load_strategy": "incremantal"}, "Did you mean 'incremental'?"),
        ({"load_strategy": "incremental"}, "primary_key_cols: incremental merges"),
        ({"load_strategy": "append_only"}, "incremental_column: append_only reads from a watermark"),
        ({"load_strategy": "chunked_backfill"}, "chunked_backfill with then = incremental"),
        ({"load_strategy": "rolling", "primary_key_cols": ["id"]}, "rolling_column: rolling needs it"),
        ({"strategy_options": {"x": 1}}, "full has no option 'x'; known: none."),
        (
            {"load_strategy": "chunked_backfill", "strategy_options": {"chunk_row": 5}},
            "Did you mean 'chunk_rows'?",
        ),
        ({"load_strategy": "chunked_backfill", "strategy_options": {"then": "nope"}}, "strategy_options: then"),
        ({"db_config_key": "crn"}, "Did you mean 'crm'?"),
        ({"query": "SELECT 1"}, "either source_table_name or query"),
        ({"source_table_name": ...}, "either source_table_name or query"),
        ({"destination_table_catalog": ...}, "destination_table_catalog: is missing"),
        ({"destination_table_name": "Order ID"}, "no safe name"),
        ({"destination_table_name": "o;--"}, "no safe name"),
        ({"load_cron": "every day"}, "no cron of five fields"),
        ({"load_cron": "* * * * * *"}, "no cron of five fields"),
        ({"load_cron": "61 * * * *"}, "no cron of five fields"),
        ({"time_zone": "Europe/Berlim"}, "did you mean 'Europe/Berlin'?"),
        ({"incremental_lookback": "-1"}, "negative"),
        ({"watermark_delay": "soon"}, "neither a number nor an interval"),
        ({"num_partitions": 4}, "needs a partition_column"),
    ],
)
def test_what_cannot_work_is_named_with_its_field(fields: dict[str, Any], expected: str) -> None:
    found = problems(entry(**fields))
    assert any(expected in problem for problem in found), found
    assert all("crm.public.orders" in problem for problem in found)


def test_an_entry_that_gives_one_field_is_checked_as_the_row_it_makes() -> None:
    assert problems(only(load_cron="0 5 * * *"), rows=(ROW,)) == []
    assert "primary_key_cols" in problems(only(load_strategy="incremental"), rows=(ROW,))[0]


def test_the_schema_of_a_new_table_may_come_from_its_source() -> None:
    (change,) = changes([entry(destination_table_schema=...)], known())
    assert change.values["destination_table_schema"] == "crm_raw"


def test_two_rows_may_not_share_a_destination_whatever_the_case() -> None:
    other = entry(control_key="crm.public.b", source_table_name="b", destination_table_name="ORDERS")
    assert "already the destination of crm.public.orders" in problems(other, rows=(ROW,))[0]
    assert len(problems(entry(), other)) == 2


def test_destinations_may_be_swapped_in_one_file() -> None:
    b = {**ROW, "control_key": "crm.public.b", "source_table_name": "b", "destination_table_name": "b"}
    swapped = [only(destination_table_name="b"), Entry(b["control_key"], 5, {}, {"destination_table_name": "orders"})]
    assert problems(*swapped, rows=(ROW, b)) == []


def diff(given: Entry, row: Mapping[str, Any], wishes: Wishes | None = None) -> TableChange:
    (change,) = changes([given], known(row), wishes)
    return change


def test_applying_the_same_again_changes_nothing() -> None:
    assert diff(entry(max_delete_fraction=0.5, strategy_options={}, primary_key_cols=[]), ROW).action == "keep"


def test_a_change_says_old_and_new() -> None:
    change = diff(entry(load_cron="0 5 * * *", is_active=False), ROW)
    assert [(c.field, c.old, c.new) for c in change.fields] == [
        ("load_cron", None, "0 5 * * *"),
        ("is_active", True, False),
    ]


def test_a_field_that_is_not_given_stays() -> None:
    assert diff(only(), {**ROW, "load_cron": "0 5 * * *"}).fields == ()


def test_a_file_does_not_set_a_watermark_back() -> None:
    change = diff(entry(incremental_value="1"), {**ROW, "incremental_value": "99"})
    assert change.action == "keep"
    assert "keeps its own watermark" in change.notes[0]


def test_a_doubtful_watermark_is_cleared_only_on_request() -> None:
    row = {**ROW, "incremental_value": "99"}
    assert "incremental_value" not in diff(entry(filter="a = 1"), row).values
    assert diff(entry(filter="a = 1"), row, Wishes(clear_watermark=True)).values["incremental_value"] is None
    assert "incremental_value" not in diff(entry(load_cron="0 5 * * *"), row, Wishes(clear_watermark=True)).values


BACKFILL = {
    "load_strategy": "chunked_backfill",
    "primary_key_cols": ["id"],
    "incremental_column": "at",
    "strategy_options": {"chunk_rows": 10},
}
AFTER = {**ROW, "load_strategy": "incremental", "primary_key_cols": ["id"], "incremental_column": "at"}


def test_a_completed_backfill_is_not_started_again_by_the_file_that_ordered_it() -> None:
    change = diff(entry(**BACKFILL), AFTER, Wishes(backfilled={BASE["control_key"]}))
    assert change.action == "keep"
    assert "backfill is complete" in change.notes[0]


def test_other_fields_of_such_an_entry_still_count() -> None:
    change = diff(entry(**BACKFILL, load_cron="0 5 * * *"), AFTER, Wishes(backfilled={BASE["control_key"]}))
    assert change.values == {"load_cron": "0 5 * * *"}


def test_a_backfill_is_ordered_where_none_was_completed() -> None:
    assert diff(entry(**BACKFILL), AFTER).values["load_strategy"] == "chunked_backfill"


def test_a_completed_backfill_starts_again_on_request_and_clears_the_watermark() -> None:
    wishes = Wishes(backfilled={BASE["control_key"]}, restart_backfill=True)
    values = diff(entry(**BACKFILL), {**AFTER, "incremental_value": "5"}, wishes).values
    assert values["load_strategy"] == "chunked_backfill"
    assert values["incremental_value"] is None


def test_a_row_that_became_something_else_than_the_file_says_is_changed() -> None:
    options = {"then": "append_only"}
    given = entry(**{**BACKFILL, "strategy_options": options})
    assert diff(given, AFTER, Wishes(backfilled={BASE["control_key"]})).values["load_strategy"] == "chunked_backfill"


def test_an_emptied_list_of_keys_is_an_empty_list() -> None:
    (given,) = parse("tables: [{control_key: k, primary_key_cols: null}]")
    assert given.given["primary_key_cols"] == []


@pytest.mark.parametrize(
    ("field", "sql"),
    [
        ("query", "SELECT 1; DROP TABLE orders"),
        ("query", "DELETE FROM orders RETURNING id"),
        ("filter", "true) OR (true"),
        ("filter", "id > 1; DROP TABLE orders"),
    ],
)
def test_sql_that_is_not_what_it_should_be_is_refused_before_it_is_stored(field: str, sql: str) -> None:
    fields: dict[str, Any] = {field: sql}
    if field == "query":
        fields |= {"source_table_schema": ..., "source_table_name": ...}
    assert any(f"{field}: " in problem for problem in problems(entry(**fields)))
