"""Bad input about watermarks: columns that cannot carry one, values that are none, and clocks that jump."""

from __future__ import annotations

import pytest

from tests.badinput.table import STAMPED, Table
from tests.support.deployment import Deployment


@pytest.fixture
def orders(deployment: Deployment) -> Table:
    table = Table(deployment, "orders", **STAMPED)
    table.load()
    return table


def test_a_watermark_that_can_be_null_is_reported_and_its_rows_come_with_the_full_load(deployment: Deployment) -> None:
    deployment.source_sql(
        "ALTER TABLE orders ALTER updated_at DROP NOT NULL; UPDATE orders SET updated_at = NULL WHERE id = 1"
    )
    orders = Table(deployment, "orders", **STAMPED, row_limit=1000)
    outcome = orders.load()
    notes = " ".join(outcome["result"]["notes"])
    assert "updated_at" in notes
    assert "NULL" in notes
    assert "; " in outcome["message"]
    assert ".;" not in outcome["message"]
    assert len(orders.rows()) == 100
    assert "NULL" in deployment.ok("plan", orders.key)


def test_ties_of_a_date_are_neither_lost_nor_doubled(deployment: Deployment) -> None:
    """Today's rows are appended when the day is over, yesterday's at once, however many share the day."""
    deployment.source_sql(
        "CREATE TABLE days (id int, d date NOT NULL DEFAULT (now() AT TIME ZONE 'UTC')::date);"
        "INSERT INTO days SELECT n, (now() AT TIME ZONE 'UTC')::date - 1 FROM generate_series(1, 5) n;"
        "INSERT INTO days SELECT n FROM generate_series(6, 8) n"
    )
    days = Table(deployment, "days", load_strategy="append_only", incremental_column="d")
    days.load()
    assert sorted(row["id"] for row in days.rows()) == [1, 2, 3, 4, 5]
    deployment.source_sql("INSERT INTO days VALUES (9)")
    days.load()
    deployment.source_sql("UPDATE days SET d = d - 1")  # as if it were tomorrow
    days.set("incremental_value = ((now() AT TIME ZONE 'UTC')::date - 2)::text")
    days.load()
    assert sorted(row["id"] for row in days.rows()) == [1, 2, 3, 4, 5, 6, 7, 8, 9]


def test_a_column_that_goes_backwards_never_takes_the_watermark_along(orders: Table) -> None:
    before = orders.watermark()
    orders.deployment.source_sql("UPDATE orders SET updated_at = updated_at - interval '1 year', name = 'older'")
    orders.load()
    assert orders.watermark() == before
    orders.load("--full")
    assert {row["name"] for row in orders.rows()} == {"older"}


@pytest.mark.parametrize("strategy", ["incremental", "append_only", "check_and_load"])
def test_a_text_is_no_watermark(deployment: Deployment, strategy: str) -> None:
    orders = Table(deployment, "orders", load_strategy=strategy, primary_key_cols=["id"], incremental_column="name")
    orders.refused("'name'", "text")
    orders.set("incremental_column = 'updated_at'")
    orders.load()
    assert len(orders.rows()) == 100


@pytest.mark.parametrize(
    "garbage", ["rubbish", "2026-02-31", "1e5", "'; DROP TABLE orders; --", "", "12345678901234567890"]
)
def test_a_watermark_of_garbage_is_refused_before_it_reaches_the_source(orders: Table, garbage: str) -> None:
    before = orders.watermark()
    orders.deployment.sql("UPDATE control.table_control SET incremental_value = %s", garbage)
    orders.refused("watermark", "incremental_value")
    orders.deployment.sql("UPDATE control.table_control SET incremental_value = %s", before)
    orders.load()
    orders.deployment.sql("UPDATE control.table_control SET incremental_value = %s", garbage)
    orders.load("--full")
    assert orders.watermark() == before


def test_a_watermark_of_another_column_is_refused_where_its_type_differs(orders: Table) -> None:
    before = orders.watermark()
    orders.set("incremental_column = 'id', incremental_value = incremental_value")
    orders.refused("watermark", "incremental_value")
    orders.set(f"incremental_column = 'updated_at', incremental_value = '{before}'")
    orders.load()
    assert len(orders.rows()) == 100


def test_a_watermark_in_the_future_is_reported_and_costs_no_row_for_ever(orders: Table) -> None:
    orders.set("incremental_value = '2087-01-01 00:00:00+00'")
    orders.deployment.source_sql("INSERT INTO orders VALUES (101, 'late', now() - interval '2 s')")
    notes = " ".join(orders.load()["result"]["notes"])
    assert "2087" in notes
    orders.set("incremental_value = NULL")
    orders.load()
    assert len(orders.rows()) == 101


@pytest.mark.parametrize("strategy", ["incremental", "append_only"])
def test_a_row_dated_2087_takes_the_watermark_nowhere(deployment: Deployment, strategy: str) -> None:
    orders = Table(deployment, "orders", **{**STAMPED, "load_strategy": strategy})
    orders.load()
    deployment.source_sql("INSERT INTO orders VALUES (101, 'far', '2087-01-01')")
    orders.load()
    assert (orders.watermark() or "") < "2087"
    deployment.source_sql("INSERT INTO orders VALUES (102, 'near', now() - interval '2 s')")
    orders.load()
    assert 102 in {row["id"] for row in orders.rows()}
