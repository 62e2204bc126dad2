"""The cap of a column that a sequence fills.

A value is drawn inside a transaction and committed with it, in any order. So the sequence's last value is safe once
every transaction that was open when it was read has ended, whether or not it had a transaction id by then.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from dataloader_core.errors import SourceRefusedError
from dataloader_core.plan import Cap, Column
from dataloader_core.table import SourceTable
from dataloader_core.values import Value
from dataloader_sources.postgresql.looks import Look
from dataloader_sources.postgresql.stamps import TableFacts, trigger_that_sets
from dataloader_sources.postgresql.transactions import Activity, activity, hidden_reason, prepared_hold

if TYPE_CHECKING:
    from dataloader_sources.postgresql.session import PostgresSession

_DRAWN: Final = re.compile(r"\(?nextval\('(?:[^']|'')+'::regclass\)\)?(?:::\w+)?", re.IGNORECASE)
_POLL_SECONDS: Final = 0.05

_SEQUENCE: Final = """
SELECT n.nspname, c.relname, s.seqcache, s.seqincrement, s.seqcycle, pg_catalog.pg_relation_filenode(c.oid)::int8
FROM pg_catalog.pg_sequence s JOIN pg_catalog.pg_class c ON c.oid = s.seqrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE s.seqrelid = %s"""


@dataclass(frozen=True, slots=True)
class Sequence:
    """A sequence that counts up by one.

    ``generation``: its file, which RESTART replaces; what was seen of another generation says nothing of this one.
    """

    oid: int
    schema: str
    name: str
    generation: int

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


def sequence_of(session: PostgresSession, facts: TableFacts, column: str) -> Sequence | str:
    """The sequence that fills the column, or why nothing is proven of its values."""
    found = facts.columns.get(column)
    if facts.why_not or found is None:
        return facts.why_not or "the column is not the table's own"
    if len(found.sequences) != 1 or not (found.identity or _DRAWN.fullmatch(found.default or "")):
        return "clients give it its values: its default is no sequence"
    if found.default_varies:
        return "its default differs between the table and its partitions or children"
    if trigger := trigger_that_sets(facts, column):
        return f"trigger {trigger!r} may set it to something else than the sequence's value"
    (schema, name, cache, increment, cycle, generation) = session.fetch(_SEQUENCE, (found.sequences[0],))[0]
    if cache != 1:
        return f"sequence {schema}.{name} has CACHE {cache}: each session keeps values in hand"
    if increment != 1 or cycle:
        return f"sequence {schema}.{name} does not count up by one (INCREMENT {increment}{', CYCLE' if cycle else ''})"
    return Sequence(found.sequences[0], schema, name, generation)


def sequence_cap(session: PostgresSession, facts: TableFacts, table: SourceTable, column: Column) -> Cap:
    """The last value of the newest look whose transactions have all ended."""
    sequence = sequence_of(session, facts, column.name)
    if isinstance(sequence, str):
        return _highest_seen(session, table, column, sequence)
    if session.in_recovery:
        return _highest_seen(session, table, column, "the source is a standby and shows no transaction of the primary")
    try:
        last = _last_value(session, sequence)
    except SourceRefusedError:
        user = session.dialect.quote(session.settings.user)
        return _highest_seen(
            session, table, column, f"the sequence cannot be read: GRANT SELECT ON SEQUENCE {sequence} TO {user}"
        )
    return _settled_cap(session, sequence, last, table, column)


def _settled_cap(session: PostgresSession, sequence: Sequence, last: int, table: SourceTable, column: Column) -> Cap:
    """``last`` was read before the sessions are looked at: who drew it is listed, or has ended."""
    now = activity(session)
    if reason := hidden_reason(session, now):
        return _highest_seen(session, table, column, reason)
    if held := prepared_hold(now):
        return held
    key = f"{session.identity}/{sequence.oid}/{sequence.generation}"
    new = Look(last, now.clock, now.open)
    session.looks.remember(key, new)
    now = _wait_for(session, new, now)
    if held := prepared_hold(now):
        return held
    if reason := hidden_reason(session, now):
        return _highest_seen(session, table, column, reason)
    settled = next((look for look in session.looks.recall(key) if look.settled(now.open)), None)
    if settled is None:
        return _nothing_settled(sequence, new, now)
    seen = settled.taken_at.isoformat(" ", "seconds")
    reason = (
        f"Up to {settled.value}, what sequence {sequence} had given out at {seen}; every transaction of then ended."
    )
    return Cap(Value(column.type, str(settled.value)), True, True, reason)


def _wait_for(session: PostgresSession, look: Look, now: Activity) -> Activity:
    """Most transactions are short: wait for those of the look, for as long as the connection's settings say."""
    deadline = time.monotonic() + session.settings.look_wait.total_seconds()
    while not look.settled(now.open) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
        now = activity(session)
    return now


def _nothing_settled(sequence: Sequence, look: Look, now: Activity) -> Cap:
    pids = ", ".join(str(pid) for pid, *_ in sorted(look.open & now.open)[:5])
    reason = (
        f"Transactions of sessions {pids} were open at every look at sequence {sequence} that is remembered, "
        "and may hold values of it: the watermark stays until they end."
    )
    return Cap(None, False, True, reason, hold=True)


def _last_value(session: PostgresSession, sequence: Sequence) -> int:
    """The last value given out; one below the start where none was."""
    name = f"{session.dialect.quote(sequence.schema)}.{session.dialect.quote(sequence.name)}"
    last, called = session.fetch(f"SELECT last_value, is_called FROM {name}")[0]
    return int(last) if called else int(last) - 1


def _highest_seen(session: PostgresSession, table: SourceTable, column: Column, why: str) -> Cap:
    name = session.dialect.quote(column.name)
    highest = session.dialect.value_text(column, f"max({name})")
    held = f" WHERE {name} <> 'NaN'" if column.type.name == "decimal" and column.guards else ""
    text = session.fetch(f"SELECT {highest} FROM {session.dialect.source(table.relation)}{held}")[0][0]
    reason = f"Not proven: {why}. The bound is the highest value seen."
    return Cap(Value(column.type, text) if text is not None else None, True, False, reason)
