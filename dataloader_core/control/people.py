"""What people order: cancel, reset, a full load, the adoption of a destination."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from psycopg.types.json import Jsonb

from dataloader_core.control.claims import unknown_table
from dataloader_core.control.pool import Connection, Pool
from dataloader_core.errors import IllegalChangeError

_EXISTS: Final = "SELECT FROM control.table_control WHERE control_key = %s"
_ORDER_FULL: Final = "UPDATE control.table_control SET load_full = true WHERE control_key = %s RETURNING config_id"
_ROW: Final = """
SELECT config_id, control_key, table_uid, last_status, load_seq, committed_version, control.describe_holder(t) AS holder
FROM control.table_control t
"""
_ADOPT_UNOWNED: Final = """
UPDATE control.table_control SET adopt_unowned = true, claim_closed = false WHERE config_id = %s
"""
# A deleted row lives on in the audit trail, as it was when it was deleted.
_DELETED: Final = """
SELECT old_values FROM control.table_control_history
WHERE change_type = 'DELETE' AND old_values ->> 'table_uid' = %s::text ORDER BY history_id DESC LIMIT 1
"""
_NEW_IDENTITY: Final = """
UPDATE control.table_control SET table_uid = gen_random_uuid(), claim_closed = false WHERE config_id = %s
"""
_ADOPT: Final = """
UPDATE control.table_control
SET table_uid = %(uid)s, load_seq = greatest(load_seq, %(load_seq)s), claim_closed = false, committed_version = NULL
WHERE config_id = %(config_id)s
"""
# Watermark and version belong to the configuration that they were committed with.
_ADOPT_STATE: Final = """
UPDATE control.table_control t
SET committed_version = o.committed_version, incremental_value = o.incremental_value,
    backfill_cursor = o.backfill_cursor, watermark_sets = greatest(t.watermark_sets, o.watermark_sets),
    load_full_orders = greatest(t.load_full_orders, o.load_full_orders)
FROM jsonb_populate_record(NULL::control.table_control, %(old)s::jsonb) o
WHERE t.config_id = %(config_id)s AND control.fingerprint(o) = control.fingerprint(t)
"""


def cancel(pool: Pool, control_key: str, message: str) -> None:
    """See :meth:`dataloader_core.control.database.ControlDatabase.cancel`."""
    with pool.transaction() as connection:
        _must_exist(connection, control_key)
        connection.execute("SELECT control.cancel_load(%s, %s)", (control_key, message))


def reset(pool: Pool, control_key: str) -> None:
    """See :meth:`dataloader_core.control.database.ControlDatabase.reset`."""
    with pool.transaction() as connection:
        _must_exist(connection, control_key)
        connection.execute("SELECT control.reset_table(%s)", (control_key,))


def order_full(pool: Pool, control_key: str) -> None:
    """See :meth:`dataloader_core.control.database.ControlDatabase.order_full`."""
    with pool.transaction() as connection:
        _must_exist(connection, control_key)
        connection.execute(_ORDER_FULL, (control_key,))


def adopt(pool: Pool, control_key: str, from_uid: UUID | None) -> None:
    """See :meth:`dataloader_core.control.database.ControlDatabase.adopt`."""
    with pool.transaction() as connection:
        connection.execute(
            "SELECT set_config('dataloader.adopting', 'yes', true),"
            " set_config('dataloader.change_source', 'adopt', true)"
        )
        row = connection.execute(_ROW + "WHERE control_key = %s FOR UPDATE", (control_key,)).fetchone()
        if row is None:
            raise unknown_table(connection, control_key)
        _must_rest(row)
        if from_uid is None or from_uid == row["table_uid"]:
            connection.execute(_ADOPT_UNOWNED, (row["config_id"],))
            return
        _take_over(connection, row, from_uid)


def _take_over(connection: Connection, row: Mapping[str, Any], uid: UUID) -> None:
    other = connection.execute(_ROW + "WHERE table_uid = %s FOR UPDATE", (uid,)).fetchone()
    old = None
    if other is not None:
        _must_rest(other)
        if other["committed_version"] is not None:
            raise IllegalChangeError(
                f"The row {other['control_key']} has this identity ({uid}) and has loaded its own destination with it.",
                cure=f"Delete that row first, or order load_full for {row['control_key']}, which overwrites.",
            )
        connection.execute(_NEW_IDENTITY, (other["config_id"],))
    else:
        deleted = connection.execute(_DELETED, (uid,)).fetchone()
        old = deleted["old_values"] if deleted else None
    load_seq = other["load_seq"] if other else (old or {}).get("load_seq", 0)
    connection.execute(_ADOPT, {"uid": uid, "load_seq": load_seq, "config_id": row["config_id"]})
    if old is not None:
        connection.execute(_ADOPT_STATE, {"old": Jsonb(old), "config_id": row["config_id"]})


def _must_rest(row: Mapping[str, Any]) -> None:
    if row["last_status"] in ("Queued", "In Progress"):
        raise IllegalChangeError(
            f"{row['control_key']} is {row['last_status']}, held by {row['holder']}.", cure="Cancel the load first."
        )


def _must_exist(connection: Connection, control_key: str) -> None:
    if connection.execute(_EXISTS, (control_key,)).fetchone() is None:
        raise unknown_table(connection, control_key)
