"""Loads that nobody runs any more: found by the database's clock, by their run, by their process."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

from dataloader_core.control.claims import clean
from dataloader_core.control.pool import Connection, Pool
from dataloader_core.control.processes import is_gone
from dataloader_core.control.reading import read_holder
from dataloader_core.control.records import Holder
from dataloader_core.failpoints import hit

RunIsAlive = Callable[[str], bool | None]

LOST_AFTER: Final = "5 minutes"
MESSAGE_LENGTH: Final = 2000

_CLAIMED: Final = f"""
SELECT config_id, control_key, load_seq, load_id, last_status, claim_holder, run_id,
       load_queued_at < now() - interval '{LOST_AFTER}' AS queued_long, heartbeat_at IS NOT NULL AS was_alive,
       coalesce(heartbeat_at, load_started_at, load_queued_at) < now() - interval '{LOST_AFTER}' AS silent
FROM control.table_control WHERE last_status IN ('Queued', 'In Progress')
"""
_LOCK: Final = """
SELECT config_id FROM control.table_control
WHERE config_id = %(config_id)s AND load_seq = %(load_seq)s AND load_id = %(load_id)s AND last_status = %(last_status)s
FOR UPDATE SKIP LOCKED
"""
_FAIL_HISTORY: Final = """
UPDATE control.historical_metadata SET
    load_status = 'Failed', load_end_time = clock_timestamp(), log_message = %(message)s,
    total_duration = extract(epoch FROM clock_timestamp() - coalesce(load_start_time, load_queued_time))
WHERE load_id = %(load_id)s
"""
# The claim stays open: what is lost may be only paused, and commit yet.
_FAIL: Final = """
UPDATE control.table_control
SET last_status = 'Failed', last_status_message = %(message)s, retry_count = retry_count + 1, progress = NULL
WHERE config_id = %(config_id)s
"""
_OF_RUN: Final = """
SELECT config_id, control_key, load_seq, load_id, last_status FROM control.table_control
WHERE last_status IN ('Queued', 'In Progress') AND run_id = %s
"""


def reap_lost_loads(pool: Pool, run_is_alive: RunIsAlive, instance: str | None) -> Sequence[str]:
    """See :meth:`dataloader_core.control.database.ControlDatabase.reap_lost_loads`."""
    with pool.transaction() as connection:
        rows = connection.execute(_CLAIMED).fetchall()
    # Orchestrators are asked outside of any transaction: they may take their time.
    living = {_process(row) for row in rows if not row["silent"] and row["last_status"] == "In Progress"}
    lost = [(row, why) for row in rows if (why := _why_lost(row, living, run_is_alive, instance))]
    hit("control.before_reap")
    return _fail_each(pool, lost)


def fail_unreported(pool: Pool, run_id: str, message: str) -> Sequence[str]:
    """See :meth:`dataloader_core.control.database.ControlDatabase.fail_unreported`."""
    with pool.transaction() as connection:
        rows = connection.execute(_OF_RUN, (run_id,)).fetchall()
    return _fail_each(pool, [(row, message) for row in rows])


def _why_lost(
    row: Mapping[str, Any], living: Collection[tuple[str, int]], run_is_alive: RunIsAlive, instance: str | None
) -> str | None:
    holder = read_holder(row["claim_holder"])
    if holder is None:
        return "The claim has no holder." if row["queued_long"] else None
    # of a Dagster run that is queued the holder is the sensor's process, which may come and go
    if (holder.kind != "dagster" or row["last_status"] == "In Progress") and is_gone(holder):
        return f"The load was lost: {holder.describe()} has ended."
    if row["last_status"] == "In Progress":
        return f"The load was lost: {holder.describe()} gave no heartbeat for {LOST_AFTER}." if row["silent"] else None
    if not row["queued_long"]:
        return None
    if holder.kind == "dagster":
        # Its process had begun to care for it and is gone, whatever the orchestrator still believes of the run.
        if row["was_alive"] and row["silent"]:
            return f"The load was lost: the process of its Dagster run gave no heartbeat for {LOST_AFTER}."
        # What another instance claimed is in its queue, of which this one knows nothing.
        ours = holder.instance in (None, instance)
        return _run_lost(row, holder, run_is_alive) if ours else None
    if row["silent"] and (holder.host, holder.pid) not in living:
        return f"The load was lost: {holder.describe()} did not start it within {LOST_AFTER} and gives no heartbeat."
    return None


def _run_lost(row: Mapping[str, Any], holder: Holder, run_is_alive: RunIsAlive) -> str | None:
    # A run that waits in a queue has not said its id yet: it is asked for by the load that it carries.
    run = row["run_id"] or holder.run_id or str(row["load_id"])
    if run_is_alive(run) is not False:
        return None
    known = "has ended" if row["run_id"] else "does not exist"
    return f"The load was lost: the Dagster run of it {known}, {LOST_AFTER} after it was queued."


def _process(row: Mapping[str, Any]) -> tuple[str, int]:
    holder = row["claim_holder"] or {}
    return holder.get("host", ""), holder.get("pid", 0)


def _fail_each(pool: Pool, lost: Sequence[tuple[Mapping[str, Any], str]]) -> Sequence[str]:
    failed = []
    for row, message in sorted(lost, key=lambda one: int(one[0]["config_id"])):
        with pool.transaction() as connection:
            if _fail(connection, row, message):
                failed.append(row["control_key"])
    return failed


def _fail(connection: Connection, row: Mapping[str, Any], message: str) -> bool:
    if connection.execute(_LOCK, row).fetchone() is None:
        return False
    values = {"message": clean(message, MESSAGE_LENGTH), "load_id": row["load_id"], "config_id": row["config_id"]}
    connection.execute(_FAIL_HISTORY, values)
    connection.execute(_FAIL, values)
    return True
