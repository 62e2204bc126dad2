"""When a run ends badly: what it carried and did not report is Failed, what it left behind elsewhere is cancelled.

Guarded, so late news change nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dagster import (
    DagsterRunStatus,
    DefaultSensorStatus,
    RunFailureSensorContext,
    RunStatusSensorContext,
    SensorDefinition,
    run_failure_sensor,
    run_status_sensor,
)

from dataloader_core.app import App
from dataloader_core.settings import read_settings
from dataloader_dagster.launching import end_orphans
from dataloader_dagster.runs import DagsterRuns, attach
from dataloader_dagster.settings import DagsterSettings

if TYPE_CHECKING:
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition


def reconcile_sensors(job: UnresolvedAssetJobDefinition) -> list[SensorDefinition]:
    """One sensor for runs that failed (killed workers included), one for those that were cancelled."""

    @run_failure_sensor(
        name="failed_runs_reconcile",
        monitored_jobs=[job],
        default_status=DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=15,
        description="Fails the loads that a failed run did not report.",
    )
    def failed_runs_reconcile(context: RunFailureSensorContext) -> None:
        reconcile(context, "The Dagster run failed before it reported this table.")

    @run_status_sensor(
        name="cancelled_runs_reconcile",
        run_status=DagsterRunStatus.CANCELED,
        monitored_jobs=[job],
        default_status=DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=15,
        description="Fails the loads that a cancelled run did not report.",
    )
    def cancelled_runs_reconcile(context: RunStatusSensorContext) -> None:
        reconcile(context, "The Dagster run was cancelled before it reported this table.")

    return [failed_runs_reconcile, cancelled_runs_reconcile]


def reconcile(context: RunStatusSensorContext, message: str) -> None:
    """A run that was cancelled in the queue never attached itself, so that is done first."""
    app = App.from_environment()
    try:
        attach(app.control, context.dagster_run, read_settings(DagsterSettings))
        for control_key in app.control.fail_unreported(context.dagster_run.run_id, message):
            context.log.warning(f"{control_key}: {message}")
        end_orphans(app, DagsterRuns(context.instance), context.log)
    finally:
        app.close()
