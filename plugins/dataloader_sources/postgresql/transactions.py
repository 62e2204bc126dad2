"""The transactions that are open at the server and could write, and those that are prepared."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from dataloader_core.plan import Cap
from dataloader_sources.postgresql.connection import READ_ONLY_MARK
from dataloader_sources.postgresql.looks import Transaction

if TYPE_CHECKING:
    from dataloader_sources.postgresql.session import PostgresSession

# A statement's own start, not clock_timestamp(): it is certainly before the moment that the sessions are looked at.
# `active` without a transaction start is a session between the two reports of its state; its transaction starts with
# its statement. A walsender is `active` for as long as it streams. Autovacuum writes no row, and a parallel worker
# ends before its leader's transaction does.
_OPEN: Final = """
SELECT pg_catalog.statement_timestamp(), a.pid, a.backend_start, a.xact_start,
       coalesce(a.xact_start, CASE WHEN a.state IN ('active', 'fastpath function call')
                                    AND a.backend_type = 'client backend' THEN a.query_start END),
       a.pid IS NOT NULL AND (a.backend_start IS NULL OR coalesce(a.state, '') = 'disabled'), a.usename::text
FROM pg_catalog.pg_stat_activity me LEFT JOIN pg_catalog.pg_stat_activity a
  ON a.datid = me.datid AND a.pid <> me.pid
 AND coalesce(a.backend_type, '') NOT IN ('parallel worker', 'autovacuum worker')
 AND NOT (a.usesysid = me.usesysid
          AND pg_catalog.right(a.application_name, pg_catalog.length(%(mark)s)) = %(mark)s)
WHERE me.pid = pg_catalog.pg_backend_pid()"""

_PREPARED: Final = """
SELECT gid, owner::text FROM pg_catalog.pg_prepared_xacts
WHERE database = pg_catalog.current_database() ORDER BY prepared"""


@dataclass(frozen=True, slots=True)
class Activity:
    """What other sessions of this database were doing.

    Attributes:
        clock: The server's, before it looked.
        open: Transactions that could write; our own read-only sessions left out.
        oldest: The earliest start among them, and the process id of its session.
        hidden: Users of sessions whose transactions cannot be seen. Where there are any, nothing is proven.
        prepared: Prepared transactions, by name and owner. They have no session and may commit at any time.
    """

    clock: datetime
    open: frozenset[Transaction]
    oldest: tuple[datetime, int] | None
    hidden: tuple[str, ...]
    prepared: tuple[tuple[str, str], ...]


def activity(session: PostgresSession) -> Activity:
    """Look at the sessions, then at what is prepared: a transaction that is prepared in between is seen twice."""
    rows = session.fetch(_OPEN, {"mark": READ_ONLY_MARK})
    prepared = tuple((gid, owner) for gid, owner in session.fetch(_PREPARED))
    starts = [(start, pid) for _, pid, _, _, start, hidden, _ in rows if start is not None and not hidden]
    return Activity(
        clock=rows[0][0],
        open=frozenset((pid, born, began) for _, pid, born, began, _, hidden, _ in rows if began and not hidden),
        oldest=min(starts, default=None),
        hidden=tuple(sorted({user or "a background worker" for *_, hidden, user in rows if hidden})),
        prepared=prepared,
    )


def prepared_hold(now: Activity) -> Cap | None:
    """While a transaction is prepared, the watermark stays: it may commit rows of any age."""
    if not now.prepared:
        return None
    names = ", ".join(f"{gid!r} of {owner}" for gid, owner in now.prepared)
    reason = f"Prepared transaction {names} may still commit older rows: COMMIT PREPARED or ROLLBACK PREPARED it."
    return Cap(None, False, True, reason, hold=True)


def hidden_reason(session: PostgresSession, now: Activity) -> str | None:
    """Why the sessions of others prove nothing; None: all of them can be seen."""
    if not now.hidden:
        return None
    return (
        f"the transactions of {', '.join(now.hidden)} cannot be seen: "
        f"GRANT pg_read_all_stats TO {session.dialect.quote(session.settings.user)}, with track_activities on"
    )
