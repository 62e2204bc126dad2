"""What a commit means for the control row: recovery, a chunk, the end of a load.

A watermark is applied only where the row is still what the load was planned from: the fingerprint matches and
nobody set ``incremental_value`` since. Otherwise the commit stays newer than ``committed_version``, so that the next
load finds it and decides what it means.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from psycopg.types.json import Jsonb

from dataloader_core.commit import CommitRecord
from dataloader_core.control.claims import clean
from dataloader_core.control.guard import claim_again, locked, update
from dataloader_core.control.loads import LOG_LENGTH, MESSAGE_LENGTH
from dataloader_core.control.pool import Connection, Pool
from dataloader_core.control.records import Claim, LoadResult
from dataloader_core.errors import ClaimLostError, RowChangedError
from dataloader_core.failpoints import hit
from dataloader_core.plan import Backfill

_RECOVERED: Final = """
UPDATE control.historical_metadata
SET recovered_by = %(by)s, rows_processed = %(rows)s, watermark_after = %(watermark)s, committed_version = %(version)s
WHERE load_id = %(load_id)s AND load_id <> %(by)s
"""
_CHUNK: Final = """
UPDATE control.historical_metadata
SET rows_processed = coalesce(rows_processed, 0) + %(rows)s, bytes_processed = coalesce(bytes_processed, 0) + %(bytes)s,
    committed_version = %(version)s
WHERE load_id = %(load_id)s
"""
_SUCCEED: Final = """
UPDATE control.historical_metadata SET
    load_status = 'Succeeded', load_end_time = clock_timestamp(), log_message = %(log)s, rows_processed = %(rows)s,
    total_duration = extract(epoch FROM clock_timestamp() - coalesce(load_start_time, load_queued_time)),
    rows_deleted = %(deleted)s, bytes_processed = %(bytes)s, watermark_before = %(before)s, watermark_after = %(after)s,
    committed_version = coalesce(%(version)s, committed_version), table_version = %(table_version)s, notes = %(notes)s,
    metrics = %(metrics)s
WHERE load_id = %(load_id)s
"""
_FORGET_STAGING: Final = """
UPDATE control.table_control SET staging_tables = array_remove(staging_tables, %s) WHERE config_id = %s
"""
_DONE: Final = """
SELECT FROM control.table_control
WHERE config_id = %s AND load_seq = %s AND load_id = %s AND last_status = 'Succeeded'
"""


def record_recovery(
    pool: Pool, claim: Claim, committed_version: int, found: CommitRecord | None, *, apply: bool, forget: bool
) -> Claim:
    """See :meth:`dataloader_core.control.database.ControlDatabase.record_recovery`."""
    hit("control.before_recovery")
    with pool.transaction() as connection:
        row = locked(connection, claim, ("In Progress",))
        if row["committed_version"] == committed_version != claim.committed_version:
            # The connection broke just behind the commit and the load asks again: it is written already.
            return claim_again(connection, claim)
        if row["fingerprint"] != claim.fingerprint or (apply and row["watermark_sets"] != claim.watermark_sets):
            raise RowChangedError(
                f"{claim.control_key}: somebody changed the row's configuration or watermark while this load looked at "
                "its destination.",
                cure="The next load goes by the changed row.",
            )
        changes: dict[str, Any] = {"committed_version": committed_version}
        if forget:
            changes |= {"incremental_value": None, "backfill_cursor": None}
        if apply and found is not None:
            changes |= _truths(row, found) | _end_of_order(row, found)
            values = {"by": claim.load_id, "rows": found.rows, "watermark": found.watermark}
            connection.execute(_RECOVERED, values | {"version": found.data_version, "load_id": found.load_id})
        update(connection, claim, changes)
        _renew(connection, claim)
        # The counters stay those that the load started with: a value set meanwhile must still be noticed at its end.
        recovered = replace(claim_again(connection, claim), watermark_sets=claim.watermark_sets)
        if not apply:
            recovered = replace(claim, committed_version=committed_version)
        hit("control.before_recovery_commit")
    hit("control.after_recovery")
    return recovered


def store_backfill(pool: Pool, claim: Claim, backfill: Backfill, staging: str | None) -> Claim:
    """See :meth:`dataloader_core.control.database.ControlDatabase.store_backfill`."""
    names = claim.staging_tables if staging is None else tuple(dict.fromkeys((*claim.staging_tables, staging)))
    with pool.transaction() as connection:
        unchanged = _unchanged(locked(connection, claim, ("In Progress",)), claim)
        changes: dict[str, Any] = {"staging_tables": list(names)}
        if unchanged:
            changes |= {"incremental_value": None, "backfill_cursor": Jsonb(backfill.to_json())}
        update(connection, claim, changes)
    return replace(claim, watermark=None, backfill=backfill, staging_tables=names)


def forget_staging(pool: Pool, claim: Claim, name: str) -> None:
    """See :meth:`dataloader_core.control.database.ControlDatabase.forget_staging`."""
    with pool.transaction() as connection:
        connection.execute(_FORGET_STAGING, (name, claim.config_id))


def record_commit(pool: Pool, claim: Claim, record: CommitRecord, *, rows: int, bytes: int) -> Claim:
    """See :meth:`dataloader_core.control.database.ControlDatabase.record_commit`."""
    hit("control.before_record_commit")
    with pool.transaction() as connection:
        row = locked(connection, claim, ("In Progress",))
        changes: dict[str, Any] = {}
        if _unchanged(row, claim):
            changes = _truths(row, record) | {"committed_version": record.version}
        order = _end_of_order(row, record)
        if order:
            order["claim_load_full"] = False
        if row["committed_version"] != record.version:
            update(connection, claim, {"heartbeat_at": row["clock"]} | changes | order)
            values = {"rows": rows, "bytes": bytes, "version": record.version, "load_id": claim.load_id}
            connection.execute(_CHUNK, values)
    hit("control.after_record_commit")
    # The configuration and the counters stay what the load was planned from, whatever was edited meanwhile.
    if changes:
        claim = replace(claim, committed_version=record.version, watermark=None, backfill=_backfill(record))
        if record.backfill is None:
            claim = replace(claim, watermark=record.watermark)
    return replace(claim, load_full=False) if order else claim


def succeed(pool: Pool, claim: Claim, record: CommitRecord | None, result: LoadResult) -> None:
    """See :meth:`dataloader_core.control.database.ControlDatabase.succeed`."""
    hit("control.before_succeed")
    with pool.transaction() as connection:
        try:
            row = locked(connection, claim, ("In Progress",))
        except ClaimLostError:
            # The connection may have broken just behind the commit: said again, it is true already.
            if connection.execute(_DONE, (claim.config_id, claim.load_seq, claim.load_id)).fetchone() is not None:
                return
            raise
        connection.execute(_SUCCEED, _history(claim, record, result))
        update(connection, claim, _success(row, claim, record, result))
        hit("control.before_succeed_commit")
    hit("control.after_succeed")


def _success(
    row: Mapping[str, Any], claim: Claim, record: CommitRecord | None, result: LoadResult
) -> Mapping[str, Any]:
    changes: dict[str, Any] = {
        "last_status": "Succeeded",
        "last_status_message": clean("\n".join(result.notes), MESSAGE_LENGTH) or None,
        "last_load_date_time": row["clock"],
        "retry_count": 0,
        "claim_closed": True,
        "progress": None,
    }
    if record is not None:
        changes |= _end_of_order(row, record) | {"adopt_unowned": False}
        if _unchanged(row, claim):
            changes |= _truths(row, record) | {"committed_version": record.version}
    return changes


def _history(claim: Claim, record: CommitRecord | None, result: LoadResult) -> Mapping[str, Any]:
    return {
        "log": clean("\n".join(result.notes), LOG_LENGTH) or None,
        "rows": result.rows,
        "deleted": result.rows_deleted,
        "bytes": result.bytes,
        "before": result.watermark_before,
        "after": result.watermark_after,
        "version": record.version if record else result.committed_version,
        "table_version": result.table_version,
        "notes": list(result.notes),
        "metrics": Jsonb(dict(result.metrics)),
        "load_id": claim.load_id,
    }


def _unchanged(row: Mapping[str, Any], claim: Claim) -> bool:
    return bool(row["fingerprint"] == claim.fingerprint and row["watermark_sets"] == claim.watermark_sets)


def _truths(row: Mapping[str, Any], record: CommitRecord) -> dict[str, Any]:
    """Watermark, backfill and strategy as they are with this commit."""
    if record.becomes is not None:
        # Those that a backfill was started with, whatever the row says meanwhile; the options of the strategy that
        # ends are none of the next one's.
        ending = row["strategy_options"] if record.backfill is None else record.backfill
        return {
            "incremental_value": record.watermark,
            "backfill_cursor": None,
            "load_strategy": record.becomes,
            "strategy_options": Jsonb(ending.get("then_options", {})),
        }
    if record.backfill is not None:
        # Before its last chunk nothing is true but the progress: a watermark would promise what is not there yet.
        return {"incremental_value": None, "backfill_cursor": Jsonb(dict(record.backfill))}
    return {"incremental_value": record.watermark, "backfill_cursor": None}


def _end_of_order(row: Mapping[str, Any], record: CommitRecord) -> dict[str, Any]:
    """A commit that carried ``load_full`` ends that order, unless somebody gave it again."""
    if record.load_full and row["load_full"] and row["load_full_orders"] == record.load_full_orders:
        return {"load_full": False}
    return {}


def _backfill(record: CommitRecord) -> Backfill | None:
    return None if record.backfill is None else Backfill.from_json(record.backfill)


def _renew(connection: Connection, claim: Claim) -> None:
    """Recovery may have changed the strategy or ended an order: what the claim goes by from here on."""
    connection.execute(
        "UPDATE control.table_control t SET claim_fingerprint = control.fingerprint(t),"
        " claim_load_full = claim_load_full AND t.load_full WHERE config_id = %s",
        (claim.config_id,),
    )
