"""However a run ends, its tables end Failed and not as a success, and are never claimed for ever."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from uuid import UUID

from dagster import AssetKey, DagsterEvent, DagsterEventType, DagsterRun, DagsterRunStatus
from dagster import build_run_status_sensor_context as sensor_context

from dataloader_dagster.monitors import reconcile
from dataloader_dagster.requests import loads_of
from tests.dagster.deployment import PATIENCE_SECONDS, Deployment, until

TICK = """
from dagster import DagsterInstance, build_sensor_context
from dataloader_dagster.definitions import defs
from dataloader_dagster.sensors import master_sensor

with DagsterInstance.get() as instance:
    context = build_sensor_context(instance=instance, definitions=defs, sensor_name="master_sensor")
    print(len(master_sensor.evaluate_tick(context).run_requests))
"""


@contextmanager
def run_of_its_own(deployment: Deployment, folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], DagsterRun]]:
    """The requested run in a process of its own, as Dagster's run launcher makes one."""
    [request] = deployment.tick()
    config = folder / "run.json"
    config.write_text(json.dumps(request.run_config))
    command = ["job", "execute", "-m", "dataloader_dagster.definitions", "-j", str(request.job_name), "-c", str(config)]
    process = subprocess.Popen([sys.executable, "-m", "dagster", *command], start_new_session=True)
    try:
        [run] = until(lambda: deployment.instance.get_runs(), bool)
        yield process, run
    finally:
        process.kill()
        process.wait()


def test_cancelling_a_run_stops_its_load_and_is_no_success(deployment: Deployment, tmp_path: Path) -> None:
    key = deployment.add_table("stuck")
    with deployment.locked("stuck"), run_of_its_own(deployment, tmp_path) as (process, run):
        deployment.until(key, "In Progress")
        [[holder]] = deployment.sql("SELECT claim_holder FROM control.table_control", control=True)
        # What Dagster's own termination does: the run's state first, then the signal.
        deployment.instance.report_run_canceling(run)
        process.send_signal(signal.SIGINT)
        process.wait(PATIENCE_SECONDS)
        until(lambda: os.path.exists(f"/proc/{holder['pid']}"), lambda there: not there)
    ended = deployment.instance.get_run_by_id(run.run_id)
    assert ended is not None
    assert ended.status is DagsterRunStatus.CANCELED
    assert deployment.status(key).last_status == "Failed"
    assert deployment.instance.get_latest_materialization_event(AssetKey(["bronze", "test", "stuck"])) is None


def test_a_killed_run_takes_its_load_along(deployment: Deployment, tmp_path: Path) -> None:
    key = deployment.add_table("stuck")
    with deployment.locked("stuck"), run_of_its_own(deployment, tmp_path) as (process, run):
        deployment.until(key, "In Progress")
        [[holder]] = deployment.sql("SELECT claim_holder FROM control.table_control", control=True)
        process.kill()
        process.wait()
        until(lambda: os.path.exists(f"/proc/{holder['pid']}"), lambda there: not there)
    # What Dagster's run monitoring does when it finds the worker gone.
    deployment.instance.report_run_failed(run)
    reconcile_run(deployment, run.run_id, DagsterEventType.RUN_FAILURE)
    assert deployment.status(key).last_status == "Failed"
    assert deployment.instance.get_latest_materialization_event(AssetKey(["bronze", "test", "stuck"])) is None


def test_a_sensor_killed_between_claim_and_request_loses_nothing(deployment: Deployment) -> None:
    key = deployment.add_table("orders")
    environment = os.environ | {"DATALOADER_FAILPOINTS": "dagster.after_claim=kill:1"}
    killed = subprocess.run([sys.executable, "-c", TICK], env=environment, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert deployment.status(key).last_status == "Queued"
    assert deployment.tick() == []
    deployment.age_claims(timedelta(minutes=6))
    deployment.tick()
    assert deployment.status(key).last_status == "Failed"
    deployment.control.reset(key)
    [request] = deployment.tick()
    assert deployment.execute(request).status is DagsterRunStatus.SUCCESS


def test_a_run_cancelled_while_it_waits_fails_its_tables_at_once(deployment: Deployment) -> None:
    key = deployment.add_table("orders")
    [request] = deployment.tick()
    run = deployment.waiting_run(request)
    deployment.instance.report_run_canceled(run)
    reconcile_run(deployment, run.run_id, DagsterEventType.RUN_CANCELED)
    found = deployment.status(key)
    assert found.last_status == "Failed"
    assert "cancelled" in str(found.last_status_message)


def test_a_table_that_still_waits_in_a_run_whose_host_is_gone_is_reaped(deployment: Deployment) -> None:
    """Dagster believes that the run goes on; its process had begun, and nothing is heard of it any more."""
    key = deployment.add_table("orders")
    [request] = deployment.tick()
    run = deployment.waiting_run(request)
    deployment.instance.report_dagster_event(DagsterEvent(DagsterEventType.RUN_START.value, run.job_name), run.run_id)
    started = deployment.instance.get_run_by_id(run.run_id)
    assert started is not None
    assert started.status is DagsterRunStatus.STARTED
    [load] = loads_of(run)
    deployment.control.attach_run([UUID(load)], run_id=run.run_id)
    deployment.age_claims(timedelta(minutes=30))
    deployment.control.heartbeat({UUID(load): None})
    deployment.tick()
    assert deployment.status(key).last_status == "Queued"
    deployment.sql("UPDATE control.table_control SET heartbeat_at = now() - interval '6 minutes'", control=True)
    deployment.tick()
    assert deployment.status(key).last_status == "Failed"


def test_late_news_of_a_run_change_nothing(deployment: Deployment) -> None:
    key = deployment.add_table("orders")
    [request] = deployment.tick()
    run = deployment.execute(request)
    reconcile_run(deployment, run.run_id, DagsterEventType.RUN_FAILURE)
    assert deployment.status(key).last_status == "Succeeded"


def reconcile_run(deployment: Deployment, run_id: str, what: DagsterEventType) -> None:
    """What both reconciling sensors do with a run that has ended."""
    run = deployment.instance.get_run_by_id(run_id)
    assert run is not None
    event = DagsterEvent(what.value, run.job_name)
    reconcile(sensor_context("reconcile", event, deployment.instance, run), "The Dagster run was cancelled or failed.")
