"""Connections to the control database: a small pool, and one place where its errors get our names."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeAlias

import psycopg
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import DictRow, dict_row
from psycopg_pool import ConnectionPool, PoolTimeout

from dataloader_core.errors import (
    ConfigurationError,
    ControlDatabaseError,
    ControlUnavailableError,
    IllegalChangeError,
    SchemaVersionError,
)

Connection: TypeAlias = psycopg.Connection[DictRow]

WAIT_SECONDS: Final = 10
_CONNECTION_DEFAULTS: Final[dict[str, Any]] = {
    "connect_timeout": 5,
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
# How values are written on the wire is no matter of the caller's PGDATESTYLE or the role's settings. A holder of locks
# that was paused must not stop every claimer: the server ends its transaction.
_SESSION: Final = (
    "SET TIME ZONE 'UTC'; SET DateStyle = 'ISO, MDY'; SET IntervalStyle = 'postgres';"
    " SET lock_timeout = '10s'; SET statement_timeout = '60s';"
    " SET idle_in_transaction_session_timeout = '60s'"
)
_CURE_UNAVAILABLE: Final = "Check that it runs and can be reached; what was under way is tried again."


class Pool:
    """A few connections to one database, opened at first use, anew after a fork.

    Raises:
        ConfigurationError: the URL cannot be understood; the message does not repeat it.
    """

    def __init__(self, url: str, *, application_name: str, size: int) -> None:
        try:
            given = conninfo_to_dict(url)
        except psycopg.Error:
            raise ConfigurationError(
                "The URL of the control database cannot be understood.",
                cure="Write it like postgresql://user@host:5432/database.",
            ) from None
        defaults = {k: v for k, v in _CONNECTION_DEFAULTS.items() if k not in given}
        self.conninfo = make_conninfo(url, **defaults, client_encoding="UTF8", application_name=application_name)
        self.where = f"{given.get('dbname', '')} at {given.get('host', 'the default host')}"
        self._size = size
        self._lock = threading.Lock()
        self._pool: ConnectionPool[Connection] | None = None
        self._pid = os.getpid()

    def close(self) -> None:
        with self._lock:
            if self._pool is not None and self._pid == os.getpid():
                self._pool.close()
            self._pool = None

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """One transaction; errors of the database leave it as errors of ours."""
        with translated(self.where):
            try:
                with self._opened().connection(timeout=WAIT_SECONDS) as connection:
                    yield connection
            except PoolTimeout as error:
                raise ControlUnavailableError(
                    f"The control database ({self.where}) gave no connection within {WAIT_SECONDS} s.",
                    cure=_CURE_UNAVAILABLE,
                ) from error

    def _opened(self) -> ConnectionPool[Connection]:
        with self._lock:
            if self._pool is None or self._pid != os.getpid():
                # The pool connects in the background and hides the reason of a refusal; this says it, at once.
                psycopg.connect(self.conninfo).close()
                self._pid = os.getpid()
                self._pool = ConnectionPool(
                    self.conninfo,
                    connection_class=psycopg.Connection[DictRow],
                    kwargs={"row_factory": dict_row, "prepare_threshold": None},
                    min_size=0,
                    max_size=self._size,
                    timeout=WAIT_SECONDS,
                    max_idle=120,
                    configure=_configure,
                    check=ConnectionPool.check_connection,
                    open=True,
                )
            return self._pool


def _configure(connection: Connection) -> None:
    connection.execute(_SESSION)
    connection.commit()


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Turn driver errors into ours; ``where`` names the database without secrets."""
    try:
        yield
    except psycopg.Error as error:
        raise translate(error, where) from error


def translate(error: psycopg.Error, where: str) -> Exception:
    """Our error for one of the driver's."""
    text = (error.diag.message_primary or str(error) or type(error).__name__).strip()
    hint = error.diag.message_hint
    if isinstance(error, errors.UniqueViolation):
        return _unique(error, text)
    if isinstance(error, errors.ForeignKeyViolation):
        return IllegalChangeError(_sentence(text, error.diag.message_detail), cure=hint)
    if isinstance(error, errors.IntegrityError | errors.DataError):
        # The detail of these repeats the whole row.
        return IllegalChangeError(_sentence(text, None), cure=hint)
    if isinstance(error, errors.UndefinedTable | errors.InvalidSchemaName | errors.UndefinedFunction):
        return SchemaVersionError(
            f"The control schema in {where} is missing or incomplete: {text}.", cure="Run `dataloader init`."
        )
    if isinstance(error, errors.InsufficientPrivilege):
        return IllegalChangeError(
            f"The control database does not allow it: {text}.",
            cure="Grant one of the roles dataloader_reader, dataloader_editor and dataloader_loader.",
        )
    if isinstance(error, errors.LockNotAvailable | errors.QueryCanceled | errors.DeadlockDetected):
        return ControlUnavailableError(f"The control database ({where}) is busy: {text}.", cure="Try again.")
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        first_line = text.splitlines()[0]
        return ControlUnavailableError(
            f"The control database ({where}) is out of reach: {first_line}.", cure=_CURE_UNAVAILABLE
        )
    return ControlDatabaseError(f"The control database ({where}) answered: {text}.", cure=hint)


def _unique(error: errors.UniqueViolation, text: str) -> IllegalChangeError:
    detail = error.diag.message_detail
    if error.diag.constraint_name == "destination_is_unique":
        return IllegalChangeError(
            f"This destination belongs to another row already (whatever the case of its letters): {detail}",
            cure="Choose another destination, or delete the other row and use `dataloader adopt`.",
        )
    return IllegalChangeError(_sentence(text, detail), cure="Choose another value.")


def _sentence(text: str, detail: str | None) -> str:
    whole = f"{text}: {detail}" if detail else text
    return whole if whole.endswith((".", "!", "?")) else f"{whole}."
