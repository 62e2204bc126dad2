"""Bad input in the rows: none, odd keys, values that no type of Delta holds, and very much at once."""

from __future__ import annotations

import pytest

from tests.badinput.table import STAMPED, Table
from tests.support.deployment import Deployment, name_of

ROLLING: dict[str, object] = {
    "load_strategy": "rolling",
    "rolling_column": "updated_at",
    "rolling_days": 7,
    "primary_key_cols": ["id"],
}


@pytest.mark.parametrize("strategy", [{"load_strategy": "full"}, ROLLING], ids=["full", "rolling"])
def test_an_empty_source_empties_nothing_unless_that_is_allowed(
    deployment: Deployment, strategy: dict[str, object]
) -> None:
    orders = Table(deployment, "orders", **strategy)
    orders.load()
    assert len(orders.rows()) == 100
    deployment.source_sql("DELETE FROM orders")
    orders.refused("100 rows", "allow_empty")
    orders.set("load_full = true")
    orders.refused("100 rows", "allow_empty")
    orders.set("allow_empty = true")
    orders.load()
    assert orders.rows() == []


def test_a_source_that_lost_most_of_its_rows_is_refused_with_the_counts(deployment: Deployment) -> None:
    orders = Table(deployment, "orders", load_strategy="full")
    orders.load()
    deployment.source_sql("DELETE FROM orders WHERE id > 49")
    orders.refused("51", "100", "max_delete_fraction")
    orders.set("max_delete_fraction = 0.6")
    orders.load()
    assert len(orders.rows()) == 49


@pytest.mark.parametrize("strategy", ["full", "incremental", "append_only", "check_and_load", "rolling"])
def test_a_table_of_zero_rows_is_a_table_of_zero_rows(deployment: Deployment, strategy: str) -> None:
    deployment.source_sql("DELETE FROM orders")
    orders = Table(deployment, "orders", **{**STAMPED, **ROLLING, "load_strategy": strategy})
    orders.load()
    assert orders.rows() == []
    orders.load()
    orders.change("INSERT INTO orders VALUES (1, 'first')")
    orders.load()
    assert [row["name"] for row in orders.rows()] == ["first"]


def test_a_backfill_of_zero_rows_becomes_what_it_is_to_become(deployment: Deployment) -> None:
    deployment.source_sql("DELETE FROM orders")
    orders = Table(deployment, "orders", **{**STAMPED, "load_strategy": "chunked_backfill"})
    orders.load()
    assert orders.control("load_strategy") == "incremental"
    orders.change("INSERT INTO orders VALUES (1, 'first')")
    orders.load()
    assert [row["name"] for row in orders.rows()] == ["first"]


@pytest.mark.parametrize(
    ("key", "what", "cured"),
    [
        ("NULL", "NULL", "DELETE FROM k WHERE k IS NULL"),
        ("'sesame-7'", "more than once", "DELETE FROM k WHERE id = 101"),
    ],
    ids=["null", "doubled"],
)
def test_keys_that_are_null_or_doubled_fail_by_column(deployment: Deployment, key: str, what: str, cured: str) -> None:
    deployment.source_sql(
        "CREATE TABLE k AS SELECT id, 'k' || id AS k, updated_at FROM orders; "
        "ALTER TABLE k ALTER updated_at SET NOT NULL, ALTER updated_at SET DEFAULT now();"
    )
    table = Table(deployment, "k", **{**STAMPED, "primary_key_cols": ["k"]})
    table.load()
    deployment.source_sql("UPDATE k SET k = 'sesame-7', updated_at = now() WHERE id = 7")
    table.change(f"INSERT INTO k VALUES (101, {key})")
    table.refused("k", what, "primary_key_cols", hidden=("sesame-7",))
    deployment.source_sql(cured)
    table.load()
    by_id = {row["id"]: row["k"] for row in table.rows()}
    assert "sesame-7" in by_id.values()
    assert 101 not in by_id


VALUES = [
    ("numeric(10,2)", "NaN", "NaN"),
    ("date", "infinity", "infinit"),
    ("timestamptz", "-infinity", "infinit"),
    ("timestamp", "0044-03-15 BC", "year"),
    ("date", "10000-01-01", "year"),
]


@pytest.mark.parametrize(("native", "value", "kind"), VALUES, ids=lambda v: str(v))
@pytest.mark.parametrize("way", ["parquet", "arrow"])
def test_a_value_that_delta_cannot_hold_fails_by_column_and_kind_or_becomes_null(
    deployment: Deployment, native: str, value: str, kind: str, way: str
) -> None:
    deployment.source_sql(
        f"CREATE TABLE odd (id int PRIMARY KEY, v {native}); INSERT INTO odd VALUES (1, NULL), (2, NULL)"
    )
    odd = Table(deployment, "odd", load_strategy="full", way_of_reading=way)
    odd.load()
    deployment.source_sql("UPDATE odd SET v = %s WHERE id = 1", value)
    odd.refused("v", kind, "on_unrepresentable")
    odd.set("on_unrepresentable = 'null'")
    outcome = odd.load()
    assert sorted((row["id"], row["v"]) for row in odd.rows()) == [(1, None), (2, None)]
    assert "v: 1 values" in " ".join(outcome["result"]["notes"])


@pytest.mark.parametrize("way", ["parquet", "arrow"])
def test_bytes_that_are_no_utf8_fail_by_column(deployment: Deployment, way: str) -> None:
    url = deployment.server.new_database("ascii", "ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0")
    deployment.source_url = url
    deployment.source_sql("CREATE TABLE latin (id int PRIMARY KEY, v text); INSERT INTO latin VALUES (1, 'plain')")
    deployment.add_source("crm", "--replace")
    assert name_of(url) in deployment.ok("source", "list")
    latin = Table(deployment, "latin", load_strategy="full", way_of_reading=way)
    latin.load()
    deployment.source_sql(r"INSERT INTO latin VALUES (2, convert_from('\xe9'::bytea, 'SQL_ASCII'))")
    latin.refused("'v'", "UTF-8")
    deployment.source_sql("UPDATE latin SET v = 'e' WHERE id = 2")
    latin.load()
    assert len(latin.rows()) == 2


@pytest.mark.parametrize("way", ["parquet", "arrow"])
def test_a_value_of_100_megabytes_arrives_or_names_the_memory_that_it_takes(deployment: Deployment, way: str) -> None:
    deployment.source_sql(
        "CREATE TABLE big (id int PRIMARY KEY, v text, updated_at timestamptz NOT NULL DEFAULT now());"
        "INSERT INTO big VALUES (1, repeat('x', 100000000)), (2, 'y')"
    )
    big = Table(deployment, "big", **STAMPED, way_of_reading=way)
    if way == "arrow":  # the value stands in a batch as well
        big.refused("bronze/crm/big", "DATALOADER_MEMORY_MB")
        deployment.environment["DATALOADER_MEMORY_MB"] = "512"
    big.load()
    big.change("UPDATE big SET v = repeat('z', 100000000), updated_at = now() WHERE id = 1")
    big.load()
    assert sorted((row["id"], len(row["v"]), row["v"][-1]) for row in big.rows()) == [
        (1, 100_000_000, "z"),
        (2, 1, "y"),
    ]


def test_fifteen_hundred_columns_arrive_and_are_merged(deployment: Deployment) -> None:
    columns = ", ".join(f"c{n} int DEFAULT {n}" for n in range(1500))
    deployment.source_sql(
        f"CREATE TABLE wide (id int PRIMARY KEY, updated_at timestamptz NOT NULL DEFAULT now(), {columns});"
        "INSERT INTO wide (id) VALUES (1), (2)"
    )
    wide = Table(deployment, "wide", **STAMPED)
    wide.load()
    wide.change("UPDATE wide SET c1499 = -1, updated_at = now() WHERE id = 2")
    wide.load()
    rows = {row["id"]: row for row in wide.rows()}
    assert len(rows[1]) == 1502
    assert (rows[1]["c1499"], rows[2]["c1499"], rows[2]["c1498"]) == (1499, -1, 1498)


def test_a_table_without_columns_is_refused_by_name(deployment: Deployment) -> None:
    deployment.source_sql("CREATE TABLE bare (); INSERT INTO bare DEFAULT VALUES")
    bare = Table(deployment, "bare", load_strategy="full")
    bare.refused("public.bare", "no column")
    assert not bare.path.exists()
    deployment.source_sql("ALTER TABLE bare ADD COLUMN id int DEFAULT 1")
    bare.load()
    assert bare.rows() == [{"id": 1}]


@pytest.mark.parametrize("name", ["file_row_number", "__dataloader_file"])
def test_a_column_that_a_merge_needs_for_itself_is_refused_by_name(deployment: Deployment, name: str) -> None:
    deployment.source_sql(f"ALTER TABLE orders ADD COLUMN {name} int DEFAULT 7")
    orders = Table(deployment, "orders", **STAMPED)
    orders.load()
    assert {row[name] for row in orders.rows()} == {7}
    orders.change("UPDATE orders SET name = 'new', updated_at = now() WHERE id = 1")
    orders.refused(repr(name), "columns", "load_full")
    orders.set("columns = '{id,name,updated_at}', load_full = true")
    orders.load()
    orders.change("UPDATE orders SET name = 'newer', updated_at = now() WHERE id = 1")
    orders.load()
    assert [row["name"] for row in orders.rows() if row["id"] == 1] == ["newer"]


def test_columns_called_like_parts_of_our_own_statements_are_merged(deployment: Deployment) -> None:
    """The names of aliases and helper tables of a merge, as columns and as keys."""
    names = ("i", "lo", "hi", "r", "n", "t", "s", "a", "h", "hit", "routed", "incoming", "bounds", "filename", "rowid")
    columns = ", ".join(f"{name} int NOT NULL DEFAULT 1" for name in names)
    deployment.source_sql(
        f"CREATE TABLE own ({columns}, updated_at timestamptz NOT NULL DEFAULT now());"
        "INSERT INTO own (i, filename) VALUES (1, 1), (2, 1)"
    )
    own = Table(deployment, "own", **{**STAMPED, "primary_key_cols": ["i", "filename"]})
    own.load()
    own.change("UPDATE own SET lo = 5, updated_at = now() WHERE i = 2; INSERT INTO own (i) VALUES (3)")
    own.load()
    assert sorted((row["i"], row["lo"]) for row in own.rows()) == [(1, 1), (2, 5), (3, 1)]
