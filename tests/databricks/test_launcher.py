"""The launcher alone, with tasks that behave in all the ways that tasks do and a workspace that fails in as many."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dataloader_core.errors import ConfigurationError, TransientError
from dataloader_core.interfaces.launcher import RunOrder
from dataloader_launchers.databricks import launcher as module
from dataloader_launchers.databricks.launcher import DatabricksLauncher
from dataloader_launchers.databricks.settings import DatabricksSettings
from tests.databricks.tasks import VOLUME, Messages, Run
from tests.databricks.workspace import Workspace
from tests.databricks.workspace.clusters import Clusters
from tests.databricks.workspace.files import Volumes
from tests.databricks.workspace.jobs import Jobs
from tests.databricks.workspace.runs import Runs


def only_run(workspace: Workspace) -> Any:
    return workspace.state(Runs).only()


def test_the_order_reaches_the_task(run: Run) -> None:
    [extras] = run("say(pipes.extras)")
    assert extras == {"db_config_key": "crm", "loads": ["a", "b"]}


def test_settings_reach_the_task_as_an_argument_and_not_with_the_order(run: Run, workspace: Workspace) -> None:
    body = """
        from dagster_pipes import decode_param
        say(decode_param(sys.argv[sys.argv.index('--dataloader-environment') + 1]))
    """
    assert run(body, databricks_environment={"DATALOADER_STAGING": "/Volumes/a/b/c"}) == [
        {"DATALOADER_LAKE": "/lake", "DATALOADER_STAGING": "/Volumes/a/b/c"}
    ]


def test_the_run_is_told_before_anything_else_and_again_with_its_url(run: Run, workspace: Workspace) -> None:
    first: list[Any] = []

    def use(messages: Messages) -> list[Any]:
        first.extend([next(messages), next(messages)])
        return list(messages)

    run("say('hello')", use)
    made = only_run(workspace)
    reference = f"{workspace.url}/jobs/runs/{made.run_id}"
    url = f"{workspace.url}/?o=1#job/{made.job_id}/run/{made.run_id}"
    assert first == [
        {"launched": {"reference": reference, "url": None}},
        {"launched": {"reference": reference, "url": url}},
    ]


def test_a_task_cannot_say_which_run_was_launched(run: Run, workspace: Workspace) -> None:
    """What is remembered as launched is cancelled one day."""
    said: list[Any] = []

    def use(messages: Messages) -> list[Any]:
        said.extend(messages)
        return []

    run("say({'launched': {'reference': 'of somebody else'}}); say('hello')", use)
    references = {one["launched"]["reference"] for one in said if isinstance(one, dict)}
    assert references == {f"{workspace.url}/jobs/runs/{only_run(workspace).run_id}"}
    assert said[-1] == "hello"


def test_messages_arrive_while_the_task_still_runs(run: Run, workspace: Workspace) -> None:
    def use(messages: Messages) -> list[Any]:
        said = [next(message for message in messages if message == "first")]
        assert not only_run(workspace).is_over
        return said + list(messages)

    assert run("say('first'); time.sleep(5); say('second')", use) == ["first", "second"]


def test_the_last_messages_of_a_task_are_not_lost(run: Run) -> None:
    assert run("[say(n) for n in range(3000)]", databricks_poll_seconds=5.0) == list(range(3000))


def test_a_chunk_that_is_too_large_is_left_out_and_the_next_is_read(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataloader_launchers.databricks import volume

    monkeypatch.setattr(volume, "CHUNK_BYTES", 10_000)
    body = "say('x' * 20_000); time.sleep(3); say('small')"
    assert run(body) == ["small"]


def test_a_task_that_ends_with_an_error_says_which(run: Run) -> None:
    with pytest.raises(TransientError, match=r"ended in FAILED.*exit code 1.*ValueError: no luck"):
        run("raise ValueError('no luck')")


def test_a_task_that_exceeds_its_time_is_cancelled(run: Run, workspace: Workspace) -> None:
    with pytest.raises(TransientError, match="time limit of 2 s"):
        run("time.sleep(60)", order=RunOrder("crm", [], {}, 2))
    assert only_run(workspace).result == "CANCELED"


def test_closing_the_messages_cancels_the_run_politely(run: Run, workspace: Workspace, tmp_path: Path) -> None:
    said = tmp_path / "said"
    body = f"""
        def bye(*_):
            open({str(said)!r}, 'w').write('cancelled')
            sys.exit(0)
        signal.signal(signal.SIGTERM, bye)
        say('ready')
        time.sleep(60)
    """
    run(body, lambda messages: [next(message for message in messages if message == "ready")])
    assert said.read_text() == "cancelled"
    assert only_run(workspace).result == "CANCELED"


def test_what_a_cancelled_task_still_says_is_read(run: Run, workspace: Workspace) -> None:
    body = """
        def bye(*_):
            say('outcome')
            raise KeyboardInterrupt
        signal.signal(signal.SIGTERM, bye)
        time.sleep(60)
    """
    said: list[Any] = []

    def use(messages: Messages) -> list[Any]:
        for message in messages:
            said.append(message)
        return []

    with pytest.raises(TransientError, match="time limit"):
        run(body, use, RunOrder("crm", [], {}, 5))
    assert said[-1] == "outcome"


# the workspace fails


@pytest.mark.parametrize("status", [429, 500, 503])
@pytest.mark.parametrize("path", ["jobs/runs/submit", "fs/directories"])
def test_what_the_workspace_cannot_answer_now_is_asked_again(
    run: Run, workspace: Workspace, path: str, status: int
) -> None:
    method = "PUT" if path == "fs/directories" else "POST"
    fault = workspace.faults.add(method, path, status, times=2, retry_after=0 if status == 429 else None)
    assert run("say(1)") == [1]
    assert fault.hits == 2


def test_a_run_whose_submission_was_accepted_and_not_answered_is_started_once(run: Run, workspace: Workspace) -> None:
    workspace.faults.add("POST", "jobs/runs/submit", 500, times=1, after=True)
    assert run("say(1)") == [1]
    assert len(workspace.state(Runs).runs) == 1


def test_a_workspace_that_is_silent_for_a_while_is_waited_for(run: Run, workspace: Workspace) -> None:
    fault = workspace.faults.add("GET", "jobs/runs/get", 500, times=3)
    assert run("time.sleep(1); say(1)") == [1]
    assert fault.hits == 3


def test_a_volume_that_is_silent_for_a_while_loses_no_message(run: Run, workspace: Workspace) -> None:
    fault = workspace.faults.add("GET", "fs/files", 500, times=8)
    assert run("say(1)") == [1]
    assert fault.hits == 8


def test_a_volume_that_is_closed_in_mid_run_costs_no_outcome(run: Run, workspace: Workspace) -> None:
    """What cannot be read delays messages, which say sooner what the control database knows, and fails nothing."""

    def use(messages: Messages) -> list[Any]:
        said = [next(message for message in messages if message == "first")]
        workspace.state(Volumes).close(VOLUME)
        return said + list(messages)

    assert run("say('first'); time.sleep(2); say('second')", use) == ["first"]
    assert only_run(workspace).result == "SUCCESS"


def test_a_workspace_that_stays_silent_is_an_error_that_says_the_run_may_go_on(run: Run, workspace: Workspace) -> None:
    workspace.faults.add("GET", "jobs/runs/get", 500)
    with pytest.raises(TransientError, match=r"cannot answer now.*asked for run 1001.*may go on"):
        run("time.sleep(30)", databricks_cancel_seconds=1.0)


def test_throttling_that_does_not_end_is_told(run: Run, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_SECONDS", 2)
    workspace.faults.add("POST", "jobs/runs/submit", 429, retry_after=1)
    with pytest.raises(TransientError, match="throttling"):
        run("say(1)")


def test_an_unreachable_workspace_is_told(run: Run, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_SECONDS", 1)
    workspace.stop_listening()
    with pytest.raises(TransientError, match="cannot be reached") as error:
        run("say(1)")
    assert "DATABRICKS_HOST" in str(error.value)


def test_a_token_that_expires_in_mid_run_is_renewed(
    run: Run, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABRICKS_CLIENT_ID", "robot")
    monkeypatch.setenv("DATABRICKS_CLIENT_SECRET", workspace.identity.new_client("robot"))
    monkeypatch.delenv("DATABRICKS_TOKEN")
    workspace.identity.lifetime = 2
    assert run("time.sleep(5); say(1)") == [1]
    assert workspace.identity.issued >= 2


def close_job(workspace: Workspace) -> None:
    jobs = workspace.state(Jobs)
    jobs.jobs[9] = {"name": "j"}
    jobs.closed.add(9)


REFUSALS: dict[str, tuple[Callable[[Workspace], None], dict[str, Any], str]] = {
    "an expired token": (
        lambda w: w.identity.expire(w.token),
        {},
        r"does not accept the credentials.*Renew what DATABRICKS_TOKEN",
    ),
    "an unknown cluster": (
        lambda w: None,
        {"databricks_cluster_id": "c9"},
        r"does not exist.*run on the cluster 'c9'.*Correct DATALOADER_DATABRICKS_CLUSTER_ID",
    ),
    "a cluster of others": (
        lambda w: w.state(Clusters).closed.add("c1"),
        {},
        r"permission.*run on the cluster 'c1'.*DATALOADER_DATABRICKS_CLUSTER_ID.*Can Restart",
    ),
    "an unknown job": (
        lambda w: None,
        {"databricks_job_id": 9},
        r"does not exist.*a run of the job 9.*Correct DATALOADER_DATABRICKS_JOB_ID",
    ),
    "a job of others": (
        close_job,
        {"databricks_job_id": 9},
        r"Manage Run permissions on job 9.*a run of the job 9.*DATALOADER_DATABRICKS_JOB_ID.*Can Manage Run",
    ),
    "a job with other parameters": (
        lambda w: w.state(Jobs).jobs.update({9: {"name": "j", "parameters": [{"name": "p", "default": ""}]}}),
        {"databricks_job_id": 9},
        r"Job 9 has parameters, but not dagster_pipes_context and dagster_pipes_messages",
    ),
    "a volume that is not there": (
        lambda w: None,
        {"databricks_volume": "/Volumes/main/dataloader/nothing"},
        r"does not exist.*folder /Volumes/main/dataloader/nothing.*Correct DATALOADER_DATABRICKS_VOLUME",
    ),
    "a volume of others": (
        lambda w: w.state(Volumes).close(VOLUME),
        {},
        r"folder /Volumes/main/dataloader/runs.*DATALOADER_DATABRICKS_VOLUME.*READ VOLUME and WRITE VOLUME",
    ),
    "a file that is not there": (
        lambda w: None,
        {"databricks_python_file": "/Workspace/nothing.py"},
        r"Cannot read the python file /Workspace/nothing.py.*Correct DATALOADER_DATABRICKS_PYTHON_FILE",
    ),
}


@pytest.mark.parametrize("what", REFUSALS)
def test_what_the_workspace_refuses_is_told_with_the_setting_to_look_at(
    run: Run, workspace: Workspace, what: str
) -> None:
    prepare, settings, said = REFUSALS[what]
    prepare(workspace)
    with pytest.raises(ConfigurationError, match=said) as refused:
        run("say(1)", **settings)
    assert workspace.token not in str(refused.value)


def test_without_a_login_the_variables_are_named(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("DATABRICKS_TOKEN")
    monkeypatch.setenv("DATABRICKS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(ConfigurationError, match="DATABRICKS_CLIENT_ID"):
        run("say(1)")


def test_an_orphan_of_another_workspace_is_not_touched(run: Run, workspace: Workspace) -> None:
    settings = DatabricksSettings(databricks_volume=VOLUME, databricks_serverless=True)
    with pytest.raises(ConfigurationError, match="another workspace"):
        DatabricksLauncher(settings).end("https://elsewhere.example/jobs/runs/1001")


def test_an_orphan_that_nobody_knows_any_more_has_ended(run: Run, workspace: Workspace) -> None:
    settings = DatabricksSettings(databricks_volume=VOLUME, databricks_serverless=True)
    assert DatabricksLauncher(settings).end(f"{workspace.url}/jobs/runs/4711")
