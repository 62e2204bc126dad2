"""``snapshot_append``: the whole table, every time, under the time at which it was read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pydantic import Field

from dataloader_core.interfaces.strategy import LoadStrategy, PlanInput, StrategyOptions
from dataloader_core.plan import Append, Facts, KeepWatermark, LoadPlan, Question, Replace, Step
from dataloader_core.reads import constant_column, loss_of, read_all
from dataloader_core.values import utc_value


class SnapshotAppendOptions(StrategyOptions):
    """``stamp_column``: the column that holds the time, by the source's clock."""

    stamp_column: str = Field("loaded_at", pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")


class SnapshotAppend(LoadStrategy):
    """For small tables whose history somebody will ask for. ``load_full`` forgets the snapshots taken so far."""

    name = "snapshot_append"
    options_model = SnapshotAppendOptions
    appends = True

    def check(self, given: PlanInput) -> Sequence[str]:
        if given.table.schema_policy != "evolve" and not given.state.has_rows:
            return ["snapshot_append adds a column: the first load needs schema_policy = evolve. Change it afterwards."]
        return ()

    def questions(self, given: PlanInput) -> Sequence[Question]:
        return ()

    def plan(self, given: PlanInput, facts: Facts) -> LoadPlan:
        assert isinstance(given.options, SnapshotAppendOptions)
        stamp = constant_column(given, given.options.stamp_column, utc_value(facts.clock))
        read = read_all(given)
        read = replace(read, columns=(*read.columns, stamp))
        starts_anew = given.state.load_full or not given.state.has_rows
        write = Replace() if starts_anew else Append()
        step = Step(read, write, KeepWatermark(), f"snapshot of {stamp.constant}", loss_of(given))
        return LoadPlan(self.name, (step,), load_full=given.state.load_full)
