"""What a proposal is made from: watermark candidates, graded, and a column to split on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from dataloader_core.errors import SourceRefusedError
from dataloader_core.interfaces.source import CursorCandidate, DiscoveredTable
from dataloader_core.plan import Column, Relation
from dataloader_core.table import SourceTable
from dataloader_core.types import INTEGERS
from dataloader_sources.postgresql import catalog
from dataloader_sources.postgresql.catalog import Found
from dataloader_sources.postgresql.clocks import DAY
from dataloader_sources.postgresql.sequences import sequence_of
from dataloader_sources.postgresql.stamps import TableFacts, resolution, table_facts, time_stamp

if TYPE_CHECKING:
    from dataloader_sources.postgresql.session import PostgresSession


def _words(*lines: str) -> frozenset[str]:
    return frozenset(" ".join(lines).split())


_CHANGED: Final = _words(
    "update updated upd modify modified mod modification change changed chg edit edited touched amended revised",
    "lastupdate lastupdated lastmodified lastchange lastchanged updatedat modifiedat changedat updatetime modtime",
    "updatedon modifiedon changedon updateddate modifieddate mtime geaendert aenderung",
)
_CREATED: Final = _words(
    "create created creation insert inserted added recorded registered ingested loaded logged crt ins ctime",
    "createdat createdon createdate createddate createtime insertedat inserttime insertdate erstellt angelegt",
)
_BUSINESS: Final = _words(
    "birth birthday birthdate dob due order ordered orderdate duedate ship shipped shipping shipdate delivery",
    "delivered deliver start started starts end ended ends begin begins valid validity effective expire expires",
    "expired expiry expiration invoice invoiced paid pay payment post posted posting booking booked hire hired",
    "rental rent return returned schedule scheduled planned plan deadline until since from to departure arrival",
    "departs arrives receipt commit maturity settlement trade period fiscal accounting holiday appointment",
    "admission discharge contract close closed open opened cancelled canceled approved confirmed publish",
    "published release released sold sale purchase purchased",
)
_CLOCK_TYPES: Final = ("timestamp", "timestamp_ntz", "date")
_WORDS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")

_INDEXED: Final = """
SELECT DISTINCT a.attname FROM pg_catalog.pg_index i
JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
WHERE i.indrelid = %s AND i.indisvalid AND i.indpred IS NULL"""


def discover(session: PostgresSession, relation: Relation) -> DiscoveredTable:
    """The relation with its candidates, best first: by grade, then proven, indexed, without NULLs."""
    if relation.query is not None:
        return DiscoveredTable(session.describe(relation), notes=("A query: nothing is known of its columns.",))
    found = catalog.find(session, relation)
    table = catalog.describe(session, found, _readable(session, found), "fail")
    facts = table_facts(session, found)
    indexed = {name for (name,) in session.fetch(_INDEXED, (found.oid,))}
    candidates = tuple(sorted(_candidates(session, table, facts, indexed), key=_rank))
    if session.in_recovery or not session.sees_all:
        candidates = tuple(replace(c, proven=False, reason=f"{c.reason}; {_unseen(session)}") for c in candidates)
    return DiscoveredTable(table, candidates, _partition_column(table), tuple(_notes(found, table, candidates)))


def _unseen(session: PostgresSession) -> str:
    """Why no cap of this source is proven, whatever stamps the column."""
    if session.in_recovery:
        return "not proven at a standby, which does not show the primary's transactions"
    user = session.dialect.quote(session.settings.user)
    return f"not proven while sessions of other users cannot be seen: GRANT pg_read_all_stats TO {user}"


def _readable(session: PostgresSession, found: Found) -> list[str] | None:
    """The columns that may be read where not all may; None: all."""
    rows = session.fetch(catalog.COLUMNS, (found.oid,))
    allowed = [name for _, name, *_, may in rows if may]
    if rows and not allowed:
        raise SourceRefusedError(
            f"The user of this source may not read {found.relation}.", cure=f"GRANT SELECT ON {found.relation}."
        )
    return allowed if len(allowed) < len(rows) else None


def _candidates(
    session: PostgresSession, table: SourceTable, facts: TableFacts, indexed: set[str]
) -> Iterator[CursorCandidate]:
    for column in table.columns:
        if column.type.name in _CLOCK_TYPES:
            candidate = _time_candidate(column, facts, column.name in indexed)
        elif column.type.name in INTEGERS or (column.type.name == "decimal" and column.type.scale == 0):
            candidate = _counter_candidate(session, column, facts, column.name in indexed)
        else:
            candidate = None
        if candidate:
            yield candidate


def _time_candidate(column: Column, facts: TableFacts, indexed: bool) -> CursorCandidate | None:
    stamp = time_stamp(facts, column.name)
    named = grade_of_name(column.name, is_date=column.type.name == "date")
    if named is None:
        return None
    grade, why = named
    if stamp.proven and stamp.on_update and grade > 2:
        grade, why = 2, "a trigger stamps every change"
    elif stamp.proven and grade > 3:
        grade, why = 3, "the server stamps it at creation: inserts only"
    known = facts.columns.get(column.name)
    native = resolution(known.native) if known else None
    tick = max(stamp.tick, native) if native else DAY if column.type.name == "date" else stamp.tick
    return CursorCandidate(
        column.name, grade, f"{why}; {stamp.reason}", indexed, column.nullable, tick_name(tick), stamp.proven
    )


def _counter_candidate(
    session: PostgresSession, column: Column, facts: TableFacts, indexed: bool
) -> CursorCandidate | None:
    """Only what a sequence fills counts: other integers are quantities, references and keys of clients."""
    known = facts.columns.get(column.name)
    if known is None or not known.sequences:
        return None
    sequence = sequence_of(session, facts, column.name)
    proven = not isinstance(sequence, str)
    why = f"sequence {sequence} counts up" if proven else str(sequence)
    return CursorCandidate(
        column.name, 3, f"counts inserts only; {why}", indexed, column.nullable, "integer step", proven
    )


def grade_of_name(name: str, *, is_date: bool = False) -> tuple[int, str] | None:
    """The grade that a time column's name earns, with the reason; None: a business date, never a watermark.

    A ``date`` without a telling name is a business date too: an edit does not move it.
    """
    words = {word.lower() for word in _WORDS.findall(name)}
    if words & _CHANGED:
        return 2, "its name says that it is stamped on every change"
    if words & _CREATED:
        return 3, "its name says that it is stamped at creation: inserts only"
    if is_date or words & _BUSINESS:
        return None
    return 4, "it is a timestamp without a telling name"


def tick_name(tick: timedelta) -> str:
    """``microsecond``, ``millisecond``, ``second``, ``day``, or the number of microseconds."""
    names = {1: "microsecond", 1000: "millisecond", 1_000_000: "second", 86_400_000_000: "day"}
    micros = tick // timedelta(microseconds=1)
    return names.get(micros, f"{micros} microseconds")


def _rank(candidate: CursorCandidate) -> tuple[object, ...]:
    return candidate.grade, not candidate.proven, not candidate.indexed, candidate.nullable


def _partition_column(table: SourceTable) -> str | None:
    """The first whole-number column of the primary key: cheap ranges, no NULLs."""
    for name in table.keys[0] if table.keys else ():
        if table.column(name).type.name in INTEGERS:
            return name
    return None


def _notes(found: Found, table: SourceTable, candidates: tuple[CursorCandidate, ...]) -> Iterator[str]:
    if found.row_security:
        yield "Row level security hides rows from this user: only what its policies show is loaded."
    if found.inherited:
        yield "Other tables inherit from it: their rows are read too, and its own keys do not hold over them."
    if not table.keys:
        yield "No primary key nor unique index without NULLs: nothing to merge by."
    for candidate in candidates:
        if candidate.nullable:
            yield (
                f"{candidate.column!r} can be NULL: such rows would never be read by it. "
                "Make it NOT NULL with a default, or choose another watermark."
            )
