"""What to do about a run that ended badly: the settings and rights of the place where it ran, and of no other."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from dataloader_core.settings import variable
from dataloader_launchers.databricks.settings import DatabricksSettings, Shape

_LIBRARIES: Final = variable("databricks_libraries")
_JOB: Final = f"the definition of the job that {variable('databricks_job_id')} names"
_PLACES: Final[Mapping[Shape, str]] = {
    "cluster": f"the cluster that {variable('databricks_cluster_id')} names",
    "new_cluster": variable("databricks_new_cluster"),
    "serverless": variable("databricks_environment_version"),
    "job": _JOB,
}
_SUBMITTED: Final = "the identity that submitted it (DATABRICKS_CLIENT_ID or DATABRICKS_TOKEN), which the run runs as"
_FULL: Final = re.compile(r"QUOTA\w*_EXCEEDED|_STOCKOUT|INSUFFICIENT\w*_CAPACITY", re.IGNORECASE)
"""Reasons of the clouds in a cluster's own words: Azure, AWS and Google name them differently."""
_OF_CLUSTERS: Final = frozenset({"", "CLOUD_FAILURE", "CLUSTER_ERROR", "INVALID_CLUSTER_REQUEST"})
"""With these a message is the cluster's; with others it may be a program's."""
FULL_CODES: Final = frozenset(
    {
        "BUDGET_POLICY_LIMIT_EXCEEDED",
        "CLUSTER_REQUEST_LIMIT_EXCEEDED",
        "MAX_CONCURRENT_RUNS_EXCEEDED",
        "MAX_JOB_QUEUE_SIZE_EXCEEDED",
        "MAX_SPARK_CONTEXTS_EXCEEDED",
        "WORKSPACE_RUN_LIMIT_EXCEEDED",
    }
)
"""The SDK's TerminationCodeCode, as below."""
FULL: Final = "Let fewer runs go at a time, or have the quota raised. The next one may find room."


def is_full(code: str, said: str) -> bool:
    """Whether there was no room for the run: nothing is wrong with it, and when others have ended there may be."""
    return code in FULL_CODES or (code in _OF_CLUSTERS and _FULL.search(said) is not None)


def permanent_cure(code: str, settings: DatabricksSettings) -> str | None:
    """What to correct where trying again cannot help; None where it may."""
    shape = settings.shape
    cures = {
        "INVALID_CLUSTER_REQUEST": f"Correct {_PLACES[shape]}.",
        "INVALID_RUN_CONFIGURATION": f"Correct {_what_runs(settings)}.",
        "LIBRARY_INSTALLATION_ERROR": f"Correct {_libraries(shape)}, and let {_identity(shape)} read them.",
        "RESOURCE_NOT_FOUND": f"Correct {_PLACES[shape]}, or {_what_runs(settings)}, whichever names it.",
        "UNAUTHORIZED_ERROR": f"Grant it to {_identity(shape)}.",
        "FEATURE_DISABLED": f"Have it enabled in the workspace, or do without it in {_PLACES[shape]}.",
    }
    return cures.get(code)


def _what_runs(settings: DatabricksSettings) -> str:
    if settings.shape == "job":
        return _JOB
    return variable("databricks_python_file") if settings.databricks_python_file else _LIBRARIES


def _libraries(shape: Shape) -> str:
    return f"the libraries in {_JOB}" if shape == "job" else _LIBRARIES


def _identity(shape: Shape) -> str:
    return "the identity that the job runs as (run_as)" if shape == "job" else _SUBMITTED
