"""Status and history for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, Final
from uuid import UUID

from dataloader_core.control.claims import unknown_table
from dataloader_core.control.pool import Pool
from dataloader_core.control.reading import read_progress
from dataloader_core.control.records import HistoryEntry, LoadResult, Outcome, TableStatus

_STATUS: Final = """
SELECT t.control_key, t.db_config_key, control.destination_of(t) AS destination, t.load_strategy, t.is_active,
       t.last_status, t.last_status_message, t.last_load_date_time, t.next_load_date_time, t.incremental_value,
       t.retry_count, h.rows_processed, t.progress, t.row_limit, t.load_started_at AS started_at,
       CASE WHEN t.last_status IN ('Queued', 'In Progress') THEN control.describe_holder(t) END AS holder
FROM control.table_control t
LEFT JOIN control.historical_metadata h ON h.load_id = t.load_id
WHERE %(keys)s::text[] IS NULL OR t.control_key = ANY(%(keys)s)
ORDER BY t.control_key
"""
_ENTRY: Final = tuple(f.name for f in fields(HistoryEntry))
_HISTORY: Final = (
    f"SELECT {', '.join(_ENTRY)} FROM control.historical_metadata WHERE control_key = %s ORDER BY id DESC LIMIT %s"
)
_COMPLETED: Final = """
SELECT control_key FROM (
    SELECT DISTINCT ON (control_key) control_key, change_source FROM control.table_control_history
    WHERE control_key = ANY(%s) AND (change_type = 'INSERT' OR 'load_strategy' = ANY(changed_fields))
    ORDER BY control_key, history_id DESC
) newest WHERE change_source = 'backfill_complete'
"""
# The history's own log may hold values of rows; the row's message holds none.
_ENDED: Final = """
SELECT h.control_key, h.load_id, h.load_status, h.rows_processed, h.rows_deleted, h.bytes_processed, h.watermark_before,
       h.watermark_after, h.committed_version, h.table_version, h.notes, h.metrics, h.total_duration,
       concat_ws('.', h.target_table_catalog, h.target_table_schema, h.target_table_name) AS destination,
       t.last_status_message
FROM control.historical_metadata h LEFT JOIN control.table_control t ON t.load_id = h.load_id
WHERE h.load_id = ANY(%s) AND h.load_status IS NOT NULL ORDER BY h.id
"""
_EXISTS: Final = "SELECT FROM control.table_control WHERE control_key = %s"


def status(pool: Pool, control_keys: Sequence[str] | None) -> Sequence[TableStatus]:
    """See :meth:`dataloader_core.control.database.ControlDatabase.status`."""
    with pool.transaction() as connection:
        keys = None if control_keys is None else list(control_keys)
        found = {row["control_key"]: _status(row) for row in connection.execute(_STATUS, {"keys": keys}).fetchall()}
        for control_key in keys or ():
            if control_key not in found:
                raise unknown_table(connection, control_key)
    return list(found.values())


def history(pool: Pool, control_key: str, limit: int) -> Sequence[HistoryEntry]:
    """See :meth:`dataloader_core.control.database.ControlDatabase.history`."""
    with pool.transaction() as connection:
        rows = connection.execute(_HISTORY, (control_key, limit)).fetchall()
        # A deleted row has a history still; a name that never was has neither.
        if not rows and connection.execute(_EXISTS, (control_key,)).fetchone() is None:
            raise unknown_table(connection, control_key)
    return [HistoryEntry(**row) for row in rows]


def ended_loads(pool: Pool, load_ids: Sequence[UUID]) -> Sequence[Outcome]:
    """See :meth:`dataloader_core.control.database.ControlDatabase.ended_loads`."""
    with pool.transaction() as connection:
        return [_outcome(row) for row in connection.execute(_ENDED, (list(load_ids),)).fetchall()]


def completed_backfills(pool: Pool, control_keys: Sequence[str]) -> frozenset[str]:
    """See :meth:`dataloader_core.control.database.ControlDatabase.completed_backfills`."""
    with pool.transaction() as connection:
        return frozenset(row["control_key"] for row in connection.execute(_COMPLETED, (list(control_keys),)).fetchall())


def _status(row: Mapping[str, Any]) -> TableStatus:
    return TableStatus(**{**row, "progress": read_progress(row["progress"])})


def _outcome(row: Mapping[str, Any]) -> Outcome:
    succeeded = row["load_status"] == "Succeeded"
    said = "; ".join(row["notes"]) if succeeded else row["last_status_message"] or "Its history says why."
    return Outcome(
        control_key=row["control_key"],
        load_id=row["load_id"],
        status=row["load_status"],
        message=said,
        destination=row["destination"],
        duration_seconds=row["total_duration"] or 0.0,
        result=_result(row) if succeeded else None,
    )


def _result(row: Mapping[str, Any]) -> LoadResult:
    return LoadResult(
        rows=row["rows_processed"] or 0,
        rows_deleted=row["rows_deleted"] or 0,
        bytes=row["bytes_processed"] or 0,
        watermark_before=row["watermark_before"],
        watermark_after=row["watermark_after"],
        committed_version=row["committed_version"],
        table_version=row["table_version"],
        skipped=row["committed_version"] is None,
        notes=row["notes"],
        metrics=row["metrics"],
    )
