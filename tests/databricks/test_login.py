"""Logins end: with a token, with a refusal, or with a sentence, and never in waiting."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, tzinfo

import pytest
from databricks.sdk import oauth

from dataloader_databricks import login
from dataloader_databricks import workspace as client
from dataloader_databricks.workspace import WorkspaceError
from tests.dagster.deployment import until
from tests.databricks.workspace import ApiError, Workspace

PATIENCE_SECONDS = 60.0
"""The SDK by itself waits for five minutes, or for ever."""
ME = "/api/2.0/preview/scim/v2/Me"


@pytest.fixture
def robot(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A workspace that the process logs in to as a service principal."""
    monkeypatch.delenv("DATABRICKS_TOKEN")
    monkeypatch.setenv("DATABRICKS_CLIENT_ID", "robot")
    monkeypatch.setenv("DATABRICKS_CLIENT_SECRET", workspace.identity.new_client("robot"))
    monkeypatch.setattr(login, "LOGIN_SECONDS", 1.0)
    return workspace


def ask() -> object:
    return client.call("GET", ME)["userName"]


def answer_in_time() -> object:
    """None where a login took longer than a second, as it may on a machine that is busy, or ends as the silent one."""
    try:
        return ask()
    except WorkspaceError as error:
        if not error.transient:
            raise
        return None


def refused_within(seconds: float) -> WorkspaceError:
    begun = time.monotonic()
    with pytest.raises(WorkspaceError) as caught:
        ask()
    assert time.monotonic() - begun < seconds
    return caught.value


@pytest.mark.parametrize("path", ["oidc/.well-known", "oidc/v1/token"])
def test_a_login_that_is_not_answered_is_given_up(robot: Workspace, path: str) -> None:
    robot.faults.silence("GET" if "well-known" in path else "POST", path)
    error = refused_within(PATIENCE_SECONDS)
    assert error.transient
    assert "was not logged in to in time: no answer within 1 s." in error.problem
    assert "Whoever issues the tokens does not answer it" in error.cure


@pytest.mark.parametrize("path", ["oidc/.well-known", "oidc/v1/token"])
def test_the_next_call_after_a_silent_login_is_answered(robot: Workspace, path: str) -> None:
    robot.faults.silence("GET" if "well-known" in path else "POST", path, times=1)
    refused_within(PATIENCE_SECONDS)
    robot.faults.clear()
    assert until(answer_in_time, bool, PATIENCE_SECONDS) == "robot"


def test_a_login_whose_connection_is_dead_does_not_stop_later_ones(
    robot: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SDK holds its lock for as long as the request hangs, which here is for ever."""
    monkeypatch.setattr(login, "LOST_SECONDS", 1.5)
    robot.faults.silence("POST", "oidc/v1/token", times=1)
    refused_within(PATIENCE_SECONDS)
    assert until(answer_in_time, bool, PATIENCE_SECONDS) == "robot"


def test_threads_that_wait_for_one_login_ask_once(robot: Workspace) -> None:
    fault = robot.faults.silence("POST", "oidc/v1/token")
    refused_within(PATIENCE_SECONDS)
    refused_within(PATIENCE_SECONDS)
    assert fault.hits == 1


def test_discovery_that_fails_for_minutes_is_given_up(robot: Workspace) -> None:
    robot.faults.add("GET", "oidc/.well-known", 503)
    assert refused_within(PATIENCE_SECONDS).transient


def test_a_login_that_is_refused_is_no_silence(robot: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABRICKS_CLIENT_SECRET", "wrong")
    assert refused_within(PATIENCE_SECONDS).kind == "unauthenticated"


@pytest.mark.parametrize("status", [429, 500, 503])
def test_whoever_issues_tokens_and_throttles_or_fails_is_no_missing_login(robot: Workspace, status: int) -> None:
    robot.faults.add("POST", "oidc/v1/token", status)
    error = refused_within(PATIENCE_SECONDS)
    assert error.kind == "tokenless"
    assert error.transient
    assert "whoever issues its tokens gives none now" in error.problem


def test_a_code_of_whoever_issues_tokens_is_told_and_its_text_is_not(
    robot: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page of HTML, or what was sent, may stand there."""

    def grant(*_: object) -> str:
        raise ApiError(400, "temporarily_unavailable", "<p>secret=hunter2</p>")

    monkeypatch.setattr(robot.identity, "grant", grant)
    error = refused_within(PATIENCE_SECONDS)
    assert error.problem.endswith("gives none now: temporarily_unavailable.")
    assert error.transient


@pytest.mark.parametrize(("status", "kind"), [(500, "unavailable"), (404, "stranger"), (403, "forbidden")])
def test_where_a_login_begins_each_answer_is_told_as_what_it_is(robot: Workspace, status: int, kind: str) -> None:
    robot.faults.add("GET", "oidc/.well-known", status)
    error = refused_within(PATIENCE_SECONDS)
    assert error.kind == kind
    assert error.transient == (status == 500)


@pytest.mark.parametrize("hours", [-3, 3])
def test_a_computer_whose_clock_is_wrong_logs_in_as_often(
    robot: Workspace, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    """A token's lifetime is counted from its arrival, by whatever clock there is."""

    class Wrong(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]  # only what the SDK calls
            return datetime.now(tz) + timedelta(hours=hours)

    monkeypatch.setattr(oauth, "datetime", Wrong)
    ask()
    ask()
    assert robot.identity.issued == 1
    robot.identity.lifetime = 1
    client._clients.clear()
    ask()
    time.sleep(1.2)
    assert ask() == "robot"
    assert robot.identity.issued == 3
