"""Sources, and the strategies that rows may name."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from psycopg.types.json import Jsonb

from dataloader_core.control.pool import Pool
from dataloader_core.control.reading import SOURCE_COLUMNS, read_source
from dataloader_core.errors import ConfigurationError, IllegalChangeError, UnknownNameError
from dataloader_core.plugins.manager import Registry
from dataloader_core.table import SourceConfig

_SELECT: Final = f"SELECT {', '.join(SOURCE_COLUMNS)} FROM control.table_control_dbconfig "
_PUT: Final = (
    f"INSERT INTO control.table_control_dbconfig ({', '.join(SOURCE_COLUMNS)})"
    f" VALUES ({', '.join(f'%({name})s' for name in SOURCE_COLUMNS)}) ON CONFLICT (db_config_key) DO "
)
_REPLACE: Final = (
    "UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in SOURCE_COLUMNS if name != "db_config_key")
    + ", last_modified_at = now(), last_modified_user = control.acting_user() RETURNING db_config_key"
)
_KEEP: Final = "NOTHING RETURNING db_config_key"
# Where needs depend on the options the class cannot say them; known_strategies does, and keeps what it says.
_STRATEGIES: Final = """
SELECT name, needs_keys AND keys_unless IS NULL AS needs_keys, needs_watermark, runs_alone
FROM control.known_strategies
"""
_REGISTER: Final = """
INSERT INTO control.known_strategies AS known (name, needs_keys, needs_watermark, runs_alone) VALUES (%s, %s, %s, %s)
ON CONFLICT (name) DO UPDATE SET
    needs_keys = excluded.needs_keys OR known.keys_unless IS NOT NULL,
    needs_watermark = excluded.needs_watermark, runs_alone = excluded.runs_alone
"""


def put_source(pool: Pool, source: SourceConfig, *, replace: bool) -> None:
    """See :meth:`dataloader_core.control.database.ControlDatabase.put_source`."""
    values: dict[str, Any] = {name: getattr(source, name) for name in SOURCE_COLUMNS}
    value = source.db_config_value
    values["db_config_value"] = Jsonb(value if isinstance(value, str) else dict(value))
    values["options"] = Jsonb(dict(source.options))
    with pool.transaction() as connection:
        written = connection.execute(_PUT + (_REPLACE if replace else _KEEP), values).fetchone()
    if written is None:
        raise IllegalChangeError(
            f"There is a source {source.db_config_key!r} already.", cure="Choose another name, or replace it."
        )


def sources(pool: Pool) -> Sequence[SourceConfig]:
    """All sources by name."""
    with pool.transaction() as connection:
        return [read_source(row) for row in connection.execute(_SELECT + "ORDER BY db_config_key").fetchall()]


def source(pool: Pool, db_config_key: str) -> SourceConfig:
    """See :meth:`dataloader_core.control.database.ControlDatabase.source`."""
    with pool.transaction() as connection:
        row = connection.execute(_SELECT + "WHERE db_config_key = %s", (db_config_key,)).fetchone()
    if row is None:
        known = [source.db_config_key for source in sources(pool)]
        raise UnknownNameError("source", db_config_key, known, cure="Add it with `dataloader source add`.")
    return read_source(row)


def register_strategies(pool: Pool, registry: Registry) -> None:
    """Make the installed strategies known to the rules; writes only what is new, so that every start may call it.

    A strategy that cannot be imported is left out: it could not load anything either.
    """
    with pool.transaction() as connection:
        rows = connection.execute(_STRATEGIES).fetchall()
        there = {(row["name"], row["needs_keys"], row["needs_watermark"], row["runs_alone"]) for row in rows}
        for needs in sorted(_needs(registry) - there):
            connection.execute(_REGISTER, needs)


def _needs(registry: Registry) -> set[tuple[str, bool, bool, bool]]:
    found = set()
    for name in registry.names("strategy"):
        with suppress(ConfigurationError):
            strategy = registry.strategy(name)
            found.add((name, strategy.needs_keys, strategy.needs_watermark, strategy.runs_alone))
    return found
