"""A control database of its own for each test, made from one that holds the schema already."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias
from uuid import UUID

import psycopg
import pytest
from psycopg.rows import dict_row

from dataloader_core.commit import CommitRecord, version_of
from dataloader_core.control.database import ControlDatabase
from dataloader_core.control.processes import this_process
from dataloader_core.control.records import Claim
from dataloader_core.table import SourceConfig
from tests.conftest import PostgresServer

Add: TypeAlias = Callable[..., str]
Sql: TypeAlias = Callable[..., list[dict[str, Any]]]


@pytest.fixture(scope="session")
def template(postgres_server: PostgresServer) -> str:
    dsn = postgres_server.new_database("control_template")
    with ControlDatabase(dsn) as control:
        control.migrate()
    return psycopg.conninfo.conninfo_to_dict(dsn)["dbname"]  # type: ignore[return-value]  # a text, says libpq


@pytest.fixture
def dsn(postgres_server: PostgresServer, template: str) -> str:
    return postgres_server.new_database("control", f"TEMPLATE {template}")


@pytest.fixture
def control(dsn: str) -> Iterator[ControlDatabase]:
    """With one source, ``crm``."""
    with ControlDatabase(dsn) as control:
        control.put_source(SourceConfig("crm", "postgresql", {"host": {"value": "db"}}, "env"))
        yield control


@pytest.fixture
def sql(dsn: str) -> Iterator[Sql]:
    """Plain SQL, as a team would write it."""
    with psycopg.connect(dsn, autocommit=True, row_factory=dict_row) as connection:

        def run(statement: str, *values: Any) -> list[dict[str, Any]]:
            cursor = connection.execute(statement, values or None)
            return cursor.fetchall() if cursor.description else []

        yield run


@pytest.fixture
def add(control: ControlDatabase) -> Add:
    """Insert a table of ``crm``; its control key."""

    def insert(name: str = "orders", **values: Any) -> str:
        row = {
            "db_config_key": "crm",
            "source_table_schema": "public",
            "source_table_name": name,
            "destination_table_catalog": "bronze",
            "destination_table_schema": "crm",
            "destination_table_name": name,
            "load_strategy": "full",
        } | values
        control.apply_rows([row], {})
        return f"{row['db_config_key']}.public.{name}"

    return insert


INCREMENTAL = {
    "load_strategy": "incremental",
    "primary_key_cols": ["id"],
    "incremental_column": "changed",
    "incremental_type": "integer",
}


def started(control: ControlDatabase, control_key: str, *, full: bool = False) -> Claim:
    """A load of the table that has just started in this process."""
    claim = control.claim_by_hand(control_key, this_process("hand"), full=full)
    assert claim is not None
    return control.start(claim, this_process("hand"))


def commit_of(claim: Claim, step: int = 1, watermark: str | None = None, **values: Any) -> CommitRecord:
    """What a commit of this load says of itself."""
    version = version_of(claim.load_seq, step)
    fields: dict[str, Any] = {
        "load_id": claim.load_id,
        "version": version,
        "table_uid": claim.table.table_uid,
        "watermark": watermark,
        "rows": 1,
        "fingerprint": claim.fingerprint,
        "load_full": claim.load_full,
        "data_version": version,
        "watermark_sets": claim.watermark_sets,
        "load_full_orders": claim.load_full_orders,
    }
    return CommitRecord(**(fields | values))


def row_of(control: ControlDatabase, control_key: str) -> dict[str, Any]:
    return dict(control.rows([control_key])[control_key])


def uid_of(control: ControlDatabase, control_key: str) -> UUID:
    uid: UUID = row_of(control, control_key)["table_uid"]
    return uid
