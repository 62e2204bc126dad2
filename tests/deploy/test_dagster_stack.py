"""The containers' processes together: a due table is loaded without anybody's help, and no run outlives its server."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus, RunsFilter

from tests.dagster.deployment import until
from tests.deploy.bundle import REPOSITORY
from tests.deploy.stack import Stack, die
from tests.support.deployment import Deployment, new_deployment, templates_of

SECONDS: Final = 600
"""Not how fast it is: when it is given up."""


@pytest.fixture
def deployment(postgres_server: Any, tmp_path: Path) -> Deployment:
    made = new_deployment(postgres_server, templates_of(postgres_server), tmp_path)
    made.apply()
    return made


def wait_for(stack: Stack, deployment: Deployment, *statuses: str) -> str:
    def status() -> str:
        [(found,)] = deployment.sql("SELECT last_status FROM control.table_control")
        return str(found)

    try:
        return until(status, lambda found: found in statuses, SECONDS)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{stack.logs()}") from None


@pytest.mark.slow
@pytest.mark.timeout(2 * SECONDS)
def test_a_due_table_is_loaded(stack: Stack, deployment: Deployment) -> None:
    with stack.code(deployment.environment), stack.daemon():
        assert wait_for(stack, deployment, "Succeeded", "Failed") == "Succeeded", stack.logs()
    assert len(deployment.rows("orders")) == 100


@pytest.mark.slow
@pytest.mark.timeout(4 * SECONDS)
def test_a_run_whose_code_location_died_ends_and_gives_its_slot_back(stack: Stack, deployment: Deployment) -> None:
    stack.set("run_monitoring", poll_interval_seconds=1)
    with stack.daemon(), source_locked(deployment):
        with stack.code(deployment.environment) as code:
            wait_for(stack, deployment, "In Progress")
            die(code)
        run = only_run(stack)
        assert run.status is DagsterRunStatus.STARTED
        with stack.code(deployment.environment):
            until(lambda: only_run(stack).status, lambda status: status is DagsterRunStatus.FAILURE, SECONDS)
            wait_for(stack, deployment, "Failed")


@pytest.mark.slow
@pytest.mark.timeout(4 * SECONDS)
def test_what_waits_is_loaded_after_claiming_was_stopped_as_the_page_of_upgrades_says(
    stack: Stack, deployment: Deployment
) -> None:
    stop, start = commands_of_the_page()
    with stack.code(deployment.environment):
        stack.set("concurrency", runs={"max_concurrent_runs": 0})
        with stack.daemon():
            # A claim whose run was not made yet is for the next tick, which does not come.
            until(lambda: waiting_runs(stack), bool, SECONDS)
        stack.run(*stop)
        assert "master_sensor" in stack.run("dagster", "sensor", "list", "--stopped", "--name", "-w", "workspace.yaml")
        stack.set("concurrency", runs={"max_concurrent_runs": 5})
        with stack.daemon():
            wait_for(stack, deployment, "Succeeded")
        stack.run(*start)
        assert "master_sensor" in stack.run("dagster", "sensor", "list", "--running", "--name", "-w", "workspace.yaml")


def commands_of_the_page() -> list[list[str]]:
    page = (REPOSITORY / "docs" / "how-to" / "upgrade.md").read_text(encoding="utf-8")
    return [line.split() for line in re.findall(r"exec daemon (dagster sensor .+)$", page, re.MULTILINE)]


@contextmanager
def source_locked(deployment: Deployment) -> Iterator[None]:
    """While it is, the load can neither go on nor end."""
    with psycopg.connect(deployment.source_url) as connection:
        connection.execute("LOCK TABLE orders")
        yield
        connection.rollback()


def waiting_runs(stack: Stack) -> int:
    with DagsterInstance.from_config(str(stack.home)) as instance:
        return instance.get_runs_count(RunsFilter(statuses=[DagsterRunStatus.QUEUED]))


def only_run(stack: Stack) -> DagsterRun:
    with DagsterInstance.from_config(str(stack.home)) as instance:
        [run] = instance.get_runs()
    return run
