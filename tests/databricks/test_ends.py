"""However a run on Databricks ends: its tables end Failed and not as a success, and nothing of it goes on."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from dagster import AssetKey, DagsterEventType, DagsterRunStatus

from tests.dagster.deployment import PATIENCE_SECONDS, Deployment, until
from tests.dagster.test_ends import reconcile_run, run_of_its_own
from tests.dagster.test_runs import failure
from tests.databricks.site import Site
from tests.databricks.workspace.runs import Run

PAUSED_BEFORE_THE_FIRST_TABLE = {"DATALOADER_FAILPOINTS": "control.before_start=pause"}
PAUSED_WHILE_FINISHING = {"DATALOADER_FAILPOINTS": "load.after_succeed=pause"}

ENDS: dict[str, tuple[Callable[[Site, Run], None], str]] = {
    "somebody cancels it": (lambda site, run: site.runs.cancel(run), "was cancelled on Databricks"),
    "it exceeds its timeout": (lambda site, run: site.runs.time_out(run), "was ended by its timeout"),
    "its cluster is lost": (lambda site, run: site.runs.lose_cluster(run), "SPOT_INSTANCE_TERMINATION"),
    "its memory is not enough": (lambda site, run: os.kill(process_of(run), signal.SIGKILL), "exit code -9"),
}


def process_of(run: Run) -> int:
    assert run.process is not None
    return run.process.pid


def is_gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize("end", ENDS)
def test_a_run_that_the_workspace_ends_is_red_and_keeps_what_it_reported(site: Site, end: str) -> None:
    how, said = ENDS[end]
    deployment = site.deployment
    quick, stuck = deployment.add_table("quick"), deployment.add_table("stuck")
    [request] = deployment.tick()
    with deployment.locked("stuck"), deployment.running(request) as done:
        deployment.materialized("bronze", "test", "quick")
        deployment.until(stuck, "In Progress")
        how(site, site.running())
        until(lambda: site.runs.only().is_over, bool)
    assert done[0].status is DagsterRunStatus.FAILURE
    assert said in failure(deployment, done[0].run_id)
    assert deployment.status(quick).last_status == "Succeeded"
    failed = deployment.status(stuck)
    assert failed.last_status == "Failed"
    assert is_gone(process_of(site.runs.only()))


def test_what_a_run_did_and_could_not_say_is_found_in_the_control_database(site: Site) -> None:
    """The process is killed between its hand-over and the file that its messages would have been."""
    deployment = site.deployment
    site.variables["DATALOADER_FAILPOINTS"] = "load.after_succeed=kill"
    key = deployment.add_table("orders", rows=4)
    [request] = deployment.tick()
    run = deployment.execute(request)
    assert run.status is DagsterRunStatus.FAILURE
    assert deployment.status(key).last_status == "Succeeded"
    assert deployment.materialized("bronze", "test", "orders")["rows"] == 4


def test_a_run_that_ends_between_two_looks_has_lost_no_message(site: Site) -> None:
    site.set(poll_seconds="8")
    site.deployment.add_table("orders", rows=4)
    [request] = site.deployment.tick()
    assert site.deployment.execute(request).status is DagsterRunStatus.SUCCESS
    assert site.deployment.materialized("bronze", "test", "orders")["rows"] == 4


def cancel(deployment: Deployment, process: subprocess.Popen[bytes], run_id: str) -> None:
    """What Dagster's own termination does: the run's state first, then the signal."""
    run = deployment.instance.get_run_by_id(run_id)
    assert run is not None
    deployment.instance.report_run_canceling(run)
    process.send_signal(signal.SIGINT)
    process.wait(PATIENCE_SECONDS)


def assert_cancelled(site: Site, key: str, run_id: str) -> None:
    deployment = site.deployment
    ended = deployment.instance.get_run_by_id(run_id)
    assert ended is not None
    assert ended.status is DagsterRunStatus.CANCELED
    assert site.runs.only().result == "CANCELED"
    assert deployment.status(key).last_status == "Failed"
    assert deployment.instance.get_latest_materialization_event(AssetKey(["bronze", "test", "stuck"])) is None


@pytest.mark.parametrize("was_taken", [True, False])
def test_cancelling_between_the_request_for_a_run_and_its_answer(site: Site, tmp_path: Path, was_taken: bool) -> None:
    """Nobody was told of the run: it is found by the token of its request."""
    site.runs.start_seconds = 60
    fault = site.workspace.faults.silence("POST", "jobs/runs/submit", times=1, after=was_taken)
    key = site.deployment.add_table("stuck")
    with run_of_its_own(site.deployment, tmp_path) as (process, run):
        until(lambda: fault.hits, bool)
        assert len(site.runs.runs) == was_taken
        cancel(site.deployment, process, run.run_id)
    assert_cancelled(site, key, run.run_id)


def test_a_run_that_is_found_and_cannot_be_cancelled_now_is_cancelled_by_a_tick(site: Site, tmp_path: Path) -> None:
    site.runs.start_seconds = 60
    site.set(cancel_seconds="1")
    taken = site.workspace.faults.silence("POST", "jobs/runs/submit", times=1, after=True)
    site.workspace.faults.add("POST", "jobs/runs/cancel", 500)
    site.deployment.add_table("stuck")
    with run_of_its_own(site.deployment, tmp_path) as (process, run):
        until(lambda: taken.hits, bool)
        cancel(site.deployment, process, run.run_id)
    assert not site.runs.only().is_over
    site.workspace.faults.clear()
    site.deployment.tick()
    assert_ended(site)


def test_cancelling_a_run_that_waits_for_its_cluster(site: Site, tmp_path: Path) -> None:
    site.runs.start_seconds = 60
    key = site.deployment.add_table("stuck")
    with run_of_its_own(site.deployment, tmp_path) as (process, run):
        until(lambda: site.deployment.control.rows([key])[key]["last_databricks_run"], bool)
        cancel(site.deployment, process, run.run_id)
    assert_cancelled(site, key, run.run_id)
    assert site.runs.only().process is None


def test_cancelling_a_run_before_its_first_table(site: Site, tmp_path: Path) -> None:
    site.variables |= PAUSED_BEFORE_THE_FIRST_TABLE
    key = site.deployment.add_table("stuck")
    with run_of_its_own(site.deployment, tmp_path) as (process, run):
        until(lambda: state_of(process_of(site.running())), lambda state: state == "T")
        cancel(site.deployment, process, run.run_id)
    assert_cancelled(site, key, run.run_id)


def test_cancelling_a_run_in_the_middle_of_a_load(site: Site, tmp_path: Path) -> None:
    key = site.deployment.add_table("stuck")
    with site.deployment.locked("stuck"), run_of_its_own(site.deployment, tmp_path) as (process, run):
        site.deployment.until(key, "In Progress")
        cancel(site.deployment, process, run.run_id)
        until(lambda: is_gone(process_of(site.runs.only())), bool)
    assert_cancelled(site, key, run.run_id)


def test_cancelling_a_run_whose_loads_are_done(site: Site, tmp_path: Path) -> None:
    """Too late for the table, which stays loaded; the Dagster run is cancelled and no success all the same."""
    site.variables |= PAUSED_WHILE_FINISHING
    key = site.deployment.add_table("stuck")
    with run_of_its_own(site.deployment, tmp_path) as (process, run):
        site.deployment.until(key, "Succeeded")
        cancel(site.deployment, process, run.run_id)
    ended = site.deployment.instance.get_run_by_id(run.run_id)
    assert ended is not None
    assert ended.status is DagsterRunStatus.CANCELED
    assert site.deployment.status(key).last_status == "Succeeded"


def test_a_run_that_cannot_be_cancelled_now_is_cancelled_by_a_tick(site: Site, tmp_path: Path) -> None:
    site.set(cancel_seconds="1")
    fault = site.workspace.faults.add("POST", "jobs/runs/cancel", 500)
    key = site.deployment.add_table("stuck")
    with site.deployment.locked("stuck"), run_of_its_own(site.deployment, tmp_path) as (process, run):
        site.deployment.until(key, "In Progress")
        cancel(site.deployment, process, run.run_id)
        ended = site.deployment.instance.get_run_by_id(run.run_id)
        assert ended is not None
        assert ended.status is DagsterRunStatus.CANCELED
        assert fault.hits > 0
        assert not site.runs.only().is_over
        site.workspace.faults.clear()
        site.deployment.tick()
        assert_ended(site)


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]


@contextmanager
def orphan(site: Site, folder: Path) -> Iterator[str]:
    """The Dagster run's own process was killed in mid-load; gives the id of the run."""
    key = site.deployment.add_table("stuck")
    with site.deployment.locked("stuck"):
        with run_of_its_own(site.deployment, folder) as (process, run):
            site.deployment.until(key, "In Progress")
            process.kill()
            process.wait()
        assert not site.runs.only().is_over
        # What Dagster's run monitoring does when it finds the worker gone.
        site.deployment.instance.report_run_failed(run)
        yield run.run_id


def assert_ended(site: Site) -> None:
    until(lambda: site.runs.only().result, lambda result: result == "CANCELED")


def test_the_orphan_of_a_killed_worker_is_cancelled_by_the_sensor_of_failed_runs(site: Site, tmp_path: Path) -> None:
    with orphan(site, tmp_path) as run_id:
        reconcile_run(site.deployment, run_id, DagsterEventType.RUN_FAILURE)
        assert_ended(site)
    assert site.deployment.status("src.stuck").last_status == "Failed"


def test_a_tick_cancels_an_orphan_and_forgets_it_when_it_has_ended(site: Site, tmp_path: Path) -> None:
    with orphan(site, tmp_path):
        site.deployment.tick()
        assert_ended(site)
    assert len(site.deployment.control.open_launches()) == 1
    site.deployment.tick()
    assert site.deployment.control.open_launches() == []


def test_an_orphan_is_found_although_its_table_was_claimed_again(site: Site, tmp_path: Path) -> None:
    with orphan(site, tmp_path) as run_id:
        site.deployment.control.fail_unreported(run_id, "gone")
        site.deployment.control.reset("src.stuck")
        assert len(site.deployment.tick()) == 1
        assert_ended(site)


def test_an_orphan_in_a_workspace_that_fails_is_cancelled_when_it_answers(site: Site, tmp_path: Path) -> None:
    with orphan(site, tmp_path):
        fault = site.workspace.faults.add("GET", "jobs/runs/get", 500)
        other = site.deployment.add_table("other")
        assert len(site.deployment.tick()) == 1, "claiming goes on"
        assert site.deployment.status(other).last_status == "Queued"
        assert fault.hits > 0
        site.workspace.faults.clear()
        site.deployment.tick()
        assert_ended(site)


def test_a_run_that_lives_is_left_alone(site: Site) -> None:
    key = site.deployment.add_table("stuck")
    [request] = site.deployment.tick()
    with site.deployment.locked("stuck") as release, site.deployment.running(request) as done:
        site.deployment.until(key, "In Progress")
        site.deployment.tick()
        assert not site.runs.only().is_over
        release()
    assert done[0].status is DagsterRunStatus.SUCCESS
