"""The sensor, the asset and the launched process together, with real databases and a real Delta table."""

from __future__ import annotations

import os
import signal
from datetime import timedelta

from dagster import AssetKey, DagsterRunStatus

from tests.dagster.deployment import KEY, Deployment, load_processes, until
from tests.support.delta import read_delta


def test_a_due_table_is_claimed_loaded_and_shown(deployment: Deployment) -> None:
    key = deployment.add_table("orders", rows=5)
    [request] = deployment.tick()
    assert deployment.status(key).last_status == "Queued"
    run = deployment.execute(request)
    assert run.status is DagsterRunStatus.SUCCESS
    assert deployment.status(key).last_status == "Succeeded"
    table = read_delta(deployment.lake / "bronze" / "test" / "orders")
    assert sorted(table.column("id").to_pylist()) == [1, 2, 3, 4, 5]
    shown = deployment.materialized("bronze", "test", "orders")
    assert shown["rows"] == 5
    assert shown["bytes"] > 0
    assert shown["duration_seconds"] > 0
    assert shown["control_key"] == key


def test_the_control_row_links_to_the_run(deployment: Deployment) -> None:
    key = deployment.add_table("orders")
    [request] = deployment.tick()
    run = deployment.execute(request)
    [row] = deployment.control.rows([key]).values()
    assert row["last_dagster_run"] in (run.run_id, f"http://dagster.example/runs/{run.run_id}")
    assert deployment.control.history(key)[0].run_id == run.run_id


def test_a_request_carries_references_only(deployment: Deployment) -> None:
    deployment.add_table("orders")
    [request] = deployment.tick()
    config = request.run_config["ops"]["dataloader_table_load"]["config"]
    assert set(config) == {"db_config_key", "loads"}
    assert request.tags["dataloader/source"] == KEY
    assert str(config["loads"][0]) in str(request.run_key)


def test_nothing_due_is_a_skip(deployment: Deployment) -> None:
    assert deployment.tick() == []


def test_tables_of_one_source_share_runs_and_a_tick_claims_ten(deployment: Deployment) -> None:
    for n in range(12):
        deployment.add_table(f"t{n}")
    requests = deployment.tick()
    assert [len(r.run_config["ops"]["dataloader_table_load"]["config"]["loads"]) for r in requests] == [10]


def test_a_row_with_options_that_its_strategy_does_not_have_fails_without_a_run(deployment: Deployment) -> None:
    good = deployment.add_table("good")
    bad = deployment.add_table("bad", strategy_options={"nonsense": 1})
    [request] = deployment.tick()
    assert request.tags["dataloader/tables"] == "1"
    assert deployment.status(good).last_status == "Queued"
    assert deployment.status(bad).last_status == "Failed"
    assert "nonsense" in str(deployment.status(bad).last_status_message)


def test_a_failing_table_fails_alone_and_the_run_names_it(deployment: Deployment) -> None:
    good, bad = deployment.add_table("good"), deployment.add_table("bad")
    deployment.sql("DROP TABLE bad")
    [request] = deployment.tick()
    run = deployment.execute(request)
    assert run.status is DagsterRunStatus.FAILURE
    assert deployment.status(good).last_status == "Succeeded"
    assert deployment.status(bad).last_status == "Failed"
    assert deployment.materialized("bronze", "test", "good")["rows"] == 3
    assert deployment.instance.get_latest_materialization_event(AssetKey(["bronze", "test", "bad"])) is None
    assert "1 of 2 tables failed: src.bad" in failure(deployment, run.run_id)


def failure(deployment: Deployment, run_id: str) -> str:
    """What the run says of itself when it is red."""
    events = [entry.dagster_event for entry in deployment.instance.all_logs(run_id) if entry.dagster_event]
    [data] = [event.step_failure_data for event in events if event.is_step_failure]
    return str(data.user_failure_data and data.user_failure_data.description)


def test_a_table_is_reported_when_it_ends_and_not_when_its_run_does(deployment: Deployment) -> None:
    quick, slow = deployment.add_table("quick"), deployment.add_table("slow")
    [request] = deployment.tick()
    with deployment.locked("slow") as release, deployment.running(request):
        deployment.until(quick, "Succeeded")
        event = until(
            lambda: deployment.instance.get_latest_materialization_event(AssetKey(["bronze", "test", "quick"])), bool
        )
        assert event is not None
        assert deployment.status(slow).last_status == "In Progress"
        release()
    assert deployment.status(slow).last_status == "Succeeded"


def test_a_killed_process_is_a_red_run_and_its_tables_failed(deployment: Deployment) -> None:
    quick, stuck = deployment.add_table("quick"), deployment.add_table("stuck")
    [request] = deployment.tick()
    with deployment.locked("stuck"), deployment.running(request) as done:
        deployment.until(quick, "Succeeded")
        deployment.until(stuck, "In Progress")
        [pid] = load_processes()
        os.kill(pid, signal.SIGKILL)
    assert done[0].status is DagsterRunStatus.FAILURE
    assert deployment.status(quick).last_status == "Succeeded"
    failed = deployment.status(stuck)
    assert failed.last_status == "Failed"
    assert "SIGKILL" in str(failed.last_status_message)


def test_after_a_failure_the_next_claim_loads_the_table(deployment: Deployment) -> None:
    key = deployment.add_table("stuck")
    [request] = deployment.tick()
    with deployment.locked("stuck"), deployment.running(request):
        deployment.until(key, "In Progress")
        os.kill(load_processes()[0], signal.SIGKILL)
    deployment.control.reset(key)
    [again] = deployment.tick()
    assert again.run_key != request.run_key
    assert deployment.execute(again).status is DagsterRunStatus.SUCCESS
    assert read_delta(deployment.lake / "bronze" / "test" / "stuck").num_rows == 3


def test_running_a_finished_run_again_loads_nothing_and_says_why(deployment: Deployment) -> None:
    key = deployment.add_table("orders")
    [request] = deployment.tick()
    deployment.execute(request)
    before = len(deployment.control.history(key))
    assert deployment.execute(request).status is DagsterRunStatus.FAILURE
    assert deployment.status(key).last_status == "Succeeded"
    assert len(deployment.control.history(key)) == before


def test_no_secret_reaches_an_event(deployment: Deployment) -> None:
    deployment.add_table("orders")
    os.environ["DATALOADER_SECRET_TEST"] = "hunter2-wrong"
    [request] = deployment.tick()
    run = deployment.execute(request)
    assert run.status is DagsterRunStatus.FAILURE
    assert not any("hunter2" in repr(entry) for entry in deployment.instance.all_logs(run.run_id))


def test_a_claim_without_a_run_is_reaped(deployment: Deployment) -> None:
    """What a sensor leaves that died between its claim and its request."""
    key = deployment.add_table("orders")
    assert deployment.tick()
    deployment.age_claims(timedelta(minutes=6))
    deployment.tick()
    assert deployment.status(key).last_status == "Failed"


def test_a_claim_whose_run_waits_to_be_launched_is_left_alone(deployment: Deployment) -> None:
    key = deployment.add_table("orders")
    [request] = deployment.tick()
    deployment.waiting_run(request)
    deployment.age_claims(timedelta(minutes=30))
    deployment.tick()
    assert deployment.status(key).last_status == "Queued"


def test_a_claim_whose_run_was_cancelled_while_it_waited_is_reaped(deployment: Deployment) -> None:
    key = deployment.add_table("orders")
    [request] = deployment.tick()
    run = deployment.waiting_run(request)
    deployment.tick()
    deployment.instance.report_run_canceled(run)
    deployment.age_claims(timedelta(minutes=6))
    deployment.tick()
    assert deployment.status(key).last_status == "Failed"


def test_the_control_row_names_the_process_that_loads(deployment: Deployment) -> None:
    key = deployment.add_table("stuck")
    [request] = deployment.tick()
    with deployment.locked("stuck") as release, deployment.running(request):
        deployment.until(key, "In Progress")
        [[holder]] = deployment.sql("SELECT claim_holder FROM control.table_control", control=True)
        assert holder["pid"] in load_processes()
        release()
    assert deployment.status(key).last_status == "Succeeded"
