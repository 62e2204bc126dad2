"""One read-only connection to a PostgreSQL server, on psycopg 3, in autocommit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import psycopg

from dataloader_core.errors import SourceRefusedError
from dataloader_core.interfaces.source import Check, DiscoveredTable, SessionOptions, SourceSession, SourceSnapshot
from dataloader_core.plan import Bounds, Cap, Column, Read, Relation
from dataloader_core.table import SourceTable
from dataloader_core.values import Value
from dataloader_sources.postgresql import catalog
from dataloader_sources.postgresql.connection import PostgresConnection, session_statements
from dataloader_sources.postgresql.errors import connect_error, translate
from dataloader_sources.postgresql.guards import within_type
from dataloader_sources.postgresql.init import asks, init_text, run_init
from dataloader_sources.postgresql.looks import LookStore, NotedLooks, process_looks
from dataloader_sources.postgresql.pooler import refuse_broken_pools

if TYPE_CHECKING:
    from dataloader_sources.postgresql.dialect import Postgres

Params = Sequence[object] | Mapping[str, object] | None


class PostgresSession(SourceSession):
    """An open session.

    Attributes:
        connection: psycopg's own, in autocommit. Its name, settings and read-only mode are those of
            :mod:`dataloader_sources.postgresql.connection`.
        looks: Where looks at sequences are remembered: in the memory given, else in this process.
    """

    def __init__(self, dialect: Postgres, settings: PostgresConnection, options: SessionOptions) -> None:
        self.dialect = dialect
        self.settings = settings
        self.options = options
        self.looks: LookStore = NotedLooks(options.memory) if options.memory else process_looks
        self._further: dict[str, str] = {}
        self.connection = self._open()
        try:
            self._prepare()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self.connection.close()

    def conninfo(self, suffix: str = "") -> str:
        """libpq's connection string for a further connection like this one. It holds the password."""
        return self.settings.conninfo(self.options, suffix=suffix, settings=self._further)

    @property
    def where(self) -> str:
        """The server, for messages."""
        return f"{self.settings.host}:{self.settings.port}/{self.settings.database}"

    @cached_property
    def database(self) -> str:
        return str(self.fetch("SELECT pg_catalog.current_database()::text")[0][0])

    @cached_property
    def identity(self) -> str:
        """The database, by its cluster's identifier where that may be read: two names of one server are one."""
        oid = "SELECT oid::int8 FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()"
        try:
            system = self.fetch("SELECT system_identifier FROM pg_catalog.pg_control_system()")[0][0]
        except SourceRefusedError:
            system = f"{self.settings.host}:{self.settings.port}"
        return f"{system}/{self.fetch(oid)[0][0]}"

    @property
    def server_version(self) -> int:
        """As ``server_version_num``, for instance 180004."""
        return self.connection.info.server_version

    @cached_property
    def in_recovery(self) -> bool:
        """The server is a standby."""
        return bool(self.fetch("SELECT pg_catalog.pg_is_in_recovery()")[0][0])

    @property
    def sees_all(self) -> bool:
        """The user may see the transactions of all sessions."""
        return bool(self.fetch("SELECT pg_catalog.pg_has_role(current_user, 'pg_read_all_stats', 'USAGE')")[0][0])

    @cached_property
    def money_scale(self) -> int:
        """Digits behind the point of a ``money`` value, which the database's ``lc_monetary`` decides."""
        return int(self.fetch("SELECT pg_catalog.scale('0'::money::numeric)")[0][0])

    def fetch(self, sql: str, params: Params = None) -> list[tuple[Any, ...]]:
        """All rows of one statement.

        Raises:
            SourceUnavailableError, SourceRefusedError: see :mod:`dataloader_sources.postgresql.errors`.
        """
        try:
            # Without parameters a per cent sign is nothing special: somebody's own SQL passes untouched.
            return self.connection.execute(sql, params).fetchall()
        except psycopg.Error as error:
            raise translate(error) from None
        except UnicodeDecodeError:
            raise SourceRefusedError(
                "The catalog holds a name that is not UTF-8.", cure="Rename it, or convert the database."
            ) from None

    def result_fields(self, sql: str) -> list[tuple[str, int, int]]:
        """Name, type oid and type modifier of each column that the statement gives."""
        try:
            result = self.connection.execute(sql).pgresult
        except psycopg.Error as error:
            raise translate(error) from None
        assert result is not None
        names = [(result.fname(i) or b"").decode() for i in range(result.nfields)]
        return [(name, result.ftype(i), result.fmod(i)) for i, name in enumerate(names)]

    def clock(self) -> datetime:
        moment = self.fetch("SELECT pg_catalog.clock_timestamp()")[0][0]
        assert isinstance(moment, datetime)
        return moment

    def checks(self) -> Sequence[Check]:
        from dataloader_sources.postgresql.checks import checks

        return checks(self)

    def relations(self, schemas: Sequence[str] | None = None) -> Sequence[Relation]:
        return catalog.relations(self, schemas)

    def discover(self, relation: Relation) -> DiscoveredTable:
        from dataloader_sources.postgresql.discovery import discover

        return discover(self, relation)

    def describe(
        self,
        relation: Relation,
        columns: Sequence[str] | None = None,
        on_unrepresentable: Literal["fail", "null"] = "fail",
    ) -> SourceTable:
        if relation.query is not None:
            return catalog.describe_query(self, relation.query, columns, on_unrepresentable)
        return catalog.describe(self, catalog.find(self, relation), columns, on_unrepresentable)

    def cap(self, table: SourceTable, column: Column) -> Cap:
        from dataloader_sources.postgresql.cap import cap

        return cap(self, table, column)

    def bounds(self, read: Read, column: Column) -> Bounds:
        """Values that the column's type cannot hold are no bounds; they fail or become NULL when they are read."""
        name, dialect = self.dialect.quote(column.name), self.dialect
        source = dialect.from_where(read)
        held = within_type(name, column.type) if column.guards else None
        among = dialect.from_where(read, *([held] if held else []))
        low, high, null = (
            f"(SELECT {dialect.value_text(column, f'min({name})')} {among})",
            f"(SELECT {dialect.value_text(column, f'max({name})')} {among})",
            f"EXISTS (SELECT 1 {dialect.from_where(read, f'{name} IS NULL')})" if column.nullable else "false",
        )
        row = self.fetch(f"SELECT {low}, {high}, {null}")[0]
        lowest, highest = (Value(column.type, text) if text is not None else None for text in row[:2])
        plan = self.fetch(f"EXPLAIN (FORMAT JSON) SELECT 1 {source}")
        rows = int(plan[0][0][0]["Plan"]["Plan Rows"])
        return Bounds(lowest, highest, bool(row[2]), rows if highest is not None or row[2] else 0)

    def count(self, read: Read) -> int:
        limited = f"SELECT 1 {self.dialect.from_where(read)}"
        if read.row_limit is not None:
            limited += f"\nLIMIT {int(read.row_limit)}"
        return int(self.fetch(f"SELECT pg_catalog.count(*) FROM (\n{limited}\n) AS c")[0][0])

    def snapshot(self) -> AbstractContextManager[SourceSnapshot]:
        from dataloader_sources.postgresql.snapshot import PostgresSnapshot

        return PostgresSnapshot(self)

    def _open(self) -> psycopg.Connection[tuple[Any, ...]]:
        try:
            return psycopg.connect(self.conninfo(), autocommit=True, prepare_threshold=None)
        except psycopg.Error as error:
            raise connect_error(error, self.where) from None

    def setup(self) -> tuple[str, ...]:
        """What each further connection runs before it reads, one statement each."""
        statement = self.options.init_statement
        return session_statements() + ((init_text(statement),) if statement else ())

    def set_up(self, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
        """Make a connection, outside any transaction, ready to read.

        Raises:
            ConfigurationError: the session-init statement is refused, or changes what a session must keep.
        """
        init = self.options.init_statement
        try:
            for statement in session_statements():
                connection.execute(statement.encode())
            if init:
                run_init(connection, init)
        except psycopg.Error as error:
            raise translate(error, of_rows=bool(init and asks(init))) from None

    def _prepare(self) -> None:
        refuse_broken_pools(self)
        self.set_up(self.connection)
        if self.server_version >= 140000:
            # A server notices sooner that the client of a long statement has gone; not every platform can.
            with suppress(psycopg.Error):
                self.connection.execute("SET client_connection_check_interval = '10s'")
                self._further["client_connection_check_interval"] = "10s"
