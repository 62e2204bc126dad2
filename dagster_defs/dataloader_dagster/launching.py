"""The launcher that the settings name, what its process is told, and what it left behind."""

from __future__ import annotations

import os
from collections.abc import Mapping
from logging import Logger
from typing import Any, Final

from dataloader_core.app import App
from dataloader_core.control.records import LaunchedRun
from dataloader_core.errors import DataLoaderError, TransientError
from dataloader_core.interfaces.launcher import Launcher
from dataloader_core.plugins.manager import Registry
from dataloader_core.settings import Settings, read_settings, variable
from dataloader_dagster.runs import DagsterRuns

_OF_LOADS: Final = ("engine", "lake", "pool_size", "row_limit")
"""What a load goes by and is no secret: a run elsewhere follows the deployment that asked for it."""


def launcher(registry: Registry, name: str) -> Launcher:
    """The launcher of this name, with its own settings."""
    record = registry.record("launcher", name)
    made = registry.launcher(name)
    return made(read_settings(record.settings, os.environ) if record.settings else None)


def settings_of_loads(settings: Settings) -> Mapping[str, str]:
    """The settings of loads that this deployment set, as variables for their process."""
    chosen = ((field, getattr(settings, field)) for field in _OF_LOADS if field in settings.model_fields_set)
    return {variable(field): str(value) for field, value in chosen if value is not None}


def launched_run(message: Mapping[str, Any], run_id: str, launcher_name: str) -> LaunchedRun | None:
    """None where the message is about something else."""
    said = message.get("launched")
    return LaunchedRun(run_id, launcher_name, said["reference"], said.get("url")) if said else None


def end_orphans(app: App, runs: DagsterRuns, log: Logger) -> None:
    """Cancel what was launched by Dagster runs that are over, and forget what has ended.

    Whatever goes wrong is logged and tried again by the next tick: claiming must not wait for it.
    """
    launchers: dict[str, Launcher] = {}
    for run in app.control.open_launches():
        if runs.is_alive(run.run_id) is not False:
            continue
        try:
            if run.launcher not in launchers:
                launchers[run.launcher] = launcher(app.registry, run.launcher)
            if launchers[run.launcher].end(run.reference):
                app.control.launch_ended(run)
            else:
                log.warning(f"{run.url or run.reference} went on without its Dagster run; it is cancelled.")
        except DataLoaderError as error:
            log.warning(f"{run.url or run.reference} may go on without its Dagster run: {error}")
            if isinstance(error, TransientError):
                return
