"""Connections to the control database: a small pool, and one place where its errors get our names."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeAlias

import psycopg
from psycopg import errors
from psycopg.rows import DictRow, dict_row
from psycopg_pool import ConnectionPool, PoolTimeout
from pydantic import SecretStr

from dataloader_core.errors import (
    ConfigurationError,
    ControlDatabaseError,
    ControlLoginError,
    ControlUnavailableError,
    DataLoaderError,
    IllegalChangeError,
    SchemaVersionError,
)
from dataloader_core.interfaces.control_login import ControlLogin, Parameters

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

    The login is asked for each new connection: what it answers may be good for an hour only.
    """

    def __init__(self, login: ControlLogin, *, application_name: str, size: int) -> None:
        self.where = login.where
        self._login = login
        self._application_name = application_name
        self._size = size
        self._lock = threading.Lock()
        self._pool: ConnectionPool[Connection] | None = None
        self._pid = os.getpid()
        self._refusal: tuple[float, Exception] | None = None

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
                # The pool connects in the background and hides why it could not.
                if self._refusal and time.monotonic() - self._refusal[0] < 2 * WAIT_SECONDS:
                    raise self._refusal[1] from error
                raise ControlUnavailableError(
                    f"The control database ({self.where}) gave no connection within {WAIT_SECONDS} s.",
                    cure=_CURE_UNAVAILABLE,
                ) from error

    def _opened(self) -> ConnectionPool[Connection]:
        with self._lock:
            if self._pool is None or self._pid != os.getpid():
                # A refusal is told at once, by the one who asked first.
                self._connect().close()
                self._pid = os.getpid()
                self._pool = ConnectionPool(
                    connection_class=_opened_by(self._connect),
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

    def _connect(self, **options: Any) -> Connection:
        try:
            connection = self._try(**options)
        except ConfigurationError as error:
            refusal = ControlLoginError(error.problem, cure=error.cure)
            self._refusal = time.monotonic(), refusal
            raise refusal from error
        except (psycopg.Error, DataLoaderError) as error:
            self._refusal = time.monotonic(), error
            raise
        self._refusal = None
        return connection

    def _try(self, **options: Any) -> Connection:
        parameters = self._login.parameters()
        try:
            return self._open(parameters, options)
        except psycopg.OperationalError as error:
            if not self._login.refused(parameters, error):
                raise
        return self._open(self._login.parameters(), options)

    def _open(self, parameters: Parameters, options: dict[str, Any]) -> Connection:
        plain = {k: v.get_secret_value() if isinstance(v, SecretStr) else v for k, v in parameters.items()}
        ours = {"client_encoding": "UTF8", "application_name": self._application_name}
        return psycopg.Connection[DictRow].connect(**(_CONNECTION_DEFAULTS | plain | ours | options))


def _opened_by(connect: Callable[..., Connection]) -> type[Connection]:
    """What a pool takes for a class of connections, and asks for each new one."""

    class Opened(psycopg.Connection[DictRow]):
        @classmethod
        def connect(cls, conninfo: str = "", **options: Any) -> Any:
            return connect(**options)

    return Opened


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
