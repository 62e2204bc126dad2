"""Rows of the control database as the records that everybody else uses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any, Final

from dataloader_core.control.records import Claim, Holder, LoadProgress
from dataloader_core.errors import ConfigurationError
from dataloader_core.plan import Backfill
from dataloader_core.table import SourceConfig, TableConfig

Row = Mapping[str, Any]

TABLE_COLUMNS: Final = tuple(f.name for f in fields(TableConfig))
SOURCE_COLUMNS: Final = tuple(f.name for f in fields(SourceConfig))
_HOLDER: Final = tuple(f.name for f in fields(Holder))

# A row together with its source, what it depends on, and its entry in the history.
CLAIM_ROW: Final = """
SELECT t.*, control.fingerprint(t) AS fingerprint, to_jsonb(s) AS source_row, h.id AS history_id
FROM control.table_control t
JOIN control.table_control_dbconfig s USING (db_config_key)
LEFT JOIN control.historical_metadata h ON h.load_id = t.load_id
"""


def read_table(row: Row) -> TableConfig:
    values = {name: row[name] for name in TABLE_COLUMNS}
    values["columns"] = None if row["columns"] is None else tuple(row["columns"])
    values["primary_key_cols"] = tuple(row["primary_key_cols"])
    return TableConfig(**values)


def read_source(row: Row) -> SourceConfig:
    return SourceConfig(**{name: row[name] for name in SOURCE_COLUMNS})


def read_holder(data: Mapping[str, Any] | None) -> Holder | None:
    """None where there is no holder, or nothing that says who it is. A newer program may say more of itself."""
    try:
        return None if data is None else Holder(**{name: data[name] for name in _HOLDER if name in data})
    except TypeError:
        return None


def holder_json(holder: Holder) -> dict[str, Any]:
    return asdict(holder)


def read_progress(data: Mapping[str, Any] | None) -> LoadProgress | None:
    return None if data is None else LoadProgress(**data)


def read_backfill(row: Row) -> Backfill | None:
    cursor = row["backfill_cursor"]
    try:
        return None if cursor is None else Backfill.from_json(cursor)
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigurationError(
            f"{row['control_key']}: backfill_cursor is no progress of a backfill.",
            cure="Set incremental_value to NULL, which starts the backfill anew.",
        ) from error


def read_claim(row: Row) -> Claim:
    """A claim from a row of :data:`CLAIM_ROW` that is claimed.

    Raises:
        ConfigurationError: the row cannot be read as a table's configuration.
    """
    holder = read_holder(row["claim_holder"])
    assert holder is not None, "a claimed row has a holder"
    return Claim(
        table=read_table(row),
        source=read_source(row["source_row"]),
        config_id=row["config_id"],
        load_seq=row["load_seq"],
        load_id=row["load_id"],
        history_id=row["history_id"],
        fingerprint=row["claim_fingerprint"],
        previous_closed=row["claim_previous_closed"],
        holder=holder,
        committed_version=row["committed_version"],
        watermark=row["incremental_value"],
        watermark_sets=row["watermark_sets"],
        load_full=row["claim_load_full"],
        load_full_orders=row["claim_load_full_orders"],
        backfill=read_backfill(row),
        disputed_version=row["disputed_version"],
        disputed_sets=row["disputed_sets"],
        run_id=row["run_id"],
        adopt_unowned=row["adopt_unowned"],
        staging_tables=tuple(row["staging_tables"]),
    )
