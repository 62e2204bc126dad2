"""What the catalog says of relations: names, columns, keys, sizes, and who may read."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import sql
from reading import connect

from dataloader_core.errors import ConfigurationError, SourceRefusedError, UnknownNameError
from dataloader_core.plan import Read, Relation
from dataloader_sources.postgresql.session import PostgresSession

NAMES = [
    "plain",
    "Capital",
    "with space",
    "dot.ted",
    'quo"te',
    "sin'gle",
    "per%cent %s",
    "ünï漢字",
    "back\\slash",
    "select",
    "$1",
    "x" * 63,
    "ä" * 31,
]


@pytest.mark.parametrize("name", NAMES)
def test_any_name_is_read_as_it_is_written(session: PostgresSession, admin: psycopg.Connection, name: str) -> None:
    quoted = sql.Identifier(name)
    admin.execute(sql.SQL("CREATE SCHEMA {}").format(quoted))
    admin.execute(sql.SQL("CREATE TABLE {0}.{0} ({0} int PRIMARY KEY, other text)").format(quoted))
    admin.execute(sql.SQL("INSERT INTO {0}.{0} VALUES (7)").format(quoted))
    assert Relation(name, name) in session.relations()
    found = session.discover(Relation(name, name))
    assert found.table.columns[0].name == name
    assert found.table.keys == ((name,),)
    read = Read(found.table.relation, found.table.columns)
    assert session.fetch(session.dialect.render(read)) == [(7, None)]
    assert str(session.bounds(read, found.table.columns[0]).high) == "7"


def test_a_name_that_differs_only_in_case_is_matched_and_ambiguity_refused(
    session: PostgresSession, admin: psycopg.Connection
) -> None:
    admin.execute('CREATE SCHEMA "Sales"; CREATE TABLE "Sales"."Orders" ("Id" int, "ID" int, note text)')
    table = session.describe(Relation("SALES", "orders"), ["NOTE", "Id"])
    assert str(table.relation) == "Sales.Orders"
    assert [c.name for c in table.columns] == ["Id", "note"]
    with pytest.raises(UnknownNameError, match="'Id', 'ID'"):
        session.describe(Relation("Sales", "Orders"), ["id"])


def test_columns_that_delta_would_call_alike_are_refused_unless_one_is_chosen(
    session: PostgresSession, admin: psycopg.Connection
) -> None:
    admin.execute('CREATE TABLE clash ("Order ID" int, "Order_ID" int)')
    with pytest.raises(ConfigurationError, match="Order_ID"):
        session.describe(Relation("public", "clash"))
    table = session.describe(Relation("public", "clash"), ["Order ID"])
    assert [(c.name, c.target) for c in table.columns] == [("Order ID", "Order_ID")]


@pytest.mark.parametrize(
    ("relation", "found"),
    [
        (Relation("public", "ordrs"), "orders"),
        (Relation("pubic", "orders"), "public"),
        (Relation("public", "orders", "elsewhere"), "elsewhere"),
    ],
)
def test_an_unknown_name_is_refused_with_what_there_is(
    session: PostgresSession, admin: psycopg.Connection, relation: Relation, found: str
) -> None:
    admin.execute("CREATE TABLE orders (id int)")
    with pytest.raises(UnknownNameError, match=found):
        session.describe(relation)


def test_an_unknown_column_is_refused_with_the_near_one(session: PostgresSession, admin: psycopg.Connection) -> None:
    admin.execute("CREATE TABLE orders (id int, amount int)")
    with pytest.raises(UnknownNameError, match="Did you mean 'amount'"):
        session.describe(Relation("public", "orders"), ["amont"])


def test_a_table_without_columns_is_refused_by_name(session: PostgresSession, admin: psycopg.Connection) -> None:
    admin.execute("CREATE TABLE nothing (); CREATE TABLE dropped (x int); ALTER TABLE dropped DROP x")
    for name in ("nothing", "dropped"):
        with pytest.raises(ConfigurationError, match=f"{name} has no column"):
            session.describe(Relation("public", name))


def test_fifteen_hundred_columns_are_described_and_rendered(
    session: PostgresSession, admin: psycopg.Connection
) -> None:
    admin.execute(f"CREATE TABLE wide ({', '.join(f'c{i} numeric(5,1)' for i in range(1500))})")
    table = session.describe(Relation("public", "wide"), on_unrepresentable="null")
    assert len(table.columns) == 1500
    assert session.fetch(session.dialect.render(Read(table.relation, table.columns))) == []


def test_all_kinds_of_relations_are_listed_and_partitions_are_not(
    session: PostgresSession, admin: psycopg.Connection
) -> None:
    admin.execute("""
        CREATE TABLE t (k int); CREATE VIEW v AS SELECT * FROM t; CREATE MATERIALIZED VIEW m AS SELECT * FROM t;
        CREATE TABLE p (k int) PARTITION BY LIST (k); CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1);
        CREATE FOREIGN DATA WRAPPER w; CREATE SERVER w FOREIGN DATA WRAPPER w; CREATE FOREIGN TABLE f (k int) SERVER w;
        CREATE EXTENSION vector; CREATE TEMP TABLE tmp (k int); CREATE SEQUENCE s; CREATE TYPE c AS (k int)
    """)
    kinds = {r.name: session.describe(r).kind for r in session.relations()}
    assert kinds == {
        "t": "table", "v": "view", "m": "materialized view", "p": "partitioned table", "f": "foreign table"
    }  # fmt: skip
    assert session.relations(["elsewhere"]) == []
    assert session.describe(Relation("public", "p1")).kind == "table"


def test_keys_are_the_primary_key_then_unique_indexes_that_hold_without_nulls(
    session: PostgresSession, admin: psycopg.Connection
) -> None:
    admin.execute("""
        CREATE TABLE k (b int NOT NULL, a int NOT NULL, c int NOT NULL, n int, e text NOT NULL, PRIMARY KEY (a, b));
        CREATE UNIQUE INDEX i1 ON k (c) INCLUDE (e);
        CREATE UNIQUE INDEX i2 ON k (n);
        CREATE UNIQUE INDEX i3 ON k (e) WHERE c > 0;
        CREATE UNIQUE INDEX i4 ON k (lower(e));
        CREATE INDEX i5 ON k (e)
    """)
    assert session.describe(Relation("public", "k")).keys == (("a", "b"), ("c",))
    assert session.describe(Relation("public", "k"), ["a", "c"]).keys == (("c",),)


def test_a_not_null_that_was_never_checked_is_no_promise(session: PostgresSession, admin: psycopg.Connection) -> None:
    admin.execute("CREATE TABLE u (a int UNIQUE); ALTER TABLE u ADD CONSTRAINT nn NOT NULL a NOT VALID")
    table = session.describe(Relation("public", "u"))
    assert table.keys == ()
    assert table.columns[0].nullable
    admin.execute("ALTER TABLE u VALIDATE CONSTRAINT nn")
    assert session.describe(Relation("public", "u")).keys == (("a",),)


def test_keys_of_an_inheritance_parent_do_not_count(session: PostgresSession, admin: psycopg.Connection) -> None:
    admin.execute("CREATE TABLE parent (id int PRIMARY KEY); CREATE TABLE child () INHERITS (parent)")
    assert session.describe(Relation("public", "parent")).keys == ()
    assert any("inherit" in note for note in session.discover(Relation("public", "parent")).notes)


def test_comments_nullability_and_native_types_are_told(session: PostgresSession, admin: psycopg.Connection) -> None:
    admin.execute("CREATE TABLE c (id int NOT NULL, n numeric(5,2))")
    admin.execute("COMMENT ON TABLE c IS 'a table'; COMMENT ON COLUMN c.n IS 'net'")
    table = session.describe(Relation("public", "c"))
    assert table.comment == "a table"
    assert [(c.native, c.nullable, c.comment) for c in table.columns] == [
        ("integer", False, None),
        ("numeric(5,2)", True, "net"),
    ]


def test_rows_and_bytes_are_estimated_partitions_summed(session: PostgresSession, admin: psycopg.Connection) -> None:
    admin.execute("CREATE TABLE p (k int, x text) PARTITION BY LIST (k)")
    admin.execute("CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1); CREATE TABLE p2 PARTITION OF p FOR VALUES IN (2)")
    admin.execute("INSERT INTO p SELECT 1 + i % 2, repeat('x', 50) FROM generate_series(1, 4000) i")
    admin.execute("ANALYZE p; CREATE TABLE empty (k int); CREATE VIEW v AS SELECT * FROM p")
    table = session.describe(Relation("public", "p"))
    assert table.row_estimate == 4000
    assert table.bytes_estimate
    assert table.bytes_estimate > 4000 * 50
    assert session.describe(Relation("public", "empty")).row_estimate == 0
    assert session.describe(Relation("public", "v")).row_estimate == 4000
    assert session.describe(Relation(query="SELECT * FROM p")).row_estimate == 4000


def test_generated_columns_are_read_and_system_columns_are_not(
    session: PostgresSession, admin: psycopg.Connection
) -> None:
    admin.execute("CREATE TABLE g (a int, b int GENERATED ALWAYS AS (a * 2) STORED, c int GENERATED ALWAYS AS (a * 3))")
    admin.execute("INSERT INTO g VALUES (2)")
    table = session.describe(Relation("public", "g"))
    assert [c.name for c in table.columns] == ["a", "b", "c"]
    assert session.fetch(session.dialect.render(Read(table.relation, table.columns))) == [(2, 4, 6)]


def test_a_query_is_described_by_the_server_and_choices_apply(session: PostgresSession) -> None:
    relation = Relation(query="SELECT 1 AS a, 'x%s' AS b, now() AS \"c d\" -- no more")
    table = session.describe(relation, ["a", "C D"])
    assert [(c.name, c.target, str(c.type)) for c in table.columns] == [("a", "a", "int"), ("c d", "c_d", "timestamp")]
    assert table.relation == relation


@pytest.mark.parametrize(
    ("query", "error", "found"),
    [
        ("SELECT 1 AS a, 2 AS a", ConfigurationError, "several columns called 'a'"),
        ("SELECT * FROM missing", SourceRefusedError, "missing"),
        ("SELECT 1; SELECT 2", ConfigurationError, "more than one"),
        ("WITH d AS (DELETE FROM t RETURNING 1) SELECT * FROM d", ConfigurationError, "changes data"),
    ],
)
def test_a_query_that_cannot_be_read_is_refused(
    session: PostgresSession, query: str, error: type[Exception], found: str
) -> None:
    with pytest.raises(error, match=found):
        session.describe(Relation(query=query))


def test_what_may_not_be_read_is_named_with_the_grant(
    postgres_server, database: str, admin: psycopg.Connection
) -> None:
    postgres_server.new_login("catalog_reader", "limited secret")
    admin.execute("CREATE TABLE secret (a int, b int); CREATE TABLE half (id int PRIMARY KEY, open int, closed int)")
    admin.execute("GRANT SELECT (id, open) ON half TO catalog_reader")
    name = admin.info.dbname
    with connect(postgres_server.tcp_dsn(name, "catalog_reader", "limited secret")) as session:
        assert session.relations() == [Relation("public", "half")]
        with pytest.raises(SourceRefusedError, match=r"may not read public\.secret"):
            session.describe(Relation("public", "secret"))
        with pytest.raises(SourceRefusedError, match="'closed'"):
            session.describe(Relation("public", "half"))
        assert len(session.describe(Relation("public", "half"), ["id", "open"]).columns) == 2
        assert len(session.discover(Relation("public", "half")).table.columns) == 2


def test_a_dropped_table_is_refused_by_name(session: PostgresSession, admin: psycopg.Connection) -> None:
    admin.execute("CREATE TABLE gone (id int)")
    table = session.describe(Relation("public", "gone"))
    admin.execute("DROP TABLE gone")
    with pytest.raises(SourceRefusedError, match=r"gone.*dropped or renamed"):
        session.count(Read(table.relation, table.columns))
