"""Load strategies: from a table's configuration and the source's answers to a plan, without any I/O."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from dataloader_core.plan import Facts, LoadPlan, Question
from dataloader_core.table import LoadState, SourceTable, TableConfig


class StrategyOptions(BaseModel):
    """Base of a strategy's own settings, the JSON in ``table_control.strategy_options``."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True)
class PlanInput:
    """All that a strategy may look at.

    Attributes:
        table: The configuration, its names already matched to the source's catalog.
        source: The source's catalog of the relation, with projected columns.
        state: What is true of the destination.
        options: The strategy's own settings, validated.
    """

    table: TableConfig
    source: SourceTable
    state: LoadState
    options: StrategyOptions


class LoadStrategy(ABC):
    """One way to keep a destination up to date.

    Example::

        class Full(LoadStrategy):
            name = "full"

            def questions(self, given: PlanInput) -> Sequence[Question]:
                return ()

            def plan(self, given: PlanInput, facts: Facts) -> LoadPlan:
                step = Step(read_all(given), Replace(), KeepWatermark(), "everything")
                return LoadPlan(self.name, (step,), load_full=given.state.load_full)
    """

    name: ClassVar[str]
    options_model: ClassVar[type[StrategyOptions]] = StrategyOptions
    needs_keys: ClassVar[bool] = False
    """Merges: ``primary_key_cols`` must be set, and present and unique in what is read."""
    needs_watermark: ClassVar[bool] = False
    """Reads from a watermark: ``incremental_column`` must be set."""
    appends: ClassVar[bool] = False
    """Adds rows without merging them: from a wrong watermark or progress it would double them."""
    runs_alone: ClassVar[bool] = False
    """Gets a run of its own, one per source at a time."""

    def check(self, given: PlanInput) -> Sequence[str]:
        """What makes this table impossible for the strategy, one sentence each with its cure."""
        return ()

    @abstractmethod
    def questions(self, given: PlanInput) -> Sequence[Question]:
        """What must be asked of the source before :meth:`plan`."""

    def follow_up(self, given: PlanInput, facts: Facts) -> Sequence[Question]:
        """What must be asked once the answers to :meth:`questions` are known; they are added to the facts."""
        return ()

    @abstractmethod
    def plan(self, given: PlanInput, facts: Facts) -> LoadPlan:
        """The plan. Same input, same plan.

        Raises:
            ConfigurationError: what the source answered makes the configuration unsafe; with the cure.
        """
