"""How a column gets its values: what the catalog proves about its default, its sequence and its triggers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from dataloader_sources.postgresql.catalog import Found, native_types
from dataloader_sources.postgresql.clocks import DAY, MICROSECOND, Clock, as_type, read_clock
from dataloader_sources.postgresql.triggers import Effect, Trigger, effect_on
from dataloader_sources.postgresql.types import NativeType

if TYPE_CHECKING:
    from dataloader_sources.postgresql.session import PostgresSession

# The table and, where it is partitioned or a partition, everything of its partition tree.
_TREE: Final = """
WITH root AS (SELECT coalesce(pg_catalog.pg_partition_root(%(oid)s::oid), %(oid)s::oid)::oid AS oid),
tree AS (
  SELECT t.relid::oid AS oid FROM root, pg_catalog.pg_partition_tree(root.oid) t
  UNION
  SELECT root.oid FROM root
)"""

_COLUMNS: Final = f"""{_TREE}
SELECT a.attname, a.atttypid, a.atttypmod, a.attgenerated <> '', a.attidentity <> '',
       pg_catalog.pg_get_expr(d.adbin, d.adrelid),
       ARRAY(SELECT DISTINCT s.oid::int8 FROM pg_catalog.pg_depend p
             JOIN pg_catalog.pg_class s ON s.relkind = 'S' AND s.oid IN (p.objid, p.refobjid)
             WHERE (p.classid = 'pg_catalog.pg_attrdef'::regclass AND p.objid = d.oid
                    AND p.refclassid = 'pg_catalog.pg_class'::regclass)
                OR (p.classid = 'pg_catalog.pg_class'::regclass AND p.deptype = 'i'
                    AND p.refclassid = 'pg_catalog.pg_class'::regclass
                    AND p.refobjid IN (SELECT oid FROM tree) AND p.refobjsubid > 0
                    AND a.attidentity <> ''
                    AND a.attname = (SELECT o.attname FROM pg_catalog.pg_attribute o
                                     WHERE o.attrelid = p.refobjid AND o.attnum = p.refobjsubid))),
       (SELECT pg_catalog.count(DISTINCT pg_catalog.pg_get_expr(od.adbin, od.adrelid))
        FROM tree t JOIN pg_catalog.pg_attribute o ON o.attrelid = t.oid AND o.attname = a.attname
        JOIN pg_catalog.pg_attrdef od ON od.adrelid = o.attrelid AND od.adnum = o.attnum) > 1
FROM pg_catalog.pg_attribute a
LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = %(oid)s AND a.attnum > 0 AND NOT a.attisdropped"""

# A partition's copy of its root's trigger can be disabled by itself. Replication has triggers of its own ('R'): they
# may set the column, and prove nothing.
_TRIGGERS: Final = f"""{_TREE}
SELECT DISTINCT t.tgname, t.tgtype::int4, t.tgqual IS NOT NULL OR pg_catalog.cardinality(t.tgattr::int2[]) > 0,
       p.proname, l.lanname, p.prosrc, t.tgargs,
       t.tgrelid = root.oid AND t.tgenabled <> 'R' AND NOT EXISTS (
         SELECT FROM tree JOIN pg_catalog.pg_class c ON c.oid = tree.oid AND c.relkind <> 'p'
         WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_trigger o
                           WHERE o.tgrelid = c.oid AND o.tgfoid = t.tgfoid AND o.tgtype = t.tgtype
                             AND (o.tgenabled = 'A' OR (o.tgenabled = 'O' AND t.tgenabled = 'O')))),
       t.tgenabled = 'A'
FROM root, pg_catalog.pg_trigger t JOIN pg_catalog.pg_proc p ON p.oid = t.tgfoid
JOIN pg_catalog.pg_language l ON l.oid = p.prolang
WHERE t.tgrelid IN (SELECT oid FROM tree)
  AND NOT t.tgisinternal AND t.tgenabled <> 'D' AND t.tgtype & 3 = 3
ORDER BY t.tgname"""

# Sessions of these do not fire ordinary triggers. Of server-wide settings, the one that reaches this session.
_REPLICATING: Final = """
SELECT coalesce('role ' || pg_catalog.quote_ident(r.rolname), 'database ' || pg_catalog.quote_ident(d.datname),
                'every session')
FROM pg_catalog.pg_db_role_setting s
LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.setrole LEFT JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase
WHERE 'session_replication_role=replica' = ANY (s.setconfig)
  AND (s.setdatabase = 0 OR d.datname = pg_catalog.current_database())
UNION SELECT 'every session' WHERE pg_catalog.current_setting('session_replication_role') = 'replica'
ORDER BY 1"""

_ELSEWHERE: Final = f"""{_TREE}
SELECT EXISTS (SELECT FROM pg_catalog.pg_subscription_rel s JOIN tree ON tree.oid = s.srrelid),
       EXISTS (SELECT FROM pg_catalog.pg_class c JOIN tree ON tree.oid = c.oid AND c.relkind = 'f')"""


@dataclass(frozen=True, slots=True)
class ColumnFacts:
    """What the catalog says of one column. ``default_varies``: other members of its tree have another default."""

    native: NativeType
    generated: bool
    identity: bool
    default: str | None
    sequences: tuple[int, ...]
    default_varies: bool


@dataclass(frozen=True)
class TableFacts:
    """What the catalog says of how rows get into a table.

    Attributes:
        why_not: Why nothing can be proven of any column.
        replicating: Roles and databases whose sessions do not fire ordinary triggers.
    """

    columns: Mapping[str, ColumnFacts]
    triggers: tuple[Trigger, ...]
    why_not: str | None
    replicating: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Stamp:
    """What is proven of a time column.

    Attributes:
        proven: Values come from the server's clock at or after the start of their transaction.
        reason: In words, for people.
        zone: Of a wall clock; None: the values are instants.
        tick: Resolution of the values.
        on_update: A trigger stamps updates as well.
    """

    proven: bool
    reason: str
    zone: str | None = None
    tick: timedelta = MICROSECOND
    on_update: bool = False


def table_facts(session: PostgresSession, found: Found) -> TableFacts:
    """Read the catalog once for all columns of the relation."""
    if found.kind not in ("table", "partitioned table"):
        return TableFacts({}, (), f"what stamps the rows behind a {found.kind} is not known")
    rows = session.fetch(_COLUMNS, {"oid": found.oid})
    natives = native_types(session, [(row[1], row[2]) for row in rows])
    columns = {
        name: ColumnFacts(native, generated, identity, default, tuple(sequences), varies)
        for (name, _, _, generated, identity, default, sequences, varies), native in zip(rows, natives, strict=True)
    }
    triggers = _triggers(session, found.oid)
    replicating = tuple(name for (name,) in session.fetch(_REPLICATING)) if triggers else ()
    return TableFacts(columns, triggers, _why_not(session, found), replicating)


def _why_not(session: PostgresSession, found: Found) -> str | None:
    if found.inherited:
        return "other tables inherit from it, with defaults and triggers of their own"
    subscribed, foreign = session.fetch(_ELSEWHERE, {"oid": found.oid})[0]
    if subscribed:
        return "a subscription writes the table, with the values of another server"
    return "some of its partitions are foreign tables" if foreign else None


def _triggers(session: PostgresSession, oid: int) -> tuple[Trigger, ...]:
    return tuple(
        Trigger(name, events, partial, function, language, source, _arguments(arguments), *firing)
        for name, events, partial, function, language, source, arguments, *firing in session.fetch(
            _TRIGGERS, {"oid": oid}
        )
    )


def _arguments(raw: bytes) -> tuple[str, ...]:
    """``pg_trigger.tgargs``: each argument ends with a NUL byte."""
    return tuple(part.decode(errors="replace") for part in bytes(raw).split(b"\0")[:-1])


def resolution(native: NativeType) -> timedelta | None:
    """The tick of a date or timestamp type; None for others."""
    if native.name == "date":
        return DAY
    if native.name not in ("timestamp", "timestamptz"):
        return None
    return timedelta(microseconds=10 ** (6 - native.typmod)) if 0 <= native.typmod <= 6 else MICROSECOND


def time_stamp(facts: TableFacts, column: str) -> Stamp:
    """What is proven of a date or timestamp column, and why, or why not."""
    column_facts = facts.columns.get(column)
    if facts.why_not or column_facts is None:
        return Stamp(False, facts.why_not or "the column is not the table's own")
    native = column_facts.native
    tick = resolution(native) or MICROSECOND
    effects = [(t, e) for t in facts.triggers if (e := effect_on(t, column)).touches]
    at_insert = [t for t, e in effects if t.on_insert and e.always and t.everywhere and not t.partial]
    problem = _problem(column_facts, effects) or _unstamped(facts, column_facts, at_insert)
    if problem:
        return Stamp(False, problem, tick=tick)
    default = read_clock(column_facts.default) if column_facts.default else None
    clocks = [*([default] if default else []), *(c for _, e in effects for c in e.clocks)]
    assigned = [as_type(clock, native.base) for clock in clocks]
    names = [*(["its default"] if default else []), *(f"trigger {t.name!r}" for t, _ in effects)]
    verb = "stamps" if len(names) == 1 else "stamp"
    how = f"{' and '.join(names)} {verb} it{_not_covered(at_insert, effects)}"
    return _judged(assigned, how, tick, any(t.on_update and t.everywhere for t, _ in effects))


def _problem(facts: ColumnFacts, effects: list[tuple[Trigger, Effect]]) -> str | None:
    if facts.generated:
        return "it is computed from other columns"
    for trigger, effect in effects:
        if effect.unknown:
            return f"trigger {trigger.name!r} may set it to something else than the clock"
    return None


def _unstamped(table: TableFacts, facts: ColumnFacts, at_insert: list[Trigger]) -> str | None:
    """Why some inserted rows may have a value that is not the clock's; a default serves whom triggers do not."""
    if any(t.replicated or not table.replicating for t in at_insert):
        return None
    problem = _default_problem(facts)
    if problem and at_insert:
        names = " and ".join(f"trigger {t.name!r}" for t in at_insert)
        return (
            f"{names} does not fire for {', '.join(table.replicating)}, whose session_replication_role is replica "
            "(ENABLE ALWAYS TRIGGER makes it fire)"
        )
    return problem


def _default_problem(facts: ColumnFacts) -> str | None:
    if facts.default is None:
        return "clients stamp it: it has neither a default nor a trigger that always sets it at INSERT"
    if facts.default_varies:
        return "its default differs between the table and its partitions or children"
    if read_clock(facts.default) is None:
        return f"its default {facts.default} is not the server's clock at or after the start of the transaction"
    return None


def _not_covered(at_insert: list[Trigger], effects: list[tuple[Trigger, Effect]]) -> str:
    if not at_insert:
        return " (values that clients give themselves are not covered)"
    if any(t.on_update and e.always and t.everywhere and not t.partial for t, e in effects):
        return ""
    return " at INSERT (what an UPDATE sets it to is not covered)"


def _judged(clocks: list[Clock | None], how: str, tick: timedelta, on_update: bool) -> Stamp:
    known = [clock for clock in clocks if clock is not None]
    if len(known) < len(clocks):
        return Stamp(False, f"{how}, by a conversion that is not understood", tick=tick)
    if any(clock.by_session for clock in known):
        return Stamp(False, f"{how} in each session's own time zone; name one: now() AT TIME ZONE 'UTC'", tick=tick)
    zones = {clock.zone if clock.shape == "wall" else None for clock in known}
    if len(zones) > 1:
        return Stamp(False, f"{how} in different time zones", tick=tick)
    return Stamp(True, how, zones.pop(), max([tick, *(clock.tick for clock in known)]), on_update)


def trigger_that_sets(facts: TableFacts, column: str) -> str | None:
    """The name of a trigger that sets, or may set, the column."""
    return next((t.name for t in facts.triggers if effect_on(t, column).touches), None)
