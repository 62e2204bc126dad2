"""``append_only``: what is new since the watermark and below the cap, appended."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dataloader_core.errors import ConfigurationError, TransientError
from dataloader_core.interfaces.strategy import LoadStrategy, PlanInput
from dataloader_core.plan import (
    Append,
    CapQuestion,
    Comparison,
    CountQuestion,
    Facts,
    LoadPlan,
    Question,
    Replace,
    Step,
)
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
    has_fallen,
    limit_of,
    rule_of,
)


class AppendOnly(LoadStrategy):
    """For rows that never change: logs, events.

    A row that is read twice is there twice, so nothing is read that could still get a neighbour below it: rows
    above the cap wait for the next load. Rows without a value in the watermark column are never read.
    """

    name = "append_only"
    needs_watermark = True
    appends = True

    def check(self, given: PlanInput) -> Sequence[str]:
        problems = list(check_cursor(given, lookback=False))
        if given.table.row_limit is not None and given.state.watermark is not None and not given.state.load_full:
            problems.append(
                f"A row_limit of {given.table.row_limit} leaves rows out, and the next load would append those that it "
                "did read again. Remove the limit, or clear incremental_value to overwrite the table by a limited load."
            )
        return problems

    def questions(self, given: PlanInput) -> Sequence[Question]:
        return (CapQuestion(cursor_column(given).name),)

    def follow_up(self, given: PlanInput, facts: Facts) -> Sequence[Question]:
        """How many rows this load leaves for the next one."""
        cursor, limit = self._bounds(given, facts)
        return (CountQuestion(_left(cursor, limit)),)

    def plan(self, given: PlanInput, facts: Facts) -> LoadPlan:
        cursor, limit = self._bounds(given, facts)
        notes = (*cursor_notes(given, cursor, limit, reads_nulls=False), *_left_note(cursor, limit, facts))
        if limit.value is None and given.state.load_full:
            raise TransientError(
                f"load_full cannot be carried out now. {limit.note}",
                cure="It stays ordered; load again when that is over.",
            )
        if limit.value is None:
            return LoadPlan(self.name, (), (*notes, "Nothing is read, since the next load would read it again."))
        upto = Comparison(cursor.column.name, "<=" if limit.inclusive else "<", limit.value)
        where = (*cursor.newer(), upto)
        label = " and ".join(f"{c.column} {c.op} {c.value}" for c in where)
        write = Replace() if cursor.reads_everything else Append()
        step = Step(read_all(given, where), write, rule_of(given, cursor, limit), label, loss_of(given))
        reasons = cursor_reasons(given, cursor, limit)
        return LoadPlan(self.name, (step,), notes, load_full=given.state.load_full, reasons=reasons)

    def _bounds(self, given: PlanInput, facts: Facts) -> tuple[Cursor, Limit]:
        cursor = cursor_of(given, lookback=False)
        cap = facts.cap(cursor.column.name)
        if has_fallen(cursor, cap):
            raise ConfigurationError(
                f"The watermark {cursor.last} lies above the cap {cap.value}: it was set too high, or the source's "
                "clock or sequence was set back. Rows that came since then lie below it and would never be appended.",
                cure="Order load_full. Or set incremental_value to where the values were set back to: rows above it "
                "that were loaded before that are then appended again.",
            )
        return cursor, limit_of(given, cap, merges=False)


def _left(cursor: Cursor, limit: Limit) -> tuple[Comparison, ...]:
    """The rows that this load does not read although they are new."""
    if limit.value is None or (cursor.start is not None and cursor.start >= limit.value):
        return cursor.newer()
    return (Comparison(cursor.column.name, ">" if limit.inclusive else ">=", limit.value),)


def _left_note(cursor: Cursor, limit: Limit, facts: Facts) -> Sequence[str]:
    count = facts.count(_left(cursor, limit))
    return (f"{count} rows lie above the cap and are left for the next load.",) if count else ()


@hookimpl
def dataloader_strategies() -> Iterable[StrategyRecord]:
    yield StrategyRecord("append_only", "What is new since the watermark, appended", lambda: AppendOnly)
