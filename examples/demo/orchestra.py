"""The real sensor and the real job, called as Dagster's daemon calls them."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import redirect_stderr
from pathlib import Path
from uuid import UUID

from dagster import DagsterInstance, RunRequest, build_sensor_context
from rich.console import Console

from dataloader_core.app import App
from dataloader_core.control.records import TableStatus

INSTANCE = """\
telemetry:
  enabled: false
run_monitoring:
  enabled: true
concurrency:
  runs:
    max_concurrent_runs: 4
    tag_concurrency_limits:
      - key: dataloader/source
        value: {applyLimitPerUniqueValue: true}
        limit: 2
"""
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def make_instance(home: Path) -> DagsterInstance:
    """A Dagster home of the demo's own: SQLite, no telemetry."""
    home.mkdir(parents=True, exist_ok=True)
    (home / "dagster.yaml").write_text(INSTANCE, encoding="utf-8")
    # Dagster's Pipes warn of Dagster's own preview features.
    warnings.filterwarnings("ignore", module="dagster")
    return DagsterInstance.from_config(str(home))


def tick_and_load(instance: DagsterInstance, app: App, console: Console) -> bool:
    """One tick of ``master_sensor``, then its runs; whether all of them succeeded."""
    requests = tick(instance)
    for request in requests:
        loads = request.run_config["ops"]["dataloader_table_load"]["config"]["loads"]
        tables = ", ".join(claim.control_key for claim in app.control.claims([UUID(load) for load in loads]))
        console.print(f"  master_sensor claimed [bold]{tables}[/] for one run", soft_wrap=True)
    told: dict[str, str] = {}
    # One after the other: Dagster sets up logging for each run, and two at once in one process lock each other out.
    with ThreadPoolExecutor(1, "run") as pool:
        runs = [pool.submit(_run, instance, request) for request in requests]
        _watch(runs, app.control.status, lambda table: _tell(console, told, table))
    return bool(requests) and all(run.result() for run in runs)


def tick(instance: DagsterInstance) -> Sequence[RunRequest]:
    from dataloader_dagster.definitions import defs
    from dataloader_dagster.sensors import master_sensor

    context = build_sensor_context(instance=instance, definitions=defs, sensor_name="master_sensor")
    # What the sensor logs, and Dagster shows with the tick, is said here in other words.
    with redirect_stderr(io.StringIO()):
        return master_sensor.evaluate_tick(context).run_requests or []


def _run(instance: DagsterInstance, request: RunRequest) -> bool:
    from dataloader_dagster.definitions import defs

    job = defs.resolve_job_def(str(request.job_name))
    done = job.execute_in_process(
        {**request.run_config, **_QUIET}, instance, raise_on_error=False, tags=dict(request.tags)
    )
    return bool(done.success)


def _watch(
    runs: Sequence[Future[bool]], status: Callable[[], Sequence[TableStatus]], tell: Callable[[TableStatus], None]
) -> None:
    pending = set(runs)
    while pending:
        pending = wait(pending, timeout=0.3).not_done
        for table in status():
            tell(table)


def _tell(console: Console, told: dict[str, str], table: TableStatus) -> None:
    """Say what changed since the last look."""
    state = table.last_status or ""
    before = told.get(table.control_key)
    told[table.control_key] = state
    if state == before or state == "Queued" or (before is None and state in ("Succeeded", "Failed")):
        return
    colour = {"Succeeded": "green", "Failed": "red"}.get(state, "cyan")
    rows = f"{table.rows_processed or 0:,} rows" if state == "Succeeded" else (table.last_status_message or "")
    console.print(f"  {table.control_key:<16} [{colour}]{state:<12}[/] {rows if state != 'In Progress' else ''}")
