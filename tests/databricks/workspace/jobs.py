"""``jobs`` and ``jobs/runs``, version 2.2 of the API, as far as runs of one Python task need it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tests.databricks.workspace.clusters import Clusters
from tests.databricks.workspace.routing import ApiError, Request, route
from tests.databricks.workspace.runs import Run, Runs

if TYPE_CHECKING:
    from tests.databricks.workspace.server import Workspace

_PARAMETER = re.compile(r"\{\{job\.parameters\.(\w+)\}\}")
_TYPES = {"SUCCESS": "SUCCESS", "CLUSTER_ERROR": "CLOUD_FAILURE"}


class Jobs:
    """Jobs that were deployed, by id: the settings of each. Those in ``closed`` may not be run."""

    def __init__(self, workspace: Workspace) -> None:
        self.jobs: dict[int, dict[str, Any]] = {}
        self.closed: set[int] = set()

    def get(self, job_id: int) -> dict[str, Any]:
        if job_id not in self.jobs:
            raise ApiError(400, "INVALID_PARAMETER_VALUE", f"Job {job_id} does not exist.")
        if job_id in self.closed:
            raise ApiError(403, "PERMISSION_DENIED", f"User does not have Manage Run permissions on job {job_id}.")
        return self.jobs[job_id]


@route("POST", "/api/2.2/jobs/runs/submit")
def submit(workspace: Workspace, request: Request) -> dict[str, Any]:
    order = request.json()
    [task] = order["tasks"]
    environments = {one["environment_key"]: one["spec"] for one in order.get("environments", [])}
    workspace.state(Clusters).check(task, environments)
    made = workspace.state(Runs).create(
        task,
        name=order.get("run_name", "Untitled"),
        timeout_seconds=order.get("timeout_seconds"),
        token=order.get("idempotency_token"),
    )
    return {"run_id": made.run_id}


@route("POST", "/api/2.2/jobs/run-now")
def run_now(workspace: Workspace, request: Request) -> dict[str, Any]:
    order = request.json()
    settings = workspace.state(Jobs).get(int(order["job_id"]))
    [task] = settings["tasks"]
    made = workspace.state(Runs).create(
        _with_parameters(task, settings, order),
        name=settings["name"],
        job_id=int(order["job_id"]),
        timeout_seconds=settings.get("timeout_seconds"),
        token=order.get("idempotency_token"),
    )
    return {"run_id": made.run_id, "number_in_job": made.run_id}


def _with_parameters(task: Mapping[str, Any], settings: Mapping[str, Any], order: Mapping[str, Any]) -> dict[str, Any]:
    kind = next(name for name in ("spark_python_task", "python_wheel_task") if name in task)
    declared = {one["name"]: one["default"] for one in settings.get("parameters", [])}
    if declared and "python_params" in order:
        raise ApiError(400, "INVALID_PARAMETER_VALUE", "python_params cannot be set where a job has parameters.")
    given = declared | order.get("job_parameters", {})
    if unknown := set(given) - set(declared):
        raise ApiError(400, "INVALID_PARAMETER_VALUE", f"Job parameters {sorted(unknown)} are not declared.")
    texts = order.get("python_params", task[kind].get("parameters", []))
    parameters = [_PARAMETER.sub(lambda found: str(given[found[1]]), text) for text in texts]
    return {**task, kind: {**task[kind], "parameters": parameters}}


@route("GET", "/api/2.2/jobs/get")
def get_job(workspace: Workspace, request: Request) -> dict[str, Any]:
    job_id = int(request.query["job_id"])
    return {"job_id": job_id, "settings": workspace.state(Jobs).get(job_id)}


@route("GET", "/api/2.2/jobs/runs/get")
def get_run(workspace: Workspace, request: Request) -> dict[str, Any]:
    return _described(workspace, workspace.state(Runs).get(int(request.query["run_id"])))


@route("GET", "/api/2.2/jobs/runs/get-output")
def get_output(workspace: Workspace, request: Request) -> dict[str, Any]:
    run = workspace.state(Runs).get(_parent(int(request.query["run_id"])))
    return {"metadata": _described(workspace, run), "error": run.error, "error_trace": ""}


@route("POST", "/api/2.2/jobs/runs/cancel")
def cancel(workspace: Workspace, request: Request) -> None:
    runs = workspace.state(Runs)
    runs.cancel(runs.get(int(request.json()["run_id"])))


def _described(workspace: Workspace, run: Run) -> dict[str, Any]:
    state: dict[str, Any] = {"life_cycle_state": run.life_cycle, "state_message": run.message}
    status: dict[str, Any] = {"state": "TERMINATED" if run.is_over else run.life_cycle}
    if run.result is not None:
        state["result_state"] = run.result
        kind = _TYPES.get(run.code or "", "CLIENT_ERROR")
        status["termination_details"] = {"code": run.code, "type": kind, "message": run.message}
    task = {"run_id": _child(run.run_id), "task_key": run.task.get("task_key"), "state": state, "status": status}
    return {
        "run_id": run.run_id,
        "job_id": run.job_id,
        "run_name": run.name,
        "run_page_url": f"{workspace.url}/?o=1#job/{run.job_id}/run/{run.run_id}",
        "state": state,
        "status": status,
        "tasks": [task],
    }


def _child(run_id: int) -> int:
    """The run of a run's only task has an id of its own."""
    return run_id + 1_000_000


def _parent(task_run_id: int) -> int:
    return task_run_id - 1_000_000 if task_run_id > 1_000_000 else task_run_id
