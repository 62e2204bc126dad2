"""How a run is asked for: one task on a cluster, a new cluster or serverless compute, or a job that was deployed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from dataloader_core.errors import ConfigurationError
from dataloader_core.interfaces.launcher import ENVIRONMENT_ARGUMENT
from dataloader_core.settings import variable
from dataloader_launchers.databricks.errors import Subject
from dataloader_launchers.databricks.libraries import dependency, library
from dataloader_launchers.databricks.settings import DatabricksSettings

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient

PACKAGE: Final = "dataloader-core"
ENTRY_POINT: Final = "dataloader-pipe"
TASK_KEY: Final = "dataloader"
_ENVIRONMENT_KEY: Final = "dataloader"


@dataclass(frozen=True)
class RunRequest:
    """What every shape of a run is told.

    ``parameters``: the Pipes arguments. ``token``: the workspace starts one run of it, however often it is asked, so
    that a request whose answer was lost can be made again. ``timeout_seconds``: when the workspace itself ends it.
    """

    name: str
    token: str
    parameters: Mapping[str, str]
    environment: Mapping[str, str]
    timeout_seconds: int


def subject_of(settings: DatabricksSettings) -> Subject:
    """What the workspace is asked for when a run is started."""
    if settings.shape == "cluster":
        name = f"a run on the cluster {settings.databricks_cluster_id!r}"
        return Subject(name, variable("databricks_cluster_id"), "Can Restart on the cluster")
    if settings.shape == "new_cluster":
        right = "Can Use on the cluster policy that it names, or the entitlement to create clusters"
        return Subject("a run on a new cluster", variable("databricks_new_cluster"), right)
    if settings.shape == "serverless":
        right = "serverless compute for jobs, enabled in the workspace"
        wrong = f"{variable('databricks_environment_version')} or {variable('databricks_libraries')}"
        return Subject("a run on serverless compute", variable("databricks_serverless"), right, wrong)
    name = f"a run of the job {settings.databricks_job_id}"
    return Subject(name, variable("databricks_job_id"), "Can Manage Run on the job")


def _parameters(settings: DatabricksSettings, request: RunRequest) -> Mapping[str, str]:
    """The task's arguments. A new cluster gets settings as its own variables, so that they may refer to secrets;
    elsewhere they are an argument."""
    from dagster_pipes import encode_param

    if settings.shape == "new_cluster" or not request.environment:
        return request.parameters
    return {**request.parameters, ENVIRONMENT_ARGUMENT: encode_param(dict(request.environment))}


def start(client: WorkspaceClient, settings: DatabricksSettings, request: RunRequest) -> int:
    """Start the run; its id."""
    if settings.shape == "job":
        return _run_now(client, settings, request)
    from databricks.sdk.service.jobs import SubmitTask

    task: dict[str, Any] = {"task_key": TASK_KEY} | _entry(settings, request)
    more: dict[str, Any] = {}
    if settings.shape == "serverless":
        task["environment_key"] = _ENVIRONMENT_KEY
        more["environments"] = [_serverless(settings)]
    else:
        task |= {"libraries": [library(one) for one in settings.databricks_libraries]} | _cluster(settings, request)
    return client.jobs.submit(
        run_name=request.name,
        idempotency_token=request.token,
        timeout_seconds=request.timeout_seconds,
        tasks=[SubmitTask.from_dict(task)],
        **more,
    ).run_id


def _run_now(client: WorkspaceClient, settings: DatabricksSettings, request: RunRequest) -> int:
    """A job's parameters where it declares them for this, else the parameters of its Python task."""
    job_id = settings.databricks_job_id
    assert job_id is not None, "the shape is a job"
    job = client.jobs.get(job_id)
    declared = {one.name for one in (job.settings.parameters if job.settings else None) or ()}
    parameters = _parameters(settings, request)
    named = {name.removeprefix("--").replace("-", "_"): value for name, value in parameters.items()}
    if declared >= set(named):
        return client.jobs.run_now(job_id, idempotency_token=request.token, job_parameters=named).run_id
    if declared:
        raise ConfigurationError(
            f"Job {job_id} has parameters, but not {' and '.join(sorted(set(named) - declared))}.",
            cure="Declare them, with an empty default, and pass them on in the task's parameters; or declare none.",
        )
    return client.jobs.run_now(job_id, idempotency_token=request.token, python_params=_flat(parameters)).run_id


def _entry(settings: DatabricksSettings, request: RunRequest) -> dict[str, Any]:
    parameters = _flat(_parameters(settings, request))
    if settings.databricks_python_file is not None:
        return {"spark_python_task": {"python_file": settings.databricks_python_file, "parameters": parameters}}
    wheel = {"package_name": PACKAGE, "entry_point": ENTRY_POINT, "parameters": parameters}
    return {"python_wheel_task": wheel}


def _cluster(settings: DatabricksSettings, request: RunRequest) -> dict[str, Any]:
    if settings.databricks_new_cluster is None:
        return {"existing_cluster_id": settings.databricks_cluster_id}
    variables = {**settings.databricks_new_cluster.get("spark_env_vars", {}), **request.environment}
    return {"new_cluster": {**settings.databricks_new_cluster, "spark_env_vars": variables}}


def _serverless(settings: DatabricksSettings) -> Any:
    from databricks.sdk.service.compute import Environment
    from databricks.sdk.service.jobs import JobEnvironment

    version = settings.databricks_environment_version
    dependencies = [dependency(one) for one in settings.databricks_libraries]
    spec = Environment(environment_version=version, dependencies=dependencies)
    return JobEnvironment(environment_key=_ENVIRONMENT_KEY, spec=spec)


def _flat(parameters: Mapping[str, str]) -> list[str]:
    return [part for pair in parameters.items() for part in pair]
