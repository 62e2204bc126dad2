from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from dataloader_core.errors import ConfigurationError
from dataloader_core.explain import Explanation, explain
from dataloader_core.interfaces.source import WayOfReading
from dataloader_core.plan import Cap, LoadPlan, Read
from dataloader_core.table import LoadState
from dataloader_core.testing.builders import source_table, table_config
from dataloader_core.testing.interpreter import MemorySource, MemoryTarget, plan
from dataloader_core.types import BIGINT
from dataloader_core.values import Value
from dataloader_sources.postgresql.dialect import Postgres
from dataloader_strategies.chunked_backfill import ChunkedBackfill
from dataloader_strategies.incremental import Incremental
from dataloader_strategies.rolling import Rolling

SOURCE = source_table((("id",),), id="bigint!", stamp="bigint!", day="date")
WAYS = (
    WayOfReading("parquet", False, "the scanner extension is missing"),
    WayOfReading("arrow", True, "ADBC", parallel=2),
    WayOfReading("jdbc", True, "any Spark"),
)


def explained(strategy: Any, *, state: LoadState | None = None, choose: Any = None, **settings: Any) -> Explanation:
    table = table_config(strategy.name, primary_key_cols=("id",), **settings)
    cap = Cap(Value(BIGINT, "40"), False, True, "no transaction is older")
    rows = [{"id": str(i), "stamp": str(i), "day": "2024-06-14"} for i in range(10)]
    target = MemoryTarget(list(rows), watermark=state.watermark if state else None, load_seq=3)
    made: LoadPlan = plan(strategy(), table, MemorySource(SOURCE, list(rows), cap), target)

    def ways(read: Read) -> Sequence[WayOfReading]:
        return WAYS

    return explain(
        made, table, SOURCE, target.state(), Postgres(), ways=ways, choose=choose or (lambda w: w[1]), engine="local"
    )


def test_the_text_shows_sql_bounds_cap_way_operation_watermark_and_commit():
    text = explained(Incremental, state=LoadState(3, "20"), incremental_column="stamp").to_text()
    assert "crm.public.orders: incremental" in text
    assert "watermark now: 20" in text
    assert 'WHERE "stamp" > ' in text
    assert "The watermark may move below 40. No transaction is older." in text
    assert "not usable: parquet: the scanner extension is missing" in text
    assert "read by arrow, 2 at once: ADBC" in text
    assert "Merge into bronze.crm.orders by id." in text
    assert "It becomes the highest stamp read below 40, at least 20." in text
    assert f"One commit: version {3 * 2**20 + 1} (load 3, step 1)." in text


def test_deletes_and_what_guards_against_them_are_named():
    (step,) = explained(Rolling, rolling_column="day", rolling_days=3).steps
    assert "delete where day < 2024-06-12, delete what was not read where day >= 2024-06-12" in step.write
    assert step.guard == (
        "refused if nothing is read while the table holds rows; refused if more than 50% of the rows would go"
    )


def test_many_chunks_are_not_all_printed_but_all_in_the_json():
    settings = {"incremental_column": "stamp", "strategy_options": {"chunks": 9}}
    explanation = explained(ChunkedBackfill, **settings)
    text = explanation.to_text()
    assert "... 5 more like these ..." in text
    assert "Step 9: chunk 9 of 9" in text
    assert "Step 5:" not in text
    assert "Then the table becomes incremental." in text
    assert len(json.loads(json.dumps(explanation.to_json()))["steps"]) == 9


def test_publishing_at_the_end_says_what_goes_where():
    settings = {"incremental_column": "stamp", "strategy_options": {"chunks": 1, "publish": "at_end"}}
    chunk, last = explained(ChunkedBackfill, **settings).steps
    assert chunk.write == "Overwrite the staging table of bronze.crm.orders."
    assert (last.sql, last.write) == (None, "Replace bronze.crm.orders by the staging table.")


def test_a_plan_without_steps_says_so():
    held = explain(
        LoadPlan("append_only", (), ("held",)), table_config("append_only"), SOURCE, LoadState(3), Postgres()
    )
    assert "Nothing would be read or written." in held.to_text()
    assert held.to_json()["steps"] == ()


def test_where_nothing_can_read_the_reason_is_part_of_the_plan():
    def refuse(ways: Sequence[WayOfReading]) -> WayOfReading:
        raise ConfigurationError("No way fits.", cure="Install the extra.")

    text = explained(Incremental, incremental_column="stamp", choose=refuse).to_text()
    assert "CANNOT BE READ: No way fits. Install the extra." in text


@pytest.mark.parametrize("word", ["Overwrite bronze.crm.orders.", "refused if nothing is read"])
def test_a_first_load_says_that_it_overwrites(word):
    assert word in explained(Incremental, incremental_column="stamp").to_text()
