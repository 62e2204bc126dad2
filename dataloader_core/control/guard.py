"""The guard of a load's updates: its row, locked, or nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from psycopg import sql

from dataloader_core.control.pool import Connection
from dataloader_core.control.reading import CLAIM_ROW, read_claim
from dataloader_core.control.records import Claim
from dataloader_core.errors import ClaimLostError

# The setting tells the triggers that a load writes: its watermark is no order of a person.
_LOCKED: Final = """
SELECT t.*, control.fingerprint(t) AS fingerprint, clock_timestamp() AS clock,
       set_config('dataloader.writer', 'load', true)
FROM control.table_control t
WHERE config_id = %(config_id)s AND load_seq = %(load_seq)s AND load_id = %(load_id)s
  AND last_status = ANY(%(statuses)s)
FOR UPDATE
"""
_NOW: Final = """
SELECT load_seq, load_id, last_status, last_status_message FROM control.table_control WHERE config_id = %s
"""


def locked(connection: Connection, claim: Claim, statuses: Sequence[str]) -> Mapping[str, Any]:
    """The claim's row as it is now, with ``fingerprint``, locked until the transaction ends.

    Raises:
        ClaimLostError: the claim does not stand any more, or is in none of these statuses.
    """
    row = connection.execute(_LOCKED, _key(claim) | {"statuses": list(statuses)}).fetchone()
    if row is None:
        raise _lost(connection, claim)
    return row


def update(connection: Connection, claim: Claim, changes: Mapping[str, Any]) -> None:
    """Set columns of the row that :func:`locked` gave."""
    assignments = sql.SQL(", ").join(
        sql.SQL("{} = {}").format(sql.Identifier(name), sql.Placeholder(name)) for name in changes
    )
    statement = sql.SQL("UPDATE control.table_control SET {} WHERE config_id = {}").format(
        assignments, sql.Placeholder("row")
    )
    connection.execute(statement, {**changes, "row": claim.config_id})


def claim_again(connection: Connection, claim: Claim) -> Claim:
    """The claim as its row has it after a change."""
    row = connection.execute(CLAIM_ROW + "WHERE t.config_id = %s", (claim.config_id,)).fetchone()
    assert row is not None, "the row is locked"
    return read_claim(row)


def _key(claim: Claim) -> dict[str, Any]:
    return {"config_id": claim.config_id, "load_seq": claim.load_seq, "load_id": claim.load_id}


def _lost(connection: Connection, claim: Claim) -> ClaimLostError:
    row = connection.execute(_NOW, (claim.config_id,)).fetchone()
    if row is None:
        why = "its row was deleted"
    elif row["load_id"] != claim.load_id:
        why = f"the table was claimed again (load_seq {row['load_seq']})"
    elif row["load_seq"] != claim.load_seq:
        why = f"its load_seq is {row['load_seq']} by now"
    else:
        message = f": {row['last_status_message']}" if row["last_status_message"] else ""
        why = f"it is {row['last_status'] or 'reset'}{message}"
    return ClaimLostError(
        f"{claim.control_key}: load {claim.load_seq} no longer holds its claim: {why}",
        cure="What it did not commit is lost; the next load does it again.",
    )
