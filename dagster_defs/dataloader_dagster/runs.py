"""What the Dagster instance knows of runs, and what the control database must know of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final
from uuid import UUID

from dagster import DagsterInstance, DagsterRun, DagsterRunStatus, RunsFilter

from dataloader_core.control.database import ControlDatabase
from dataloader_core.control.records import LaunchedRun
from dataloader_dagster.requests import TABLE_LOAD_JOB, loads_of
from dataloader_dagster.settings import DagsterSettings

_WAITING: Final = [DagsterRunStatus.QUEUED, DagsterRunStatus.NOT_STARTED, DagsterRunStatus.STARTING]
NEVER_LAUNCHED_SECONDS: Final = 1800.0
"""A run that was made but not even queued for so long: the daemon died in between and will not come back to it."""


class DagsterRuns:
    """Answers for the runs of one Dagster instance."""

    def __init__(self, instance: DagsterInstance) -> None:
        self._instance = instance

    @property
    def instance(self) -> str | None:
        """Names this instance among those that share a control database: its run storage's own id.

        None: it cannot be known now, or at all where Dagster does not keep runs in an SQL database.
        """
        ask = getattr(self._instance.run_storage, "get_run_storage_id", None)
        try:
            return str(ask()) if ask is not None else None
        except Exception:  # noqa: BLE001  # as below
            return None

    def is_over(self, run: LaunchedRun) -> bool:
        """Whether the run that launched this is known to be over. Runs of another instance are for that to judge."""
        if run.instance is not None:
            return run.instance == self.instance and self.is_alive(run.run_id) is False
        try:
            record = self._instance.get_run_record_by_id(run.run_id)
        except Exception:  # noqa: BLE001  # as below
            return False
        return record is not None and record.dagster_run.is_finished

    def is_alive(self, run_id: str) -> bool | None:
        """True: it runs or waits. False: it has ended, or there is no such run. None: Dagster cannot say.

        Before a load knows its run, the control database asks by the load's own id.
        """
        try:
            record = self._instance.get_run_record_by_id(run_id)
            if record is None:
                return any(run_id in loads_of(run) for run in self.waiting())
        except Exception:  # noqa: BLE001  # any storage's errors; not knowing must not fail somebody's load
            return None
        if record.dagster_run.is_finished:
            return False
        if record.dagster_run.status is DagsterRunStatus.NOT_STARTED:
            return time.time() - record.create_timestamp.timestamp() < NEVER_LAUNCHED_SECONDS
        return True

    def waiting(self) -> Iterator[DagsterRun]:
        """Runs of ours that have not started yet."""
        yield from self._instance.get_runs(RunsFilter(job_name=TABLE_LOAD_JOB, statuses=_WAITING))


def attach_waiting_runs(control: ControlDatabase, runs: DagsterRuns, settings: DagsterSettings) -> None:
    """Tell the control database which runs carry what is Queued, before anything is reaped.

    A claim is made before its run exists, and a run may wait in Dagster's queue for longer than an unclaimed
    load may wait for a run.
    """
    for run in runs.waiting():
        attach(control, run, settings)


def attach(control: ControlDatabase, run: DagsterRun, settings: DagsterSettings) -> None:
    loads = [UUID(load) for load in loads_of(run)]
    if loads:
        control.attach_run(loads, run_id=run.run_id, run_url=settings.run_url(run.run_id))
