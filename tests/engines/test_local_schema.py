"""What the schema policy does to real tables."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from deltalake import DeltaTable
from local_table import Table, column

from dataloader_core.errors import SchemaChangeError
from dataloader_core.plan import Append, Comparison, Merge, Write
from dataloader_core.types import INT
from dataloader_core.values import Value

TWO = "SELECT i::int AS id, 'n' || i AS name FROM range(2) t(i)"
BY_ID = Merge(("id",))


@pytest.fixture
def people(lake: Path) -> Table:
    table = Table(lake, {"id": "int", "name": "string"}, "people")
    table.create()
    table.load(TWO)
    return table


def have(table: Table, **columns: str) -> None:
    table.columns = tuple(column(n, k) for n, k in columns.items())


def schema(table: Table) -> dict[str, str]:
    return {c.name: str(c.type) for c in table.look().columns}


def protocol_features(table: Table) -> set[str]:
    protocol = DeltaTable(table.path).protocol()
    return {*(protocol.reader_features or ()), *(protocol.writer_features or ())}


@pytest.mark.parametrize("write", [Append(), BY_ID], ids=["append", "merge"])
def test_a_wider_type_is_rewritten_in_the_loads_one_commit(people: Table, write: Write) -> None:
    before = people.look().table_version
    assert before is not None
    have(people, id="bigint", name="string")
    people.load(f"SELECT {2**40}::bigint AS id, 'big' AS name", write)
    look = people.look()
    assert look.table_version == before + 1
    assert schema(people)["id"] == "bigint"
    assert people.rows() == [(0, "n0"), (1, "n1"), (2**40, "big")]
    assert "typeWidening" not in protocol_features(people)
    import duckdb

    for file in look.handle.files:
        [(kind,)] = duckdb.sql(f"SELECT typeof(id) FROM read_parquet('{people.path / file.path}') LIMIT 1").fetchall()
        assert kind == "BIGINT"


def test_added_and_widened_at_once_is_one_commit(people: Table) -> None:
    before = people.look().table_version
    assert before is not None
    have(people, id="bigint", name="string", more="date")
    people.load("SELECT 9::bigint AS id, 'x' AS name, date '2024-02-29' AS more", BY_ID)
    assert people.look().table_version == before + 1
    assert [r[2] is None for r in people.rows()] == [True, True, False]


def test_a_refused_change_changes_nothing(people: Table) -> None:
    have(people, id="string", name="string")
    before = people.look().table_version
    with pytest.raises(SchemaChangeError, match="int in the table, string at the source"):
        people.load("SELECT '1' AS id, 'x' AS name", Append())
    assert people.look().table_version == before
    assert len(list(people.path.glob("*.parquet"))) == 1


def test_bounds_never_exclude_a_value(lake: Path) -> None:
    table = Table(lake, {"s": "string", "d": "decimal(38,37)", "t": "timestamp", "f": "double"}, "bounds")
    table.create()
    text = "z" * 40
    table.load(
        f"SELECT '{text}' AS s, 0.1234567890123456789012345678901234567::decimal(38,37) AS d, "
        "timestamptz '9999-12-31 23:59:59.999999+00' AS t, 'nan'::double AS f"
    )
    [stats] = [
        json.loads(json.loads(line)["add"]["stats"])
        for file in sorted(table.path.glob("_delta_log/*.json"))[-1:]
        for line in file.read_text().splitlines()
        if "add" in json.loads(line)
    ]
    assert stats["minValues"]["s"] <= text <= stats["maxValues"]["s"]
    assert stats["maxValues"]["t"] == "9999-12-31T23:59:59.999999Z"
    assert "f" not in stats["maxValues"]
    raw = sorted(table.path.glob("_delta_log/*.json"))[-1].read_text()
    assert "0.1234567890123456789012345678901234567" in raw


def test_a_folded_key_that_is_renamed_in_case_is_still_the_key(people: Table) -> None:
    people.columns = (column("order id", "int", target="order_id"), column("name", "string"))
    people.load("SELECT 1::int AS \"order id\", 'a' AS name")
    people.columns = (column("Order ID", "int", target="Order_ID"), column("name", "string"))
    outside = (Comparison("Order ID", ">", Value(INT, "5")), Comparison("Order_ID", ">", Value(INT, "5")))
    people.load("SELECT * FROM (VALUES (1::int, 'b'), (2, 'c')) t(\"Order ID\", name)", Merge(("Order_ID",), outside))
    assert people.rows() == [(1, "b"), (2, "c")]
    assert schema(people) == {"order_id": "int", "name": "string"}
