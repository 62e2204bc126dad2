"""The session-init statement: one SET, RESET or SELECT, which can neither write nor make a session writable."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from dataloader_core.errors import ConfigurationError
from dataloader_sources.postgresql.sqltext import Token, lex

if TYPE_CHECKING:
    import psycopg

_WHAT: Final = "init_statement"
_CURE: Final = "Write one SET, RESET or SELECT, for instance SET ROLE reporting."
_WRITABLE: Final = ("default_transaction_read_only", "transaction_read_only")
_KEPT: Final = (
    *_WRITABLE,
    "session_replication_role",
    "standard_conforming_strings",
    "client_encoding",
    "TimeZone",
    "DateStyle",
    "IntervalStyle",
    "extra_float_digits",
    "bytea_output",
    "application_name",
)
"""Settings that decide whether a session can write, what its statements mean and how values are written."""
_KEPT_STATE: Final = "SELECT " + ", ".join(f"pg_catalog.current_setting('{name}')" for name in _KEPT)
_KEPT_BY_WORDS: Final = {"time": "TimeZone", "names": "client_encoding", "all": "all settings"}
_TRANSACTION: Final = ("transaction", "characteristics")


def init_text(statement: str) -> str:
    """The statement, without a semicolon at its end.

    Raises:
        ConfigurationError: not exactly one SET, RESET or SELECT, or one of a setting that a session must keep.
    """
    tokens = lex(statement, _WHAT)
    ends = [token.start for token in tokens if token.text == ";"]
    words = [token for token in tokens if token.text != ";"]
    if not words or (ends and ends[0] < words[-1].start):
        raise ConfigurationError(f"The `{_WHAT}` is not one statement.", cure=_CURE)
    kind = words[0].text.lower()
    if kind not in ("set", "reset", "select"):
        raise ConfigurationError(f"The `{_WHAT}` starts with {words[0].text!r}.", cure=_CURE)
    if kind != "select":
        _check_setting(words[1:])
    return statement[: ends[0]] if ends else statement


def asks(statement: str) -> bool:
    """It is a SELECT, so it may come upon rows."""
    return lex(statement, _WHAT)[0].text.lower() == "select"


def run_init(connection: psycopg.Connection[tuple[Any, ...]], statement: str) -> None:
    """Run it, and see that the session kept its settings.

    Raises:
        ConfigurationError: see :func:`init_text`, or a function that it calls changed them.
        psycopg.Error: the server refused it.
    """
    text = init_text(statement).encode()
    before = connection.execute(_KEPT_STATE.encode()).fetchone()
    # The mode of the transaction is said, not left to the default; `binary` is the extended protocol, which takes
    # one statement only.
    connection.execute("BEGIN READ ONLY")
    try:
        connection.execute(text, binary=True)
    except BaseException:
        connection.rollback()
        raise
    connection.commit()
    after = connection.execute(_KEPT_STATE.encode()).fetchone()
    assert before is not None
    assert after is not None
    changed = [name for name, old, new in zip(_KEPT, before, after, strict=True) if old != new]
    if changed:
        raise _changes(changed[0])


def _check_setting(tokens: list[Token]) -> None:
    """What follows SET or RESET names no setting that a session must keep."""
    words = [token.text.strip('"').lower() for token in tokens]
    if words[:1] == ["local"]:
        raise ConfigurationError(f"The `{_WHAT}` is a SET LOCAL, which ends with its transaction.", cure=_CURE)
    if words[:1] == ["session"]:
        words = words[1:]
    name = words[0] if words else ""
    if name in _TRANSACTION:
        raise _changes(_WRITABLE[1])
    if name.startswith("u&"):
        raise ConfigurationError(f"The `{_WHAT}` spells a setting's name with escapes.", cure="Write the name itself.")
    kept = {setting.lower(): setting for setting in _KEPT} | _KEPT_BY_WORDS
    if name in kept:
        raise _changes(kept[name])


def _changes(name: str) -> ConfigurationError:
    if name in _WRITABLE:
        return ConfigurationError("The session-init statement makes the session writable.", cure=_CURE)
    return ConfigurationError(
        f"The session-init statement changes {name}, which a session must keep.", cure="Leave it out of it."
    )
