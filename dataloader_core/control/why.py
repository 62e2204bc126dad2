"""Why a table is not being loaded: the first reason that holds, in words and with the cure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from dataloader_core.control import due
from dataloader_core.control.claims import unknown_table
from dataloader_core.control.pool import Pool
from dataloader_core.control.records import Why

TICK_AFTER: Final = timedelta(minutes=3)

_ROW: Final = """
SELECT t.*, control.describe_holder(t) AS holder, now() AS now,
       s.db_config_key IS NOT NULL AS has_source, s.is_active AS source_active, s.max_concurrent_loads,
       (SELECT count(*) FROM control.table_control o
        WHERE o.db_config_key = t.db_config_key AND o.last_status IN ('Queued', 'In Progress')) AS running,
       (SELECT o.control_key FROM control.table_control o
        WHERE o.db_config_key = t.db_config_key AND o.last_status IN ('Queued', 'In Progress')
          AND o.load_strategy = ANY(%(alone)s) AND t.load_strategy = ANY(%(alone)s) LIMIT 1) AS running_alone,
       (SELECT o.control_key FROM control.dataloader_control_vw o
        WHERE o.db_config_key = t.db_config_key
          AND o.load_strategy = ANY(%(alone)s) AND t.load_strategy = ANY(%(alone)s)
          AND (o.next_load_date_time, o.config_id) < (t.next_load_date_time, t.config_id)
        ORDER BY o.next_load_date_time, o.config_id LIMIT 1) AS due_alone,
       (SELECT max(ticked_at) FROM control.ticks) AS last_tick
FROM control.table_control t
LEFT JOIN control.table_control_dbconfig s USING (db_config_key)
WHERE t.control_key = %(key)s
"""

Row = Mapping[str, Any]
Answer = tuple[str, str] | tuple[str, str, str]
"""Code, reason, and where there is one the cure."""


def why(pool: Pool, control_key: str) -> Why:
    """See :meth:`dataloader_core.control.database.ControlDatabase.why`."""
    with pool.transaction() as connection:
        values = {"key": control_key, "alone": due.alone(connection, ())}
        row = connection.execute(_ROW, values).fetchone()
        if row is None:
            raise unknown_table(connection, control_key)
    code, reason, *cure = next(answer for question in _QUESTIONS if (answer := question(row)))
    until = row["next_load_date_time"] if code in ("not_due", "failed") else None
    return Why(control_key, code, reason, cure[0] if cure else None, until)


def _claimed(row: Row) -> Answer | None:
    if row["last_status"] == "Queued":
        return "queued", f"It is queued since {_ago(row, 'load_queued_at')}, for {row['holder']}."
    if row["last_status"] == "In Progress":
        silence = f"; last heartbeat {_ago(row, 'heartbeat_at')}" if row["heartbeat_at"] else ""
        return "running", f"It is running since {_ago(row, 'load_started_at')} in {row['holder']}{silence}."
    return None


def _switched_off(row: Row) -> Answer | None:
    if not row["is_active"]:
        return "inactive", "It is not active.", "Set is_active = true."
    if not row["has_source"]:
        return "source_missing", f"Its source {row['db_config_key']!r} does not exist.", "Add the source."
    if not row["source_active"]:
        return (
            "source_disabled",
            f"Its source {row['db_config_key']!r} is disabled.",
            "Set is_active of the source to true.",
        )
    return None


def _waits(row: Row) -> Answer | None:
    if row["schedule_changed"]:
        return _no_tick(row) or ("not_due", "Its schedule was edited; the next tick computes when it is due.")
    due_at, failed = row["next_load_date_time"], row["last_status"] == "Failed"
    if due_at is not None and due_at <= row["now"]:
        return None
    again = f"is due again at {due_at:%Y-%m-%d %H:%M:%S %Z}" if due_at else "has no next time"
    message = (row["last_status_message"] or "no message").rstrip(".") + "."
    if failed and row["claim_refused"]:
        return "bad_row", f"The row itself is at fault: {message} It {again}.", "Correct the row, then reset it."
    if failed:
        return "failed", f"Its last load failed: {message} It {again}.", "Reset it to load it at the next tick."
    if due_at is not None:
        return "not_due", f"It {again.replace('again ', '')}."
    return (
        "by_hand",
        "It has no cron, and had its first load.",
        "Load it with `dataloader load`, or give it a load_cron.",
    )


def _source_is_busy(row: Row) -> Answer | None:
    ahead = row["running_alone"] or row["due_alone"]
    if ahead:
        return "backfill_ahead", f"It is due; {ahead} is ahead of it, and its source runs one of the kind at a time."
    if row["running"] >= row["max_concurrent_loads"]:
        return (
            "source_limit",
            f"It is due; its source {row['db_config_key']!r} runs {row['running']} tables, and its limit is "
            f"{row['max_concurrent_loads']}.",
            "Wait, or raise max_concurrent_loads of the source.",
        )
    return None


def _no_tick(row: Row) -> Answer | None:
    last = row["last_tick"]
    if last is not None and row["now"] - last <= TICK_AFTER:
        return None
    when = f"the last one looked {_ago(row, 'last_tick')}" if last else "none ever did"
    return (
        "no_tick",
        f"It is due, but no sensor or worker looks for due tables: {when}.",
        "Start Dagster with its sensors running, or `dataloader run`.",
    )


def _ready(row: Row) -> Answer:
    return "ready", f"It is due since {_ago(row, 'next_load_date_time')}; the next tick claims it."


_QUESTIONS: Final[Sequence[Callable[[Row], Answer | None]]] = (
    _claimed,
    _switched_off,
    _waits,
    _source_is_busy,
    _no_tick,
    _ready,
)


def _ago(row: Row, column: str) -> str:
    moment = row[column]
    return (
        f"{moment:%Y-%m-%d %H:%M:%S %Z} ({int((row['now'] - moment).total_seconds())} s ago)" if moment else "unknown"
    )
