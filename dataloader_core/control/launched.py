"""What launchers started elsewhere: recorded as soon as it exists, so that nothing of it goes on unnoticed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from dataloader_core.control.claims import clean
from dataloader_core.control.pool import Pool
from dataloader_core.control.records import LaunchedRun

PROBLEM_LENGTH: Final = 2000

_INSERT: Final = """
INSERT INTO control.launched_runs (run_id, instance, launcher, reference, run_url)
VALUES (%(run_id)s, %(instance)s, %(launcher)s, %(reference)s, %(url)s)
ON CONFLICT (launcher, reference) DO UPDATE SET run_url = coalesce(EXCLUDED.run_url, launched_runs.run_url)
"""
# The claims of this run alone: one that was reaped meanwhile may belong to another run by now.
_LINK: Final = """
UPDATE control.table_control SET last_databricks_run = %(url)s
WHERE load_id = ANY(%(load_ids)s) AND run_id = %(run_id)s AND last_status IN ('Queued', 'In Progress')
"""
_OPEN: Final = """
SELECT run_id, launcher, reference, run_url, instance FROM control.launched_runs
WHERE ended_at IS NULL AND launched_at > now() - interval '60 days' ORDER BY launched_run_id LIMIT 1000
"""
_ENDED: Final = """
UPDATE control.launched_runs SET ended_at = clock_timestamp()
WHERE launcher = %s AND reference = %s AND ended_at IS NULL
"""
_PROBLEM: Final = """
UPDATE control.launched_runs SET problem = %(problem)s
WHERE launcher = %(launcher)s AND reference = %(reference)s AND problem IS DISTINCT FROM %(problem)s
"""
# What has not ended is asked for no longer than it may be seen in a workspace: 60 days.
_FORGET: Final = """
DELETE FROM control.launched_runs
WHERE ended_at < now() - interval '30 days' OR (ended_at IS NULL AND launched_at < now() - interval '60 days')
"""


def record(pool: Pool, run: LaunchedRun, load_ids: Sequence[UUID]) -> None:
    """See :meth:`dataloader_core.control.database.ControlDatabase.record_launch`."""
    values = {
        "run_id": run.run_id,
        "instance": run.instance,
        "launcher": run.launcher,
        "reference": run.reference,
        "url": run.url,
    }
    with pool.transaction() as connection:
        connection.execute(_INSERT, values)
        connection.execute(_LINK, values | {"load_ids": list(load_ids)})


def still_open(pool: Pool) -> Sequence[LaunchedRun]:
    """See :meth:`dataloader_core.control.database.ControlDatabase.open_launches`."""
    with pool.transaction() as connection:
        rows = connection.execute(_OPEN).fetchall()
    return [
        LaunchedRun(row["run_id"], row["launcher"], row["reference"], row["run_url"], row["instance"]) for row in rows
    ]


def ended(pool: Pool, run: LaunchedRun) -> None:
    """See :meth:`dataloader_core.control.database.ControlDatabase.launch_ended`."""
    with pool.transaction() as connection:
        connection.execute(_ENDED, (run.launcher, run.reference))


def problem(pool: Pool, run: LaunchedRun, said: str) -> bool:
    """See :meth:`dataloader_core.control.database.ControlDatabase.launch_problem`."""
    values = {"launcher": run.launcher, "reference": run.reference, "problem": clean(said, PROBLEM_LENGTH)}
    with pool.transaction() as connection:
        return connection.execute(_PROBLEM, values).rowcount > 0


def forget_old(pool: Pool) -> int:
    """See :meth:`dataloader_core.control.database.ControlDatabase.forget_old_launches`."""
    with pool.transaction() as connection:
        return connection.execute(_FORGET).rowcount
