"""Literals, and somebody's own SQL: exact, and never more than one SELECT."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from decimal import Decimal

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dataloader_core.errors import ConfigurationError, SourceError
from dataloader_core.plan import Comparison, IsNull, Read, Relation
from dataloader_core.types import BIGINT, BINARY, DATE, INT, SMALLINT, TIMESTAMP, TIMESTAMP_NTZ, decimal
from dataloader_core.values import Value
from dataloader_sources.postgresql.dialect import Postgres
from dataloader_sources.postgresql.session import PostgresSession
from dataloader_sources.postgresql.types import NativeType, column_of

DIALECT = Postgres()
ROUND_TRIP = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)  # the session only answers constants


def answer(session: PostgresSession, value: Value) -> object:
    return session.fetch(f"SELECT {DIALECT.literal(value)}")[0][0]


@ROUND_TRIP
@given(number=st.integers(-(2**63), 2**63 - 1))
def test_an_integer_literal_is_the_number_itself(session: PostgresSession, number: int) -> None:
    assert answer(session, Value(BIGINT, str(number))) == number


@ROUND_TRIP
@given(number=st.decimals(allow_nan=False, allow_infinity=False, places=10, min_value=-(10**27), max_value=10**27))
def test_a_decimal_literal_loses_no_digit(session: PostgresSession, number: Decimal) -> None:
    assert answer(session, Value(decimal(38, 10), str(number))) == number


@ROUND_TRIP
@given(day=st.dates())
def test_a_date_literal_is_the_day(session: PostgresSession, day: date) -> None:
    assert answer(session, Value(DATE, day.isoformat())) == day


@ROUND_TRIP
@given(moment=st.datetimes())
def test_a_timestamp_literal_keeps_its_microseconds(session: PostgresSession, moment: datetime) -> None:
    assert answer(session, Value(TIMESTAMP_NTZ, moment.isoformat(" "))) == moment


@ROUND_TRIP
@given(
    moment=st.datetimes(min_value=datetime(1, 1, 3), max_value=datetime(9999, 12, 29)),
    offset=st.integers(-15 * 60, 15 * 60),
)
def test_an_instant_is_the_same_whatever_offset_wrote_it(
    session: PostgresSession, moment: datetime, offset: int
) -> None:
    sign, minutes = ("-", -offset) if offset < 0 else ("+", offset)
    text = f"{moment.isoformat(' ')}{sign}{minutes // 60:02d}:{minutes % 60:02d}"
    found = answer(session, Value(TIMESTAMP, text))
    assert isinstance(found, datetime)
    assert found.replace(tzinfo=None) == moment - timedelta(minutes=offset)


@ROUND_TRIP
@given(raw=st.binary())
def test_a_binary_literal_is_the_bytes(session: PostgresSession, raw: bytes) -> None:
    assert answer(session, Value(BINARY, raw.hex())) == raw


def test_a_value_finer_than_a_microsecond_is_refused_instead_of_rounded() -> None:
    with pytest.raises(ConfigurationError, match="finer than a microsecond"):
        DIALECT.literal(Value(TIMESTAMP, "2024-01-01 00:00:00.123456789Z"))
    assert "123456" in DIALECT.literal(Value(TIMESTAMP, "2024-01-01 00:00:00.123456000Z"))


@ROUND_TRIP
@given(name=st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1, max_size=15))
def test_a_quoted_name_is_one_identifier(session: PostgresSession, name: str) -> None:
    assert session.result_fields(f"SELECT 1 AS {DIALECT.quote(name)}")[0][0] == name


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1",
        "select * from t -- the end",
        "SELECT 1;",
        "SELECT 1 ; -- done\n",
        "WITH a AS (SELECT 1 AS x) SELECT * FROM a",
        "SELECT 1 UNION ALL SELECT 2",
        "VALUES (1), (2)",
        "(SELECT 1)",
        "SELECT ';' AS a, $$; drop table t$$ AS b, E'\\';' AS c, \"x;y\" FROM t /* ; /* nested */ ; */",
        "SELECT a ->> 'x', b @> '{}', c::numeric(10,2) FROM t WHERE d LIKE '%x'",
    ],
)
def test_one_select_is_taken_as_it_is(sql: str) -> None:
    DIALECT.check_query(sql)


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        ("SELECT 1; SELECT 2", "more than one statement"),
        ("SELECT 1; DROP TABLE t", "more than one statement"),
        ("SELECT 1) AS q; DROP TABLE t; --", "more than one statement"),
        ("SELECT 1) AS q, (SELECT 2", "parentheses"),
        ("DELETE FROM t", "no SELECT"),
        ("EXPLAIN SELECT 1", "no SELECT"),
        ("CALL p()", "no SELECT"),
        ("COPY t TO STDOUT", "no SELECT"),
        ("WITH gone AS (DELETE FROM t RETURNING *) SELECT * FROM gone", "changes data"),
        ("SELECT * INTO copy FROM t", "creates a table"),
        ("SELECT * FROM t FOR UPDATE", "locks rows"),
        ("SELECT * FROM t FOR SHARE", "locks rows"),
        ("SELECT 'open", "no end"),
        ("SELECT 1 /* open", "no end"),
        ("SELECT $$open", "no end"),
        ("SELECT $1", "parameter"),
        ("", "empty"),
        (" ; ", "empty"),
        ("SELECT FROM FROM", "parsed"),
    ],
)
def test_a_query_that_is_more_than_one_select_is_refused(sql: str, found: str) -> None:
    with pytest.raises(ConfigurationError, match=found):
        DIALECT.check_query(sql)


@pytest.mark.parametrize("predicate", ["a = 1", "a = 1 OR b IN (SELECT x FROM y) -- why", "(a) AND note <> '); --'"])
def test_one_condition_is_taken_as_it_is(predicate: str) -> None:
    DIALECT.check_filter(predicate)


@pytest.mark.parametrize(
    "predicate",
    [
        "1=1) OR (1=1",
        "a = 1; DROP TABLE t",
        "a = 1) UNION SELECT (1",
        "a = 1 -- ) \n) OR (true",
        "a = 'x",
        "a = 1 /* ",
        "a = 1 GROUP BY a",
        "a = 1, b",
        "",
        "-- nothing",
    ],
)
def test_a_filter_that_is_more_than_one_condition_is_refused(predicate: str) -> None:
    with pytest.raises(ConfigurationError):
        DIALECT.check_filter(predicate)


PIECES = re.split(
    " +",
    "a = 1 'x' OR AND NOT true ( ) (a=1) a=1 ; -- /* */ $$ $t$ ' \" E'\\' U&' \\ IN (1) SELECT UNION FROM , :: text $1 "
    "IS NULL GROUP BY LIMIT é a$$ $a",
)
FRAGMENTS = st.lists(st.sampled_from([*PIECES, "\n"]), max_size=9).map(" ".join)


@settings(ROUND_TRIP, max_examples=400)
@given(
    predicate=st.one_of(FRAGMENTS, FRAGMENTS.map(lambda text: f"true {text}"), FRAGMENTS.map(lambda t: f"a = 1 {t}"))
)
def test_no_filter_that_is_taken_reaches_beyond_its_parentheses(session: PostgresSession, predicate: str) -> None:
    try:
        DIALECT.check_filter(predicate)
    except ConfigurationError:
        return
    try:
        rows = session.fetch(f"SELECT count(*) FROM (VALUES (1)) AS t(a) WHERE false AND (\n{predicate}\n)")
    except SourceError:
        return  # a type error and the like: the server refuses it, and nothing else
    assert rows == [(0,)]


def test_a_filter_and_a_query_that_end_in_a_comment_swallow_nothing(
    session: PostgresSession, admin: psycopg.Connection
) -> None:
    relation = Relation(query="SELECT x FROM generate_series(1, 10) x -- all of them")
    read = Read(relation, session.describe(relation).columns, filter="x > 3 -- only these", row_limit=5)
    assert [x for (x,) in session.fetch(DIALECT.render(read))] == [4, 5, 6, 7, 8]
    assert session.count(read) == 5


def test_conditions_compare_bare_columns_so_that_indexes_serve() -> None:
    where = (Comparison("n", ">", Value(INT, "5")), IsNull("other"))
    assert DIALECT.conditions(where, {}) == '"n" > CAST(\'5\' AS bigint) AND "other" IS NULL'


def test_money_is_compared_by_its_projection() -> None:
    native = NativeType("pg_catalog", "money", "b", False, -1, "money", "money")
    column = column_of("m", "m", native, nullable=True, comment=None, policy="fail", money_scale=2)
    condition = DIALECT.conditions((Comparison("m", ">=", Value(column.type, "1.50")),), {"m": column})
    assert condition == "\"m\"::numeric(19,2) >= CAST('1.50' AS numeric)"


def test_a_read_without_columns_is_refused_by_name() -> None:
    with pytest.raises(ConfigurationError, match=r"public\.t has no column"):
        DIALECT.render(Read(Relation("public", "t"), ()))


def test_a_small_integer_is_compared_with_a_number_beyond_its_own_range(
    session: PostgresSession, admin: psycopg.Connection
) -> None:
    admin.execute("CREATE TABLE small (n smallint)")
    admin.execute("INSERT INTO small VALUES (1)")
    table = session.describe(Relation("public", "small"))
    read = Read(table.relation, table.columns, where=(Comparison("n", "<", Value(SMALLINT, "40000")),))
    assert session.count(read) == 1
