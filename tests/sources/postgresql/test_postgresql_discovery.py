"""Watermark candidates, graded: change stamps before creation stamps before the unnamed, business dates never."""

from __future__ import annotations

import psycopg
import pytest

from dataloader_core.plan import Relation
from dataloader_sources.postgresql.discovery import grade_of_name
from dataloader_sources.postgresql.session import PostgresSession


@pytest.mark.parametrize(
    ("name", "grade"),
    [
        ("updated_at", 2),
        ("LastModified", 2),
        ("last_update", 2),
        ("ModifiedDate", 2),
        ("CHANGED_ON", 2),
        ("order_updated_at", 2),
        ("row_upd_ts", 2),
        ("created_at", 3),
        ("creationDate", 3),
        ("inserted", 3),
        ("ingested_at", 3),
        ("ts", 4),
        ("event_time", 4),
        ("order_date", None),
        ("birth_date", None),
        ("dueDate", None),
        ("valid_from", None),
        ("expires_at", None),
        ("shipped_at", None),
    ],
)
def test_a_name_earns_its_grade(name: str, grade: int | None) -> None:
    found = grade_of_name(name)
    assert (found[0] if found else None) == grade


def test_a_date_without_a_telling_name_is_a_business_date() -> None:
    assert grade_of_name("day", is_date=True) is None
    assert grade_of_name("modified_date", is_date=True) is not None


def test_candidates_are_graded_with_index_nullability_resolution_and_proof(
    session: PostgresSession, admin: psycopg.Connection
) -> None:
    admin.execute("""
        CREATE TABLE o (
          id bigserial PRIMARY KEY, customer int NOT NULL, order_date date NOT NULL,
          created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz(0) NOT NULL,
          modified timestamp(3), seen_on timestamp NOT NULL DEFAULT (now() AT TIME ZONE 'UTC'), due_date timestamptz);
        CREATE INDEX ON o (updated_at, id); CREATE INDEX ON o (id, created_at);
        CREATE FUNCTION s() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.updated_at := now(); RETURN NEW; END';
        CREATE TRIGGER s BEFORE INSERT OR UPDATE ON o FOR EACH ROW EXECUTE FUNCTION s()
    """)
    found = session.discover(Relation("public", "o"))
    assert [(c.column, c.grade, c.indexed, c.nullable, c.resolution, c.proven) for c in found.cursors] == [
        ("updated_at", 2, True, False, "second", True),
        ("modified", 2, False, True, "millisecond", False),
        ("id", 3, True, False, "integer step", True),
        ("created_at", 3, False, False, "microsecond", True),
        ("seen_on", 3, False, False, "microsecond", True),
    ]
    assert found.partition_column == "id"
    assert any("'modified' can be NULL" in note for note in found.notes)
    assert "clients stamp it" in found.cursors[1].reason


def test_without_a_numeric_key_there_is_no_partition_column(
    session: PostgresSession, admin: psycopg.Connection
) -> None:
    admin.execute("CREATE TABLE a (code text PRIMARY KEY); CREATE TABLE b (x int)")
    assert session.discover(Relation("public", "a")).partition_column is None
    found = session.discover(Relation("public", "b"))
    assert found.partition_column is None
    assert any("No primary key" in note for note in found.notes)


def test_row_level_security_is_told(postgres_server, admin: psycopg.Connection) -> None:
    from reading import connect

    postgres_server.new_login("discovery_reader", "tenant secret")
    admin.execute("CREATE TABLE r (id int PRIMARY KEY); ALTER TABLE r ENABLE ROW LEVEL SECURITY")
    admin.execute("GRANT SELECT ON r TO discovery_reader")
    with connect(postgres_server.tcp_dsn(admin.info.dbname, "discovery_reader", "tenant secret")) as session:
        assert any("Row level security" in note for note in session.discover(Relation("public", "r")).notes)
