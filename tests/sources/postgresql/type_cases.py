"""A table with every type: its values as the server reads them, shared by the tests of all ways of reading."""

from __future__ import annotations

import psycopg

TYPES = """
CREATE TYPE mood AS ENUM ('sad', 'so so', 'happy');
CREATE TYPE pair AS (number int, word text);
CREATE DOMAIN small_price AS numeric(8,3) CHECK (value >= 0);
CREATE DOMAIN nested AS small_price;
CREATE DOMAIN word AS varchar(20);
CREATE DOMAIN stamp AS timestamptz(3);
"""
CASES: dict[str, tuple[str, ...]] = {
    "boolean": ("true", "false"),
    "smallint": ("-32768", "32767", "0"),
    "integer": ("-2147483648", "2147483647"),
    "bigint": ("-9223372036854775808", "9223372036854775807"),
    "real": ("1.1", "-3.4028235e38", "1e-45", "NaN", "Infinity"),
    "double precision": ("0.1", "1.7976931348623157e308", "5e-324", "-Infinity", "NaN"),
    "numeric(1,0)": ("-9", "9"),
    "numeric(4,4)": ("0.0001", "-0.9999"),
    "numeric(9,2)": ("9999999.99", "-0.01"),
    "numeric(10,0)": ("9999999999",),
    "numeric(18,5)": ("9999999999999.99999", "0.00001"),
    "numeric(19,0)": ("9999999999999999999",),
    "numeric(38,0)": ("99999999999999999999999999999999999999", "-99999999999999999999999999999999999999"),
    "numeric(38,10)": ("1234567890123456789012345678.0123456789", "0"),
    "numeric(38,38)": ("0.00000000000000000000000000000000000001",),
    "numeric(5,-2)": ("9999900", "-100"),
    "numeric(3,6)": ("0.000999",),
    "numeric(39,0)": ("123456789012345678901234567890123456789",),
    "numeric(50,20)": ("123456789012345678901234567890.01234567890123456789", "NaN"),
    "numeric": ("1e100", "0.1000", "NaN", "-Infinity"),
    "money": ("-12.34", "92233720368547758.07"),
    "text": ("", "plain", "Zürich 東京 🚀", "line\nbreak\ttab\\'\""),
    "varchar": ("x", "  padded  "),
    "varchar(5)": ("abcde", ""),
    "char(5)": ("ab", "", " a  b", "\t ", "東 "),
    "char(1)": ("é",),
    "bpchar": ("ab  ",),
    '"char"': ("q",),
    "name": ("a name",),
    "bytea": ("\\x", "\\x00ff0a", "\\xdeadbeef"),
    "date": ("0001-01-01", "1582-10-10", "1970-01-01", "9999-12-31"),
    "timestamp": ("0001-01-01 00:00:00", "1582-10-10 12:00:00", "9999-12-31 23:59:59.999999"),
    "timestamp(0)": ("2024-02-29 23:59:59",),
    "timestamp(3)": ("2024-02-29 23:59:59.123",),
    "timestamptz": ("0001-01-01 00:00:00+00", "2024-06-01 12:00:00.000001+05:30", "9999-12-31 23:59:59.999999+00"),
    "timestamptz(0)": ("2024-06-01 12:00:00-08",),
    "time": ("00:00:00", "24:00:00", "23:59:59.999999"),
    "time(3)": ("12:34:56.789",),
    "timetz": ("12:34:56.789123+05:30", "00:00:00-15:59"),
    "interval": ("1 year 2 mons -3 days 04:05:06.000007", "-1 day", "0"),
    "interval year to month": ("14 mons",),
    "uuid": ("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",),
    "json": ('{"b": 1, "a": [1, 2.50], "b": 2}', "null"),
    "jsonb": ('{"b": 1, "a": [1, 2.50]}', '"text"'),
    "jsonpath": ("$.a[*] ? (@ > 1)",),
    "inet": ("192.168.0.1/24", "::1"),
    "cidr": ("10.0.0.0/8",),
    "macaddr": ("08:00:2b:01:02:03",),
    "macaddr8": ("08:00:2b:01:02:03:04:05",),
    "bit(4)": ("1010",),
    "varbit": ("10101", ""),
    "point": ("(1.5,-2)",),
    "line": ("{1,2,3}",),
    "lseg": ("[(0,0),(1,1)]",),
    "box": ("(1,1),(0,0)",),
    "path": ("((0,0),(1,1))", "[(0,0),(1,1)]"),
    "polygon": ("((0,0),(1,1),(1,0))",),
    "circle": ("<(0,0),1.5>",),
    "int4range": ("[1,10)", "empty", "(,5]"),
    "int8range": ("[1,10)",),
    "numrange": ("[1.10,2.20]",),
    "daterange": ("[2024-01-01,infinity)",),
    "tsrange": ("[2024-01-01 00:00,2024-02-01 00:00)",),
    "tstzrange": ("[2024-01-01 00:00+01,2024-02-01 00:00+00)",),
    "int4multirange": ("{[1,3),[5,7)}", "{}"),
    "tsvector": ("a:1 fat:2 cat:3",),
    "tsquery": ("fat & (rat | cat)",),
    "oid": ("4294967295", "0"),
    "xid": ("4294967295",),
    "xid8": ("18446744073709551615",),
    "cid": ("7",),
    "tid": ("(42,7)",),
    "pg_lsn": ("16/B374D848",),
    "pg_snapshot": ("10:20:10,14,15",),
    "regclass": ("pg_class",),
    "regtype": ("integer",),
    "int[]": ("{}", "{1,NULL,3}", "{{1,2},{3,4}}", "[2:3]={7,8}"),
    "text[]": ('{"a,b",NULL,"q\\"uote"}',),
    "numeric(6,2)[]": ("{1.50,2.25}",),
    "timestamptz[]": ('{"2024-01-01 00:00:00+01"}',),
    "mood": ("so so", "happy"),
    "mood[]": ("{sad,happy}",),
    "pair": ('(1,"a b")', "(,)"),
    "pair[]": ('{"(1,x)","(2,y)"}',),
    "small_price": ("12345.678",),
    "nested": ("0.001",),
    "word": ("domain",),
    "stamp": ("2024-01-01 00:00:00.123+02",),
}
ROWS = max(len(values) for values in CASES.values()) + 1
"""One row more than values: a NULL in every column."""


def create_cases(dsn: str) -> None:
    """Make the table ``cases``: ``id`` and a column ``c<number>`` for each case, NULL in the last row."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(TYPES.encode())
        columns = ", ".join(f"c{i} {type_}" for i, type_ in enumerate(CASES))
        connection.execute(f"CREATE TABLE cases (id int, {columns})".encode())
        for row in range(ROWS):
            values = [values[row] if row < len(values) else None for values in CASES.values()]
            marks = ", ".join(f"%s::text::{type_}" for type_ in CASES)
            connection.execute(f"INSERT INTO cases VALUES ({row}, {marks})".encode(), values)
