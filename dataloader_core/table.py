"""A configured table, as one row of ``control.table_control`` and its source's row describe it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import UUID

from dataloader_core.names import match_name
from dataloader_core.plan import Backfill, Column, Relation


@dataclass(frozen=True)
class SourceConfig:
    """One row of ``table_control_dbconfig``. ``db_config_value`` holds names of secrets, never values."""

    db_config_key: str
    db_type: str
    db_config_value: Mapping[str, Any] | str
    db_kv_scope: str
    default_target_schema: str | None = None
    is_active: bool = True
    max_concurrent_loads: int = 12
    max_connections: int = 48
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TableConfig:
    """The configuration of one table: what a person may edit. Names are the columns' names."""

    control_key: str
    table_uid: UUID
    db_config_key: str
    destination_table_catalog: str
    destination_table_schema: str
    destination_table_name: str
    load_strategy: str
    source_table_catalog: str | None = None
    source_table_schema: str | None = None
    source_table_name: str | None = None
    query: str | None = None
    filter: str | None = None
    columns: tuple[str, ...] | None = None
    primary_key_cols: tuple[str, ...] = ()
    incremental_column: str | None = None
    incremental_type: Literal["timestamp", "integer"] | None = None
    incremental_lookback: str | None = None
    watermark_delay: str | None = None
    rolling_column: str | None = None
    rolling_days: int | None = None
    partition_column: str | None = None
    num_partitions: int | None = None
    lower_bound: str | None = None
    upper_bound: str | None = None
    time_zone: str = "UTC"
    load_cron: str | None = None
    is_active: bool = True
    row_limit: int | None = None
    schema_policy: Literal["evolve", "freeze", "fail"] = "evolve"
    on_unrepresentable: Literal["fail", "null"] = "fail"
    way_of_reading: str | None = None
    allow_empty: bool = False
    max_delete_fraction: float = 0.5
    strategy_options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def relation(self) -> Relation:
        if self.query:
            return Relation(query=self.query)
        return Relation(self.source_table_schema or "", self.source_table_name or "", self.source_table_catalog)

    @property
    def destination(self) -> str:
        return f"{self.destination_table_catalog}.{self.destination_table_schema}.{self.destination_table_name}"


@dataclass(frozen=True)
class SourceTable:
    """What the source's catalog says about a relation, read just now.

    ``columns`` are those chosen, in the catalog's order, already projected. ``keys`` are the columns of the
    primary key and of each unique index without NULLs, best first: only what the source enforces for every row of the
    relation, because merges do not check again what it proves.
    """

    relation: Relation
    columns: tuple[Column, ...]
    kind: str = "table"
    comment: str | None = None
    keys: tuple[tuple[str, ...], ...] = ()
    row_estimate: int | None = None
    bytes_estimate: int | None = None

    def column(self, name: str) -> Column:
        """The column of this name; a name that differs only in case is matched if that is unambiguous.

        Raises:
            UnknownNameError: no such column, or several in other cases.
        """
        by_name = {column.name: column for column in self.columns}
        return by_name[match_name("column", name, by_name)]


@dataclass(frozen=True)
class LoadState:
    """What is true of a table when its load is planned.

    ``watermark`` is the committed one, as text. ``load_full`` is true where it was ordered. ``has_rows``: the
    destination exists and holds rows.
    """

    load_seq: int
    watermark: str | None = None
    load_full: bool = False
    backfill: Backfill | None = None
    has_rows: bool = False
