"""Claiming: from due rows to claims, in one short transaction that no two processes get in common."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import psycopg
from psycopg.types.json import Jsonb

from dataloader_core.control import due
from dataloader_core.control.pool import Connection, Pool
from dataloader_core.control.processes import this_process
from dataloader_core.control.reading import CLAIM_ROW, holder_json, read_claim
from dataloader_core.control.records import Claim, ClaimFailure, Holder, TickResult
from dataloader_core.errors import DataLoaderError, UnknownNameError
from dataloader_core.failpoints import hit

CheckRow = Callable[[Claim], str | None]

MESSAGE_LENGTH: Final = 2000

_CLAIM: Final = """
UPDATE control.table_control t SET
    load_seq = t.load_seq + 1, load_id = c.load_id, last_status = 'Queued', last_status_message = NULL,
    claim_holder = %(holder)s, claim_fingerprint = control.fingerprint(t), claim_previous_closed = t.claim_closed,
    claim_closed = false, claim_writing = false, claim_refused = false, claim_load_full = t.load_full,
    claim_load_full_orders = t.load_full_orders, load_queued_at = now(), load_started_at = NULL, heartbeat_at = NULL,
    progress = NULL, last_dagster_run = NULL, last_databricks_run = NULL, run_id = %(run_id)s,
    next_load_date_time = CASE WHEN c.keep THEN t.next_load_date_time ELSE c.next END
FROM unnest(%(ids)s::bigint[], %(load_ids)s::uuid[], %(nexts)s::timestamptz[], %(keeps)s::boolean[])
    AS c (config_id, load_id, next, keep)
WHERE t.config_id = c.config_id
"""
_HISTORY: Final = """
INSERT INTO control.historical_metadata
    (control_key, config_id, db_config_key, run_id, load_seq, load_id, source_table_catalog, source_table_schema,
     source_table_name, target_table_catalog, target_table_schema, target_table_name, load_strategy, load_full,
     row_limit, attempts, holder, watermark_before)
SELECT control_key, config_id, db_config_key, run_id, load_seq, load_id, source_table_catalog, source_table_schema,
       source_table_name, destination_table_catalog, destination_table_schema, destination_table_name, load_strategy,
       load_full, row_limit, retry_count + 1, claim_holder, incremental_value
FROM control.table_control WHERE config_id = ANY(%s)
"""
_REFUSE_HISTORY: Final = """
UPDATE control.historical_metadata
SET load_status = 'Failed', load_end_time = clock_timestamp(), total_duration = 0, log_message = %(message)s
WHERE load_id = %(load_id)s
"""
# Nothing of this claim ever ran, so it ends as closed as the one before it was.
_REFUSE: Final = """
UPDATE control.table_control
SET last_status = 'Failed', last_status_message = %(message)s, retry_count = retry_count + 1,
    claim_closed = claim_previous_closed, claim_refused = true
WHERE load_id = %(load_id)s
"""
_TICK: Final = """
WITH old AS (DELETE FROM control.ticks WHERE ticked_at < now() - interval '1 day')
INSERT INTO control.ticks (host, pid, kind, claimed) VALUES (%(host)s, %(pid)s, %(kind)s, %(claimed)s)
ON CONFLICT (host, pid) DO UPDATE SET ticked_at = now(), kind = excluded.kind, claimed = excluded.claimed
"""
_ATTACH: Final = """
UPDATE control.table_control SET run_id = %(run_id)s, last_dagster_run = coalesce(%(url)s, last_dagster_run)
WHERE load_id = ANY(%(load_ids)s) AND last_status IN ('Queued', 'In Progress')
RETURNING load_id
"""
_ATTACH_HISTORY: Final = "UPDATE control.historical_metadata SET run_id = %(run_id)s WHERE load_id = ANY(%(load_ids)s)"


@dataclass(frozen=True)
class Pick:
    """A row to claim. ``reason``: it is Failed at once; ``keep_schedule``: by hand."""

    config_id: int
    control_key: str
    next: datetime | None = None
    reason: str | None = None
    keep_schedule: bool = False


def tick(
    pool: Pool,
    holder: Holder,
    *,
    limit: int,
    per_run: int,
    strategies_alone: Sequence[str],
    check_row: CheckRow | None,
) -> TickResult:
    """See :meth:`dataloader_core.control.database.ControlDatabase.tick`."""
    hit("control.before_claim")
    with pool.transaction() as connection:
        alone = due.alone(connection, strategies_alone)
        picks = [
            Pick(row.config_id, row.control_key, row.next, row.reason)
            for row in (*due.reschedule(connection), *due.select(connection, limit, alone))
        ]
        claims, failures = claim_picks(connection, picks, holder, check_row)
        values = {"host": holder.host, "pid": holder.pid, "kind": holder.kind, "claimed": len(claims)}
        connection.execute(_TICK, values)
        hit("control.before_claim_commit")
    hit("control.after_claim_commit")
    return TickResult(batches(claims, per_run, alone), failures)


def batches(claims: Sequence[Claim], per_run: int, alone: Sequence[str]) -> Sequence[Sequence[Claim]]:
    """Up to ``per_run`` claims of one source together, in their order; those of ``alone`` each by itself."""
    done: list[list[Claim]] = []
    open_batches: dict[str, list[Claim]] = {}
    for claim in claims:
        if claim.table.load_strategy in alone:
            done.append([claim])
            continue
        batch = open_batches.get(claim.table.db_config_key)
        if batch is None or len(batch) >= per_run:
            batch = open_batches[claim.table.db_config_key] = []
            done.append(batch)
        batch.append(claim)
    return done


def claim_picks(
    connection: Connection, picks: Sequence[Pick], holder: Holder, check_row: CheckRow | None
) -> tuple[list[Claim], list[ClaimFailure]]:
    """Claim rows that are locked; a row that cannot be claimed fails alone."""
    if not picks:
        return [], []
    try:
        with connection.transaction():
            rows = _claim_rows(connection, picks, holder)
    except (psycopg.IntegrityError, psycopg.DataError, psycopg.InternalError) as error:
        if len(picks) == 1:
            return [], [ClaimFailure(picks[0].control_key, error.diag.message_primary or str(error))]
        claims: list[Claim] = []
        failures: list[ClaimFailure] = []
        for pick in picks:
            claimed, failed = claim_picks(connection, [pick], holder, check_row)
            claims += claimed
            failures += failed
        return claims, failures
    return _check(connection, picks, rows, check_row)


def _claim_rows(connection: Connection, picks: Sequence[Pick], holder: Holder) -> Mapping[int, Mapping[str, Any]]:
    ids = [pick.config_id for pick in picks]
    values = {
        "holder": Jsonb(holder_json(holder)),
        "run_id": holder.run_id,
        "ids": ids,
        "load_ids": [uuid.uuid4() for _ in picks],
        "nexts": [pick.next for pick in picks],
        "keeps": [pick.keep_schedule for pick in picks],
    }
    connection.execute(_CLAIM, values)
    connection.execute(_HISTORY, (ids,))
    rows = connection.execute(CLAIM_ROW + "WHERE t.config_id = ANY(%s)", (ids,)).fetchall()
    return {row["config_id"]: row for row in rows}


def _check(
    connection: Connection, picks: Sequence[Pick], rows: Mapping[int, Mapping[str, Any]], check_row: CheckRow | None
) -> tuple[list[Claim], list[ClaimFailure]]:
    claims: list[Claim] = []
    failures: list[ClaimFailure] = []
    for pick in picks:
        row = rows[pick.config_id]
        claim, reason = None, pick.reason
        if reason is None:
            claim, reason = _read(row, check_row)
        if claim is not None and reason is None:
            claims.append(claim)
            continue
        message = {"message": clean(reason or "unknown", MESSAGE_LENGTH), "load_id": row["load_id"]}
        connection.execute(_REFUSE_HISTORY, message)
        connection.execute(_REFUSE, message)
        failures.append(ClaimFailure(pick.control_key, message["message"]))
    return claims, failures


def _read(row: Mapping[str, Any], check_row: CheckRow | None) -> tuple[Claim | None, str | None]:
    try:
        claim = read_claim(row)
        return claim, check_row(claim) if check_row else None
    except DataLoaderError as error:
        return None, str(error)
    except Exception as error:  # noqa: BLE001  (a plugin's check may fail as it likes: this row fails, the others go on)
        return None, f"The row cannot be checked: {type(error).__name__}: {error}"


def claims_of(pool: Pool, load_ids: Sequence[uuid.UUID]) -> Sequence[Claim]:
    """See :meth:`dataloader_core.control.database.ControlDatabase.claims`."""
    with pool.transaction() as connection:
        rows = connection.execute(
            CLAIM_ROW + "WHERE t.load_id = ANY(%s) AND t.last_status IN ('Queued', 'In Progress')", (list(load_ids),)
        ).fetchall()
    found = {row["load_id"]: read_claim(row) for row in rows}
    return [found[load_id] for load_id in load_ids if load_id in found]


def peek(pool: Pool, control_key: str) -> Claim:
    """See :meth:`dataloader_core.control.database.ControlDatabase.peek`."""
    with pool.transaction() as connection:
        row = connection.execute(CLAIM_ROW + "WHERE t.control_key = %s", (control_key,)).fetchone()
        if row is None:
            raise unknown_table(connection, control_key)
    as_claimed = {
        "load_seq": row["load_seq"] + 1,
        "load_id": uuid.uuid4(),
        "history_id": 0,
        "claim_holder": holder_json(this_process("hand")),
        "claim_fingerprint": row["fingerprint"],
        "claim_previous_closed": row["claim_closed"],
        "claim_load_full": row["load_full"],
        "claim_load_full_orders": row["load_full_orders"],
    }
    return read_claim({**row, **as_claimed})


def unknown_table(connection: Connection, control_key: str) -> UnknownNameError:
    """The error for a control key that no row has; lists those that come near."""
    rows = connection.execute(
        "SELECT control_key FROM control.table_control ORDER BY control_key ILIKE '%%' || %s || '%%' DESC,"
        " control_key LIMIT 30",
        (control_key.rpartition(".")[2].strip('"'),),
    ).fetchall()
    return UnknownNameError("table", control_key, [row["control_key"] for row in rows])


def attach_run(pool: Pool, load_ids: Sequence[uuid.UUID], run_id: str, run_url: str | None) -> None:
    """See :meth:`dataloader_core.control.database.ControlDatabase.attach_run`."""
    with pool.transaction() as connection:
        values: dict[str, Any] = {"run_id": run_id, "url": run_url, "load_ids": list(load_ids)}
        rows = connection.execute(_ATTACH, values).fetchall()
        connection.execute(_ATTACH_HISTORY, {"run_id": run_id, "load_ids": [row["load_id"] for row in rows]})


def clean(text: str, length: int) -> str:
    """What a text column can hold: no NUL, not longer than ``length``."""
    text = text.replace("\x00", "�")
    return text if len(text) <= length else text[: length - 1] + "…"
