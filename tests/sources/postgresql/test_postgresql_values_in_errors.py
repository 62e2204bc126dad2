"""What a server says may quote a row: its words go to the load's history only, whichever road the rows took."""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from reading import WAYS, connect, load, read_of

from dataloader_core.errors import DataLoaderError, SourceRefusedError
from dataloader_core.plan import Relation
from dataloader_sources.postgresql.session import PostgresSession

_FUNCTIONS = """
CREATE FUNCTION raising(word text, state text) RETURNS int LANGUAGE plpgsql AS $$
BEGIN RAISE '%s', format('row 1 has %s', word) USING ERRCODE = state; END $$;
CREATE FUNCTION running(word text) RETURNS int LANGUAGE plpgsql AS $$
BEGIN EXECUTE 'SELECT ' || quote_ident(word); RETURN 1; END $$"""
_VIEWS = {
    "to_date(word, 'YYYY')": "22007",
    "word::int": "22P02",
    "substr(word, 4)::smallint": "22003",
    "raising(word, 'P0001')": "P0001",
    "raising(word, '42501')": "42501",
    "raising(word, '40001')": "40001",
    "running(word)": "42703",
    "('&& ' || word)::tsquery::text": "42601",
    "now() AT TIME ZONE word": "22023",
    "convert_from('x', word)": "22023",
    "date_trunc(word, now())": "22023",
    "(word || '.t')::regclass::oid::int8": "3F000",
    "word::regclass::oid::int8": "42P01",
    "word::regtype::oid::int8": "42704",
    "word::jsonb::text": "22P02",
    "('{' || word)::int[]::text": "22P02",
}


def quotes_a_value(text: str) -> bool:
    return re.search(r"ssn\d|9999", text, re.IGNORECASE) is not None


@pytest.fixture
def rows(admin: psycopg.Connection) -> psycopg.Connection:
    admin.execute("CREATE TABLE people (word text)")
    admin.execute("INSERT INTO people VALUES ('SSN999991')")
    admin.execute(_FUNCTIONS)
    return admin


@pytest.mark.parametrize("way", [*WAYS, "session", "snapshot"])
@pytest.mark.parametrize(("expression", "state"), _VIEWS.items(), ids=_VIEWS)
def test_a_value_of_a_row_is_in_no_message(
    database: str, rows: psycopg.Connection, tmp_path: Path, expression: str, state: str, way: str
) -> None:
    rows.execute(f"CREATE VIEW v AS SELECT {expression} AS n FROM people".encode())
    with connect(database) as session, session.snapshot() as snapshot:
        roads: dict[str, Callable[[], object]] = {
            "session": lambda: session.fetch("SELECT n FROM v"),
            "snapshot": lambda: snapshot.ask("SELECT n FROM v"),
        }
        read = read_of(session, "v")
        with pytest.raises(DataLoaderError) as caught:
            roads.get(way, lambda: load(snapshot, read, way, tmp_path))()
    assert not quotes_a_value("".join(traceback.format_exception(caught.value)))
    assert f"(SQLSTATE {state})" in str(caught.value)
    (words,) = caught.value.samples
    assert quotes_a_value(words) or "type json" in words


def test_names_in_our_own_sql_are_still_said(session: PostgresSession, rows: psycopg.Connection) -> None:
    for sql, found in {
        "SELECT * FROM nowhere": 'relation "nowhere" does not exist',
        "SELECT nothing FROM people": 'column "nothing" does not exist',
        "SELECT FROM WHERE": 'syntax error at or near "WHERE"',
    }.items():
        with pytest.raises(SourceRefusedError, match=found):
            session.fetch(sql)


def test_a_setting_that_the_server_refuses_is_named(database: str) -> None:
    with pytest.raises(SourceRefusedError, match='role "nobody_at_all" does not exist'):
        connect(database, init_statement="SET ROLE nobody_at_all")


def test_a_failed_description_of_a_query_quotes_no_row(session: PostgresSession, rows: psycopg.Connection) -> None:
    query = f"SELECT '{rows.execute('SELECT word FROM people').fetchone()[0]}'::int AS n"  # type: ignore[index]  # there is a row
    with pytest.raises(DataLoaderError) as caught:
        session.describe(Relation(query=query))
    assert not quotes_a_value("".join(traceback.format_exception(caught.value)))
