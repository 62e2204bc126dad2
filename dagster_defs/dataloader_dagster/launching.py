"""The launcher that the settings name, what its process is told, and what it left behind."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from functools import partial
from logging import Logger
from typing import Final

from dataloader_core.app import App
from dataloader_core.control.records import LaunchedRun
from dataloader_core.errors import DataLoaderError, PluginError
from dataloader_core.interfaces.launcher import Launcher
from dataloader_core.plugins.manager import Registry
from dataloader_core.settings import Settings, read_settings, variable
from dataloader_dagster.dataloader_pipe import OF_LOADS
from dataloader_dagster.runs import DagsterRuns

ORPHANS_SECONDS: Final = 20.0
"""Dagster gives a sensor's tick 60 s in all; one that takes longer has claimed tables for runs that never come."""


def launcher(registry: Registry, name: str) -> Launcher:
    """The launcher of this name, with its own settings."""
    record = registry.record("launcher", name)
    made = registry.launcher(name)
    return made(read_settings(record.settings, os.environ) if record.settings else None)


def settings_of_loads(settings: Settings) -> Mapping[str, str]:
    """The settings of loads that this deployment set, as variables for their process."""
    chosen = {variable(field): getattr(settings, field) for field in settings.model_fields_set}
    return {name: str(value) for name, value in chosen.items() if name in OF_LOADS and value is not None}


def launched_run(message: object, run_id: str, launcher_name: str, instance: str | None) -> LaunchedRun | None:
    """None where the message is about something else."""
    said = message.get("launched") if isinstance(message, Mapping) else None
    return LaunchedRun(run_id, launcher_name, said["reference"], said.get("url"), instance) if said else None


def end_orphans(app: App, runs: DagsterRuns, log: Logger, seconds: float = ORPHANS_SECONDS) -> None:
    """Cancel what was launched by Dagster runs that are over, and forget what has ended.

    Whatever goes wrong or takes too long is tried again by the next tick: claiming must not wait for it. What is the
    same as at the last try is not logged again.
    """
    app.control.forget_old_launches()
    ends = time.monotonic() + seconds
    launchers: dict[str, Launcher] = {}
    for run in app.control.open_launches():
        if not runs.is_over(run):
            continue
        try:
            if run.launcher not in launchers:
                launchers[run.launcher] = launcher(app.registry, run.launcher)
            if _answer(partial(launchers[run.launcher].end, run.reference), ends):
                app.control.launch_ended(run)
            else:
                _warn_once(app, run, "goes on without its Dagster run; it was asked to end.", log)
        except TimeoutError:
            log.warning(f"{run.url or run.reference} and later ones are looked at by the next tick: no time is left.")
            return
        except DataLoaderError as error:
            _warn_once(app, run, f"may go on without its Dagster run: {error}", log)


def _warn_once(app: App, run: LaunchedRun, problem: str, log: Logger) -> None:
    if app.control.launch_problem(run, problem):
        log.warning(f"{run.url or run.reference} {problem}")


_asking: Final = threading.Lock()
"""One question at a time in this process: what hangs must not pile up, tick after tick."""


def _answer(ask: Callable[[], bool], ends: float) -> bool:
    """What a launcher answers, in a thread of its own: clients may wait for minutes, whatever they are told.

    Raises:
        TimeoutError: not until ``ends``, on the monotonic clock.
        DataLoaderError: as the launcher says, or it is broken.
    """
    answer: Future[bool] = Future()

    def carry() -> None:
        try:
            answer.set_result(ask())
        except DataLoaderError as error:
            answer.set_exception(error)
        except BaseException as error:  # noqa: BLE001  # whatever a plugin raises; its text may hold anything
            answer.set_exception(PluginError(f"The launcher failed with {type(error).__name__}."))
        finally:
            _asking.release()

    if not _asking.acquire(timeout=max(ends - time.monotonic(), 0.0)):
        raise TimeoutError
    threading.Thread(target=carry, name="orphans", daemon=True).start()
    return answer.result(max(ends - time.monotonic(), 0.0))
