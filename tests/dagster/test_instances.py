"""Two Dagster instances on one control database: each judges and ends its own runs alone."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import cast
from unittest.mock import Mock

import pytest
from dagster import DagsterInstance, RunRequest

from dataloader_core.app import App
from dataloader_core.control.records import LaunchedRun
from dataloader_core.errors import ConfigurationError
from dataloader_dagster import launching
from dataloader_dagster.launching import end_orphans
from dataloader_dagster.runs import DagsterRuns
from tests.dagster.deployment import Deployment

log = logging.getLogger(__name__)


@pytest.fixture
def neighbour(tmp_path: Path) -> Iterator[DagsterInstance]:
    """Another instance: its own storage, the same control database."""
    home = tmp_path / "neighbour"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    with DagsterInstance.from_config(str(home)) as made:
        yield made


@pytest.fixture
def request_of_ours(deployment: Deployment) -> RunRequest:
    deployment.add_table("orders")
    [request] = deployment.tick()
    return request


def ended_by(instance: DagsterInstance, app: App, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The references that this instance's tick has ended."""
    ended: list[str] = []

    def end(reference: str) -> bool:
        ended.append(reference)
        return True

    monkeypatch.setattr(launching, "launcher", lambda registry, name: Mock(end=end))
    end_orphans(app, DagsterRuns(instance), log)
    return ended


def test_a_run_is_ended_by_the_instance_that_launched_it_alone(
    deployment: Deployment, neighbour: DagsterInstance, request_of_ours: RunRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = deployment.waiting_run(request_of_ours)
    ours = DagsterRuns(deployment.instance).instance
    deployment.control.record_launch(LaunchedRun(run.run_id, "there", "ref", None, ours), [])
    assert ended_by(neighbour, deployment.app, monkeypatch) == []
    assert ended_by(deployment.instance, deployment.app, monkeypatch) == [], "it lives"
    deployment.instance.report_run_failed(run)
    assert ended_by(neighbour, deployment.app, monkeypatch) == []
    assert ended_by(deployment.instance, deployment.app, monkeypatch) == ["ref"]


def test_a_run_that_was_deleted_from_its_instance_is_over(
    deployment: Deployment, neighbour: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = DagsterRuns(deployment.instance).instance
    deployment.control.record_launch(LaunchedRun("deleted", "there", "ref", None, ours), [])
    assert ended_by(neighbour, deployment.app, monkeypatch) == []
    assert ended_by(deployment.instance, deployment.app, monkeypatch) == ["ref"]


def test_a_run_of_an_unknown_instance_is_judged_by_who_knows_it(
    deployment: Deployment, neighbour: DagsterInstance, request_of_ours: RunRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = deployment.waiting_run(request_of_ours)
    deployment.control.record_launch(LaunchedRun(run.run_id, "there", "ref"), [])
    deployment.instance.report_run_failed(run)
    assert ended_by(neighbour, deployment.app, monkeypatch) == []
    assert ended_by(deployment.instance, deployment.app, monkeypatch) == ["ref"]


def test_what_waits_in_the_queue_of_one_instance_is_not_failed_by_another(
    deployment: Deployment, neighbour: DagsterInstance, request_of_ours: RunRequest
) -> None:
    deployment.waiting_run(request_of_ours)
    deployment.age_claims(timedelta(minutes=10))
    theirs = DagsterRuns(neighbour)
    assert deployment.control.reap_lost_loads(theirs.is_alive, theirs.instance) == []


def test_a_run_that_cannot_be_ended_is_told_once_and_tried_again(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A run of another workspace, say: every tick would warn of it for as long as it is remembered."""
    tries: list[str] = []

    def end(reference: str) -> bool:
        tries.append(reference)
        raise ConfigurationError("It is a run of another workspace.")

    monkeypatch.setattr(launching, "launcher", lambda registry, name: Mock(end=end))
    runs = DagsterRuns(deployment.instance)
    deployment.control.record_launch(LaunchedRun("deleted", "there", "ref", None, runs.instance), [])
    for _ in range(3):
        end_orphans(deployment.app, runs, log)
    assert len(tries) == 3
    assert caplog.text.count("another workspace") == 1
    [[problem]] = deployment.sql("SELECT problem FROM control.launched_runs", control=True)
    assert "another workspace" in problem


def test_a_tick_forgets_old_launches(deployment: Deployment) -> None:
    run = LaunchedRun("run", "there", "ref")
    deployment.control.record_launch(run, [])
    deployment.control.launch_ended(run)
    deployment.sql("UPDATE control.launched_runs SET ended_at = ended_at - interval '31 days'", control=True)
    deployment.tick()
    assert deployment.sql("SELECT * FROM control.launched_runs", control=True) == []


def test_an_instance_has_one_name_in_all_its_processes(deployment: Deployment, neighbour: DagsterInstance) -> None:
    name = DagsterRuns(deployment.instance).instance
    with DagsterInstance.from_config(str(deployment.home)) as again:
        assert DagsterRuns(again).instance == name
    assert name != DagsterRuns(neighbour).instance
    assert DagsterRuns(cast(DagsterInstance, Mock(run_storage=object()))).instance is None
