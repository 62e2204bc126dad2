"""Every type of the server has a projection, and the projection gives the value it promises."""

from __future__ import annotations

import psycopg
import pytest
from reading import connect

from dataloader_core.errors import SourceRefusedError, UnrepresentableValueError
from dataloader_core.plan import Column, Read, Relation
from dataloader_sources.postgresql.guards import guard_condition
from dataloader_sources.postgresql.session import PostgresSession
from dataloader_sources.postgresql.types import NativeType, column_of, numeric_bounds

# type, a value, the column type, the projected value as text
CASES = [
    ("boolean", "true", "boolean", "true"),
    ("smallint", "-32768", "smallint", "-32768"),
    ("integer", "2147483647", "int", "2147483647"),
    ("bigint", "-9223372036854775808", "bigint", "-9223372036854775808"),
    ("real", "0.1", "float", "0.1"),
    ("double precision", "1e308", "double", "1e+308"),
    ("text", "'ä'", "string", "ä"),
    ("varchar(10)", "'a '", "string", "a "),
    ("bytea", r"'\x00ff'", "binary", r"\x00ff"),
    ("numeric(38,10)", "'1234567890123456789012345678.0123456789'", "decimal(38,10)", None),
    ("numeric(10,0)", "5", "decimal(10,0)", "5"),
    ("numeric(5,-2)", "1234567", "decimal(7,0)", "1234600"),
    ("numeric(3,5)", "0.00123", "decimal(5,5)", "0.00123"),
    ("numeric(37,-5)", "100000", "string", "100000"),
    ("numeric", "1.50", "string", "1.50"),
    ("numeric", "'NaN'", "string", "NaN"),
    ("numeric(39,1)", "1", "string", "1.0"),
    ("money", "'-92233720368547758.08'", "decimal(19,2)", "-92233720368547758.08"),
    ("oid", "4294967295", "bigint", "4294967295"),
    ("regclass", "'pg_class'", "string", "pg_class"),
    ("xid", "'42'", "string", "42"),
    ("tid", "'(1,2)'", "string", "(1,2)"),
    ("pg_lsn", "'16/B374D848'", "string", "16/B374D848"),
    ("date", "'0001-01-01'", "date", "0001-01-01"),
    ("timestamp(0)", "'9999-12-31 23:59:59'", "timestamp_ntz", "9999-12-31 23:59:59"),
    ("timestamp", "'2024-02-29 12:00:00.000001'", "timestamp_ntz", "2024-02-29 12:00:00.000001"),
    ("timestamptz(3)", "'2024-02-29 12:00:00.5+02'", "timestamp", "2024-02-29 10:00:00.5+00"),
    ("char(5)", "'ab'", "string", "ab"),
    ('"char"', "'x'", "string", "x"),
    ("name", "'n'", "string", "n"),
    ("uuid", "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'", "string", None),
    ("time(6)", "'24:00:00'", "string", "24:00:00"),
    ("timetz", "'12:00:00+05:30'", "string", "12:00:00+05:30"),
    ("interval", "'1 year 2 mons -3 days 04:05:06.7'", "string", "P1Y2M-3DT4H5M6.7S"),
    ("json", """'{"b":1,  "a":2}'""", "string", '{"b":1,  "a":2}'),
    ("jsonb", """'{"b":1,"a":1.10}'""", "string", '{"a": 1.10, "b": 1}'),
    ("jsonpath", "'$.a'", "string", '$."a"'),
    ("inet", "'::1/64'", "string", "::1/64"),
    ("cidr", "'10.0.0.0/8'", "string", "10.0.0.0/8"),
    ("macaddr", "'08:00:2b:01:02:03'", "string", "08:00:2b:01:02:03"),
    ("int4range", "'[1,5)'", "string", "[1,5)"),
    ("datemultirange", "'{[2024-01-01,2024-02-01)}'", "string", "{[2024-01-01,2024-02-01)}"),
    ("bit(4)", "B'1010'", "string", "1010"),
    ("varbit", "B'101'", "string", "101"),
    ("point", "'(1.5,2)'", "string", "(1.5,2)"),
    ("polygon", "'((0,0),(1,1))'", "string", "((0,0),(1,1))"),
    ("tsvector", "'a fat cat'", "string", "'a' 'cat' 'fat'"),
    ("integer[]", "'{{1,NULL},{3,4}}'", "string", "[[1,null],[3,4]]"),
    ("numeric[]", "'{1.10,NaN}'", "string", '[1.10,"NaN"]'),
    ("text[]", """ARRAY['a"b', NULL]""", "string", r'["a\"b",null]'),
    ("int2vector", "'1 2'", "string", "[1,2]"),
    ("mood", "'sad'", "string", "sad"),
    ("pair", "ROW(1, 'x')", "string", '{"a":1,"b":"x"}'),
    ("pair[]", "ARRAY[ROW(1, 'x')::pair]", "string", '[{"a":1,"b":"x"}]'),
    ("price", "12.5", "decimal(10,2)", "12.50"),
    ("net_price", "12.5", "decimal(10,2)", "12.50"),
    ("code", "'abc'", "string", "abc"),
    ("numbers", "'{1,2}'", "string", "[1,2]"),
    ("day", "'2024-01-01'", "date", "2024-01-01"),
    ("vec.vector(3)", "'[1,2,3]'", "string", "[1,2,3]"),
]
TYPES = """
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE TYPE pair AS (a int, b text);
CREATE DOMAIN price AS numeric(10,2) CHECK (VALUE >= 0);
CREATE DOMAIN net_price AS price NOT NULL DEFAULT 0;
CREATE DOMAIN code AS varchar(3);
CREATE DOMAIN numbers AS int[];
CREATE DOMAIN day AS date;
CREATE SCHEMA vec;
CREATE EXTENSION vector SCHEMA vec;
"""


@pytest.fixture(scope="module")
def typed(postgres_server) -> str:
    dsn = postgres_server.new_database("typed")
    with psycopg.connect(dsn, autocommit=True) as admin:
        admin.execute(TYPES)
        columns = ", ".join(f"c{i} {native}" for i, (native, *_) in enumerate(CASES))
        values = ", ".join(f"CAST({value} AS {native})" for native, value, *_ in CASES)
        admin.execute(f"CREATE TABLE every ({columns})")
        admin.execute(f"INSERT INTO every SELECT {values}")
    return dsn


@pytest.mark.parametrize("policy", ["fail", "null"])
def test_every_type_is_projected_to_the_type_and_value_it_promises(typed: str, policy) -> None:
    with connect(typed) as session:
        table = session.describe(Relation("public", "every"), on_unrepresentable=policy)
        shown = ", ".join(f"({c.projection})::text" for c in table.columns)
        row = session.fetch(f"SELECT {shown} FROM public.every")[0]
        for (native, value, kind, text), column, found in zip(CASES, table.columns, row, strict=True):
            assert str(column.type) == kind, native
            assert found == (text if text is not None else value.strip("'")), native


def test_a_query_gives_the_same_types_as_its_table(typed: str) -> None:
    with connect(typed) as session:
        table = session.describe(Relation("public", "every"))
        query = session.describe(Relation(query="SELECT * FROM every"))
        assert [c.type for c in query.columns] == [c.type for c in table.columns]


GUARDED = [
    ("numeric(10,2)", "'NaN'", "NaN"),
    ("numeric(4,-1)", "'NaN'", "NaN"),
    ("date", "'infinity'", "infinity"),
    ("date", "'-infinity'", "infinity"),
    ("date", "'0044-03-15 BC'", "before year 1"),
    ("date", "'10000-01-01'", "after year 9999"),
    ("timestamp", "'infinity'", "infinity"),
    ("timestamp", "'0001-12-31 23:59:59.999999 BC'", "before year 1"),
    ("timestamp(0)", "'9999-12-31 23:59:59.6'", "after year 9999"),
    ("timestamptz", "'-infinity'", "infinity"),
    ("timestamptz", "'0001-01-01 00:00:00+01'", "before year 1"),
    ("timestamptz", "'9999-12-31 23:59:59.999999-01'", "after year 9999"),
    ("day", "'infinity'", "infinity"),
    ("price", "'NaN'", "NaN"),
]


@pytest.mark.parametrize(("native", "value", "kind"), GUARDED)
def test_a_guarded_value_is_found_by_one_condition_and_becomes_null(
    session: PostgresSession, admin: psycopg.Connection, native: str, value: str, kind: str
) -> None:
    admin.execute("CREATE DOMAIN day AS date; CREATE DOMAIN price AS numeric(10,2)")
    admin.execute(f"CREATE TABLE odd (c {native})")
    admin.execute(f"INSERT INTO odd VALUES ({value}), (NULL), (DEFAULT)")
    column = session.describe(Relation("public", "odd")).columns[0]
    found = {
        name: session.fetch(f"SELECT count(*) FROM odd WHERE {condition}")[0][0]
        for name, condition in guard_condition(session.dialect, column)
    }
    assert {name: n for name, n in found.items() if n} == {kind: 1}
    nulled = session.describe(Relation("public", "odd"), on_unrepresentable="null").columns[0]
    assert session.fetch(f"SELECT count({nulled.projection}) FROM odd")[0][0] == 0


@pytest.mark.parametrize(
    ("native", "value"),
    [
        ("date", "'9999-12-31'"),
        ("timestamp", "'9999-12-31 23:59:59.999999'"),
        ("timestamptz", "'0001-01-01 00:00:00+00'"),
        ("numeric(10,2)", "-1"),
    ],
)
def test_the_last_value_that_fits_passes_under_both_policies(
    session: PostgresSession, admin: psycopg.Connection, native: str, value: str
) -> None:
    admin.execute(f"CREATE TABLE edge (c {native})")
    admin.execute(f"INSERT INTO edge VALUES ({value})")
    for policy in ("fail", "null"):
        column = session.describe(Relation("public", "edge"), on_unrepresentable=policy).columns[0]
        assert session.fetch(f"SELECT count(*) FROM edge WHERE {column.projection} = c")[0][0] == 1


def test_plain_types_stay_bare_columns_so_that_reading_costs_nothing(typed: str) -> None:
    with connect(typed) as session:
        table = session.describe(Relation("public", "every"))
        bare = {CASES[i][0] for i, c in enumerate(table.columns) if c.projection == f'"{c.name}"'}
    assert bare >= {"bigint", "text", "numeric(38,10)", "date", "timestamp", "timestamptz(3)", "bytea"}


def test_bounds_leave_out_what_the_type_cannot_hold(session: PostgresSession, admin: psycopg.Connection) -> None:
    admin.execute("CREATE TABLE b (n numeric(5,1), d date, t timestamptz, m money)")
    admin.execute("INSERT INTO b VALUES ('NaN', 'infinity', '4000-01-01 BC', NULL), (1.5, '2024-01-02', 'epoch', '3')")
    table = session.describe(Relation("public", "b"))
    read = Read(table.relation, table.columns)

    def ends(column: Column) -> tuple[str, str]:
        bounds = session.bounds(read, column)
        return str(bounds.low), str(bounds.high)

    assert ends(table.column("n")) == ("1.5", "1.5")
    assert ends(table.column("d")) == ("2024-01-02", "2024-01-02")
    assert ends(table.column("t")) == ("1970-01-01 00:00:00.000000+00:00",) * 2
    assert ends(table.column("m")) == ("3.00", "3.00")
    assert session.bounds(read, table.column("m")).has_null


@pytest.mark.parametrize(
    ("typmod", "bounds"), [(-1, None), ((10 << 16 | 2) + 4, (10, 2)), ((3 << 16 | 2046) + 4, (3, -2))]
)
def test_the_modifier_of_a_numeric_holds_precision_and_signed_scale(typmod: int, bounds: object) -> None:
    assert numeric_bounds(typmod) == bounds


def test_a_pseudo_type_is_refused_by_name(session: PostgresSession) -> None:
    with pytest.raises(SourceRefusedError, match=r"'v' is of the pseudo-type void"):
        session.describe(Relation(query="SELECT pg_sleep(0) AS v"))


@pytest.mark.parametrize(
    ("name", "extension", "kind", "projection"),
    [
        ("geography", "postgis", "binary", '"Geo s"."st_asewkb"("c"::"Geo s"."geometry")'),
        ("geometry", "postgis", "binary", '"Geo s"."st_asewkb"("c"::"Geo s"."geometry")'),
        ("geometry", None, "string", '"c"::text'),
        ("hstore", "hstore", "string", 'pg_catalog.to_json("c")::text'),
        ("citext", "citext", "string", '"c"::text'),
    ],
)
def test_types_of_extensions_go_by_the_functions_of_their_own_schema(
    name: str, extension: str | None, kind: str, projection: str
) -> None:
    native = NativeType("Geo s", name, "b", False, -1, name, name, False, extension)
    column = column_of("c", "c", native, nullable=True, comment=None, policy="fail", money_scale=2)
    assert (str(column.type), column.projection) == (kind, projection)


def test_a_database_without_an_encoding_refuses_what_is_no_utf8_and_says_how_to_convert(postgres_server) -> None:
    dsn = postgres_server.new_database("ascii", "TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'")
    with psycopg.connect(dsn, autocommit=True) as admin:
        admin.execute("SET client_encoding = 'SQL_ASCII'")
        admin.execute("CREATE TABLE t (c text)")
        admin.execute(b"INSERT INTO t VALUES (E'caf\\351')")
    with connect(dsn) as session:
        with pytest.raises(UnrepresentableValueError):
            session.fetch("SELECT c FROM t")
        check = next(c for c in session.checks() if c.name == "encoding")
        assert not check.ok
        assert check.cure
        expression = check.cure[check.cure.index("convert_from") : check.cure.rindex(".")].replace("col", "c")
        assert session.fetch(f"SELECT {expression} FROM t") == [("café",)]
