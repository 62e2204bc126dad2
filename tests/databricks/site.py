"""A deployment on Databricks: where its runs go, and what a test sees and does there."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

import dataloader_dagster.dataloader_pipe as entry
from tests.conftest import PASSWORD
from tests.dagster.deployment import SECRET, Deployment, until
from tests.databricks.workspace import Workspace
from tests.databricks.workspace.clusters import Clusters
from tests.databricks.workspace.files import Volumes
from tests.databricks.workspace.jobs import Jobs
from tests.databricks.workspace.runs import Run, Runs
from tests.databricks.workspace.secrets import Secrets

VOLUME = "/Volumes/main/dataloader/runs"
CLUSTER = "0101-000000-cluster"
ENTRY_FILE = "/Workspace/Shared/dataloader/dataloader_pipe.py"
JOB = 77


class Site:
    """Every shape of a run is prepared; an existing cluster is chosen."""

    def __init__(self, deployment: Deployment, workspace: Workspace, environ: pytest.MonkeyPatch) -> None:
        self.deployment = deployment
        self.workspace = workspace
        self._environ = environ
        self.runs = workspace.state(Runs)
        self.clusters = workspace.state(Clusters)
        self.jobs = workspace.state(Jobs)
        self.volumes = workspace.state(Volumes)
        self.volumes.create(VOLUME)
        self.runs.files[ENTRY_FILE] = Path(entry.__file__)
        # As a cluster's own variables: the settings of loads and the secrets of sources are there, not in the order.
        self.variables = {"DATALOADER_CONTROL_URL": deployment.control_url, SECRET: PASSWORD}
        self.clusters.existing[CLUSTER] = self.variables
        self.set(volume=VOLUME, poll_seconds="0.2", cancel_seconds="120", patience_seconds="60")
        self.on_cluster()

    def set(self, **settings: str) -> None:
        """Settings of the launcher, by the end of their names."""
        for name, value in settings.items():
            self._environ.setenv(f"DATALOADER_DATABRICKS_{name.upper()}", value)

    def on_cluster(self) -> None:
        self._place(cluster_id=CLUSTER)

    def on_new_cluster(self) -> None:
        # Whoever may see a run sees its cluster's variables: they refer to secrets.
        for name, value in self.variables.items():
            self.workspace.state(Secrets).put("cluster", name, value)
        variables = {name: f"{{{{secrets/cluster/{name}}}}}" for name in self.variables}
        spec = {"spark_version": "16.4.x-scala2.12", "num_workers": 1, "spark_env_vars": variables}
        self._place(new_cluster=json.dumps(spec))

    def serverless(self) -> None:
        # Serverless has no variables of its own: what loads need is in the order, and no secret may be.
        secrets = self.workspace.folder / "secrets"
        secrets.mkdir()
        (secrets / "password").write_text(PASSWORD)
        scope = f"file:{secrets}"
        [source] = self.deployment.control.sources()
        assert not isinstance(source.db_config_value, str)
        by_file = replace(source, db_config_value={**source.db_config_value, "password": "password"}, db_kv_scope=scope)
        self.deployment.control.put_source(by_file, replace=True)
        self._place(serverless="true")
        order = {"DATALOADER_CONTROL_URL": self.deployment.control_url, "DATALOADER_SECRET_SCOPES": scope}
        self.set(environment=json.dumps(order))

    def by_job(self, *, declares_parameters: bool) -> None:
        names = ("dagster_pipes_context", "dagster_pipes_messages", "dataloader_environment")
        arguments = [
            part for name in names for part in (f"--{name.replace('_', '-')}", "{{job.parameters." + name + "}}")
        ]
        wheel: dict[str, Any] = {"package_name": "dataloader-core", "entry_point": "dataloader-pipe"}
        task = {"task_key": "load", "existing_cluster_id": CLUSTER, "python_wheel_task": wheel}
        self.jobs.jobs[JOB] = {"name": "dataloader-load", "tasks": [task]}
        if declares_parameters:
            self.jobs.jobs[JOB]["parameters"] = [{"name": name, "default": ""} for name in names]
            wheel["parameters"] = arguments
        self.on_job()

    def on_job(self) -> None:
        """The job that lies in ``jobs`` as ``JOB``."""
        self._place(job_id=str(JOB))

    def _place(self, **place: str) -> None:
        for name in ("cluster_id", "new_cluster", "serverless", "job_id"):
            self._environ.delenv(f"DATALOADER_DATABRICKS_{name.upper()}", raising=False)
        self.set(**place)

    def running(self) -> Run:
        """The only run, when its process runs."""
        until(lambda: list(self.runs.runs.values()), lambda runs: bool(runs) and runs[0].process is not None)
        return self.runs.only()

    def rows(self, table: str) -> int:
        return int(DeltaTable(self.deployment.lake / "bronze" / "test" / table).to_pyarrow_table().num_rows)
