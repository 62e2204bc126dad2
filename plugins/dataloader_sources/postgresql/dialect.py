"""PostgreSQL as a source dialect: quoting, literals, and the SELECT that a read becomes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, ClassVar

from dataloader_core.errors import ConfigurationError
from dataloader_core.interfaces.source import JdbcDriver, SessionOptions, SourceDialect
from dataloader_core.plan import Column, Comparison, Condition, IsNull, Read, Relation
from dataloader_core.types import INTEGERS
from dataloader_core.values import Value, order_key, timestamp_text
from dataloader_sources.postgresql import sqltext
from dataloader_sources.postgresql.connection import PostgresConnection
from dataloader_sources.postgresql.jdbc import JDBC
from dataloader_sources.postgresql.types import quote

if TYPE_CHECKING:
    from pydantic import BaseModel

    from dataloader_sources.postgresql.session import PostgresSession


class Postgres(SourceDialect):
    """PostgreSQL 12 and newer."""

    name: ClassVar[str] = "postgresql"
    connection_model: ClassVar[type[BaseModel]] = PostgresConnection
    jdbc: ClassVar[JdbcDriver | None] = JDBC

    def connect(self, connection: BaseModel, options: SessionOptions) -> PostgresSession:
        from dataloader_sources.postgresql.session import PostgresSession

        assert isinstance(connection, PostgresConnection)
        return PostgresSession(self, connection, options)

    def quote(self, name: str) -> str:
        return quote(name)

    def literal(self, value: Value) -> str:
        """The value in the canonical text of its own number, cast to its type.

        A cast constant keeps an index usable: a bare ``-9223372036854775808`` would be a numeric.

        Raises:
            ConfigurationError: finer than a microsecond, which the server would round up or down.
        """
        name, key = value.type.name, order_key(value)
        if name in INTEGERS:
            return f"CAST('{key}' AS bigint)"
        if name == "decimal":
            return f"CAST('{Decimal(key):f}' AS numeric)"
        if name == "date":
            return f"CAST('{date.fromordinal(int(key)).isoformat()}' AS date)"
        if name in ("timestamp", "timestamp_ntz"):
            if int(key) % 1000:
                raise ConfigurationError(
                    f"{value.text!r} is finer than a microsecond, which PostgreSQL cannot compare exactly.",
                    cure="Set incremental_value to a value with at most six digits of a second.",
                )
            zoned = name == "timestamp"
            return f"CAST('{timestamp_text(int(key), zoned=zoned)}' AS {'timestamptz' if zoned else 'timestamp(6)'})"
        return _binary(value)

    def render(self, read: Read) -> str:
        limit = f"\nLIMIT {int(read.row_limit)}" if read.row_limit is not None else ""
        return f"SELECT {self.select_list(read)}\n{self.from_where(read)}{limit}"

    def select_list(self, read: Read) -> str:
        """The projections under their target names.

        Raises:
            ConfigurationError: no column is to be read.
        """
        if not read.columns:
            raise ConfigurationError(f"{read.relation} has no column to read.", cure="Choose at least one column.")
        return ",\n       ".join(f"{self.expression(c)} AS {quote(c.target)}" for c in read.columns)

    def from_where(self, read: Read, *extra: str) -> str:
        """FROM and WHERE of the read, with further conditions (a ctid range) joined by AND. No LIMIT."""
        parts = [self.conditions(read.where, {c.name: c for c in read.columns})] if read.where else []
        if read.filter:
            sqltext.check_filter(read.filter)
            parts.append(f"(\n{read.filter}\n)")
        parts += extra
        where = f"\nWHERE {' AND '.join(parts)}" if parts else ""
        return f"FROM {self.source(read.relation)}{where}"

    def source(self, relation: Relation) -> str:
        """The relation as a FROM item; a query stands on lines of its own, as it was written."""
        if relation.query is not None:
            return f'(\n{sqltext.query_text(relation.query)}\n) AS "q"'
        return f"{quote(relation.schema)}.{quote(relation.name)}"

    def conditions(self, where: Sequence[Condition], columns: Mapping[str, Column]) -> str:
        """Bare columns, so that indexes serve; money and oid, which compare with no number, by their projection."""
        return " AND ".join(self._condition(c, columns.get(c.column)) for c in where)

    def _condition(self, condition: Condition, column: Column | None) -> str:
        operand = quote(condition.column)
        if isinstance(condition, IsNull):
            return f"{operand} IS NULL"
        assert isinstance(condition, Comparison)
        if column is not None and column.projection in (f"{operand}::int8", _money(operand, column)):
            operand = column.projection
        return f"{operand} {condition.op} {self.literal(condition.value)}"

    def value_text(self, column: Column, expression: str) -> str:
        """SQL that gives the expression (a value of the column's native type) as a watermark's text."""
        name = column.type.name
        if name == "timestamp_ntz":
            return f"to_char({expression}, 'YYYY-MM-DD HH24:MI:SS.US')"
        if name == "timestamp":
            return f"to_char(({expression}) AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') || '+00:00'"
        if name == "binary":
            return f"encode({expression}, 'hex')"
        if name == "decimal":
            return f"({expression})::numeric::text"  # money's own text carries a currency sign
        return f"({expression})::text"

    def check_query(self, sql: str) -> None:
        sqltext.check_query(sql)

    def check_filter(self, predicate: str) -> None:
        """Refuse a filter that is not one condition.

        Raises:
            ConfigurationError: see :func:`dataloader_sources.postgresql.sqltext.check_filter`.
        """
        sqltext.check_filter(predicate)


def _money(operand: str, column: Column) -> str:
    return f"{operand}::numeric({column.type.precision},{column.type.scale})" if not column.guards else ""


def _binary(value: Value) -> str:
    digits = value.text.strip().removeprefix("0x")
    if not re.fullmatch(r"(?:[0-9a-fA-F]{2})*", digits):
        raise ConfigurationError(f"{value.text!r} is no binary value.", cure="Write it as pairs of hex digits.")
    return f"decode('{digits}', 'hex')"
