"""Short ways to write down columns, tables and configurations in tests."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from dataloader_core.names import fold_columns
from dataloader_core.plan import Column, Relation
from dataloader_core.table import SourceTable, TableConfig
from dataloader_core.types import ColumnType

TABLE_UID = UUID("11111111-2222-3333-4444-555555555555")


def source_table(keys: tuple[tuple[str, ...], ...] = (), estimate: int | None = None, /, **types: str) -> SourceTable:
    """``source_table(id="bigint!", stamp="timestamp")``; an exclamation mark makes a column NOT NULL."""
    targets = fold_columns(list(types))
    columns = []
    for name, text in types.items():
        native = text.removesuffix("!")
        nullable = native == text
        columns.append(Column(name, targets[name], ColumnType.parse(native), f'"{name}"', native, nullable))
    return SourceTable(Relation("public", "orders"), tuple(columns), keys=keys, row_estimate=estimate)


def table_config(strategy: str, **settings: Any) -> TableConfig:
    """A configured table ``crm.public.orders`` that goes to ``bronze.crm.orders``."""
    fields: dict[str, Any] = {
        "control_key": "crm.public.orders",
        "table_uid": TABLE_UID,
        "db_config_key": "crm",
        "destination_table_catalog": "bronze",
        "destination_table_schema": "crm",
        "destination_table_name": "orders",
        "source_table_schema": "public",
        "source_table_name": "orders",
        "load_strategy": strategy,
    }
    return TableConfig(**{**fields, **settings})
