"""Looks at sequences outlive the process that took them: a source that is never idle must not hold a watermark."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from dataloader_core.control.database import ControlDatabase
from dataloader_core.interfaces.source import SessionOptions, SourceMemory
from dataloader_core.plan import Cap, Relation
from dataloader_core.table import SourceConfig
from dataloader_sources.postgresql.connection import PostgresConnection
from dataloader_sources.postgresql.dialect import Postgres


@pytest.fixture
def control(postgres_server: Any) -> Iterator[ControlDatabase]:
    with ControlDatabase(postgres_server.new_database("control")) as control:
        control.migrate()
        control.put_source(SourceConfig("crm", "postgresql", {}, "env"))
        yield control


def cap_of_events(dsn: str, memory: SourceMemory | None) -> Cap:
    """What a load in a process of its own would be told."""
    given = conninfo_to_dict(dsn)
    fields = {"host": given["host"], "port": given.get("port"), "user": given["user"], "database": given["dbname"]}
    connection = PostgresConnection.model_validate({**fields, "look_wait": "100 ms"})
    with Postgres().connect(connection, SessionOptions(memory=memory)) as session:
        table = session.describe(Relation("public", "events"))
        return session.cap(table, table.column("id"))


def test_notes_come_back_newest_first_and_only_so_many_are_kept(control: ControlDatabase) -> None:
    memory = control.source_memory("crm")
    for number in range(70):
        memory.remember("k", {"n": number})
    memory.remember("other", {"n": -1})
    noted = [note["n"] for note in memory.recall("k")]
    assert noted == list(range(69, 5, -1))


def test_a_read_only_memory_notes_nothing(control: ControlDatabase) -> None:
    control.source_memory("crm", read_only=True).remember("k", {"n": 1})
    assert control.source_memory("crm").recall("k") == []


def test_overlapping_transactions_do_not_hold_the_watermark_for_ever(control: ControlDatabase, database: str) -> None:
    with psycopg.connect(database, autocommit=True) as writer:
        writer.execute("CREATE TABLE events (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, note text)")
        writer.execute("INSERT INTO events (note) VALUES ('a'), ('b')")
    with psycopg.connect(database) as first, psycopg.connect(database) as second:
        first.execute("SELECT 1")
        held = cap_of_events(database, control.source_memory("crm"))
        second.execute("SELECT 1")
        first.commit()
        moved = cap_of_events(database, control.source_memory("crm"))
        without = cap_of_events(database, control.source_memory("nobody", read_only=True))
    assert held.hold
    assert moved.value is not None
    assert moved.value.text == "2"
    assert without.hold
