"""Where tasks run: clusters that are there, new ones, serverless. Here only their environment differs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tests.databricks.workspace.routing import ApiError
from tests.databricks.workspace.secrets import Secrets

if TYPE_CHECKING:
    from tests.databricks.workspace.server import Workspace

# What a process needs on this machine whatever it is for; nothing of the test's own environment goes along.
_OF_THE_MACHINE = ("PATH", "HOME", "LANG", "TMPDIR", "JAVA_HOME", "SPARK_LOCAL_IP", "PYTHONPATH")


class Clusters:
    """``existing``: by cluster id, the environment variables of that cluster. ``closed``: not to be attached to."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self.existing: dict[str, dict[str, str]] = {}
        self.closed: set[str] = set()

    def environment(self, task: Mapping[str, Any]) -> dict[str, str]:
        """The environment variables that the process of a task gets."""
        own: Mapping[str, str] = {"DATABRICKS_RUNTIME_VERSION": "client.3"}
        if cluster_id := task.get("existing_cluster_id"):
            own = {"DATABRICKS_RUNTIME_VERSION": "16.4", **self.existing[cluster_id]}
        elif spec := task.get("new_cluster"):
            own = {"DATABRICKS_RUNTIME_VERSION": "16.4", **spec.get("spark_env_vars", {})}
        secrets = self._workspace.state(Secrets)
        machine = {name: os.environ[name] for name in _OF_THE_MACHINE if name in os.environ}
        return machine | {name: secrets.resolve(value) for name, value in own.items()}

    def check(self, task: Mapping[str, Any], environments: Mapping[str, Any]) -> None:
        """Refuse a task that names no place to run at, or one that is not there."""
        if cluster_id := task.get("existing_cluster_id"):
            if cluster_id not in self.existing:
                raise ApiError(400, "INVALID_PARAMETER_VALUE", f"Cluster {cluster_id} does not exist")
            if cluster_id in self.closed:
                raise ApiError(403, "PERMISSION_DENIED", f"You do not have permission to attach to {cluster_id}.")
        elif spec := task.get("new_cluster"):
            if "spark_version" not in spec:
                raise ApiError(400, "INVALID_PARAMETER_VALUE", "Missing required field: new_cluster.spark_version")
        elif task.get("environment_key") not in environments:
            raise ApiError(400, "INVALID_PARAMETER_VALUE", "A task must name a cluster or one of the environments.")
