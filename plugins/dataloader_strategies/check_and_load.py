"""``check_and_load``: count what changed first; if anything did, load it as ``incremental`` does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Literal

from dataloader_core.interfaces.strategy import LoadStrategy, PlanInput, StrategyOptions
from dataloader_core.plan import CapQuestion, CountQuestion, Facts, LoadPlan, Question, Replace, Step
from dataloader_core.planning import missing_keys
from dataloader_core.plugins import StrategyRecord, hookimpl
from dataloader_core.reads import loss_of, read_all
from dataloader_core.watermarks import (
    Cursor,
    Limit,
    check_cursor,
    cursor_column,
    cursor_notes,
    cursor_of,
    cursor_reasons,
    limit_of,
    rule_of,
    under_cap,
)
from dataloader_strategies.incremental import Incremental


class CheckAndLoadOptions(StrategyOptions):
    """``reload``: what to do where something changed: merge the ``changes``, or overwrite in ``full``."""

    reload: Literal["changes", "full"] = "changes"


class CheckAndLoad(LoadStrategy):
    """For tables that seldom change: a count decides, and mostly nothing is read or written.

    The count asks exactly what the increment would read. With a lookback that is seldom nothing;
    ``watermark_delay`` is the better way to wait for late rows here.
    """

    name = "check_and_load"
    options_model = CheckAndLoadOptions
    needs_watermark = True

    def check(self, given: PlanInput) -> Sequence[str]:
        problems = list(check_cursor(given, lookback=True))
        if not _reloads_all(given) and not given.table.primary_key_cols:
            problems.append(missing_keys(self.name, given))
        return problems

    def questions(self, given: PlanInput) -> Sequence[Question]:
        return (CapQuestion(cursor_column(given).name),)

    def follow_up(self, given: PlanInput, facts: Facts) -> Sequence[Question]:
        """Where the increment starts follows from the cap."""
        cursor, _ = _bounds(given, facts)
        return () if cursor.reads_everything else (CountQuestion(cursor.newer()),)

    def plan(self, given: PlanInput, facts: Facts) -> LoadPlan:
        cursor, limit = _bounds(given, facts)
        if cursor.reads_everything:
            return replace(Incremental().plan(given, facts), strategy=self.name)
        changes = facts.count(cursor.newer())
        counted = f"{changes} rows with {cursor.describe()}"
        if not changes:
            return LoadPlan(self.name, (), (f"{counted}: nothing changed, nothing to do.",))
        if not _reloads_all(given):
            plan = Incremental().plan(given, facts)
            return replace(plan, strategy=self.name, notes=(f"{counted}.", *plan.notes))
        rule = rule_of(given, cursor, limit, overwrites=True)
        step = Step(read_all(given), Replace(), rule, "everything", loss_of(given))
        notes = (f"{counted}.", *cursor_notes(given, cursor, limit, reads_nulls=True))
        return LoadPlan(self.name, (step,), notes, reasons=cursor_reasons(given, cursor, limit))


def _bounds(given: PlanInput, facts: Facts) -> tuple[Cursor, Limit]:
    cursor = cursor_of(given)
    cap = facts.cap(cursor.column.name)
    limit = limit_of(given, cap, merges=True)
    return under_cap(given, cursor, cap, limit), limit


def _reloads_all(given: PlanInput) -> bool:
    assert isinstance(given.options, CheckAndLoadOptions)
    return given.options.reload == "full"


@hookimpl
def dataloader_strategies() -> Iterable[StrategyRecord]:
    yield StrategyRecord("check_and_load", "A count first; what changed, if anything did", lambda: CheckAndLoad)
