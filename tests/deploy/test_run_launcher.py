"""The deployment's run launcher says whether a run's process is there: the code location's server knows."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from dagster import DagsterInstance, DagsterRunStatus
from dagster._core.storage.tags import GRPC_INFO_TAG
from dagster._core.test_utils import create_run_for_test
from dagster._daemon.monitoring.run_monitoring import monitor_started_run
from dagster._grpc.client import DagsterGrpcClient

from dataloader_dagster import run_launcher
from dataloader_dagster.run_launcher import CodeLocationRunLauncher
from tests.dagster.deployment import until
from tests.deploy.stack import Stack

log = logging.getLogger(__name__)


@pytest.fixture
def instance(stack: Stack) -> Iterator[DagsterInstance]:
    """Made from the deployment's own file."""
    with DagsterInstance.from_config(str(stack.home)) as made:
        yield made


def monitored(instance: DagsterInstance, port: int) -> DagsterRunStatus:
    """What becomes of a started run of the server at this port when the daemon looks at it."""
    tags = {GRPC_INFO_TAG: json.dumps({"host": "127.0.0.1", "port": port})}
    made = create_run_for_test(instance, tags=tags, status=DagsterRunStatus.STARTED)
    record = instance.get_run_record_by_id(made.run_id)
    assert record is not None
    workspace: Any = None  # for runs that are resumed only
    monitor_started_run(instance, workspace, record, log)
    found = instance.get_run_by_id(made.run_id)
    assert found is not None
    return found.status


def test_the_deployment_uses_it(instance: DagsterInstance) -> None:
    assert isinstance(instance.run_launcher, CodeLocationRunLauncher)
    assert instance.run_monitoring_enabled
    assert instance.run_launcher.supports_check_run_worker_health


def test_a_run_that_its_server_does_not_know_is_failed(stack: Stack, instance: DagsterInstance) -> None:
    with stack.code({}):
        client = DagsterGrpcClient(host="127.0.0.1", port=stack.port)
        until(lambda: answers(client), bool, 600)
        assert monitored(instance, stack.port) is DagsterRunStatus.FAILURE


def answers(client: DagsterGrpcClient) -> bool:
    try:
        return client.ping("") is not None
    except Exception:  # noqa: BLE001  # it is starting
        return False


def test_a_run_whose_server_is_away_for_a_moment_goes_on(
    stack: Stack, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_launcher, "CALL_SECONDS", 1)
    assert monitored(instance, stack.port) is DagsterRunStatus.STARTED
    monkeypatch.setattr(run_launcher, "SILENT_SECONDS", 0.0)
    assert monitored(instance, stack.port) is DagsterRunStatus.FAILURE


def test_a_run_that_says_nothing_of_its_server_is_left_alone(instance: DagsterInstance) -> None:
    run = create_run_for_test(instance, status=DagsterRunStatus.STARTED)
    assert instance.run_launcher.check_run_worker_health(run).status.value == "RUNNING"
