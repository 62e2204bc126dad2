"""``incremental``: what changed since the watermark, merged by key."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dataloader_core.interfaces.strategy import LoadStrategy, PlanInput
from dataloader_core.plan import CapQuestion, Facts, LoadPlan, Question, Replace, Step
from dataloader_core.plugins import StrategyRecord, hookimpl
from dataloader_core.reads import loss_of, merge_by_keys, read_all, unproven_keys
from dataloader_core.watermarks import (
    check_cursor,
    cursor_column,
    cursor_notes,
    cursor_of,
    cursor_reasons,
    limit_of,
    rule_of,
    under_cap,
)


class Incremental(LoadStrategy):
    """For large tables with a column that is stamped on every change.

    Rows above the cap are read as well, so that nothing waits: merging them again is harmless. Only the
    watermark stays below the cap. Deletes at the source are not seen.
    """

    name = "incremental"
    needs_keys = True
    needs_watermark = True

    def check(self, given: PlanInput) -> Sequence[str]:
        return check_cursor(given, lookback=True)

    def questions(self, given: PlanInput) -> Sequence[Question]:
        return (CapQuestion(cursor_column(given).name),)

    def plan(self, given: PlanInput, facts: Facts) -> LoadPlan:
        cursor = cursor_of(given)
        cap = facts.cap(cursor.column.name)
        limit = limit_of(given, cap, merges=True)
        cursor = under_cap(given, cursor, cap, limit)
        rule, loss = rule_of(given, cursor, limit), loss_of(given)
        if cursor.reads_everything:
            step = Step(read_all(given), Replace(), rule, "everything", loss, unique=unproven_keys(given))
        else:
            step = Step(read_all(given, cursor.newer()), merge_by_keys(given), rule, cursor.describe(), loss)
        return LoadPlan(
            self.name,
            (step,),
            cursor_notes(given, cursor, limit, reads_nulls=True),
            load_full=given.state.load_full,
            reasons=cursor_reasons(given, cursor, limit),
        )


@hookimpl
def dataloader_strategies() -> Iterable[StrategyRecord]:
    yield StrategyRecord("incremental", "What changed since the watermark, merged by key", lambda: Incremental)
