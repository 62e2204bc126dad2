"""Rows of ``table_control`` as plain values: read whole, written all or nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from psycopg import sql
from psycopg.types.json import Jsonb

from dataloader_core.control.claims import unknown_table
from dataloader_core.control.pool import Connection, Pool
from dataloader_core.control.reading import TABLE_COLUMNS
from dataloader_core.errors import UnknownNameError

_RESERVED: Final = ("is_delete", "delete_mode", "deletes_checked_at")
EDITABLE: Final = (
    *(name for name in TABLE_COLUMNS if name != "table_uid"),
    "incremental_value",
    "load_full",
    "next_load_date_time",
    *_RESERVED,
)
"""Columns that people write. The reserved ones are known so that the database can say why it refuses them."""


def rows(pool: Pool, control_keys: Sequence[str] | None) -> Mapping[str, Mapping[str, Any]]:
    """See :meth:`dataloader_core.control.database.ControlDatabase.rows`."""
    with pool.transaction() as connection:
        found = connection.execute(
            "SELECT * FROM control.table_control WHERE %(keys)s::text[] IS NULL OR control_key = ANY(%(keys)s)"
            " ORDER BY control_key",
            {"keys": None if control_keys is None else list(control_keys)},
        ).fetchall()
    return {row["control_key"]: row for row in found}


def apply_rows(
    pool: Pool,
    inserts: Sequence[Mapping[str, Any]],
    updates: Mapping[str, Mapping[str, Any]],
    *,
    change_source: str,
    dry_run: bool,
) -> None:
    """See :meth:`dataloader_core.control.database.ControlDatabase.apply_rows`."""
    with pool.transaction() as connection:
        connection.execute("SELECT set_config('dataloader.change_source', %s, true)", (change_source,))
        # One order for everyone: two files that are applied at once wait for each other and do not lock up.
        for control_key in sorted(updates):
            _update(connection, control_key, updates[control_key])
        for values in inserts:
            _insert(connection, values)
        if dry_run:
            connection.rollback()


def _update(connection: Connection, control_key: str, values: Mapping[str, Any]) -> None:
    _check(values)
    if not values:
        return
    assignments = sql.SQL(", ").join(sql.SQL("{} = %s").format(sql.Identifier(name)) for name in values)
    statement = sql.SQL("UPDATE control.table_control SET {} WHERE control_key = %s RETURNING config_id").format(
        assignments
    )
    if connection.execute(statement, (*_adapted(values), control_key)).fetchone() is None:
        raise unknown_table(connection, control_key)


def _insert(connection: Connection, values: Mapping[str, Any]) -> None:
    _check(values)
    names = sql.SQL(", ").join(map(sql.Identifier, values))
    places = sql.SQL(", ").join([sql.Placeholder()] * len(values))
    connection.execute(
        sql.SQL("INSERT INTO control.table_control ({}) VALUES ({})").format(names, places), _adapted(values)
    )


def _check(values: Mapping[str, Any]) -> None:
    for name in values:
        if name not in EDITABLE:
            raise UnknownNameError("column of table_control", name, EDITABLE)


def _adapted(values: Mapping[str, Any]) -> list[Any]:
    return [_adapt(value) for value in values.values()]


def _adapt(value: Any) -> Any:
    if isinstance(value, Mapping):
        return Jsonb(dict(value))
    return list(value) if isinstance(value, tuple) else value
