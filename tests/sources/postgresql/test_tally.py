"""What a source tells of a read beforehand is what reading then gives; where that is not sure, it tells nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from reading import connect, read_of, run

from dataloader_core.interfaces.source import SourceSession, Unrepresentable
from dataloader_core.plan import Comparison, HighestRead, Read, Relation
from dataloader_core.values import Value
from dataloader_sources.postgresql.layout import Part, only_rows

TELLS = {
    "plain": "CREATE TABLE plain AS SELECT g AS id, g % 3 AS w FROM generate_series(1, 100) g",
    "empty": "CREATE TABLE empty (id int, w int)",
    "kept": "CREATE MATERIALIZED VIEW kept AS SELECT g AS id, 1 AS w FROM generate_series(1, 7) g",
    "whole": "CREATE TABLE whole (id int, w int) PARTITION BY RANGE (id);"
    "CREATE TABLE whole_1 PARTITION OF whole FOR VALUES FROM (0) TO (50);"
    "CREATE TABLE whole_2 PARTITION OF whole FOR VALUES FROM (50) TO (100);"
    "INSERT INTO whole SELECT g, 1 FROM generate_series(1, 80) g",
    "bare": "CREATE TABLE bare (id int, w int) PARTITION BY LIST (id)",
}
SAYS_NOTHING = {
    "seen": "CREATE VIEW seen AS SELECT 1 AS id, 1 AS w",
    "parent": "CREATE TABLE parent (id int, w int); CREATE TABLE child () INHERITS (parent)",
}


@pytest.fixture(scope="module")
def relations(postgres_server: Any) -> str:
    dsn: str = postgres_server.new_database("tally")
    run(dsn, *TELLS.values(), *SAYS_NOTHING.values())
    return dsn


@pytest.fixture
def session(relations: str) -> Iterator[SourceSession]:
    with connect(relations) as session:
        yield session


@pytest.mark.parametrize("name", TELLS)
def test_it_tells_the_rows_that_are_read(session: SourceSession, name: str) -> None:
    read = read_of(session, name)
    with session.snapshot() as snapshot:
        told = snapshot.tally(read, HighestRead("id", None))
        found = snapshot.read_arrow(read).read_all()
    ids = found.column("id").to_pylist()
    assert told is not None
    assert told.rows == len(ids)
    assert told.highest == (Value(read.columns[0].type, str(max(ids))) if ids else None)
    assert (told.above, tuple(told.unrepresentable)) == (0, ())


@pytest.mark.parametrize("name", SAYS_NOTHING)
def test_it_tells_nothing_of_what_may_be_another_the_next_time(session: SourceSession, name: str) -> None:
    with session.snapshot() as snapshot:
        assert snapshot.tally(read_of(session, name), None) is None


def test_it_tells_nothing_of_foreign_partitions() -> None:
    """Stated by hand: no foreign data wrapper comes with the embedded server."""
    root = Part(Relation("public", "t"), "p", "", True, 0, 0, True, False)
    here = replace(root, kind="r", access_method="heap", has_children=False)
    assert only_rows([root, here])
    assert not only_rows([root, here, replace(here, kind="f")])
    assert not only_rows([replace(here, kind="f")])


def test_it_tells_nothing_of_rows_that_a_policy_chooses(postgres_server: Any) -> None:
    dsn = postgres_server.new_database("policy")
    run(
        dsn,
        "CREATE TABLE t AS SELECT g AS id FROM generate_series(1, 20) g",
        "ALTER TABLE t ENABLE ROW LEVEL SECURITY",
        "CREATE POLICY few ON t USING (id <= 10)",
        "GRANT SELECT ON t TO PUBLIC",
    )
    postgres_server.new_login("tallied", "a few")
    name = psycopg.conninfo.conninfo_to_dict(dsn)["dbname"]
    with connect(postgres_server.tcp_dsn(name, "tallied", "a few")) as session, session.snapshot() as snapshot:
        assert snapshot.tally(read_of(session, "t"), None) is None


@pytest.mark.parametrize("changed", [{"filter": "random() < 2"}, {"row_limit": 5}], ids=["filter", "limit"])
def test_it_tells_nothing_of_a_read_that_is_cut(session: SourceSession, changed: dict[str, Any]) -> None:
    with session.snapshot() as snapshot:
        assert snapshot.tally(replace(read_of(session, "plain"), **changed), None) is None
        assert (
            snapshot.tally(Read(Relation(query="SELECT 1 AS id"), read_of(session, "plain").columns[:1]), None) is None
        )


@pytest.mark.parametrize("inclusive", [True, False])
def test_the_highest_value_stays_below_the_cap_and_those_above_are_counted(
    session: SourceSession, inclusive: bool
) -> None:
    read = read_of(session, "plain")
    kind = read.columns[0].type
    some = replace(read, where=(Comparison("id", ">", Value(kind, "10")),))
    with session.snapshot() as snapshot:
        told = snapshot.tally(some, HighestRead("id", None, Value(kind, "60"), inclusive))
        highest = snapshot.highest(some, "id", Value(kind, "60"), inclusive)
    assert told is not None
    assert (told.rows, told.highest, told.above) == (90, highest, 40 if inclusive else 41)


def test_values_that_a_type_cannot_hold_are_told_and_are_no_watermark(postgres_server: Any) -> None:
    dsn = postgres_server.new_database("unheld")
    run(
        dsn,
        "CREATE TABLE t (n numeric(9,2), d date, at timestamptz)",
        "INSERT INTO t VALUES (1, '2024-01-01', '2024-01-01 00:00:00.000001+00'), ('NaN', 'infinity', 'infinity'), "
        "(NULL, '0044-03-15 BC', NULL), (2, '12345-01-01', '-infinity')",
    )
    with connect(dsn) as session, session.snapshot() as snapshot:
        read = read_of(session, "t")
        told = snapshot.tally(read, HighestRead("d", None))
        assert told is not None
        assert sorted(map(str, told.unrepresentable)) == sorted(map(str, snapshot.unrepresentable(read, None)))
        assert Unrepresentable("n", "NaN", 1) in told.unrepresentable
        assert told.highest is not None
        assert (told.rows, told.highest.text) == (4, "2024-01-01")
        nulled = snapshot.tally(replace(read, on_unrepresentable="null"), HighestRead("at", None))
        assert nulled is not None
        assert nulled.highest is not None
        assert nulled.highest.text == "2024-01-01 00:00:00.000001+00:00"
