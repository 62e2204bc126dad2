"""Plans without a database: a table, what the source would answer, and the plan that follows."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import settings

from dataloader_core.interfaces.strategy import LoadStrategy
from dataloader_core.plan import Bounds, Cap, LoadPlan
from dataloader_core.table import LoadState, SourceTable, TableConfig
from dataloader_core.testing.builders import source_table, table_config
from dataloader_core.testing.interpreter import MemorySource, MemoryTarget, plan
from dataloader_core.types import TIMESTAMP
from dataloader_core.values import Value

# Time is no property of a plan, and a busy machine would make it one.
settings.register_profile("without deadline", deadline=None)
settings.load_profile("without deadline")

NOON = Cap(Value(TIMESTAMP, "2024-06-15 12:00:00+00:00"), False, True, "no transaction is older")

Planner = Callable[..., LoadPlan]


class Answering(MemorySource):
    """A source whose answers are given, not computed."""

    def __init__(self, table: SourceTable, cap: Cap, count: int, bounds: Bounds | None, clock: datetime) -> None:
        super().__init__(table, [], cap, clock)
        self.count, self.bounds = count, bounds

    def answer(self, question: Any) -> Any:
        kind = type(question).__name__
        return {"CapQuestion": self.cap, "CountQuestion": self.count, "BoundsQuestion": self.bounds}[kind]


class Standing(MemoryTarget):
    """A target whose state is given."""

    def __init__(self, state: LoadState) -> None:
        super().__init__()
        self.given = state

    def state(self) -> LoadState:
        return self.given


@pytest.fixture
def orders() -> SourceTable:
    return source_table((("id",),), 5000, id="bigint!", stamp="timestamp!", note="string", day="date", score="double")


@pytest.fixture
def planned(orders: SourceTable) -> Planner:
    """``planned(Incremental, watermark="...", cap=..., primary_key_cols=("id",))`` gives the plan."""

    def make(
        strategy: type[LoadStrategy],
        *,
        source: SourceTable = orders,
        watermark: str | None = None,
        load_full: bool = False,
        backfill: Any = None,
        has_rows: bool = True,
        load_seq: int = 7,
        cap: Cap = NOON,
        count: int = 3,
        bounds: Bounds | None = None,
        clock: datetime = datetime(2024, 6, 15, 12, tzinfo=UTC),
        **settings: Any,
    ) -> LoadPlan:
        table: TableConfig = table_config(strategy.name, **settings)
        state = LoadState(load_seq, watermark, load_full, backfill, has_rows)
        return plan(strategy(), table, Answering(source, cap, count, bounds, clock), Standing(state))

    return make
