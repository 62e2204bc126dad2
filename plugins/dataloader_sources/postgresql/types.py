"""From PostgreSQL's types to the closed set: one projection per column, decided once.

The table of docs/reference/types.md: what the closed set can hold exactly goes as it is, everything else as the
server's own text or JSON text. A domain goes as its base type.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from dataloader_core.errors import SourceRefusedError
from dataloader_core.plan import Column
from dataloader_core.types import (
    BIGINT,
    BINARY,
    BOOLEAN,
    DATE,
    DOUBLE,
    FLOAT,
    INT,
    MAX_PRECISION,
    SMALLINT,
    STRING,
    TIMESTAMP,
    TIMESTAMP_NTZ,
    ColumnType,
    decimal,
)
from dataloader_sources.postgresql.guards import NUMBER_GUARDS, TIME_GUARDS, without_guarded

Policy = Literal["fail", "null"]


@dataclass(frozen=True, slots=True)
class NativeType:
    """A row of ``pg_type`` with its domain resolved.

    Attributes:
        schema: Of the base type, as ``name`` is.
        kind: ``typtype``: b base, c composite, e enum, r range, m multirange, p pseudo.
        array: A true array (``typsubscript`` is that of arrays).
        typmod: Of the column, or of the domain where the column has none; -1: none.
        shown: ``format_type`` of the column's own type, for people.
        base: ``format_type`` of the base type with its modifier, which an explicit cast may name.
        domain: The column's own type is a domain.
        extension: That the base type belongs to; its functions live in the same schema.
    """

    schema: str
    name: str
    kind: str
    array: bool
    typmod: int
    shown: str
    base: str
    domain: bool = False
    extension: str | None = None


@dataclass(frozen=True, slots=True)
class _Projection:
    type: ColumnType
    sql: str
    guards: tuple[str, ...] = ()
    exact: bool = True


_PLAIN: Final = {
    "bool": BOOLEAN,
    "int2": SMALLINT,
    "int4": INT,
    "int8": BIGINT,
    "float4": FLOAT,
    "float8": DOUBLE,
    "text": STRING,
    "varchar": STRING,
    "bytea": BINARY,
}
_TIMES: Final = {"date": DATE, "timestamp": TIMESTAMP_NTZ, "timestamptz": TIMESTAMP}
_JSON: Final = {"hstore"}
_POSTGIS: Final = {"geometry", "geography"}
_PSEUDO: Final = {"record", "unknown"}
# Scale, months against days, numbers inside, letter case: equal there, and not in text.
_SPELT: Final = {"numeric", "interval", "jsonb", "citext"}


def project(name: str, target: str, native: NativeType, policy: Policy, money_scale: int) -> _Projection:
    """The projection of one column.

    Raises:
        SourceRefusedError: a pseudo-type that has no values.
    """
    column = quote(name)
    if native.array or native.kind == "c":
        return _text(f"pg_catalog.to_json({column})::text")
    if native.schema == "pg_catalog":
        return _builtin(name, column, native, policy, money_scale)
    if native.name in _JSON and native.extension:
        return _text(f"pg_catalog.to_json({column})::text")
    if native.name in _POSTGIS and native.extension and native.extension.startswith("postgis"):
        home = quote(native.schema)
        return _Projection(BINARY, f'{home}."st_asewkb"({column}::{home}."geometry")', exact=False)
    return _text(f"{column}::text")


def column_of(
    name: str,
    target: str,
    native: NativeType,
    *,
    nullable: bool,
    comment: str | None,
    policy: Policy,
    money_scale: int,
) -> Column:
    """The column of the plan: type, projection and guards of :func:`project` with its names."""
    found = project(name, target, native, policy, money_scale)
    return Column(
        name=name,
        target=target,
        type=found.type,
        projection=found.sql,
        native=native.shown,
        nullable=nullable,
        comment=comment,
        exact=found.exact,
        guards=found.guards,
        one_text=found.type is not STRING or _has_one_text(native),
    )


def _has_one_text(native: NativeType) -> bool:
    """Whether equal values have equal texts: not where spelling is kept beside the value, nor in what may hold such."""
    if native.array or native.kind in ("c", "r", "m"):
        return False
    return native.name not in _SPELT


def quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _builtin(name: str, column: str, native: NativeType, policy: Policy, money_scale: int) -> _Projection:
    bare = f"{column}::{native.base}" if native.domain else column
    if kind := _PLAIN.get(native.name):
        return _Projection(kind, bare, exact=kind is not STRING)
    if kind := _TIMES.get(native.name):
        sql = without_guarded(column, kind) if policy == "null" else bare
        return _Projection(kind, sql, TIME_GUARDS)
    if native.name == "numeric":
        return _numeric(column, bare, native, policy)
    if native.name == "money":
        kind = decimal(19, money_scale)
        return _Projection(kind, f"{column}::numeric({kind.precision},{kind.scale})")
    if native.name == "oid":
        return _Projection(BIGINT, f"{column}::int8")
    if native.name == "record":
        return _text(f"pg_catalog.to_json({column})::text")
    if native.kind == "p" and native.name not in _PSEUDO:
        raise SourceRefusedError(
            f"Column {name!r} is of the pseudo-type {native.shown}, which has no values to load.",
            cure="Leave it out with `columns`, or cast it in a `query`.",
        )
    return _text(f"{column}::text")


def _numeric(column: str, bare: str, native: NativeType, policy: Policy) -> _Projection:
    """A negative scale rounds before the point: numeric(5,-2) holds up to 9999900, seven digits.

    Without a precision, and beyond 38 digits, the number goes as text, NaN and infinities included.
    """
    bounds = numeric_bounds(native.typmod)
    if bounds is None:
        return _text(f"{column}::text")
    precision, scale = bounds
    digits = (precision - scale, 0) if scale < 0 else (scale, scale) if scale > precision else (precision, scale)
    if digits[0] > MAX_PRECISION:
        return _text(f"{column}::text")
    kind = decimal(*digits)
    as_kind = f"::numeric({kind.precision},{kind.scale})"
    if policy == "null":
        return _Projection(kind, without_guarded(column, kind) + as_kind, NUMBER_GUARDS)
    return _Projection(kind, bare if digits == (precision, scale) else column + as_kind, NUMBER_GUARDS)


def numeric_bounds(typmod: int) -> tuple[int, int] | None:
    """Precision and scale of a numeric's modifier; None: unconstrained.

    The scale is the low eleven bits with sign (``numeric_typmod_scale`` in the server's numeric.c).
    """
    if typmod < 4:
        return None
    packed = typmod - 4
    return (packed >> 16) & 0xFFFF, ((packed & 0x7FF) ^ 1024) - 1024


def _text(sql: str) -> _Projection:
    return _Projection(STRING, sql, exact=False)
