"""A read for JDBC: the same pieces of the same snapshot, with what the driver or Spark would damage as text.

Seen with pgjdbc 42.7 and Spark 4.1: dates and timestamps pass through the JVM's calendar and zone (1582-10-10 becomes
1582-10-20, BC loses its BC, infinity becomes 9999-12-31), and a number without a precision gets 18 digits behind the
point. Everything else that a projection gives arrives as it is.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final
from urllib.parse import quote as percent

from pydantic import SecretStr

from dataloader_core.interfaces.source import JdbcDriver, JdbcRead, SessionOptions
from dataloader_core.plan import Column, Read
from dataloader_sources.postgresql.connection import PostgresConnection, application_name, startup_options
from dataloader_sources.postgresql.sqltext import lex

if TYPE_CHECKING:
    from dataloader_sources.postgresql.dialect import Postgres
    from dataloader_sources.postgresql.layout import Layout
    from dataloader_sources.postgresql.scanner import ReaderSettings

JDBC: Final = JdbcDriver("org.postgresql.Driver", ("org.postgresql:postgresql:42.7.14",))
_AS_TEXT: Final = ("date", "timestamp", "timestamp_ntz")
_SPARE: Final = timedelta(minutes=1)
"""The server's own time-outs come first: their errors say what happened."""


def jdbc_problem(connection: PostgresConnection) -> str | None:
    """Why JDBC cannot reach the server, or None where it can."""
    if connection.host.startswith(("/", "@")):
        return "JDBC cannot reach a unix socket; give `host` a name or an address"
    return None


def jdbc_read(
    dialect: Postgres,
    read: Read,
    layout: Layout,
    connection: PostgresConnection,
    options: SessionOptions,
    reader: ReaderSettings,
) -> JdbcRead:
    """One SELECT for each piece of the layout, on connections that behave as all others of this source do."""
    columns = tuple(_for_jdbc(dialect, column) for column in read.columns)
    selects = layout.selects(dialect, replace(read, columns=columns))
    begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
    return JdbcRead(
        url=_url(connection),
        driver=JDBC.driver,
        packages=JDBC.packages,
        selects=tuple(_without_placeholders(select) for select in selects),
        as_text=frozenset(c.target for c in read.columns if c.type.name in _AS_TEXT),
        session_init=_without_placeholders(";\n".join((begin, reader.join, *reader.setup))),
        properties=_properties(connection, options),
    )


def _for_jdbc(dialect: Postgres, column: Column) -> Column:
    expression = dialect.expression(column)
    if column.type.name in _AS_TEXT:
        # ISO, and of an instant in UTC: so the session's settings have it.
        expression = f"({expression})::text"
    elif column.type.name == "decimal" and column.constant is not None:
        expression = f"({expression})::numeric({column.type.precision},{column.type.scale})"
    return replace(column, projection=expression, constant=None)


def _without_placeholders(sql: str) -> str:
    """The driver takes every bare question mark (an operator of jsonb) for a parameter, unless it is doubled."""
    for token in reversed(lex(sql, "query")):
        if token.text == "?":
            sql = f"{sql[: token.start]}?{sql[token.start :]}"
    return sql


def _url(connection: PostgresConnection) -> str:
    host = f"[{connection.host}]" if ":" in connection.host else connection.host
    return f"jdbc:postgresql://{host}:{connection.port}/{percent(connection.database, safe='')}"


def _properties(connection: PostgresConnection, options: SessionOptions) -> dict[str, str | SecretStr]:
    """What libpq is told elsewhere, under the driver's names. Times in seconds."""
    login = str(max(2, round(options.login_timeout.total_seconds())))
    given: dict[str, str | SecretStr | None] = {
        "user": connection.user,
        "password": connection.password,
        "ApplicationName": application_name(f"{options.application_name} jdbc"),
        "options": startup_options(options),
        "loginTimeout": login,
        "connectTimeout": login,
        "socketTimeout": str(round((options.statement_timeout + _SPARE).total_seconds())),
        "tcpKeepAlive": "true",
        **_tls(connection),
    }
    return {name: value for name, value in given.items() if value is not None}


def _tls(connection: PostgresConnection) -> dict[str, str | SecretStr | None]:
    """Files must lie at the same place wherever a part is read. The driver wants a key in DER (PKCS-8) or PKCS-12."""
    files = {"sslcert": connection.sslcert, "sslkey": connection.sslkey}
    found: dict[str, str | SecretStr | None] = {name: str(path) for name, path in files.items() if path is not None}
    found |= {"sslmode": connection.sslmode, "sslpassword": connection.sslpassword}
    if connection.sslrootcert == "system":
        found["sslfactory"] = "org.postgresql.ssl.DefaultJavaSSLFactory"
    elif connection.sslrootcert is not None:
        found["sslrootcert"] = str(connection.sslrootcert)
    return found
