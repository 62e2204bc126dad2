"""What a file changes: the difference between its entries and the rows, field by field."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final, Literal

from dataloader_core.tables_file.checking import Known, merged
from dataloader_core.tables_file.entry import FIELDS
from dataloader_core.tables_file.reading import Entry

DEFAULT_THEN: Final = "incremental"
"""What a row becomes after its backfill where the options do not say."""

_CAREFUL: Final = (
    "db_config_key", "source_table_catalog", "source_table_schema", "source_table_name", "query", "filter",
    "load_strategy", "incremental_column", "incremental_type", "primary_key_cols", *(
        "destination_table_catalog", "destination_table_schema", "destination_table_name",
    ),
)  # fmt: skip
"""Columns whose change makes a kept watermark doubtful."""


@dataclass(frozen=True)
class FieldChange:
    field: str
    old: Any
    new: Any


@dataclass(frozen=True)
class TableChange:
    """What happens to one row.

    Attributes:
        action: ``create``, ``change`` or ``keep`` (it is already so).
        fields: What changes; for a new row everything given.
        notes: What of the entry is not done, and why.
    """

    control_key: str
    action: Literal["create", "change", "keep"]
    fields: tuple[FieldChange, ...] = ()
    notes: tuple[str, ...] = field(default=())

    @property
    def values(self) -> dict[str, Any]:
        """The columns to write."""
        return {change.field: change.new for change in self.fields}


@dataclass(frozen=True)
class Wishes:
    """What the file alone cannot say.

    Attributes:
        clear_watermark: Where a change makes the watermark doubtful, clear it: the next load reads everything.
        restart_backfill: Start backfills again that have been completed.
        backfilled: Tables whose backfill was completed.
    """

    clear_watermark: bool = False
    restart_backfill: bool = False
    backfilled: Collection[str] = ()


def changes(entries: Sequence[Entry], known: Known, wishes: Wishes | None = None) -> list[TableChange]:
    """One change for each entry, in the file's order."""
    return [_change(entry, known, wishes or Wishes()) for entry in entries]


def _change(entry: Entry, known: Known, wishes: Wishes) -> TableChange:
    row = known.rows.get(entry.control_key)
    if row is None:
        values = {name: value for name, value in merged(entry, known).items() if value is not None}
        return TableChange(entry.control_key, "create", tuple(FieldChange(n, None, values[n]) for n in _order(values)))
    given, notes = _wanted(entry, row, wishes)
    fields = [FieldChange(n, row.get(n), given[n]) for n in _order(given) if not _same(row.get(n), given[n])]
    fields += _cleared_watermark(fields, row, wishes)
    return TableChange(entry.control_key, "change" if fields else "keep", tuple(fields), notes)


def _wanted(entry: Entry, row: Mapping[str, Any], wishes: Wishes) -> tuple[dict[str, Any], tuple[str, ...]]:
    given, notes = dict(entry.given), []
    if "incremental_value" in given and not _same(row.get("incremental_value"), given.pop("incremental_value")):
        # The file would set the watermark back with every apply, and append_only would then load rows twice.
        notes.append("incremental_value is where a new table starts; this one keeps its own watermark")
    if _is_completed_backfill(entry, row, wishes):
        given.pop("load_strategy")
        given.pop("strategy_options", None)
        notes.append(
            f"its backfill is complete and it became {row['load_strategy']}; it is not started again "
            "(--restart-backfill does)"
        )
    return given, tuple(notes)


def _is_completed_backfill(entry: Entry, row: Mapping[str, Any], wishes: Wishes) -> bool:
    if wishes.restart_backfill or entry.control_key not in wishes.backfilled:
        return False
    then = (entry.given.get("strategy_options") or {}).get("then", DEFAULT_THEN)
    return entry.given.get("load_strategy") == "chunked_backfill" and row["load_strategy"] == then


def _cleared_watermark(fields: Sequence[FieldChange], row: Mapping[str, Any], wishes: Wishes) -> list[FieldChange]:
    """The control database wants the watermark set or cleared in the same statement."""
    restarted = wishes.restart_backfill and any(c.field == "load_strategy" for c in fields)
    doubtful = any(change.field in _CAREFUL for change in fields)
    if row.get("incremental_value") is None or not doubtful or not (wishes.clear_watermark or restarted):
        return []
    return [FieldChange("incremental_value", row["incremental_value"], None)]


def _order(names: Mapping[str, Any]) -> list[str]:
    return [name for name in FIELDS if name in names]


def _same(old: Any, new: Any) -> bool:
    if isinstance(old, bool) or isinstance(new, bool):
        return old is new
    if isinstance(old, int | float | Decimal) and isinstance(new, int | float | Decimal):
        return float(old) == float(new)
    if isinstance(old, Sequence) and isinstance(new, Sequence) and not isinstance(old, str):
        return list(old) == list(new)
    if not old and not new and (isinstance(old, Sequence | Mapping) or isinstance(new, Sequence | Mapping)):
        return True
    return bool(old == new)
