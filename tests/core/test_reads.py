from __future__ import annotations

from dataclasses import replace

import pytest

from dataloader_core.errors import ConfigurationError
from dataloader_core.interfaces.strategy import PlanInput, StrategyOptions
from dataloader_core.plan import Column, KeepWatermark, Merge, Read, Split, Step
from dataloader_core.reads import constant_column, merge_by_keys, read_all, split_of, unproven_keys
from dataloader_core.table import LoadState
from dataloader_core.testing.builders import source_table, table_config
from dataloader_core.types import DATE, INT, STRING, TIMESTAMP
from dataloader_core.values import Value
from dataloader_sources.postgresql.dialect import Postgres

SOURCE = source_table(**{"order id": "bigint!", "day": "date"})
STAMP = Value(TIMESTAMP, "2024-06-15 12:00:00+00:00")


def given(**settings: object) -> PlanInput:
    return PlanInput(table_config("full", **settings), SOURCE, LoadState(1), StrategyOptions())


def test_a_constant_is_rendered_as_the_dialects_own_literal():
    column = constant_column(given(), "loaded_at", STAMP)
    sql = Postgres().render(Read(SOURCE.relation, (*SOURCE.columns, column)))
    assert "CAST('2024-06-15 12:00:00+00:00' AS timestamptz) AS \"loaded_at\"" in sql


def test_a_constant_may_not_hide_a_column_of_the_destination():
    with pytest.raises(ConfigurationError, match="has a column 'order id' already"):
        constant_column(given(), "Order_ID", STAMP)


def test_keys_of_a_merge_are_the_destinations_names():
    assert merge_by_keys(given(primary_key_cols=("order id",))) == Merge(("order_id",))


KEYS = (
    Column("id", "id", INT, "id", "int", nullable=False),
    Column("code", "code", STRING, "code", "text", nullable=False, exact=False),
    Column("day", "day", DATE, "day", "date", nullable=False, guards=("infinity",)),
    Column("maybe", "maybe", INT, "maybe", "int"),
)


@pytest.mark.parametrize(
    ("cols", "keys", "policy", "proven"),
    [
        (("id", "day"), (("id",),), "fail", True),  # a key of the source is among them
        (("id", "day"), (("day", "id"),), "fail", True),
        (("id", "day"), (("id",),), "null", False),  # a key that becomes NULL is none
        (("id",), (("id",),), "null", True),
        (("id",), (("id", "day"),), "fail", False),  # only with another column
        (("id",), (), "fail", False),
        (("code",), (("code",),), "fail", True),  # text sorts otherwise there, and is as unique here
        (("maybe", "code"), (("maybe",), ("code",)), "fail", True),
        (("maybe",), (("maybe",),), "fail", False),  # SQLite, for one, lets NULL into a primary key
    ],
)
def test_a_merge_knows_whether_the_source_proves_its_keys(cols, keys, policy, proven):
    source = replace(SOURCE, columns=KEYS, keys=keys)
    table = table_config("full", primary_key_cols=cols, on_unrepresentable=policy)
    planned = PlanInput(table, source, LoadState(1), StrategyOptions())
    merge = merge_by_keys(planned)
    assert merge == Merge(cols, proven=proven)
    step = Step(read_all(planned), merge, KeepWatermark(), "merge")
    assert step.unproven == unproven_keys(planned) == (() if proven else cols)


@pytest.mark.parametrize(
    ("settings", "split"),
    [
        ({"partition_column": "day", "num_partitions": 4}, Split("day", 4)),
        ({"partition_column": "day"}, None),
        ({"partition_column": "day", "num_partitions": 1}, None),
        ({"num_partitions": 4}, None),
    ],
)
def test_ranges_are_asked_for_only_where_there_is_something_to_split(settings, split):
    assert split_of(given(**settings)) == split
