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


_OF_SERVER: Final = (*_TRANSIENT_CLASSES, "25", "28", "3D", "55")
"""Classes in which the server speaks of itself and its objects. Class 25 is the state of a transaction, 55 of an
object."""
_OF_VALUES: Final = ("22", "23", "P0", "HV")
"""Classes of data, constraints, RAISE and foreign data."""
_DATA_CURE: Final = (
    "Correct the rows at the source, or the `query`, `filter` or view that reads them. "
    "A load keeps the server's own words in its history, and nowhere else."
)


def translate(error: psycopg.Error, *, of_rows: bool = True) -> DataLoaderError:
    """The error of ours that says what happened, without a row's values.

    Args:
        of_rows: Rows may have been read, so the server's words may quote them.
    """
    state, line = error.sqlstate or "", first_line(error)
    tells = not of_rows or _tells_no_value(error)
    text = line if tells else _condition(error)
    samples = () if tells else (line,)
    if state in _NO_TEXT:
        return UnrepresentableValueError(
            f"A column holds bytes that are no text in the database's encoding: {text}.",
            cure="Correct the rows at the source, or leave the column out with `columns`.",
            samples=samples,
        )
    if state == "57014" and "statement timeout" in line:
        return SourceUnavailableError(
            "The source ended the statement: canceling statement due to statement timeout.",
            cure="Raise the statement time-out.",
        )
    if state[:2] in _TRANSIENT_CLASSES or state in _TRANSIENT:
        return SourceUnavailableError(f"The source could not go on: {text}.", cure="Try again later.", samples=samples)
    if not state and isinstance(error, psycopg.OperationalError):
        return SourceUnavailableError(f"The connection to the source was lost: {text}.", cure="Try again later.")
    cure = _REFUSED.get(state) or (None if tells else _DATA_CURE)
    return SourceRefusedError(f"The source refused: {text}.", cure=cure, samples=samples)


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
    """What the server said, without DETAIL and without the statement. It may quote a row's value.

    A failed connection lists every address that it tried, some with a hint below; the last one counts.
    """
    lines = [line.strip() for line in (error.diag.message_primary or str(error)).splitlines() if line.strip()]
    attempts = [] if error.sqlstate else [line for line in lines if "failed: " in line]
    line = attempts[-1] if attempts else lines[0] if lines else ""
    return line.removeprefix("connection failed: ").rstrip(".") or type(error).__name__


def _tells_no_value(error: psycopg.Error) -> bool:
    """Whether the server's words are about its objects or our SQL, which its code and their place decide.

    The words themselves do not: they come in many languages and quote a value anywhere. An error with a context came
    out of a function, whose author may write any words under any code.
    """
    state, diag = error.sqlstate, error.diag
    if not state:
        return isinstance(error, psycopg.OperationalError)
    if diag.context or state[:2] in _OF_VALUES:
        return False
    # A place in the statement is known while it is parsed, before any row is read.
    return state[:2] in _OF_SERVER or state == "42501" or diag.statement_position is not None


def _condition(error: psycopg.Error) -> str:
    """The condition's name of the manual's Appendix A, such as ``invalid text representation (SQLSTATE 22P02)``."""
    words = re.findall(r"[A-Z]+(?=[A-Z][a-z]|$)|[A-Z]?[a-z]+|\d+", type(error).__name__)
    name = " ".join(words).lower()
    return f"{name} (SQLSTATE {error.sqlstate})" if error.sqlstate else name
