"""What the server's catalog says: relations, columns with their types, keys, sizes; and a query's columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from dataloader_core.errors import ConfigurationError, SourceRefusedError
from dataloader_core.names import fold_columns, match_name
from dataloader_core.plan import Relation
from dataloader_core.table import SourceTable
from dataloader_sources.postgresql import sqltext
from dataloader_sources.postgresql.types import NativeType, Policy, column_of

if TYPE_CHECKING:
    from dataloader_sources.postgresql.session import PostgresSession

KINDS: Final = {
    "r": "table",
    "p": "partitioned table",
    "v": "view",
    "m": "materialized view",
    "f": "foreign table",
}

_RELATIONS: Final = """
SELECT n.nspname, c.relname
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition
  AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp)'
  AND (%(schemas)s::text[] IS NULL OR n.nspname = ANY (%(schemas)s))
  AND pg_catalog.has_schema_privilege(n.oid, 'USAGE')
  AND (pg_catalog.has_table_privilege(c.oid, 'SELECT') OR pg_catalog.has_any_column_privilege(c.oid, 'SELECT'))
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                  WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY 1, 2"""

_FIND: Final = """
SELECT c.oid, n.nspname, c.relname, c.relkind::text, pg_catalog.obj_description(c.oid, 'pg_class'),
       c.relispartition, pg_catalog.row_security_active(c.oid),
       EXISTS (SELECT FROM pg_catalog.pg_inherits i WHERE i.inhparent = c.oid) AND c.relkind <> 'p'
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relname = %s AND c.relkind IN ('r', 'p', 'v', 'm', 'f')"""

# A NOT NULL that is NOT VALID (PostgreSQL 18) sets attnotnull while older rows may still hold NULL.
_UNCHECKED: Final = """(SELECT FROM pg_catalog.pg_constraint u
          WHERE u.conrelid = a.attrelid AND u.contype = 'n' AND NOT u.convalidated AND a.attnum = ANY (u.conkey))"""

COLUMNS: Final = f"""
SELECT a.attnum, a.attname, a.atttypid, a.atttypmod, a.attnotnull AND NOT EXISTS {_UNCHECKED},
       pg_catalog.col_description(a.attrelid, a.attnum),
       pg_catalog.has_column_privilege(a.attrelid, a.attnum, 'SELECT')
FROM pg_catalog.pg_attribute a
WHERE a.attrelid = %s AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum"""

_TYPES: Final = """
WITH RECURSIVE wanted AS (
  SELECT n, typid, typmod FROM unnest(%s::oid[], %s::int4[]) WITH ORDINALITY AS w(typid, typmod, n)
), chain AS (
  SELECT n, typid, typmod FROM wanted
  UNION ALL
  SELECT c.n, t.typbasetype, CASE c.typmod WHEN -1 THEN t.typtypmod ELSE c.typmod END
  FROM chain c JOIN pg_catalog.pg_type t ON t.oid = c.typid WHERE t.typtype = 'd'
)
SELECT s.nspname, t.typname, t.typtype::text, t.typelem <> 0 AND t.typlen = -1, c.typmod,
       pg_catalog.format_type(w.typid, w.typmod), pg_catalog.format_type(c.typid, c.typmod), c.typid <> w.typid,
       (SELECT e.extname FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid
        WHERE d.classid = 'pg_catalog.pg_type'::regclass AND d.objid = t.oid AND d.deptype = 'e')
FROM chain c JOIN wanted w USING (n) JOIN pg_catalog.pg_type t ON t.oid = c.typid
JOIN pg_catalog.pg_namespace s ON s.oid = t.typnamespace
WHERE t.typtype <> 'd' ORDER BY n"""

_KEYS: Final = f"""
SELECT (SELECT pg_catalog.array_agg(a.attname::text ORDER BY k.place)
        FROM pg_catalog.unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, place)
        JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
        WHERE k.place <= i.indnkeyatts)
FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
WHERE i.indrelid = %s AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
  AND NOT EXISTS (SELECT FROM pg_catalog.unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, place)
                  JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
                  WHERE k.place <= i.indnkeyatts AND (NOT a.attnotnull OR EXISTS {_UNCHECKED}))
ORDER BY i.indisprimary DESC, i.indnkeyatts, c.relname"""

_BYTES: Final = """
SELECT CASE WHEN c.relkind IN ('r', 'm') THEN pg_catalog.pg_table_size(c.oid)
            WHEN c.relkind = 'p' THEN (SELECT pg_catalog.sum(pg_catalog.pg_table_size(t.relid))::int8
                                       FROM pg_catalog.pg_partition_tree(c.oid) t WHERE t.isleaf) END
FROM pg_catalog.pg_class c WHERE c.oid = %s"""


@dataclass(frozen=True, slots=True)
class Found:
    """A relation in the catalog.

    ``row_security``: policies hide rows from this user. ``inherited``: other tables inherit from it, so that its own
    unique indexes do not hold over what a SELECT returns.
    """

    oid: int
    relation: Relation
    kind: str
    comment: str | None
    is_partition: bool
    row_security: bool
    inherited: bool


def relations(session: PostgresSession, schemas: Sequence[str] | None) -> list[Relation]:
    """What may be read, partitions and the tables of extensions left out."""
    rows = session.fetch(_RELATIONS, {"schemas": list(schemas) if schemas is not None else None})
    return [Relation(schema, name) for schema, name in rows]


def find(session: PostgresSession, relation: Relation) -> Found:
    """The relation as the catalog has it; names that differ only in case are matched.

    Raises:
        SourceRefusedError: no such schema or relation; the message lists near ones.
        UnknownNameError: no such name, or several that differ only in case.
    """
    if relation.catalog is not None:
        match_name("database", relation.catalog, [session.database])
    schema = _schema_of(session, relation)
    row = next(iter(session.fetch(_FIND, (schema, relation.name))), None)
    if row is None:
        names = [n for s, n in session.fetch(_NAMES, (schema,)) if s == schema]
        name = match_name(f"table of schema {schema!r}", relation.name, names, cure=_GONE)
        row = session.fetch(_FIND, (schema, name))[0]
    oid, schema, name, kind, comment, is_partition, hidden, inherited = row
    found = Relation(schema, name, relation.catalog and session.database)
    return Found(oid, found, KINDS[kind], comment, is_partition, hidden, inherited)


_GONE: Final = "If it was renamed, give its new name; if it is gone for good, set is_active = false for its row."
_NAMES: Final = """
SELECT n.nspname, c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relkind IN ('r', 'p', 'v', 'm', 'f') ORDER BY 2"""


def _schema_of(session: PostgresSession, relation: Relation) -> str:
    if not relation.schema:
        path = [s for (s,) in session.fetch("SELECT pg_catalog.unnest(pg_catalog.current_schemas(false))::text")]
        holding = (s for s in path if session.fetch(_FIND, (s, relation.name)))
        return next(holding, path[0] if path else "public")
    schemas = [s for (s,) in session.fetch("SELECT nspname FROM pg_catalog.pg_namespace ORDER BY 1")]
    return match_name("schema", relation.schema, schemas)


def describe(session: PostgresSession, found: Found, chosen: Sequence[str] | None, policy: Policy) -> SourceTable:
    """The relation with its columns projected, keys and estimates.

    Raises:
        SourceRefusedError: no permission for a column that is to be read.
        UnknownNameError: a chosen column does not exist.
        ConfigurationError: the relation has no column.
    """
    rows = session.fetch(COLUMNS, (found.oid,))
    rows = _chosen(rows, [r[1] for r in rows], chosen, str(found.relation))
    _check_allowed(found, rows)
    natives = native_types(session, [(r[2], r[3]) for r in rows])
    targets = fold_columns([r[1] for r in rows])
    columns = tuple(
        column_of(
            name,
            targets[name],
            native,
            nullable=not not_null,
            comment=comment,
            policy=policy,
            money_scale=session.money_scale if native.name == "money" else 2,
        )
        for (_, name, _, _, not_null, comment, _), native in zip(rows, natives, strict=True)
    )
    return SourceTable(
        found.relation,
        columns,
        found.kind,
        found.comment,
        keys=() if found.inherited else _keys(session, found.oid, {c.name for c in columns}),
        row_estimate=_row_estimate(session, found),
        bytes_estimate=session.fetch(_BYTES, (found.oid,))[0][0],
    )


def describe_query(session: PostgresSession, sql: str, chosen: Sequence[str] | None, policy: Policy) -> SourceTable:
    """A query's columns, as the server itself describes its result. Runs nothing: the cursor has no row.

    Raises:
        SourceRefusedError: the server does not take the query.
        ConfigurationError: not one SELECT, or two columns of one name.
    """
    sqltext.check_query(sql)
    fields = session.result_fields(f'SELECT * FROM (\n{sqltext.query_text(sql)}\n) AS "q" LIMIT 0')
    names = [name for name, _, _ in fields]
    doubled = sorted({n for n in names if names.count(n) > 1})
    if doubled:
        listed = ", ".join(map(repr, doubled))
        raise ConfigurationError(f"The `query` has several columns called {listed}.", cure="Give each its own name.")
    fields = _chosen(fields, names, chosen, "The query")
    natives = native_types(session, [(oid, typmod) for _, oid, typmod in fields])
    targets = fold_columns([name for name, _, _ in fields])
    scale = session.money_scale if any(n.name == "money" for n in natives) else 2
    columns = tuple(
        column_of(n, targets[n], native, nullable=True, comment=None, policy=policy, money_scale=scale)
        for (n, _, _), native in zip(fields, natives, strict=True)
    )
    relation = Relation(query=sql)
    return SourceTable(relation, columns, "query", row_estimate=estimate(session, relation))


def native_types(session: PostgresSession, types: Sequence[tuple[int, int]]) -> list[NativeType]:
    """Resolve (type oid, modifier) pairs, domains down to their base type."""
    rows = session.fetch(_TYPES, ([oid for oid, _ in types], [typmod for _, typmod in types]))
    assert len(rows) == len(types)
    return [NativeType(*row) for row in rows]


def estimate(session: PostgresSession, relation: Relation) -> int | None:
    """Rows, as the planner expects them; None where it cannot tell (a view that is broken).

    The planner scales the statistics to the table's size of today and sums partitions, which
    ``pg_class.reltuples`` does not.
    """
    try:
        plan = session.fetch(f"EXPLAIN (FORMAT JSON) SELECT 1 FROM {session.dialect.source(relation)}")
    except SourceRefusedError:
        return None
    return int(plan[0][0][0]["Plan"]["Plan Rows"])


def _row_estimate(session: PostgresSession, found: Found) -> int | None:
    stored = found.kind in ("table", "materialized view") and not found.inherited
    size = "SELECT pg_catalog.pg_relation_size(%s::oid::regclass)"
    if stored and session.fetch(size, (found.oid,))[0][0] == 0:
        return 0  # the planner takes ten pages of rows for granted where a table was never analyzed
    return estimate(session, found.relation)


def _keys(session: PostgresSession, oid: int, names: set[str]) -> tuple[tuple[str, ...], ...]:
    found = [tuple(columns) for (columns,) in session.fetch(_KEYS, (oid,))]
    return tuple(dict.fromkeys(key for key in found if names.issuperset(key)))


def _chosen(rows: list[Any], names: Sequence[str], chosen: Sequence[str] | None, what: str) -> list[Any]:
    if chosen is not None:
        wanted = {match_name("column", name, names) for name in chosen}
        rows = [row for row, name in zip(rows, names, strict=True) if name in wanted]
    if not rows:
        raise ConfigurationError(f"{what} has no column to read.", cure="Choose at least one column.")
    return rows


def _check_allowed(found: Found, rows: list[Any]) -> None:
    refused = [name for _, name, *_, allowed in rows if not allowed]
    if not refused:
        return
    if len(refused) == len(rows):
        raise SourceRefusedError(
            f"The user of this source may not read {found.relation}.",
            cure=f"GRANT SELECT ON {found.relation} to that user, and USAGE on its schema.",
        )
    raise SourceRefusedError(
        f"The user of this source may not read columns {', '.join(map(repr, refused))} of {found.relation}.",
        cure="GRANT SELECT on them, or choose the others with `columns`.",
    )
