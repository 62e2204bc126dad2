"""``master_sensor``: every minute, claim the tables that are due and ask for runs that load them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from dagster import DefaultSensorStatus, RunRequest, SensorEvaluationContext, SkipReason, sensor

from dataloader_core.app import App
from dataloader_core.claiming import claim_due
from dataloader_core.control.processes import this_process
from dataloader_core.failpoints import hit
from dataloader_core.settings import read_settings
from dataloader_dagster.launching import end_orphans
from dataloader_dagster.requests import TABLE_LOAD_JOB, run_request
from dataloader_dagster.runs import DagsterRuns, attach_waiting_runs
from dataloader_dagster.settings import DagsterSettings


@sensor(
    name="master_sensor",
    job_name=TABLE_LOAD_JOB,
    minimum_interval_seconds=60,
    default_status=DefaultSensorStatus.RUNNING,
    description="Claims the tables that are due and requests runs of up to 12 tables of one source.",
)
def master_sensor(context: SensorEvaluationContext) -> Iterator[RunRequest | SkipReason]:
    app = App.from_environment()
    try:
        yield from tick(app, context)
    finally:
        app.close()


def tick(app: App, context: SensorEvaluationContext) -> Iterator[RunRequest | SkipReason]:
    """Reap, claim, request. Dying in here loses nothing: what was claimed and got no run is reaped by a later tick."""
    runs = DagsterRuns(context.instance)
    attach_waiting_runs(app.control, runs, read_settings(DagsterSettings))
    for control_key in app.control.reap_lost_loads(runs.is_alive, runs.instance):
        context.log.warning(f"{control_key}: nobody runs its load any more; it is Failed.")
    end_orphans(app, runs, context.log)
    # The run does not exist yet; it is attached while it waits, or when it starts.
    claimed = claim_due(app, replace(this_process("dagster"), instance=runs.instance))
    hit("dagster.after_claim")
    for failure in claimed.failures:
        context.log.warning(f"{failure.control_key}: not claimed, Failed: {failure.reason}")
    for batch in claimed.batches:
        context.log.info(f"Claimed {', '.join(claim.control_key for claim in batch)}.")
        yield run_request(batch)
    if not claimed.batches:
        yield SkipReason("No table is due.")
