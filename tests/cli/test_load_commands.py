"""plan, load, run, status, why and the rest, with real parts. Long: each command has its good and its bad case."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.cli.conftest import Deployment

ORDERS = "crm.public.orders"
INCREMENTAL = {
    "load_strategy": "incremental",
    "primary_key_cols": ["id"],
    "incremental_column": "updated_at",
    "incremental_type": "timestamp",
    "incremental_lookback": "1 hour",
}


def wait_for(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)


def finish(process: subprocess.Popen[str], seconds: float = 60) -> tuple[int, str, str]:
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return process.returncode, out, err


def until_loaded(deployment: Deployment, loads: int, seconds: float = 30) -> None:
    def loaded() -> bool:
        ended = deployment.sql(
            "SELECT load_status, log_message FROM control.historical_metadata WHERE load_status <> ''"
        )
        assert {status for status, _ in ended} <= {"Succeeded"}, ended
        return len(ended) >= loads

    wait_for(loaded, seconds)


def until_in_progress(deployment: Deployment, process: subprocess.Popen[str]) -> None:
    def in_progress() -> bool:
        assert process.poll() is None, f"it ended before: {process.communicate()}"
        return ("In Progress",) in deployment.sql("SELECT last_status FROM control.table_control")

    wait_for(in_progress)


def test_a_table_is_loaded_by_hand_and_everything_says_so(deployment: Deployment) -> None:
    deployment.apply()
    (outcome,) = deployment.json("load", ORDERS)["outcomes"]
    assert (outcome["status"], outcome["result"]["rows"]) == ("Succeeded", 100)
    assert {row["id"] for row in deployment.rows("orders")} == set(range(1, 101))
    (status,) = deployment.json("status", ORDERS)["tables"]
    assert (status["last_status"], status["rows_processed"]) == ("Succeeded", 100)
    (load,) = deployment.json("history", ORDERS)["loads"]
    assert (load["load_status"], load["rows_processed"]) == ("Succeeded", 100)
    assert "Succeeded" in deployment.ok("status")
    assert "Succeeded" in deployment.ok("history", ORDERS)


def test_progress_and_outcomes_go_to_stderr_so_that_stdout_is_one_document(deployment: Deployment) -> None:
    deployment.apply()
    code, out, err = finish(deployment.start("load", ORDERS, "--json"))
    assert code == 0, err
    assert "Traceback" not in err
    assert json.loads(out)["outcomes"][0]["status"] == "Succeeded"
    assert f"Succeeded {ORDERS}: 100 rows" in err


def test_a_plan_changes_nothing(deployment: Deployment) -> None:
    deployment.apply(**INCREMENTAL)
    before = deployment.sql("SELECT t::text FROM control.table_control t")
    text = deployment.ok("plan", ORDERS)
    assert "SELECT" in text
    assert "updated_at" in text
    assert deployment.json("plan", ORDERS)["control_key"] == ORDERS
    assert deployment.sql("SELECT t::text FROM control.table_control t") == before
    assert not (deployment.folder / "lake" / "bronze" / "crm" / "orders").exists()


def test_full_reads_everything_again(deployment: Deployment) -> None:
    deployment.apply(**INCREMENTAL)
    deployment.ok("load", ORDERS)
    deployment.source_sql("DELETE FROM orders WHERE id > 90")
    deployment.ok("load", ORDERS)
    assert len(deployment.rows("orders")) == 100
    deployment.ok("load", ORDERS, "--full")
    assert len(deployment.rows("orders")) == 90
    assert deployment.sql("SELECT load_full FROM control.table_control") == [(False,)]


def test_a_failed_load_is_not_zero_and_fails_alone(deployment: Deployment) -> None:
    deployment.apply()
    deployment.apply(source_table_name="colours")
    deployment.source_sql("DROP TABLE colours")
    result = deployment.run("load", ORDERS, "crm.public.colours", "--json")
    assert result.exit_code == 1
    outcomes = {o["control_key"]: o for o in json.loads(result.stdout)["outcomes"]}
    assert outcomes[ORDERS]["status"] == "Succeeded"
    assert outcomes["crm.public.colours"]["status"] == "Failed"
    assert "colours" in outcomes["crm.public.colours"]["message"]
    assert deployment.run("run", "--once").exit_code == 1
    assert deployment.json("why", "crm.public.colours")["why"]["code"] == "failed"


def test_values_of_rows_stay_in_the_control_database(deployment: Deployment) -> None:
    deployment.source_sql(
        "CREATE TABLE twice (k text NOT NULL, updated_at timestamptz NOT NULL DEFAULT now() - interval '1 minute');"
        "INSERT INTO twice VALUES ('once'), ('sesame-7'), ('sesame-7')"
    )
    keys = {**INCREMENTAL, "primary_key_cols": ["k"], "source_table_name": "twice"}
    deployment.apply(**keys)
    deployment.run("load", "crm.public.twice")
    shown = deployment.run("load", "crm.public.twice", "--json", "--debug").output
    assert "KeyValuesError" in shown
    shown += deployment.ok("history", "crm.public.twice") + deployment.ok("status", "crm.public.twice")
    assert "sesame-7" not in shown
    assert "sesame-7" in str(deployment.sql("SELECT log_message FROM control.historical_metadata"))


def test_a_misspelt_table_stops_everything_before_it_begins(deployment: Deployment) -> None:
    deployment.apply()
    result = deployment.run("load", ORDERS, "crm.public.order")
    assert result.exit_code == 2
    assert f"Did you mean '{ORDERS}'?" in result.stderr
    assert deployment.sql("SELECT last_status FROM control.table_control") == [(None,)]


@pytest.mark.parametrize("command", ["plan", "history", "why", "reset", "cancel", "adopt", "status"])
def test_an_unknown_table_is_named_with_the_known_ones(deployment: Deployment, command: str) -> None:
    deployment.apply()
    result = deployment.run(command, "crm.public.order")
    assert result.exit_code == 2
    assert ORDERS in result.stderr


def claimed_elsewhere(deployment: Deployment) -> None:
    """The table is being loaded by a process of another host."""
    from dataloader_core.control.database import ControlDatabase
    from dataloader_core.control.records import Holder

    control = ControlDatabase(deployment.control_url)
    try:
        assert control.claim_by_hand(ORDERS, Holder("worker", "elsewhere", 7, user="eve")) is not None
    finally:
        control.close()


def test_a_claimed_table_is_refused_naming_the_holder(deployment: Deployment) -> None:
    deployment.apply()
    claimed_elsewhere(deployment)
    result = deployment.run("load", ORDERS, "--json")
    assert result.exit_code == 4
    assert "elsewhere" in json.loads(result.stdout)["refused"][ORDERS]
    assert deployment.json("why", ORDERS)["why"]["code"] == "queued"


def test_cancel_ends_a_claim_and_reset_makes_ready(deployment: Deployment) -> None:
    deployment.apply()
    claimed_elsewhere(deployment)
    assert deployment.run("reset", ORDERS).exit_code == 4
    deployment.ok("cancel", ORDERS, "--message", "not now")
    (status,) = deployment.json("status", ORDERS)["tables"]
    assert (status["last_status"], status["last_status_message"]) == ("Failed", "not now")
    assert deployment.json("history", ORDERS)["loads"][0]["load_status"] == "Cancelled"
    deployment.ok("reset", ORDERS)
    assert deployment.json("status", ORDERS)["tables"][0]["last_status"] is None
    assert deployment.run("cancel", ORDERS).exit_code == 4


def test_run_once_loads_what_is_due_and_only_that(deployment: Deployment) -> None:
    deployment.apply()
    deployment.apply(source_table_name="colours", is_active=False)
    answer = deployment.json("run", "--once")
    assert [o["control_key"] for o in answer["outcomes"]] == [ORDERS]
    assert deployment.json("run", "--once")["outcomes"] == []


def test_run_once_loads_more_tables_than_one_tick_claims(deployment: Deployment) -> None:
    deployment.environment["DATALOADER_TABLES_PER_TICK"] = "2"
    deployment.source_sql("".join(f"CREATE TABLE t{n} AS SELECT {n} AS n;" for n in range(5)))
    for n in range(5):
        deployment.apply(source_table_name=f"t{n}")
    assert len(deployment.json("run", "--once")["outcomes"]) == 5


def test_run_once_is_not_zero_when_a_row_cannot_be_loaded(deployment: Deployment) -> None:
    deployment.apply()
    deployment.sql("UPDATE control.table_control SET strategy_options = '{\"nope\": 1}'")
    result = deployment.run("run", "--once", "--json")
    assert result.exit_code == 1
    (failure,) = json.loads(result.stdout)["failed_rows"]
    assert "nope" in failure["reason"]


def test_an_endless_run_has_no_json(deployment: Deployment) -> None:
    assert deployment.run("run", "--json").exit_code == 2


def test_a_worker_ticks_until_it_is_told_to_stop(deployment: Deployment) -> None:
    deployment.apply()
    process = deployment.start("run", "--interval", "1")
    try:
        until_loaded(deployment, 1)
        deployment.sql("UPDATE control.table_control SET next_load_date_time = now()")
        until_loaded(deployment, 2)
        process.send_signal(signal.SIGTERM)
        code, _, err = finish(process)
    finally:
        process.kill()
    assert code == 0, err


def test_a_worker_goes_on_after_its_control_database_was_away(deployment: Deployment) -> None:
    deployment.apply()
    process = deployment.start("run", "--interval", "1")
    try:
        until_loaded(deployment, 1)
        deployment.server.restart()
        deployment.sql("UPDATE control.table_control SET next_load_date_time = now()")
        until_loaded(deployment, 2, 60)
        assert process.poll() is None
    finally:
        process.terminate()
        finish(process)


@pytest.fixture
def slow(deployment: Deployment) -> Deployment:
    """The table ``orders`` takes half a minute to read."""
    deployment.source_sql(
        "CREATE FUNCTION slowly() RETURNS int LANGUAGE sql VOLATILE AS 'SELECT 1 FROM pg_sleep(0.3)';"
        "CREATE VIEW slow AS SELECT id, slowly() AS n FROM orders"
    )
    deployment.apply(source_table_name="slow")
    return deployment


def test_ctrl_c_ends_a_load_as_cancelled(slow: Deployment) -> None:
    process = slow.start("load", "crm.public.slow", "--json")
    try:
        until_in_progress(slow, process)
        process.send_signal(signal.SIGINT)
        code, out, err = finish(process, 45)
    finally:
        process.kill()
    assert code == 130, err
    assert json.loads(out)["outcomes"][0]["status"] == "Cancelled"
    assert slow.sql("SELECT last_status FROM control.table_control") == [("Failed",)]
    assert slow.sql("SELECT load_status FROM control.historical_metadata") == [("Cancelled",)]


def test_a_load_whose_process_is_killed_is_failed_by_the_next_run(slow: Deployment) -> None:
    process = slow.start("load", "crm.public.slow")
    until_in_progress(slow, process)
    process.kill()
    finish(process)
    slow.sql("UPDATE control.table_control SET is_active = false")
    assert slow.json("run", "--once")["reaped"] == ["crm.public.slow"]
    assert slow.sql("SELECT last_status FROM control.table_control") == [("Failed",)]


def test_ctrl_c_while_waiting_leaves_the_table_alone(slow: Deployment) -> None:
    slow.add_source("crm", "--replace", "--max-loads", "1")
    slow.apply()
    first = slow.start("load", "crm.public.slow")
    try:
        until_in_progress(slow, first)
        second = slow.start("load", ORDERS, "--json")
        assert second.stderr is not None
        assert "Waiting for a place" in second.stderr.readline()
        second.send_signal(signal.SIGINT)
        code, out, err = finish(second)
    finally:
        first.kill()
        first.communicate()
    assert code == 130, err
    assert json.loads(out)["not_started"] == [ORDERS]
    assert slow.sql(f"SELECT last_status, load_seq FROM control.table_control WHERE control_key = '{ORDERS}'") == [
        (None, 0)
    ]


def test_a_second_ctrl_c_ends_the_process_and_the_next_run_cleans_up(slow: Deployment) -> None:
    process = slow.start("load", "crm.public.slow")
    try:
        until_in_progress(slow, process)
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        wait_for(lambda: "Stopping" in process.stderr.readline())  # type: ignore[union-attr]  # it is a pipe
        process.send_signal(signal.SIGINT)
        code, _, _ = finish(process, 10)
    finally:
        process.kill()
    # By the second signal the load may have ended and Python be on its way out: then the signal itself ends it.
    assert code in (130, -signal.SIGINT)
    slow.sql("UPDATE control.table_control SET is_active = false")
    slow.json("run", "--once")
    assert slow.sql("SELECT last_status FROM control.table_control") == [("Failed",)]


def test_a_load_waits_for_its_sources_limit_and_says_so(slow: Deployment) -> None:
    slow.add_source("crm", "--replace", "--max-loads", "1")
    slow.apply()
    first = slow.start("load", "crm.public.slow")
    try:
        until_in_progress(slow, first)
        second = slow.start("load", ORDERS)
        assert second.stderr is not None
        assert "Waiting for a place" in second.stderr.readline()
        slow.ok("cancel", "crm.public.slow")
        code, _, err = finish(second, 60)
    finally:
        first.kill()
        first.communicate()
    assert code == 0, err
    assert len(slow.rows("orders")) == 100


def test_why_names_the_reason(deployment: Deployment) -> None:
    deployment.apply(is_active=False)
    answer = deployment.json("why", ORDERS)["why"]
    assert answer["code"] == "inactive"
    assert ORDERS in deployment.ok("why", ORDERS)


def test_status_watches_until_interrupted(deployment: Deployment) -> None:
    deployment.apply()
    process = deployment.start("status", "--watch")
    assert process.stdout is not None
    shown = 0
    while shown < 2:
        shown += ORDERS in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    code, _, err = finish(process)
    assert code == 0, err
    assert deployment.run("status", "--watch", "--json").exit_code == 2


def test_a_destination_is_adopted_from_a_row_that_was_deleted(deployment: Deployment) -> None:
    deployment.apply()
    deployment.ok("load", ORDERS)
    deployment.sql("DELETE FROM control.table_control")
    deployment.apply()
    assert deployment.run("load", ORDERS).exit_code == 1
    answer: dict[str, Any] = deployment.json("adopt", ORDERS)
    assert answer["destination"] == "bronze.crm.orders"
    assert answer["from"]
    deployment.ok("load", ORDERS)
    assert len(deployment.rows("orders")) == 100


def test_what_is_ones_own_or_not_there_is_not_adopted(deployment: Deployment) -> None:
    deployment.apply()
    assert deployment.run("adopt", ORDERS).exit_code == 5
    deployment.ok("load", ORDERS)
    result = deployment.run("adopt", ORDERS)
    assert result.exit_code == 5
    assert "already" in result.stderr


def test_a_completed_backfill_is_not_restarted_by_its_file(deployment: Deployment) -> None:
    backfill = {**INCREMENTAL, "load_strategy": "chunked_backfill", "strategy_options": {"chunk_rows": 30}}
    backfill["partition_column"] = "id"
    deployment.apply(**backfill)
    deployment.ok("load", ORDERS)
    assert deployment.sql("SELECT load_strategy FROM control.table_control") == [("incremental",)]
    deployment.apply(**backfill)
    assert deployment.sql("SELECT load_strategy FROM control.table_control") == [("incremental",)]
    deployment.ok("apply", str(deployment.folder / "orders.yaml"), "--restart-backfill")
    assert deployment.sql("SELECT load_strategy, incremental_value FROM control.table_control") == [
        ("chunked_backfill", None)
    ]


def test_plugins_are_listed_and_examined(deployment: Deployment) -> None:
    plugins = deployment.json("plugins", "list")
    names = {(p["kind"], p["name"]) for p in plugins["plugins"]}
    assert {("source", "postgresql"), ("strategy", "full"), ("engine", "local"), ("secret backend", "env")} <= names
    assert plugins["broken"] == []
    assert deployment.json("plugins", "doctor")["ok"] is True


def test_without_a_lake_nothing_is_claimed(deployment: Deployment) -> None:
    deployment.apply()
    del deployment.environment["DATALOADER_LAKE"]
    result = deployment.run("load", ORDERS)
    assert result.exit_code == 2
    assert "DATALOADER_LAKE" in result.stderr
    assert deployment.sql("SELECT last_status FROM control.table_control") == [(None,)]
