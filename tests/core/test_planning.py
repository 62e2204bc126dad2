"""Planning against a real source: names, options and questions are asked of a PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from dataloader_core.errors import ConfigurationError, UnknownNameError
from dataloader_core.explain import explain
from dataloader_core.interfaces.source import SessionOptions, SourceSession
from dataloader_core.plan import HighestRead, LoadPlan
from dataloader_core.planning import make_plan
from dataloader_core.plugins.manager import Registry
from dataloader_core.table import LoadState, SourceTable, TableConfig
from dataloader_core.testing.builders import table_config

ORDERS = """
    CREATE TABLE orders (
        "Order ID" bigint PRIMARY KEY,
        region text,
        amount double precision,
        day date,
        updated_at timestamptz NOT NULL DEFAULT now()
    );
    INSERT INTO orders SELECT n, 'north', n, date '2024-01-01' + n, timestamptz '2024-01-01' + n * interval '1 hour'
    FROM generate_series(1, 50) n;
    CREATE TABLE prices (rate numeric, span interval, code text, day date NOT NULL, PRIMARY KEY (rate, span, code));
"""
KEYED: dict[str, Any] = {"primary_key_cols": ("Order ID",), "incremental_column": "updated_at"}

NEW = LoadState(1)

Plan = Callable[..., tuple[LoadPlan, SourceTable]]


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry()


@pytest.fixture(scope="module")
def orders(postgres_server: Any) -> str:
    dsn: str = postgres_server.new_database("planning")
    with psycopg.connect(dsn) as connection:
        connection.execute(ORDERS)
    return dsn


@pytest.fixture
def session(orders: str, registry: Registry) -> Iterator[SourceSession]:
    dialect = registry.source("postgresql")()
    fields = conninfo_to_dict(orders)
    given = {"host": fields["host"], "user": fields["user"], "database": fields["dbname"]}
    if "port" in fields:
        given["port"] = fields["port"]
    with dialect.connect(dialect.connection_model.model_validate(given), SessionOptions()) as opened:
        yield opened


@pytest.fixture
def planned(registry: Registry, session: SourceSession) -> Plan:
    def make(strategy: str, state: LoadState = NEW, **settings: Any) -> tuple[LoadPlan, SourceTable]:
        table: TableConfig = table_config(strategy, **settings)
        return make_plan(registry, session, table, state)

    return make


def test_a_plan_of_each_strategy_can_be_rendered(planned: Plan, registry: Registry) -> None:
    dialect = registry.source("postgresql")()
    watermark = LoadState(2, "2024-01-02 00:00:00+00:00", has_rows=True)
    settings: dict[str, dict[str, Any]] = {
        "full": {},
        "incremental": KEYED,
        "append_only": {"incremental_column": "updated_at"},
        "check_and_load": KEYED,
        "rolling": {"primary_key_cols": ("Order ID",), "rolling_column": "day", "rolling_days": 3},
    }
    for strategy, given in settings.items():
        plan, source = planned(strategy, watermark, **given)
        text = explain(plan, table_config(strategy, **given), source, watermark, dialect).to_text()
        assert 'FROM "public"."orders"' in text, strategy


def test_a_backfill_cuts_between_the_bounds_of_the_source(planned: Plan) -> None:
    plan, _ = planned("chunked_backfill", strategy_options={"chunks": 5}, **KEYED)
    progress = plan.steps[0].progress
    assert progress is not None
    assert (progress.boundaries[0], progress.boundaries[-1], progress.chunks) == ("1", "50", 5)
    assert progress.watermark is not None


def test_names_are_matched_to_the_catalog_and_keys_to_the_destination(planned: Plan) -> None:
    settings = {"primary_key_cols": ("order id",), "incremental_column": "UPDATED_AT"}
    plan, source = planned("incremental", LoadState(1, "2024-01-02"), **settings)
    (step,) = plan.steps
    assert step.write.keys == ("Order_ID",)  # type: ignore[union-attr]  # a Merge
    assert isinstance(step.watermark, HighestRead)
    assert source.column("Order ID").target == "Order_ID"


def test_counts_are_asked_under_the_tables_own_filter(planned: Plan) -> None:
    state = LoadState(1, "2024-01-02 00:00:00+00:00")
    everything, _ = planned("check_and_load", state, **KEYED)
    nothing, _ = planned("check_and_load", state, filter="region = 'south'", **KEYED)
    assert everything.notes[0].startswith("26 rows")
    assert nothing.steps == ()


def test_key_columns_that_can_be_null_are_reported(planned: Plan) -> None:
    plan, _ = planned("incremental", primary_key_cols=("region",), incremental_column="updated_at")
    assert any("Key columns can be NULL: region" in note for note in plan.notes)


def test_keys_whose_spelling_may_change_are_reported(planned: Plan) -> None:
    """1.0 and 1.00 are one key at the source and two texts in the destination."""
    settings = {
        "source_table_name": "prices",
        "incremental_column": "day",
        "primary_key_cols": ("rate", "span", "code"),
    }
    plan, _ = planned("incremental", watermark_delay="1 day", **settings)
    assert any("arrive as text: rate (numeric), span (interval). A key" in note for note in plan.notes)
    plan, _ = planned("incremental", **KEYED)
    assert not any("as text" in note for note in plan.notes)


def test_values_that_become_null_make_no_column_one_that_can_be_null(planned: Plan) -> None:
    """The cure of such a note would be to make the column NOT NULL, which it is."""
    settings = {"source_table_name": "prices", "incremental_column": "day", "primary_key_cols": ("day",)}
    plan, _ = planned("incremental", watermark_delay="1 day", on_unrepresentable="null", **settings)
    assert not any("can be NULL" in note for note in plan.notes)


def test_a_limited_load_says_so(planned: Plan) -> None:
    plan, _ = planned("full", row_limit=5)
    assert any(note.startswith("LIMITED: row_limit reads at most 5 rows") for note in plan.notes)


@pytest.mark.parametrize(
    ("strategy", "settings", "message"),
    [
        ("fulll", {}, "Unknown strategy 'fulll'.*Did you mean 'full'"),
        (
            "incremental",
            {**KEYED, "primary_key_cols": ("nr",)},
            "Unknown column in primary_key_cols 'nr'; known: .*'day'",
        ),
        ("incremental", {**KEYED, "columns": ("Order ID",)}, "'updated_at'.* add it to `columns`"),
        ("full", {"partition_column": "nr"}, "Unknown partition_column 'nr'"),
        ("full", {"columns": ("nope",)}, "nope"),
        ("full", {"source_table_name": "lost"}, "'lost'; known: 'orders'"),
    ],
)
def test_unknown_names_are_refused_with_the_known_ones(
    planned: Plan, strategy: str, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(UnknownNameError, match=message):
        planned(strategy, **settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"primary_key_cols": ("Order ID", "Order ID"), "incremental_column": "updated_at"}, "names a column twice"),
        ({"primary_key_cols": ("amount",), "incremental_column": "updated_at"}, "cannot be compared exactly"),
        ({"strategy_options": {"chunks": 5}, **KEYED}, "chunks: Extra inputs .* Its options are: none"),
        ({}, "set primary_key_cols. The source's own key is Order ID. .*set incremental_column"),
    ],
)
def test_everything_impossible_is_named_at_once(planned: Plan, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        planned("incremental", **settings)
