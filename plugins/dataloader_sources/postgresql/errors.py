"""psycopg's errors as ours, told apart by what may help: trying again, or somebody acting."""

from __future__ import annotations

import re
from typing import Final

import psycopg

from dataloader_core.errors import (
    DataLoaderError,
    SourceError,
    SourceRefusedError,
    SourceUnavailableError,
    UnrepresentableValueError,
)

_POOLER_CURE: Final = (
    "Connect to the server itself, or to a pool in session mode that passes settings on: snapshots and session "
    "settings do not survive a pool in transaction mode."
)
_LOGIN: Final[tuple[tuple[str, str], ...]] = (
    (r"password authentication failed|no password supplied", "Check the user and the secret of its password."),
    (r"authentication failed|no pg_hba\.conf entry", "Ask the DBA to admit this user, host and TLS mode."),
    (r'database ".*" does not exist', "Check `database`."),
    (r'role ".*" (does not exist|is not permitted to log in)', "Check `user`."),
    (r"permission denied for database", "GRANT CONNECT ON DATABASE to the user of this source."),
    (r"SSL|certificate", "Check sslmode and sslrootcert."),
)
_REFUSED: Final = {
    "42501": "GRANT SELECT on what it names to the user of this source.",
    "42P01": "The table was dropped or renamed: correct the configuration.",
    "3F000": "The schema was dropped or renamed: correct the configuration.",
    "42703": "The column was dropped or renamed: correct the configuration.",
    "42601": "Correct the `query` or `filter`.",
    "28P01": "Check the user and the secret of its password.",
    "28000": "Check the user, and what pg_hba.conf admits.",
    "3D000": "Check `database`.",
    "55000": "Make it readable at the source: an empty materialized view needs REFRESH MATERIALIZED VIEW.",
    "25006": "A source is only ever read: remove what writes from the `query`, the `filter` or the view.",
}
_NO_TEXT: Final = ("22021", "22P05")
_TRANSIENT_CLASSES: Final = ("08", "40", "53", "57", "58")
"""SQLSTATE classes (Appendix A of the manual): connection, rollback, resources, intervention, system."""
_TRANSIENT: Final = ("55006", "55P03", "25P03", "25P04")
"""Object in use, lock not available, and the server's own limits of a transaction's length."""


def translate(error: psycopg.Error) -> DataLoaderError:
    """The error of ours that says what happened, with the server's first line and without a row's values."""
    text, state = first_line(error), error.sqlstate or ""
    if state in _NO_TEXT:
        return UnrepresentableValueError(
            f"A column holds bytes that are no text in the database's encoding: {text}",
            cure="Correct the rows at the source, or leave the column out with `columns`.",
        )
    if state == "57014" and "statement timeout" in text:
        return SourceUnavailableError(f"The source ended the statement: {text}.", cure="Raise the statement time-out.")
    if state[:2] in _TRANSIENT_CLASSES or state in _TRANSIENT:
        return SourceUnavailableError(f"The source could not go on: {text}.", cure="Try again later.")
    if not state and isinstance(error, psycopg.OperationalError):
        return SourceUnavailableError(f"The connection to the source was lost: {text}.", cure="Try again later.")
    return SourceRefusedError(f"The source refused: {text}.", cure=_REFUSED.get(state))


def connect_error(error: psycopg.Error, where: str) -> SourceError:
    """The same for a connection that could not be opened. ``where`` names host, port and database."""
    text = first_line(error)
    if "unsupported startup parameter" in text or "pgbouncer" in text.lower():
        return pooled(where, "it refuses the session's settings")
    for pattern, cure in _LOGIN:
        if re.search(pattern, text):
            return SourceRefusedError(f"{where} refused the login: {text}.", cure=cure)
    return SourceUnavailableError(
        f"{where} cannot be reached: {text}.", cure="Check host, port, network and whether the server is up."
    )


def pooled(where: str, found: str) -> SourceRefusedError:
    """The refusal of a pool that does not keep a session together."""
    return SourceRefusedError(f"{where} is a connection pool, not a server: {found}.", cure=_POOLER_CURE)


def first_line(error: psycopg.Error) -> str:
    """What the server said, without DETAIL (which quotes rows) and without the statement.

    A failed connection lists every address that it tried, some with a hint below; the last one counts.
    """
    lines = [line.strip() for line in (error.diag.message_primary or str(error)).splitlines() if line.strip()]
    attempts = [] if error.sqlstate else [line for line in lines if "failed: " in line]
    line = attempts[-1] if attempts else lines[0] if lines else ""
    return _without_values(line.removeprefix("connection failed: ")).rstrip(".") or type(error).__name__


def _without_values(line: str) -> str:
    """Messages such as ``invalid input syntax for type integer: "4711"`` quote a row's value behind the colon."""
    return re.sub(r"((?:invalid|malformed|out of range)[^:]*): .*", r"\1", line)
