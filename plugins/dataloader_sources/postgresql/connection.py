"""How to reach a PostgreSQL server, and the settings that every session of ours has."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from psycopg.conninfo import make_conninfo
from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr

from dataloader_core.errors import ConfigurationError
from dataloader_core.interfaces.source import SessionOptions
from dataloader_core.values import Distance

NAME_BYTES: Final = 63
"""Bytes of an ``application_name`` (and of any identifier) that a server keeps: NAMEDATALEN - 1."""

READ_ONLY_MARK: Final = " [ro]"
"""Ends the ``application_name`` of every session opened here. All of them are read-only, so the cap may
leave out sessions of the same role that carry it, whichever process opened them."""

_IDLE_LIMIT: Final = timedelta(hours=24)
_KEEPALIVE: Final = {"keepalives": 1, "keepalives_idle": 60, "keepalives_interval": 10, "keepalives_count": 6}

_NO_FILE: Final = os.path.join(os.devnull, "none")
"""A path at which no file can be. An empty one means libpq's own file in the home folder."""
_NOT_GIVEN: Final = {
    "password": "",
    "passfile": _NO_FILE,
    "hostaddr": "",
    "sslcert": _NO_FILE,
    "sslkey": "",
    "sslrootcert": "",
    "sslcrl": "",
    "requirepeer": "",
    "channel_binding": "prefer",
    "target_session_attrs": "any",
}
"""What libpq otherwise takes from PGPASSWORD, PGPASSFILE, PGSERVICE and the like: they are the control database's."""


def _span(value: object) -> object:
    """``'2'`` (seconds), ``'500 ms'``, ``'2 hours'``: settings arrive as text from the control database."""
    if not isinstance(value, str):
        return value
    try:
        distance = Distance.parse(value)
    except ConfigurationError as error:
        raise ValueError(str(error)) from None
    return timedelta(seconds=float(distance.number)) if distance.number is not None else distance.span


Span = Annotated[timedelta, BeforeValidator(_span)]


class PostgresConnection(BaseModel):
    """The fields of a connection, secrets resolved. ``service_name`` is another name of ``database``."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    host: str = Field("localhost", min_length=1, description="host name, address, or folder of a unix socket")
    port: int = Field(5432, ge=1, le=65535)
    user: str = Field(min_length=1, validation_alias=AliasChoices("user", "username"))
    password: SecretStr | None = None
    database: str = Field(min_length=1, validation_alias=AliasChoices("database", "service_name", "dbname"))
    sslmode: Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] = "prefer"
    sslrootcert: Path | Literal["system"] | None = Field(None, description="file with the root certificates")
    sslcert: Path | None = None
    sslkey: Path | None = None
    sslpassword: SecretStr | None = None
    cap_margin: Span = Field(
        timedelta(seconds=1),
        ge=timedelta(0),
        description="taken off the server's clock: a transaction takes its time before it is listed",
    )
    look_wait: Span = Field(
        timedelta(seconds=2),
        ge=timedelta(0),
        le=timedelta(minutes=5),
        description="how long a sequence's cap waits for the transactions that may have drawn from it",
    )

    def conninfo(self, options: SessionOptions, *, suffix: str = "", settings: dict[str, str] | None = None) -> str:
        """The libpq connection string, password included: never log it, never put it in an error.

        It says everything that decides who connects where with which secret, so the environment adds nothing to it.

        Args:
            suffix: Added to the application name, to tell a read's connections apart.
            settings: Further server settings.
        """
        fields: dict[str, Any] = {
            "host": self.host,
            "port": self.port,
            "user": self.user,
            "dbname": self.database,
            "sslmode": self.sslmode,
            "sslrootcert": self.sslrootcert,
            "sslcert": self.sslcert,
            "sslkey": self.sslkey,
            "password": self.password.get_secret_value() if self.password else None,
            "sslpassword": self.sslpassword.get_secret_value() if self.sslpassword else None,
            "connect_timeout": max(2, round(options.login_timeout.total_seconds())),
            "application_name": application_name(options.application_name + suffix),
            "client_encoding": "UTF8",
            "options": startup_options(options, settings),
            **_KEEPALIVE,
        }
        return make_conninfo("", **_NOT_GIVEN | {k: str(v) for k, v in fields.items() if v is not None})


def application_name(text: str) -> str:
    """``text`` with the read-only mark, cut to what a server keeps, never inside a character."""
    room = NAME_BYTES - len(READ_ONLY_MARK)
    return text.encode()[:room].decode(errors="ignore") + READ_ONLY_MARK


def session_settings(options: SessionOptions) -> dict[str, str]:
    """Server settings that make every session write the same text for the same value, and write nothing else.

    ``lc_monetary`` is left alone: it decides how many digits of the stored integer are a fraction, so a session
    with another one than the database's would read another amount.
    """
    return {
        "TimeZone": "UTC",
        "DateStyle": "ISO,YMD",
        "IntervalStyle": "iso_8601",
        "extra_float_digits": "3",
        "bytea_output": "hex",
        "standard_conforming_strings": "on",
        "default_transaction_read_only": "on",
        "statement_timeout": _milliseconds(options.statement_timeout),
        "lock_timeout": _milliseconds(options.lock_timeout),
        # A snapshot's session idles in its transaction for the length of a load; dead clients are found by keepalives.
        "idle_in_transaction_session_timeout": _milliseconds(_IDLE_LIMIT),
        "tcp_keepalives_idle": "60",
        "tcp_keepalives_interval": "10",
        "tcp_keepalives_count": "6",
    }


def session_statements() -> tuple[str, ...]:
    """What every session runs first: libpq sends PGTZ and PGDATESTYLE after the options, which they overrule."""
    return "SET TimeZone = 'UTC'", "SET DateStyle = 'ISO, YMD'"


def _milliseconds(span: timedelta) -> str:
    return str(span // timedelta(milliseconds=1))


def startup_options(options: SessionOptions, further: dict[str, str] | None = None) -> str:
    """The session's settings as the server's ``options`` parameter, which every driver passes on as it is."""
    return " ".join(f"-c {name}={value}" for name, value in (session_settings(options) | (further or {})).items())
