"""The cap: the highest value of a column below which nothing can still appear.

Every statement here ends before the snapshot of the read is taken: what has ended by then, the snapshot sees.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from dataloader_core.plan import Cap, Column, Relation
from dataloader_core.table import SourceTable
from dataloader_core.types import INTEGERS
from dataloader_core.values import Value, utc_value
from dataloader_sources.postgresql import catalog
from dataloader_sources.postgresql.clocks import MICROSECOND
from dataloader_sources.postgresql.sequences import sequence_cap
from dataloader_sources.postgresql.stamps import Stamp, TableFacts, table_facts, time_stamp
from dataloader_sources.postgresql.transactions import activity, hidden_reason, prepared_hold

if TYPE_CHECKING:
    from dataloader_sources.postgresql.session import PostgresSession

_TIMES: Final = ("date", "timestamp_ntz", "timestamp")
_EPOCH: Final = datetime(1970, 1, 1)

# The lowest wall clock that the zone can still show from the moment on: where clocks go back within the next day, the
# beginning of the repeated hour. Zones change at whole minutes.
_WALL: Final = """
SELECT pg_catalog.min(moment AT TIME ZONE %(zone)s) FROM (
  SELECT %(moment)s::timestamptz AS moment
  UNION ALL
  SELECT pg_catalog.generate_series(pg_catalog.date_trunc('minute', %(moment)s::timestamptz) + interval '1 minute',
                                    %(moment)s::timestamptz + interval '1 day', interval '1 minute')) AS m"""


def cap(session: PostgresSession, table: SourceTable, column: Column) -> Cap:
    """The cap of the column, proven where the catalog and the server's sessions allow it."""
    if not session.in_recovery and (held := prepared_hold(activity(session))):
        return held
    facts = _facts(session, table.relation)
    if column.type.name in _TIMES:
        return _time_cap(session, facts, column)
    if column.type.name in INTEGERS or (column.type.name == "decimal" and column.type.scale == 0):
        return sequence_cap(session, facts, table, column)
    return Cap(None, False, False, f"a column of type {column.type} is stamped by no clock and no sequence")


def _facts(session: PostgresSession, relation: Relation) -> TableFacts:
    if relation.query is not None:
        return TableFacts({}, (), "what stamps the rows of a query is not known")
    return table_facts(session, catalog.find(session, relation))


def _time_cap(session: PostgresSession, facts: TableFacts, column: Column) -> Cap:
    stamp = time_stamp(facts, column.name)
    if session.in_recovery:
        return _standby_cap(session, stamp, column)
    now = activity(session)
    if held := prepared_hold(now):
        return held  # prepared since the first look
    clock = now.clock - session.settings.cap_margin
    if not stamp.proven:
        return _clock_cap(session, clock, stamp, column, stamp.reason)
    if reason := hidden_reason(session, now):
        return _clock_cap(session, clock, stamp, column, reason)
    lowest, why = clock, f"the source's clock less {session.settings.cap_margin.total_seconds():g} s"
    if now.oldest is not None and now.oldest[0] < clock:
        lowest, pid = now.oldest
        why = f"the start of the oldest open transaction, of session {pid}"
    value = _value(session, lowest, stamp, column)
    return Cap(value, False, True, f"Below {value}, the tick that contains {why}; {stamp.reason}.")


def _standby_cap(session: PostgresSession, stamp: Stamp, column: Column) -> Cap:
    replayed = session.fetch(
        "SELECT coalesce(pg_catalog.pg_last_xact_replay_timestamp(), pg_catalog.statement_timestamp())"
    )[0][0]
    reason = "the source is a standby, which does not show the primary's transactions"
    return _clock_cap(session, replayed - session.settings.cap_margin, stamp, column, reason)


def _clock_cap(session: PostgresSession, moment: datetime, stamp: Stamp, column: Column, why: str) -> Cap:
    """The best bound known: the clock. A wall clock of an unknown zone is taken as UTC."""
    value = _value(session, moment, stamp, column)
    zone = " (taken as UTC)" if column.type.name != "timestamp" and stamp.zone is None else ""
    return Cap(value, False, False, f"Not proven: {why}. The bound is the source's clock{zone}.")


def _value(session: PostgresSession, moment: datetime, stamp: Stamp, column: Column) -> Value:
    """The start of the tick that contains the moment, in the column's type and zone."""
    if column.type.name == "timestamp":
        wall = moment.astimezone(UTC).replace(tzinfo=None)
        return utc_value(_floor(wall, stamp.tick).replace(tzinfo=UTC))
    found = session.fetch(_WALL, {"zone": stamp.zone or "UTC", "moment": moment})[0][0]
    assert isinstance(found, datetime)
    floor = _floor(found, stamp.tick)
    if column.type.name == "date":
        return Value(column.type, floor.date().isoformat())
    return Value(column.type, floor.isoformat(" ", "microseconds"))


def _floor(moment: datetime, tick: timedelta) -> datetime:
    return moment - (moment - _EPOCH) % max(tick, MICROSECOND)
