"""``full``: everything, every time, in one atomic overwrite."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dataloader_core.interfaces.strategy import LoadStrategy, PlanInput
from dataloader_core.plan import Facts, KeepWatermark, LoadPlan, Question, Replace, Step
from dataloader_core.plugins import StrategyRecord, hookimpl
from dataloader_core.reads import loss_of, read_all


class Full(LoadStrategy):
    """For small tables and for those that nothing can be tracked by."""

    name = "full"

    def questions(self, given: PlanInput) -> Sequence[Question]:
        return ()

    def plan(self, given: PlanInput, facts: Facts) -> LoadPlan:
        step = Step(read_all(given), Replace(), KeepWatermark(), "everything", loss_of(given))
        return LoadPlan(self.name, (step,), load_full=given.state.load_full)


@hookimpl
def dataloader_strategies() -> Iterable[StrategyRecord]:
    yield StrategyRecord("full", "Everything, in one atomic overwrite", lambda: Full)
