"""The launcher ``databricks``, as a plugin."""

from __future__ import annotations

from collections.abc import Iterable

from dataloader_core.interfaces.launcher import Launcher
from dataloader_core.plugins import LauncherRecord, hookimpl
from dataloader_launchers.databricks.settings import DatabricksSettings


@hookimpl
def dataloader_launchers() -> Iterable[LauncherRecord]:
    yield LauncherRecord(
        "databricks",
        "A run on Databricks: a cluster, serverless compute, or a job that was deployed",
        load=_load,
        settings=DatabricksSettings,
        extra="databricks-launcher",
    )


def _load() -> type[Launcher]:
    from dataloader_launchers.databricks.launcher import DatabricksLauncher

    return DatabricksLauncher
