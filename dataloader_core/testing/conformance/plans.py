"""The strategies' own plans, and random ones, carried out by the engine and by the interpreter side by side."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, Final

import pytest

from dataloader_core.commit import Look
from dataloader_core.interfaces.engine import Prepared
from dataloader_core.plan import (
    Append,
    Cap,
    Comparison,
    HighestRead,
    IsNull,
    LossPolicy,
    Merge,
    Replace,
    Step,
)
from dataloader_core.planning import make_plan
from dataloader_core.plugins.manager import default_registry
from dataloader_core.table import LoadState, TableConfig
from dataloader_core.testing.builders import table_config
from dataloader_core.testing.conformance.base import Conformance, NewTable
from dataloader_core.testing.conformance.table import ConformanceTable
from dataloader_core.testing.interpreter import MemorySource, Row, commit, finish
from dataloader_core.testing.memory import MemorySession, MemorySnapshot
from dataloader_core.types import BIGINT
from dataloader_core.values import Value

COLUMNS: Final = {"id": "bigint!", "v": "bigint!", "day": "date", "note": "string"}
_KEYED: Final = {"primary_key_cols": ("id",), "incremental_column": "v", "max_delete_fraction": 1.0}
_CHUNKS: Final = {"chunks": 3}
STRATEGIES: Final[Mapping[str, tuple[str, Mapping[str, Any]]]] = {
    "full": ("full", {"max_delete_fraction": 1.0}),
    "incremental": ("incremental", _KEYED),
    "append_only": ("append_only", {"incremental_column": "v"}),
    "rolling": (
        "rolling",
        {"primary_key_cols": ("id",), "rolling_column": "day", "rolling_days": 10, "max_delete_fraction": 1.0},
    ),
    "check_and_load": ("check_and_load", _KEYED),
    "chunked_backfill": ("chunked_backfill", {**_KEYED, "strategy_options": _CHUNKS}),
    "chunked_backfill, published at its end": (
        "chunked_backfill",
        {**_KEYED, "strategy_options": {**_CHUNKS, "publish": "at_end"}},
    ),
}
SEEDS: Final = 2
_DAYS: Final = ("2024-06-15", "2024-06-10", "2024-06-01", "2024-01-01", None)
"""The interpreter's clock stands at 2024-06-15."""


class PlanConformance(Conformance):
    """After every load the table holds the interpreter's rows, and the watermark is the interpreter's."""

    area: ClassVar[str] = "Plans"

    @pytest.mark.parametrize("strategy", STRATEGIES)
    def test_a_strategy_keeps_its_promise_load_after_load(self, new_table: NewTable, strategy: str) -> None:
        name, settings = STRATEGIES[strategy]
        played = Played(new_table, table_config(name, **settings), updates=name != "append_only")
        for number in range(3):
            played.change(number)
            played.load()
            played.target.check()
        assert played.target.model.rows

    @pytest.mark.parametrize("seed", range(SEEDS))
    def test_random_steps_do_what_the_interpreter_does(self, new_table: NewTable, seed: int) -> None:
        chance, table = random.Random(seed), new_table(COLUMNS)
        source = MemorySource(table.source)
        for _ in range(5):
            source.rows = [_row(chance, key) for key in chance.sample(range(30), chance.randrange(1, 20))]
            step = _random_step(chance, table)
            look = table.look()
            prepared = table.prepare(step, MemorySnapshot(source, files=chance.randrange(1, 4)), look=look)
            before = len(table.model.rows)
            done = table.destination.commit(step, prepared, look, table.record())
            commit(step, source, table.model)
            table.check()
            assert before - done.rows_deleted <= len(table.model.rows)


class Played:
    """A source that changes, a table, and loads between them as the loader would carry them out."""

    def __init__(self, new_table: NewTable, config: TableConfig, *, updates: bool) -> None:
        self.new_table = new_table
        self.config = config
        self.updates = updates
        self.target: ConformanceTable = new_table(COLUMNS, keys=(("id",),))
        self.staging: ConformanceTable | None = None
        self.source = MemorySource(self.target.source)
        self.counter = 0

    def change(self, seed: int) -> None:
        """Rows arrive; where the strategy follows changes, some change and move to another day."""
        chance = random.Random(seed)
        if self.updates:
            self.source.rows = [
                self._stamped(chance, int(row["id"] or 0)) if chance.random() < 0.3 else row for row in self.source.rows
            ]
        start = len(self.source.rows)
        self.source.rows = [
            *self.source.rows,
            *(self._stamped(chance, start + n) for n in range(chance.randrange(5, 12))),
        ]
        self.source.cap = Cap(Value(BIGINT, str(self.counter)), True, True, "one counter")

    def load(self) -> None:
        """Plan, then read and commit step after step, in the engine and in the interpreter."""
        model = self.target.model
        model.load_seq += 1
        strategy = model.strategy or self.config.load_strategy
        config = (
            self.config if model.strategy is None else replace(self.config, load_strategy=strategy, strategy_options={})
        )
        state = LoadState(model.load_seq, model.watermark, model.load_full, model.backfill, bool(model.rows))
        plan, _ = make_plan(default_registry(), MemorySession(self.source), config, state)
        for step in plan.steps:
            self._carry_out(step)
        finish(plan, model)

    def _carry_out(self, step: Step) -> None:
        where = self._staging() if step.staged else self.target
        look = where.look()
        if step.read is None:
            prepared = self._published(step, look)
        else:
            prepared = where.prepare(step, MemorySnapshot(self.source), look=look)
        where.destination.commit(step, prepared, look, where.record())
        floor = step.watermark.floor if isinstance(step.watermark, HighestRead) else None
        commit(step, self.source, self.target.model)
        if isinstance(step.watermark, HighestRead):
            highest = max((v for v in (floor, prepared.highest) if v is not None), default=None)
            assert (highest.text if highest else None) == self.target.model.watermark

    def _staging(self) -> ConformanceTable:
        if self.staging is None:
            self.staging = self.new_table(COLUMNS, name=f"{self.target.name}__backfill_1", created=False)
            assert self.staging is not None
            self.staging.uid = self.target.uid
            self.staging.create()
        return self.staging

    def _published(self, step: Step, look: Look) -> Prepared:
        aside = self._staging()
        return self.target.destination.prepare_from(
            step, self.target.source, aside.destination, aside.look(), look, "evolve", lambda rows, size: None
        )

    def _stamped(self, chance: random.Random, key: int) -> Row:
        self.counter += 1
        return {"id": str(key), "v": str(self.counter), "day": chance.choice(_DAYS), "note": f"change {self.counter}"}


def _row(chance: random.Random, key: int) -> Row:
    note = chance.choice(("a", "é", "", None))
    return {"id": str(key), "v": str(chance.randrange(100)), "day": chance.choice(_DAYS), "note": note}


def _random_step(chance: random.Random, table: ConformanceTable) -> Step:
    """Any write, over everything or over the rows of some condition."""
    step = table.step(loss=LossPolicy(allow_empty=True, max_fraction=1))
    assert step.read is not None
    bound = Value(BIGINT, str(chance.randrange(100)))
    where = chance.choice(((), (Comparison("v", chance.choice(("<", ">=")), bound),), (IsNull("day"),)))
    write = chance.choice((Replace(), Append(), _random_merge(chance), _random_merge(chance)))
    if isinstance(write, Append):
        where = (Comparison("v", "<", bound),)
    return replace(step, read=replace(step.read, where=where), write=write)


def _random_merge(chance: random.Random) -> Merge:
    bound = Value(BIGINT, str(chance.randrange(100)))
    outside = (Comparison("v", "<", bound),) if chance.random() < 0.5 else ()
    missing = (Comparison("v", ">=", bound),) if chance.random() < 0.5 else ()
    return Merge(("id",), outside, missing)
