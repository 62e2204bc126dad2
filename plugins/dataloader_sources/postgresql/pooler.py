"""Connection pools between us and the server: one that does not keep a session together is refused.

A pool in transaction mode hands every transaction to whatever server connection is free. Session settings then leak
or get lost, and a snapshot's transaction cannot be told from another's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import psycopg

from dataloader_sources.postgresql.errors import connect_error, pooled

if TYPE_CHECKING:
    from dataloader_sources.postgresql.session import PostgresSession

# Not the TimeZone: PGTZ overrules it on the way to a server, too.
_EXPECTED: Final = {"IntervalStyle": "iso_8601", "default_transaction_read_only": "on"}
_STATE: Final = "SELECT pg_catalog.pg_backend_pid(), " + ", ".join(
    f"pg_catalog.current_setting('{name}')" for name in _EXPECTED
)


def refuse_broken_pools(session: PostgresSession) -> None:
    """Check that the settings arrived and, where a pool is in between, that the session is ours alone.

    Raises:
        SourceRefusedError: names what was found and the cure.
    """
    pid, *found = session.fetch(_STATE)[0]
    if tuple(found) != tuple(_EXPECTED.values()):
        raise pooled(session.where, "the session's settings do not reach the server")
    if pid != session.connection.info.backend_pid and _shared(session):
        raise pooled(session.where, "two connections share one server session (transaction mode)")


def _shared(session: PostgresSession) -> bool:
    """A second connection, while the first one idles, gets the same server session from a pool in transaction mode."""
    try:
        with psycopg.connect(session.conninfo(" pool check"), prepare_threshold=None) as second:
            theirs = second.execute("SELECT pg_catalog.pg_backend_pid()").fetchone()
            # The second one is inside its transaction now; ours must be answered by another server session.
            first = session.fetch("SELECT pg_catalog.pg_backend_pid()")[0]
            again = session.fetch("SELECT pg_catalog.pg_backend_pid()")[0]
    except psycopg.Error as error:
        raise connect_error(error, session.where) from None
    before = session.fetch("SELECT pg_catalog.pg_backend_pid()")[0]
    return theirs in (first, again, before) or not (first == again == before)
