"""What is told of a run that ends badly: its reason, whether trying again may help, the settings of its own place."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dataloader_core.errors import ConfigurationError, DataLoaderError, TransientError
from dataloader_core.interfaces.launcher import RunOrder
from dataloader_launchers.databricks.cures import FULL_CODES, permanent_cure
from dataloader_launchers.databricks.orders import subject_of
from dataloader_launchers.databricks.settings import DatabricksSettings
from tests.databricks.tasks import VOLUME, Messages, Run
from tests.databricks.workspace import ApiError, Workspace
from tests.databricks.workspace.runs import Runs

QUOTA = "Cluster was terminated. Reason: AZURE_QUOTA_EXCEEDED_EXCEPTION (CLIENT_ERROR)."
PLACES: dict[str, dict[str, Any]] = {
    "CLUSTER_ID": {"databricks_cluster_id": "c1"},
    "NEW_CLUSTER": {"databricks_new_cluster": {"spark_version": "17.3.x-scala2.13"}},
    "ENVIRONMENT_VERSION": {"databricks_serverless": True},
    "JOB_ID": {"databricks_job_id": 7},
}


def ended(run: Run, workspace: Workspace, end: Callable[[Runs], None]) -> DataLoaderError:
    """The error of a run that is ended while it waits for its cluster."""
    runs = workspace.state(Runs)
    runs.start_seconds = 600

    def use(messages: Messages) -> list[Any]:
        next(messages)
        end(runs)
        return list(messages)

    with pytest.raises(DataLoaderError) as caught:
        run("say(1)", use)
    return caught.value


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("code", ["INVALID_CLUSTER_REQUEST", "RESOURCE_NOT_FOUND", "FEATURE_DISABLED"])
def test_a_cure_names_the_settings_of_the_place_where_the_run_ran(place: str, code: str) -> None:
    settings = DatabricksSettings(databricks_volume=VOLUME, **PLACES[place])
    cure = str(permanent_cure(code, settings))
    assert f"DATALOADER_DATABRICKS_{place}" in cure
    assert not [other for other in PLACES if other != place and f"DATALOADER_DATABRICKS_{other}" in cure]


@pytest.mark.parametrize("code", ["LIBRARY_INSTALLATION_ERROR", "INVALID_RUN_CONFIGURATION", "UNAUTHORIZED_ERROR"])
def test_a_deployed_job_has_its_own_libraries_and_runs_as_its_own_identity(code: str) -> None:
    job = DatabricksSettings(databricks_volume=VOLUME, **PLACES["JOB_ID"])
    submitted = DatabricksSettings(databricks_volume=VOLUME, **PLACES["CLUSTER_ID"])
    assert "LIBRARIES" not in str(permanent_cure(code, job))
    assert "job" in str(permanent_cure(code, job))
    assert "job" not in str(permanent_cure(code, submitted))


@pytest.mark.parametrize("place", PLACES)
def test_the_page_of_grants_has_the_right_that_a_refusal_names(place: str) -> None:
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "grants.md").read_text(encoding="utf-8")
    named = re.findall(
        r"Can(?: [A-Z]\w+)+", subject_of(DatabricksSettings(databricks_volume=VOLUME, **PLACES[place])).grant
    )
    assert bool(named) == (place != "ENVIRONMENT_VERSION")
    assert all(f"| {right.upper()} on the" in page for right in named)


def test_a_run_that_cannot_become_better_says_what_to_correct(run: Run, workspace: Workspace) -> None:
    error = ended(run, workspace, lambda runs: runs.fail(runs.only(), "INVALID_CLUSTER_REQUEST", "No such policy."))
    assert isinstance(error, ConfigurationError)
    assert "No such policy" in error.problem
    assert "DATALOADER_DATABRICKS_CLUSTER_ID" in str(error.cure)


@pytest.mark.parametrize(
    ("code", "message"), [(code, "No.") for code in sorted(FULL_CODES)] + [("INVALID_CLUSTER_REQUEST", QUOTA)]
)
def test_a_run_that_found_no_room_may_find_it_later(run: Run, workspace: Workspace, code: str, message: str) -> None:
    error = ended(run, workspace, lambda runs: runs.fail(runs.only(), code, message))
    assert isinstance(error, TransientError)
    assert "quota" in str(error.cure)


def test_a_workspace_that_is_full_refuses_a_run_for_now(
    run: Run, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataloader_launchers.databricks import launcher

    monkeypatch.setattr(launcher, "RETRY_SECONDS", 1)
    said = "The quota for the number of active runs has been reached."
    workspace.faults.add("POST", "jobs/runs/submit", 400, said, code="QUOTA_EXCEEDED")
    with pytest.raises(TransientError, match="has no room for more now: The quota") as error:
        run("say(1)")
    assert "quota raised" in str(error.value.cure)


def test_a_run_that_was_asked_to_end_and_goes_on_is_not_told_to_have_ended(
    run: Run, workspace: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    runs = workspace.state(Runs)
    runs.end_seconds = 600.0
    with pytest.raises(
        TransientError, match=r"time limit of 1 s\. It was asked to end and is still [A-Z]+; the sensor"
    ):
        run("time.sleep(600)", order=RunOrder("crm", [], {}, 1), databricks_cancel_seconds=1.0)
    assert not runs.only().is_over
    assert "cancelled" not in caplog.text
    runs.end_seconds = 0.0


def test_a_run_that_was_asked_to_end_is_told_with_how_it_ended(run: Run, workspace: Workspace) -> None:
    with pytest.raises(TransientError, match=r"exceeded its time limit of 1 s\. It has ended: CANCELED\."):
        run("time.sleep(600)", order=RunOrder("crm", [], {}, 1), databricks_cancel_seconds=300.0)
    assert workspace.state(Runs).only().is_over


def test_a_run_that_ends_well_before_a_request_to_end_reaches_it_has_ended_well(
    run: Run, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as deaf:
        deaf.setattr(workspace.state(Runs), "cancel", lambda _: None)
        order = RunOrder("crm", [], {}, 1)
        assert run("time.sleep(3); say('done')", order=order, databricks_cancel_seconds=300.0) == ["done"]


# a login that fails in mid-run


def robot(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABRICKS_CLIENT_ID", "robot")
    monkeypatch.setenv("DATABRICKS_CLIENT_SECRET", workspace.identity.new_client("robot"))
    monkeypatch.delenv("DATABRICKS_TOKEN")
    workspace.identity.lifetime = 2


@pytest.mark.parametrize(("status", "code"), [(429, "slow_down"), (503, "server_error"), (401, "invalid_client")])
def test_a_token_that_cannot_be_renewed_for_a_while_costs_no_run(
    run: Run, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, status: int, code: str
) -> None:
    """A secret that is refused may be being renewed; the run itself knows nothing of it."""
    robot(workspace, monkeypatch)
    refusals = [ApiError(status, code, "not now")] * 4
    grant = workspace.identity.grant

    def grant_later(client_id: str, secret: str) -> str:
        if refusals:
            raise refusals.pop()
        return grant(client_id, secret)

    def use(messages: Messages) -> list[Any]:
        said = [next(message for message in messages if message == "first")]
        monkeypatch.setattr(workspace.identity, "grant", grant_later)
        return said + list(messages)

    body = "say('first'); time.sleep(6); say('second')"
    assert run(body, use, databricks_patience_seconds=300.0) == ["first", "second"]
    assert not refusals


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        ("slow_down", TransientError, "whoever issues its tokens gives none now: slow_down"),
        ("invalid_client", ConfigurationError, "does not accept the credentials: invalid_client"),
    ],
)
def test_a_token_that_is_not_renewed_any_more_ends_the_watch_and_says_why(
    run: Run, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, code: str, kind: type[DataLoaderError], words: str
) -> None:
    robot(workspace, monkeypatch)

    def refuse(*_: object) -> str:
        raise ApiError(401, code, "not now")

    def use(messages: Messages) -> list[Any]:
        next(message for message in messages if message == "first")
        monkeypatch.setattr(workspace.identity, "grant", refuse)
        return list(messages)

    with pytest.raises(kind, match=rf"{words}.*asked for run 1001\..*may go on"):
        run("say('first'); time.sleep(600)", use)


# secrets in what the workspace says


def test_no_password_in_a_url_is_told_whoever_says_it(
    run: Run, workspace: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    said = "Cannot clone https://bot:hunter2@git.example/x."
    caplog.set_level("DEBUG")
    workspace.faults.add("POST", "jobs/runs/submit", 400, said, times=1, code="INVALID_PARAMETER_VALUE")
    with pytest.raises(ConfigurationError, match=r"bot:\*\*\*@git\.example") as refused:
        run("say(1)")
    ended_by = ended(run, workspace, lambda runs: runs.fail(runs.only(), "CLUSTER_ERROR", said))
    assert "hunter2" not in f"{refused.value}{ended_by}{caplog.text}"
