"""Claims in, outcomes out: each table by itself, whatever people do to its row meanwhile."""

from __future__ import annotations

import shutil
from typing import Any

import pytest
from deltalake import DeltaTable

from dataloader_core import failpoints
from dataloader_core.control.records import Outcome

TEN = """
CREATE TABLE {0} (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, note text);
INSERT INTO {0} (note) SELECT 'x' FROM generate_series(1, 10)
"""
BACKFILL = {"primary_key_cols": ["id"], "incremental_column": "id"}
AT_END = {"strategy_options": {"chunk_rows": 4, "publish": "at_end"}}


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Arm a fail point that raises; disarm with an empty text."""

    def arm(points: str) -> None:
        failpoints.arm({failpoints.POINTS_VARIABLE: points})

    yield arm
    monkeypatch.setattr(failpoints, "_armed", None)


def test_a_table_that_fails_fails_alone_and_each_is_told_when_it_ends(deployment: Any) -> None:
    deployment.source(TEN.format("good"))
    keys = [deployment.add("gone"), deployment.add("good")]
    told: list[Outcome] = []
    outcomes = deployment.process([deployment.claim(key) for key in keys], on_outcome=told.append)
    assert [o.status for o in outcomes] == ["Failed", "Succeeded"]
    assert {o.control_key for o in told} == set(keys)
    assert "gone" in outcomes[0].message


def test_a_listener_that_breaks_changes_no_outcome(deployment: Any) -> None:
    deployment.source(TEN.format("t"))

    def broken(_outcome: Outcome) -> None:
        raise BrokenPipeError

    [outcome] = deployment.process([deployment.claim(deployment.add("t"))], on_outcome=broken)
    assert outcome.status == "Succeeded"


def test_a_row_that_is_pointed_elsewhere_while_it_waits_is_loaded_from_there_next(deployment: Any) -> None:
    deployment.source(TEN.format("t"))
    deployment.add_source("other")
    key = deployment.add("t", "append_only", incremental_column="id")
    claim = deployment.claim(key)
    deployment.sql("UPDATE control.table_control SET db_config_key = 'other', incremental_value = NULL")
    [outcome] = deployment.process([claim])
    assert (outcome.status, outcome.transient) == ("Failed", True)
    assert "'other'" in outcome.message
    assert deployment.row(key)["incremental_value"] is None
    assert not deployment.path("t").exists()


def test_a_source_that_is_changed_while_its_table_waits_is_not_read_as_it_was(deployment: Any) -> None:
    deployment.source(TEN.format("t"))
    claim, loader = deployment.claim(deployment.add("t")), deployment.loader()
    deployment.sql("""UPDATE control.table_control_dbconfig SET options = '{"parallel": 1}'""")
    [outcome] = loader.process_tables([claim])
    assert outcome.status == "Failed"
    assert "was changed" in outcome.message


def test_a_misspelt_option_of_a_source_is_named(deployment: Any) -> None:
    deployment.source(TEN.format("t"))
    key = deployment.add("t")
    deployment.sql("""UPDATE control.table_control_dbconfig SET options = '{"parrallel": 1}'""")
    assert "Did you mean 'parallel'?" in deployment.load(key).message


def test_the_history_says_which_limit_a_load_had(deployment: Any) -> None:
    deployment.source(TEN.format("t"))
    key = deployment.add("t")
    claim = deployment.claim(key)
    deployment.control.start(claim, claim.holder, row_limit=3)
    assert deployment.sql("SELECT row_limit FROM control.historical_metadata") == [(3,)]


def test_chunks_gather_in_no_table_of_somebody_else(deployment: Any) -> None:
    deployment.source(TEN.format("t"))
    key = deployment.add("t", "chunked_backfill", **BACKFILL, **AT_END)
    [(uid,)] = deployment.sql("SELECT left(replace(table_uid::text, '-', ''), 8) FROM control.table_control")
    name = f"t__backfill_1_{uid}"
    deployment.source(TEN.format("precious"))
    assert deployment.load(deployment.add("precious")).status == "Succeeded"
    shutil.copytree(deployment.path("precious"), deployment.path(name))
    before = DeltaTable(deployment.path(name)).version()
    outcome = deployment.load(key)
    assert outcome.status == "Failed"
    assert "belongs to" in outcome.message
    assert DeltaTable(deployment.path(name)).version() == before


@pytest.mark.parametrize("point", ["load.after_succeed", "engine.before_drop"])
def test_a_staging_table_that_was_left_is_dropped_by_the_next_load(deployment: Any, failing: Any, point: str) -> None:
    deployment.source(TEN.format("t"))
    key = deployment.add("t", "chunked_backfill", **BACKFILL, **AT_END)
    failing(f"{point}=raise")
    deployment.load(key)
    failing("")
    assert len(list(deployment.path("t").parent.glob("t__backfill_*"))) == 1
    assert deployment.load(key).status == "Succeeded"
    assert list(deployment.path("t").parent.glob("t__backfill_*")) == []
    assert deployment.row(key)["staging_tables"] == []
    assert len(deployment.rows("t")) == 10


def test_a_reload_that_began_and_was_withdrawn_leaves_no_watermark_behind(deployment: Any, failing: Any) -> None:
    """The destination was deleted: a load refuses, a reload makes it anew, and dies before it has filled it."""
    deployment.source(TEN.format("t"))
    key = deployment.add("t", "append_only", incremental_column="id")
    assert deployment.load(key).status == "Succeeded"
    shutil.rmtree(deployment.path("t"))
    assert "does not exist" in deployment.load(key).message
    failing("load.after_plan=raise")
    assert deployment.load(key, full=True).status == "Failed"
    failing("")
    deployment.sql("UPDATE control.table_control SET load_full = false")
    assert deployment.load(key).status == "Succeeded"
    assert len(deployment.rows("t")) == 10


def test_a_reload_ordered_after_a_restore_of_the_control_database_is_carried_out(deployment: Any) -> None:
    """The destination holds a reload that was ordered in a history that is gone; the new order is another one."""
    deployment.source(TEN.format("t"))
    key = deployment.add("t", "append_only", incremental_column="id")
    assert deployment.load(key).status == "Succeeded"
    deployment.sql("CREATE TABLE yesterday AS SELECT * FROM control.table_control")
    assert deployment.load(key, full=True).status == "Succeeded"
    deployment.source("DELETE FROM t WHERE id <= 4")
    columns = deployment.sql(
        "SELECT string_agg(quote_ident(column_name), ', ') FROM information_schema.columns"
        " WHERE table_schema = 'public' AND table_name = 'yesterday' AND column_name <> 'config_id'"
    )[0][0]
    deployment.sql(
        f"SET session_replication_role = replica; UPDATE control.table_control SET ({columns}) ="
        f" (SELECT {columns} FROM yesterday)"
    )
    outcome = deployment.load(key, full=True)
    assert (outcome.status, len(deployment.rows("t"))) == ("Succeeded", 6), outcome.message


def test_a_cancelled_loader_ends_its_loads_as_cancelled(deployment: Any) -> None:
    deployment.source(TEN.format("t"))
    key = deployment.add("t")
    claim, loader = deployment.claim(key), deployment.loader()
    loader.cancel()
    [outcome] = loader.process_tables([claim])
    assert outcome.status == "Cancelled"
    assert deployment.row(key)["retry_count"] == 0


def test_a_load_whose_claim_was_ended_writes_nothing(deployment: Any) -> None:
    deployment.source(TEN.format("t"))
    key = deployment.add("t")
    claim = deployment.claim(key)
    deployment.control.cancel(key, message="stuck")
    [outcome] = deployment.process([claim])
    assert outcome.status == "Lost"
    assert not deployment.path("t").exists()


def test_a_secret_is_masked_whichever_field_it_was_resolved_for(
    deployment: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever may edit a source could name a secret as its host, and read it in the error."""
    monkeypatch.setenv("DATALOADER_SECRET_CRM", "correct-horse-battery")
    deployment.sql(
        "UPDATE control.table_control_dbconfig SET db_config_value ="
        """ '{"host": "DATALOADER_SECRET_CRM", "user": {"value": "u"}, "database": {"value": "d"}}'"""
    )
    key = deployment.add("t")
    outcome = deployment.load(key)
    history = str(deployment.sql("SELECT log_message FROM control.historical_metadata"))
    assert outcome.status == "Failed"
    assert "correct-horse" not in outcome.message + deployment.row(key)["last_status_message"] + history
