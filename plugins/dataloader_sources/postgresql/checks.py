"""What ``source test`` reports of a PostgreSQL server."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from dataloader_core.interfaces.source import Check
from dataloader_sources.postgresql.transactions import activity

if TYPE_CHECKING:
    from dataloader_sources.postgresql.session import PostgresSession

OLDEST: Final = 120000
_CLOCK_TOLERANCE: Final = timedelta(seconds=5)


def checks(session: PostgresSession) -> Sequence[Check]:
    """One line each. A line that fails names the cure; none of them changes anything."""
    return [
        _version(session),
        _encryption(session),
        _read_only(session),
        _encoding(session),
        _role(session),
        _sessions(session),
        _prepared(session),
        _clock(session),
    ]


def _version(session: PostgresSession) -> Check:
    number = session.server_version
    shown = session.fetch("SHOW server_version")[0][0]
    return Check("version", number >= OLDEST, f"PostgreSQL {shown}", None if number >= OLDEST else "Use 12 or newer.")


def _encryption(session: PostgresSession) -> Check:
    used = session.connection.pgconn.ssl_in_use
    local = session.settings.host.startswith("/") or session.settings.host in ("localhost", "127.0.0.1", "::1")
    cure = None if used or local else "Set sslmode to verify-full, with sslrootcert."
    return Check("encryption", used or local, "TLS" if used else "no TLS", cure)


def _read_only(session: PostgresSession) -> Check:
    value = session.fetch("SHOW transaction_read_only")[0][0]
    return Check("read-only", value == "on", f"transactions are {'' if value == 'on' else 'not '}read-only")


def _encoding(session: PostgresSession) -> Check:
    """The server converts every encoding but SQL_ASCII, which is none: any byte may be in its texts."""
    encoding = session.fetch("SHOW server_encoding")[0][0]
    if encoding != "SQL_ASCII":
        return Check("encoding", True, f"{encoding}, read as UTF-8")
    return Check(
        "encoding",
        False,
        "SQL_ASCII: the database does not know the encoding of its texts; bytes that are not UTF-8 are refused",
        "Where you know it, convert such columns in a `query`, for instance from LATIN1: "
        "convert_from(convert(convert_to(col, 'SQL_ASCII'), 'LATIN1', 'UTF8'), 'SQL_ASCII').",
    )


def _role(session: PostgresSession) -> Check:
    return Check("server", True, "a standby" if session.in_recovery else "a primary")


def _sessions(session: PostgresSession) -> Check:
    """Without the grant a cap is proven only while all sessions of the database are the user's own."""
    user = session.fetch("SELECT current_user::text")[0][0]
    if session.in_recovery:
        return Check(
            "caps",
            False,
            "a standby does not show the primary's transactions, so no cap is proven",
            "Connect to the primary, or give watermark tables a watermark_delay or an incremental_lookback.",
        )
    may, hidden = session.sees_all, activity(session).hidden
    if may and not hidden:
        return Check("caps", True, "the transactions of all sessions can be seen")
    seen = f" (now those of {', '.join(hidden)})" if hidden else ""
    cure = f"GRANT pg_read_all_stats TO {session.dialect.quote(user)};"
    if may:
        cure = "Set track_activities = on for the server and all its roles."
    return Check("caps", False, f"transactions of other users cannot be seen{seen}, so no cap is proven", cure)


def _prepared(session: PostgresSession) -> Check:
    prepared = () if session.in_recovery else activity(session).prepared
    if not prepared:
        return Check("prepared transactions", True, "none")
    names = ", ".join(f"{gid!r} of {owner}" for gid, owner in prepared)
    return Check("prepared transactions", False, f"{names}: watermarks stay where they are", "Commit or roll back.")


def _clock(session: PostgresSession) -> Check:
    before = datetime.now(UTC)
    theirs = session.clock()
    off = max(before - theirs, theirs - datetime.now(UTC), timedelta(0))
    ok = off <= _CLOCK_TOLERANCE
    detail = f"{theirs.isoformat(' ', 'seconds')}, {off.total_seconds():.1f} s from this machine's"
    return Check("clock", ok, detail, None if ok else "Synchronize the clocks (NTP).")
