"""Which rows are due, which places their sources have left, and when each is due next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from dataloader_core.control.pool import Connection
from dataloader_core.control.schedule import next_time
from dataloader_core.errors import ConfigurationError

# As the index table_control_due has it.
READY: Final = """
t.is_active AND NOT t.schedule_changed AND (t.last_status IS NULL OR t.last_status IN ('Succeeded', 'Failed'))
"""
_RESCHEDULE_AT_ONCE: Final = 1000

_ALONE: Final = "SELECT name FROM control.known_strategies WHERE runs_alone"
_CHANGED: Final = f"""
SELECT t.config_id, t.control_key, t.load_cron, t.time_zone, t.load_seq, t.next_load_date_time, now() AS now
FROM control.table_control t
WHERE t.schedule_changed AND t.is_active
  AND (t.last_status IS NULL OR t.last_status NOT IN ('Queued', 'In Progress'))
ORDER BY t.config_id LIMIT {_RESCHEDULE_AT_ONCE}
FOR UPDATE SKIP LOCKED
"""
_SET_NEXT: Final = """
UPDATE control.table_control t SET next_load_date_time = c.next, schedule_changed = false
FROM unnest(%s::bigint[], %s::timestamptz[]) AS c (config_id, next)
WHERE t.config_id = c.config_id
"""
# NO KEY UPDATE: inserting tables of a source, which locks its key, need not wait for a tick.
_LOCK_SOURCES: Final = f"""
SELECT s.db_config_key, s.max_concurrent_loads FROM control.table_control_dbconfig s
WHERE s.is_active AND EXISTS (
    SELECT FROM control.table_control t
    WHERE t.db_config_key = s.db_config_key AND {READY} AND t.next_load_date_time <= now())
ORDER BY s.db_config_key
FOR NO KEY UPDATE OF s SKIP LOCKED
"""
# A statement of its own: its snapshot is younger than the locks, so that it sees what other claimers committed.
_COUNT: Final = """
SELECT db_config_key, count(*) AS loads, count(*) FILTER (WHERE load_strategy = ANY(%(alone)s)) AS alone
FROM control.table_control
WHERE last_status IN ('Queued', 'In Progress') AND db_config_key = ANY(%(sources)s)
GROUP BY db_config_key
"""
_DUE: Final = f"""
WITH candidates AS (
    SELECT p.source, p.free, c.config_id, c.next_load_date_time AS due
    FROM unnest(%(sources)s::text[], %(free)s::integer[], %(alone_free)s::boolean[]) AS p (source, free, alone_free)
    CROSS JOIN LATERAL (
        (SELECT t.config_id, t.next_load_date_time FROM control.table_control t
         WHERE t.db_config_key = p.source AND {READY} AND t.next_load_date_time <= now()
           AND t.load_strategy <> ALL(%(alone)s)
         ORDER BY t.next_load_date_time, t.config_id LIMIT least(p.free, %(limit)s))
        UNION ALL
        (SELECT t.config_id, t.next_load_date_time FROM control.table_control t
         WHERE p.alone_free AND t.db_config_key = p.source AND {READY} AND t.next_load_date_time <= now()
           AND t.load_strategy = ANY(%(alone)s)
         ORDER BY t.next_load_date_time, t.config_id LIMIT 1)
    ) c
), ranked AS (
    SELECT *, row_number() OVER (PARTITION BY source ORDER BY due, config_id) AS place FROM candidates
)
SELECT config_id FROM ranked WHERE place <= free ORDER BY place, due, config_id LIMIT %(limit)s
"""
_LOCK_ROWS: Final = f"""
SELECT t.config_id, t.control_key, t.load_cron, t.time_zone, now() AS now FROM control.table_control t
WHERE t.config_id = ANY(%s) AND {READY} AND t.next_load_date_time <= now()
FOR UPDATE SKIP LOCKED
"""


@dataclass(frozen=True)
class Due:
    """A locked row that is to be claimed. ``reason``: why it must fail instead; ``next``: when it is due again."""

    config_id: int
    control_key: str
    next: datetime | None
    reason: str | None


def alone(connection: Connection, strategies: Sequence[str]) -> list[str]:
    """Strategies that run alone: those named, and those whose plugin says so."""
    return sorted({*strategies, *(row["name"] for row in connection.execute(_ALONE).fetchall())})


def reschedule(connection: Connection) -> list[Due]:
    """Give rows whose schedule was edited their next time; those whose schedule makes no sense are returned."""
    rows = connection.execute(_CHANGED).fetchall()
    found = [_edited(row) for row in rows]
    if found:
        connection.execute(_SET_NEXT, ([row.config_id for row in found], [row.next for row in found]))
    return [row for row in found if row.reason]


def select(connection: Connection, limit: int, alone: Sequence[str]) -> list[Due]:
    """Lock up to ``limit`` due rows, in turn among the sources, within each source's limit."""
    limits = {row["db_config_key"]: row["max_concurrent_loads"] for row in connection.execute(_LOCK_SOURCES).fetchall()}
    if not limits:
        return []
    values: dict[str, Any] = {"sources": list(limits), "alone": list(alone), "limit": limit}
    running = {row["db_config_key"]: row for row in connection.execute(_COUNT, values).fetchall()}
    values["free"] = [max(most - _count(running, source, "loads"), 0) for source, most in limits.items()]
    values["alone_free"] = [_count(running, source, "alone") == 0 for source in limits]
    ids = [row["config_id"] for row in connection.execute(_DUE, values).fetchall()]
    if not ids:
        return []
    rows = {row["config_id"]: row for row in connection.execute(_LOCK_ROWS, (ids,)).fetchall()}
    return [_due(rows[config_id]) for config_id in ids if config_id in rows]


def has_place(connection: Connection, source: str, most: int, *, alone: Sequence[str], is_alone: bool) -> bool:
    """Whether a source, whose row is locked, may run one more table."""
    values = {"sources": [source], "alone": list(alone)}
    running = {row["db_config_key"]: row for row in connection.execute(_COUNT, values).fetchall()}
    return _count(running, source, "loads") < most and not (is_alone and _count(running, source, "alone"))


def _count(running: Mapping[str, Mapping[str, Any]], source: str, what: str) -> int:
    return int(running[source][what]) if source in running else 0


def _due(row: Mapping[str, Any]) -> Due:
    try:
        cron = row["load_cron"]
        due = None if cron is None else next_time(cron, row["time_zone"], row["now"])
    except ConfigurationError as error:
        return Due(row["config_id"], row["control_key"], None, str(error))
    return Due(row["config_id"], row["control_key"], due, None)


def _edited(row: Mapping[str, Any]) -> Due:
    if row["load_cron"] is None and row["load_seq"] == 0:
        # Without a cron a table has one first load, which editing it does not take away.
        return Due(row["config_id"], row["control_key"], row["next_load_date_time"], None)
    return _due(row)
