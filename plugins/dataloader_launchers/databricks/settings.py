"""Settings of the launcher ``databricks``, from ``DATALOADER_DATABRICKS_<...>`` variables."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from dataloader_core.interfaces.launcher import may_travel
from dataloader_core.settings import mask_url, variable
from dataloader_launchers.databricks.libraries import dependency, library

Shape = Literal["cluster", "new_cluster", "serverless", "job"]

SECRET_REFERENCE: Final = "{{secrets/"  # noqa: S105  # how a cluster's own variables refer to a secret: no secret
_VOLUME: Final = re.compile(r"/Volumes/[^/]+/[^/]+/[^/]+(/[^/]+)*")
_SECRET_NAME: Final = re.compile(
    r"(?i)(?!DATALOADER_SECRET_(?:SCOPES|PATTERNS)$).*(?:secret|password|passwd|token$|key$|sas$|connection_string$)"
)


class DatabricksSettings(BaseModel):
    """Where runs happen (exactly one of the first four), what they run, and how long to wait for what.

    Attributes:
        databricks_cluster_id: A cluster that is there.
        databricks_new_cluster: A cluster made for each run: the ``new_cluster`` of the Jobs API, as JSON.
        databricks_serverless: Serverless compute.
        databricks_job_id: A job that was deployed; its only task is the entry ``dataloader_pipe``.
        databricks_volume: A folder of a Unity Catalog Volume for orders and messages of runs.
        databricks_python_file: The path of ``dataloader_pipe.py`` in the workspace or a Volume; None: the task is a
            wheel task, which finds the entry in the installed package.
        databricks_libraries: Wheels, jars and files of requirements by path, Maven coordinates, or requirements, that a
            submitted run installs.
        databricks_environment: Settings of the loads' process. No secret may be among them.
        databricks_environment_version: Of serverless compute; it decides the version of Python.
        databricks_poll_seconds: How often a run is looked at.
        databricks_cancel_seconds: How long to wait for a cancelled run to end.
        databricks_patience_seconds: How long the workspace may be out of reach before a run is given up.
    """

    model_config = ConfigDict(frozen=True)

    databricks_cluster_id: str | None = None
    databricks_new_cluster: Mapping[str, Any] | None = None
    databricks_serverless: bool = False
    databricks_job_id: int | None = Field(default=None, gt=0)
    databricks_volume: str
    databricks_python_file: str | None = None
    databricks_libraries: tuple[str, ...] = ()
    databricks_environment: Mapping[str, str] = Field(default_factory=dict)
    databricks_environment_version: str = "3"
    databricks_poll_seconds: float = Field(default=5.0, gt=0, le=60)
    databricks_cancel_seconds: float = Field(default=60.0, ge=0)
    databricks_patience_seconds: float = Field(default=300.0, ge=1)

    @property
    def shape(self) -> Shape:
        chosen = self._chosen()
        assert len(chosen) == 1, "validated"
        return chosen[0]

    def _chosen(self) -> list[Shape]:
        given: Mapping[Shape, bool] = {
            "cluster": self.databricks_cluster_id is not None,
            "new_cluster": self.databricks_new_cluster is not None,
            "serverless": self.databricks_serverless,
            "job": self.databricks_job_id is not None,
        }
        return [shape for shape, is_given in given.items() if is_given]

    @field_validator("databricks_volume")
    @classmethod
    def _is_in_a_volume(cls, path: str) -> str:
        path = path.rstrip("/")
        if not _VOLUME.fullmatch(path):
            raise ValueError("must be a folder of a Volume: /Volumes/CATALOG/SCHEMA/VOLUME, or one below it")
        return path

    @field_validator("databricks_new_cluster")
    @classmethod
    def _refers_to_secrets(cls, cluster: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
        """A cluster's variables stand on the page of each run."""
        if cluster is None or "spark_env_vars" not in cluster:
            return cluster
        variables = cluster["spark_env_vars"]
        if not isinstance(variables, Mapping) or not all(isinstance(value, str) for value in variables.values()):
            raise ValueError('spark_env_vars must map names to texts, as in {"DATALOADER_ENGINE": "spark"}')
        for name, value in variables.items():
            if not value.startswith(SECRET_REFERENCE):
                _refuse_secret(name, value)
        return cluster

    @field_validator("databricks_environment")
    @classmethod
    def _holds_no_secret(cls, environment: Mapping[str, str], info: ValidationInfo) -> Mapping[str, str]:
        refers = info.data.get("databricks_new_cluster") is not None
        for name, value in environment.items():
            if value.startswith(SECRET_REFERENCE) and refers:
                continue
            if SECRET_REFERENCE in value:
                raise ValueError(f"{name} refers to a secret; only the variables of a cluster itself can")
            _refuse_secret(name, value)
            if not refers and not may_travel(name):
                raise ValueError(
                    f"{name} is no setting of DataLoader that travels with a run; set it where loads run, in the "
                    "variables of the cluster"
                )
        return environment

    @field_validator("databricks_libraries")
    @classmethod
    def _are_libraries(cls, libraries: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        for text in libraries:
            (dependency if info.data.get("databricks_serverless") else library)(text)
        return libraries

    @model_validator(mode="after")
    def _names_one_place(self) -> DatabricksSettings:
        chosen = self._chosen()
        if len(chosen) != 1:
            named = ", ".join(
                variable(f"databricks_{name}") for name in ("cluster_id", "new_cluster", "serverless", "job_id")
            )
            raise ValueError(f"exactly one of {named} must say where runs happen; set: {', '.join(chosen) or 'none'}")
        return self


def _refuse_secret(name: str, value: str) -> None:
    if _SECRET_NAME.match(name) or mask_url(value) != value:
        raise ValueError(
            f"{name} holds a secret. Let a cluster's spark_env_vars refer to it "
            "({{secrets/SCOPE/KEY}}), or use a control URL without a password, such as lakebase://"
        )
