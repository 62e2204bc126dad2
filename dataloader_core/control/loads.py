"""One load's own updates, each guarded by ``load_seq``, load id and the expected status."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, Final
from uuid import UUID

from psycopg.types.json import Jsonb

from dataloader_core.control.claims import clean
from dataloader_core.control.guard import claim_again, locked, update
from dataloader_core.control.pool import Connection, Pool
from dataloader_core.control.reading import holder_json
from dataloader_core.control.records import Claim, Holder, LoadProgress
from dataloader_core.failpoints import hit

MESSAGE_LENGTH: Final = 2000
LOG_LENGTH: Final = 20_000

_START: Final = """
UPDATE control.table_control t SET
    last_status = 'In Progress', load_started_at = now(), heartbeat_at = clock_timestamp(), claim_holder = %(holder)s,
    claim_fingerprint = control.fingerprint(t), claim_load_full = t.load_full,
    claim_load_full_orders = t.load_full_orders, run_id = coalesce(%(run_id)s, t.run_id)
WHERE t.load_id = %(load_id)s
"""
_START_HISTORY: Final = """
UPDATE control.historical_metadata h SET
    load_start_time = now(), run_id = t.run_id, holder = t.claim_holder, load_strategy = t.load_strategy,
    load_full = t.load_full, watermark_before = t.incremental_value, row_limit = least(t.row_limit, %(row_limit)s)
FROM control.table_control t WHERE t.load_id = %(load_id)s AND h.load_id = t.load_id
"""
_HEARTBEAT: Final = """
UPDATE control.table_control t SET heartbeat_at = clock_timestamp(), progress = coalesce(b.progress, t.progress)
FROM unnest(%(load_ids)s::uuid[], %(progress)s::jsonb[]) AS b (load_id, progress)
WHERE t.load_id = b.load_id AND t.last_status IN ('Queued', 'In Progress')
RETURNING t.load_id
"""
_RAISE_HISTORY: Final = "UPDATE control.historical_metadata SET load_seq = %(load_seq)s WHERE load_id = %(load_id)s"
_FAIL_HISTORY: Final = """
UPDATE control.historical_metadata SET
    load_status = %(status)s, load_end_time = clock_timestamp(), log_message = %(log)s,
    total_duration = extract(epoch FROM clock_timestamp() - coalesce(load_start_time, load_queued_time))
WHERE load_id = %(load_id)s
"""
# Said again because the connection broke just behind the commit: it is true already.
_FAILED: Final = """
SELECT FROM control.table_control WHERE load_id = %s AND last_status = 'Failed' AND last_status_message = %s
"""


def start(pool: Pool, claim: Claim, holder: Holder, *, row_limit: int | None = None) -> Claim:
    """See :meth:`dataloader_core.control.database.ControlDatabase.start`."""
    hit("control.before_start")
    with pool.transaction() as connection:
        if _is_started(connection, claim, holder):
            return claim_again(connection, claim)
        locked(connection, claim, ("Queued",))
        values: dict[str, Any] = {"holder": Jsonb(holder_json(holder)), "run_id": holder.run_id}
        values |= {"load_id": claim.load_id, "row_limit": row_limit}
        connection.execute(_START, values)
        connection.execute(_START_HISTORY, values)
        started = claim_again(connection, claim)
    hit("control.after_start")
    return started


def _is_started(connection: Connection, claim: Claim, holder: Holder) -> bool:
    """The connection broke just behind the commit, and this very process asks again."""
    row = connection.execute(
        "SELECT claim_holder FROM control.table_control WHERE load_id = %s AND last_status = 'In Progress'",
        (claim.load_id,),
    ).fetchone()
    return row is not None and bool(row["claim_holder"] == holder_json(holder))


def heartbeat(pool: Pool, progress: Mapping[UUID, LoadProgress | None]) -> frozenset[UUID]:
    """See :meth:`dataloader_core.control.database.ControlDatabase.heartbeat`."""
    values: dict[str, Sequence[Any]] = {
        # One order for everyone, so that two heartbeats never wait for each other.
        "load_ids": (ids := sorted(progress)),
        "progress": [None if (now := progress[i]) is None else Jsonb(asdict(now)) for i in ids],
    }
    with pool.transaction() as connection:
        return frozenset(row["load_id"] for row in connection.execute(_HEARTBEAT, values).fetchall())


def raise_load_seq(pool: Pool, claim: Claim, past: int) -> Claim:
    """See :meth:`dataloader_core.control.database.ControlDatabase.raise_load_seq`."""
    with pool.transaction() as connection:
        row = locked(connection, claim, ("In Progress",))
        load_seq = max(past, row["load_seq"]) + 1000
        update(connection, claim, {"load_seq": load_seq, "claim_previous_closed": False})
        connection.execute(_RAISE_HISTORY, {"load_seq": load_seq, "load_id": claim.load_id})
    return replace(claim, load_seq=load_seq, previous_closed=False)


def dispute(pool: Pool, claim: Claim, version: int) -> None:
    """See :meth:`dataloader_core.control.database.ControlDatabase.dispute`."""
    with pool.transaction() as connection:
        locked(connection, claim, ("In Progress",))
        # What the load saw, not what is there now: a value set since is the order to go on already.
        update(connection, claim, {"disputed_version": version, "disputed_sets": claim.watermark_sets})


def writing(pool: Pool, claim: Claim) -> None:
    """See :meth:`dataloader_core.control.database.ControlDatabase.writing`."""
    with pool.transaction() as connection:
        locked(connection, claim, ("In Progress",))
        update(connection, claim, {"claim_writing": True})


def fail(pool: Pool, claim: Claim, message: str, *, log: str | None, cancelled: bool) -> None:
    """See :meth:`dataloader_core.control.database.ControlDatabase.fail`."""
    hit("control.before_fail")
    with pool.transaction() as connection:
        short = clean(message, MESSAGE_LENGTH)
        if connection.execute(_FAILED, (claim.load_id, short)).fetchone() is not None:
            return
        row = locked(connection, claim, ("Queued", "In Progress"))
        values = {
            "status": "Cancelled" if cancelled else "Failed",
            "log": clean(f"{message}\n{log}" if log else message, LOG_LENGTH),
            "load_id": claim.load_id,
        }
        connection.execute(_FAIL_HISTORY, values)
        changes = {
            "last_status": "Failed",
            "last_status_message": short,
            "retry_count": row["retry_count"] + (0 if cancelled else 1),
            # A load that never wrote leaves things as they were: a claim before it may still be open.
            "claim_closed": not row["claim_writing"] and row["claim_previous_closed"],
            "progress": None,
        }
        update(connection, claim, changes)
    hit("control.after_fail")
