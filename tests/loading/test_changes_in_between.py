"""Long stories end to end: what people and clocks do between two loads of one table."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dataloader_core import failpoints

EVENTS = """
    CREATE TABLE {0} (id bigint PRIMARY KEY, at timestamptz DEFAULT now());
    INSERT INTO {0} SELECT n, now() - n * interval '1 minute' FROM generate_series(1, 20) n
"""
KEYED = {"primary_key_cols": ["id"], "incremental_column": "at", "watermark_delay": "1 s"}


@pytest.fixture
def interrupted(deployment: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Load a table and fail just behind its next commit."""

    def load(key: str) -> None:
        failpoints.arm({failpoints.POINTS_VARIABLE: "engine.after_commit=raise"})
        assert deployment.load(key).status == "Failed"
        failpoints.arm({failpoints.POINTS_VARIABLE: ""})

    yield load
    monkeypatch.setattr(failpoints, "_armed", None)


def ids(deployment: Any, name: str) -> list[int]:
    return sorted(row["id"] for row in deployment.rows(name))


def done(deployment: Any, key: str) -> None:
    outcome = deployment.load(key)
    assert outcome.status == "Succeeded", outcome.message


def test_rows_that_a_limit_left_out_of_one_chunk_come_when_it_is_gone(deployment: Any, interrupted: Any) -> None:
    deployment.source(EVENTS.format("t"))
    key = deployment.add("t", "chunked_backfill", strategy_options={"chunks": 4}, **KEYED)
    interrupted(key)
    deployment.sql("UPDATE control.table_control SET row_limit = 2")
    interrupted(key)
    deployment.sql("UPDATE control.table_control SET row_limit = NULL")
    done(deployment, key)
    assert len(ids(deployment, "t")) < 20
    assert deployment.row(key)["incremental_value"] is None
    done(deployment, key)
    assert ids(deployment, "t") == list(range(1, 21))


def test_options_edited_in_a_backfill_leave_a_row_that_loads(deployment: Any, interrupted: Any) -> None:
    deployment.source(EVENTS.format("t"))
    began = {"chunks": 4, "then": "check_and_load", "then_options": {"reload": "full"}}
    columns = {"incremental_column": "at", "watermark_delay": "1 s", "partition_column": "id"}
    key = deployment.add("t", "chunked_backfill", strategy_options=began, **columns)
    interrupted(key)
    deployment.sql("""UPDATE control.table_control SET strategy_options = '{"chunks": 4, "then": "full"}'""")
    done(deployment, key)
    row = deployment.row(key)
    assert (row["load_strategy"], row["strategy_options"]) == ("check_and_load", {"reload": "full"})
    done(deployment, key)
    assert ids(deployment, "t") == list(range(1, 21))


def test_a_row_below_all_bounds_is_loaded_beside_one_without_a_value(deployment: Any) -> None:
    deployment.source(EVENTS.format("t") + "; INSERT INTO t VALUES (21, '-infinity'), (22, NULL)")
    columns = {"partition_column": "at", "on_unrepresentable": "null", "strategy_options": {"immutable": True}}
    key = deployment.add("t", "chunked_backfill", **KEYED, **columns)
    done(deployment, key)
    assert ids(deployment, "t") == list(range(1, 23))


def test_a_first_chunk_of_rows_above_the_cap_stops_no_backfill(deployment: Any) -> None:
    deployment.source(EVENTS.format("t") + "; UPDATE t SET at = now() + interval '1 day' WHERE id <= 10")
    columns = {"incremental_column": "at", "watermark_delay": "1 s"}
    key = deployment.add("t", "append_only", **columns)
    done(deployment, key)
    deployment.sql(
        "UPDATE control.table_control SET load_strategy = 'chunked_backfill', incremental_value = NULL,"
        """ strategy_options = '{"chunks": 2, "then": "append_only"}', partition_column = 'id'"""
    )
    done(deployment, key)
    assert ids(deployment, "t") == list(range(11, 21))


def test_rows_stamped_by_a_clock_that_was_set_back_arrive(deployment: Any) -> None:
    """The watermark lies where the clock was: what is stamped now lies an hour below it."""
    deployment.source(EVENTS.format("t"))
    key = deployment.add("t", "incremental", **KEYED)
    done(deployment, key)
    later = datetime.now(UTC) + timedelta(hours=1)
    deployment.sql(f"UPDATE control.table_control SET incremental_value = '{later.isoformat(' ')}'")
    deployment.source("INSERT INTO t VALUES (21)")
    deployment.source("SELECT pg_sleep(2.2)")
    done(deployment, key)
    assert datetime.fromisoformat(deployment.row(key)["incremental_value"]) < datetime.now(UTC)
    deployment.source("INSERT INTO t VALUES (22)")
    done(deployment, key)
    assert ids(deployment, "t") == list(range(1, 23))


def test_a_key_whose_values_become_null_is_checked_before_it_comes_in(deployment: Any) -> None:
    deployment.source(
        "CREATE TABLE t (day date PRIMARY KEY, at timestamptz NOT NULL DEFAULT now());"
        "INSERT INTO t (day) VALUES ('infinity'), ('-infinity'), ('2024-01-01')"
    )
    key = deployment.add("t", "incremental", **{**KEYED, "primary_key_cols": ["day"], "on_unrepresentable": "null"})
    outcome = deployment.load(key)
    assert "Key columns are NULL: day" in outcome.message
    assert deployment.rows("t") == []
