"""From a discovered table to an entry of ``tables.yaml``, with the reason for every choice in words.

A proposal is where a person starts reading, so it prefers what cannot lose anything: a column is proposed as a
watermark only where its name or its engine says that it moves when a row changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from dataloader_core.interfaces.source import CursorCandidate, DiscoveredTable
from dataloader_core.names import control_key, fold_table_name
from dataloader_core.types import INTEGERS

BACKFILL_ROWS: Final = 50_000_000
"""From here on a first load is cut into chunks, so that a failure costs one chunk and not the night."""
APPEND_ROWS: Final = 1_000_000
"""From here on reading a whole table each time costs more than not seeing later changes of its rows."""

_NUMBERS: Final = (*INTEGERS, "decimal", "binary")
_CHUNK_TYPES: Final = (*INTEGERS, "date", "timestamp_ntz", "timestamp")
_LOOKBACK: Final = {"date": "2 days", "timestamp": "1 hour", "timestamp_ntz": "1 hour"}
_NUMBER_LOOKBACK: Final = "10000"


@dataclass(frozen=True)
class Place:
    """Where proposals point. ``schema`` None: named after the source."""

    db_config_key: str
    catalog: str = "bronze"
    schema: str | None = None
    cron: str | None = None

    @property
    def target_schema(self) -> str:
        return self.schema or fold_table_name(self.db_config_key)


@dataclass(frozen=True)
class Proposal:
    """An entry and why it looks as it does.

    Attributes:
        entry: Columns of ``table_control``.
        reasons: One sentence each, the strategy's first.
        row_estimate: The source's own estimate.
        bytes_estimate: Likewise, in bytes.
        kind: Table, view and so on.
    """

    entry: Mapping[str, Any]
    reasons: tuple[str, ...]
    kind: str
    row_estimate: int | None = None
    bytes_estimate: int | None = None

    @property
    def control_key(self) -> str:
        return str(self.entry["control_key"])


@dataclass(frozen=True)
class _Choice:
    strategy: str
    reason: str
    fields: Mapping[str, Any]
    notes: tuple[str, ...] = ()


def propose(found: Sequence[DiscoveredTable], place: Place) -> list[Proposal]:
    """A proposal for each table; destination names are made different from each other."""
    names = _destination_names(found)
    return [_proposal(table, place, name) for table, name in zip(found, names, strict=True)]


def _proposal(found: DiscoveredTable, place: Place, name: str) -> Proposal:
    table, relation = found.table, found.table.relation
    choice = _choose(found)
    entry: dict[str, Any] = {
        "control_key": control_key(place.db_config_key, *(p for p in (relation.schema, relation.name) if p)),
        "db_config_key": place.db_config_key,
        "source_table_catalog": relation.catalog,
        "source_table_schema": relation.schema or None,
        "source_table_name": relation.name,
        "destination_table_catalog": place.catalog,
        "destination_table_schema": place.target_schema,
        "destination_table_name": name,
        "load_strategy": choice.strategy,
        "primary_key_cols": list(table.keys[0]) if table.keys else None,
        **choice.fields,
        "load_cron": place.cron,
    }
    reasons = [choice.reason, *choice.notes, *_remarks(found, choice)]
    if name != relation.name:
        reasons.append(f"The destination is called {name}: {relation.name!r} is taken or no safe name there.")
    filled = {field: value for field, value in entry.items() if value is not None}
    return Proposal(filled, tuple(reasons), table.kind, table.row_estimate, table.bytes_estimate)


def _remarks(found: DiscoveredTable, choice: _Choice) -> Iterator[str]:
    """The source's notes, but not those about columns that were candidates and are not the watermark."""
    chosen = choice.fields.get("incremental_column")
    others = [repr(cursor.column) for cursor in found.cursors if cursor.column != chosen]
    for note in found.notes:
        said = chosen is not None and repr(chosen) in note and "NULL" in note
        if not said and not any(other in note for other in others):
            yield note


def _choose(found: DiscoveredTable) -> _Choice:
    table = found.table
    best = _best(found.cursors)
    if best is None:
        return _Choice("full", f"Everything, each time: {_no_cursor(found)}.", {})
    if best.grade <= 2 and table.keys:
        return _growing(found, best)
    if best.grade == 3 and best.proven and (table.row_estimate or 0) >= APPEND_ROWS:
        reason = f"New rows only: {_about(best)}. Rows that change after they were read are not seen."
        return _Choice("append_only", reason, _watermark(found, best), _warnings(best))
    return _Choice("full", f"Everything, each time: {_not_good_enough(found, best)}.", {})


def _best(cursors: Sequence[CursorCandidate]) -> CursorCandidate | None:
    """The lowest grade; among equals the one that is proven, never NULL and indexed."""
    return min(cursors, key=lambda c: (c.grade, not c.proven, c.nullable, not c.indexed), default=None)


def _growing(found: DiscoveredTable, cursor: CursorCandidate) -> _Choice:
    fields, notes = dict(_watermark(found, cursor)), list(_warnings(cursor))
    if not cursor.proven:
        fields["incremental_lookback"] = _lookback(found, cursor)
        notes.append(
            f"When a change becomes visible cannot be proven from {cursor.column}, so each load reads the last "
            f"{fields['incremental_lookback']} again; merging makes that harmless."
        )
    about = f"{_about(cursor)}, merged by {_listed(found.table.keys[0])}"
    if (found.table.row_estimate or 0) < BACKFILL_ROWS:
        return _Choice("incremental", f"Changes only: {about}.", fields, tuple(notes))
    column = _chunk_column(found)
    if column is None:
        notes.append("It is large, but no single key column orders it: the first load reads it in one piece.")
        return _Choice("incremental", f"Changes only: {about}.", fields, tuple(notes))
    fields |= {"partition_column": column, "strategy_options": {"then": "incremental"}}
    reason = f"About {found.table.row_estimate:,} rows: first in chunks of {column}, then changes only: {about}."
    return _Choice("chunked_backfill", reason, fields, tuple(notes))


def _watermark(found: DiscoveredTable, cursor: CursorCandidate) -> dict[str, Any]:
    kind = "integer" if found.table.column(cursor.column).type.name in _NUMBERS else "timestamp"
    return {"incremental_column": cursor.column, "incremental_type": kind}


def _lookback(found: DiscoveredTable, cursor: CursorCandidate) -> str:
    return _LOOKBACK.get(found.table.column(cursor.column).type.name, _NUMBER_LOOKBACK)


def _chunk_column(found: DiscoveredTable) -> str | None:
    """The primary key where it is one column with an order, else what the source proposes."""
    for key in found.table.keys[:1]:
        if len(key) == 1 and found.table.column(key[0]).type.name in _CHUNK_TYPES:
            return key[0]
    return None


def _warnings(cursor: CursorCandidate) -> tuple[str, ...]:
    notes = []
    if cursor.nullable:
        notes.append(
            f"{cursor.column} may be NULL: such rows are read by the first load only. Make it NOT NULL at the source."
        )
    if not cursor.indexed:
        notes.append(f"{cursor.column} has no index: each load scans the table at the source.")
    return tuple(notes)


def _about(cursor: CursorCandidate) -> str:
    return f"{cursor.column} ({cursor.reason.rstrip('.')})"


def _no_cursor(found: DiscoveredTable) -> str:
    return "no column says when a row changed" + _size(found)


def _not_good_enough(found: DiscoveredTable, cursor: CursorCandidate) -> str:
    if cursor.grade <= 2:
        return f"{cursor.column} says when a row changed, but there is no key to merge by" + _size(found)
    if cursor.grade == 3:
        return f"{cursor.column} says when a row was made, not when it changed" + _size(found)
    return f"nothing says that {cursor.column} moves when a row changes" + _size(found)


def _size(found: DiscoveredTable) -> str:
    rows = found.table.row_estimate
    return "" if rows is None else f"; about {rows:,} {'row' if rows == 1 else 'rows'}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)


def _destination_names(found: Sequence[DiscoveredTable]) -> list[str]:
    """Safe names, no two alike without case: with the schema in front where that helps, else numbered."""
    relations = [table.table.relation for table in found]
    plain = [fold_table_name(r.name) for r in relations]
    counts: dict[str, int] = {}
    for name in plain:
        counts[name.casefold()] = counts.get(name.casefold(), 0) + 1
    taken: set[str] = set()
    result = []
    for relation, name in zip(relations, plain, strict=True):
        shared = counts[name.casefold()] > 1
        result.append(_free(fold_table_name(f"{relation.schema}_{relation.name}") if shared else name, taken))
    return result


def _free(name: str, taken: set[str]) -> str:
    candidate, number = name, 2
    while candidate.casefold() in taken:
        candidate, number = f"{name}_{number}", number + 1
    taken.add(candidate.casefold())
    return candidate
