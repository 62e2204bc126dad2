"""Claiming one table by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from dataloader_core.control import due
from dataloader_core.control.claims import Pick, claim_picks, unknown_table
from dataloader_core.control.pool import Pool
from dataloader_core.control.records import Claim, Holder
from dataloader_core.errors import ConfigurationError, IllegalChangeError
from dataloader_core.failpoints import hit

_LOCK_SOURCE: Final = """
SELECT s.db_config_key, s.is_active, s.max_concurrent_loads FROM control.table_control_dbconfig s
WHERE s.db_config_key = (SELECT db_config_key FROM control.table_control WHERE control_key = %s)
FOR NO KEY UPDATE
"""
_LOCK_ROW: Final = """
SELECT config_id, last_status, load_strategy, control.describe_holder(t) AS holder, load_queued_at
FROM control.table_control t WHERE control_key = %s FOR UPDATE
"""
_ORDER_FULL: Final = "UPDATE control.table_control SET load_full = true WHERE config_id = %s"


def claim_by_hand(
    pool: Pool, control_key: str, holder: Holder, *, full: bool, strategies_alone: Sequence[str] = ()
) -> Claim | None:
    """See :meth:`dataloader_core.control.database.ControlDatabase.claim_by_hand`."""
    hit("control.before_claim")
    with pool.transaction() as connection:
        source = connection.execute(_LOCK_SOURCE, (control_key,)).fetchone()
        row = connection.execute(_LOCK_ROW, (control_key,)).fetchone()
        if source is None or row is None:
            raise unknown_table(connection, control_key)
        if row["last_status"] in ("Queued", "In Progress"):
            raise IllegalChangeError(
                f"{control_key} is {row['last_status']} since {row['load_queued_at']:%Y-%m-%d %H:%M:%S %Z}, held by "
                f"{row['holder']}.",
                cure="Wait for it, or end it with `dataloader cancel`.",
            )
        if not source["is_active"]:
            raise IllegalChangeError(
                f"{control_key}: its source {source['db_config_key']!r} is disabled.",
                cure="Set is_active of the source to true.",
            )
        alone = due.alone(connection, strategies_alone)
        if not due.has_place(
            connection,
            source["db_config_key"],
            source["max_concurrent_loads"],
            alone=alone,
            is_alone=row["load_strategy"] in alone,
        ):
            return None
        if full:
            connection.execute(_ORDER_FULL, (row["config_id"],))
        pick = Pick(row["config_id"], control_key, keep_schedule=True)
        claims, failures = claim_picks(connection, [pick], holder, None)
        hit("control.before_claim_commit")
    hit("control.after_claim_commit")
    if failures:
        raise ConfigurationError(f"{control_key} cannot be claimed: {failures[0].reason}")
    return claims[0]
