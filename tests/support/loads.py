"""A deployment without a command line: control database, source, lake, and a loader."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from dataloader_core.control.database import ControlDatabase
from dataloader_core.control.processes import this_process
from dataloader_core.control.records import Claim, Outcome
from dataloader_core.interfaces.engine import Engine
from dataloader_core.loading.loader import DataLoader
from dataloader_core.plugins.manager import default_registry
from dataloader_core.settings import Settings, read_settings
from dataloader_core.table import SourceConfig
from tests.support.delta import read_delta


def local_engine(lake: Path | str) -> Engine:
    registry = default_registry()
    record = registry.engine_record("local")
    assert record.settings is not None
    return registry.engine("local")(read_settings(record.settings, {"DATALOADER_LAKE": str(lake)}))


class Deployment:
    """Tables of the source ``crm``, loaded by the product's own loader in this process.

    Args:
        engines: Each load takes the next of them, which stands first; the local engine unless others are named.
    """

    def __init__(self, server: Any, lake: Path, engines: Sequence[Engine] = ()) -> None:
        self.server = server
        self.lake = lake
        self.control_dsn = server.new_database("control")
        self.control = ControlDatabase(self.control_dsn)
        self.control.migrate()
        self.registry = default_registry()
        self.control.register_strategies(self.registry)
        self.source_dsn = self.add_source("crm")
        self.engines = list(engines or [local_engine(lake)])

    def add_source(self, key: str) -> str:
        """Another database as a source; its DSN."""
        dsn: str = self.server.new_database(key)
        parts = conninfo_to_dict(dsn)
        fields = {"host": parts["host"], "port": str(parts["port"]), "user": parts["user"], "database": parts["dbname"]}
        literals = {name: {"value": value} for name, value in fields.items()}
        self.control.put_source(SourceConfig(key, "postgresql", literals, "env"))
        return dsn

    def add(self, name: str, strategy: str = "full", **columns: Any) -> str:
        """A control row for a table of ``crm``; its control key."""
        key = f"crm.public.{name}"
        row = {
            "control_key": key,
            "db_config_key": "crm",
            "source_table_schema": "public",
            "source_table_name": name,
            "destination_table_catalog": "bronze",
            "destination_table_schema": "crm",
            "destination_table_name": name,
            "load_strategy": strategy,
            **columns,
        }
        self.control.apply_rows([row], {})
        return key

    def claim(self, key: str, *, full: bool = False) -> Claim:
        claim = self.control.claim_by_hand(key, this_process("hand"), full=full)
        assert claim is not None
        return claim

    def next_engine(self) -> Engine:
        first, *others = self.engines
        self.engines = [*others, first]
        return first

    def loader(self, **options: Any) -> DataLoader:
        source = self.control.source("crm")
        settings = Settings.from_environment({})
        return DataLoader(source, self.control, self.registry, settings, self.next_engine(), **options)

    def load(self, key: str, *, full: bool = False) -> Outcome:
        [outcome] = self.process([self.claim(key, full=full)])
        return outcome

    def process(self, claims: Sequence[Claim], **options: Any) -> list[Outcome]:
        return self.loader(**options).process_tables(claims)

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        """On the control database, as somebody with an SQL prompt."""
        return _execute(self.control_dsn, statement)

    def source(self, statement: str) -> list[tuple[Any, ...]]:
        return _execute(self.source_dsn, statement)

    def row(self, key: str) -> dict[str, Any]:
        return dict(self.control.rows([key])[key])

    def path(self, name: str) -> Path:
        return self.lake / "bronze" / "crm" / name

    def rows(self, name: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = read_delta(self.path(name)).to_pylist()
        return rows


def _execute(dsn: str, statement: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []
