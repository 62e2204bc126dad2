"""Plans carried out on lists of rows: for authors of strategies, who then need no database.

A row is a mapping from column names to texts (or None). What a step would do to a Delta table is done to a
list, with the same order of events: a step is one commit, and the watermark becomes true with it.

Example::

    source = MemorySource(columns, rows, cap=Cap(Value(BIGINT, "10"), True, True, "all committed"))
    target = MemoryTarget()
    load(Incremental(), table, source, target)
    assert target.rows == source.rows
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from dataloader_core.errors import KeyValuesError
from dataloader_core.interfaces.strategy import LoadStrategy, PlanInput
from dataloader_core.loss import check_merge, check_replace
from dataloader_core.plan import (
    Answer,
    Append,
    Backfill,
    Bounds,
    Cap,
    CapQuestion,
    Column,
    Comparison,
    Condition,
    CountQuestion,
    Facts,
    FixedWatermark,
    HighestRead,
    LoadPlan,
    Merge,
    Question,
    Read,
    Replace,
    Step,
)
from dataloader_core.planning import match_names, parse_options, refuse_impossible
from dataloader_core.table import LoadState, SourceTable, TableConfig
from dataloader_core.values import Value

Row = Mapping[str, str | None]
_UNKNOWN = Cap(None, False, False, "nothing is known")


@dataclass
class MemorySource:
    """A relation as a list of rows. ``cap`` answers every question for a cap."""

    table: SourceTable
    rows: list[Row] = field(default_factory=list)
    cap: Cap = _UNKNOWN
    clock: datetime = datetime(2024, 6, 15, 12, tzinfo=UTC)

    def matches(self, row: Row, where: Sequence[Condition]) -> bool:
        return matches(row, where, {c.name: c for c in self.table.columns})

    def read(self, read: Read) -> list[Row]:
        """Rows under the read's conditions with target names; ``filter`` is SQL and not understood here."""
        found = [row for row in self.rows if self.matches(row, read.where)][: read.row_limit]
        return [{c.target: c.constant.text if c.constant else row[c.name] for c in read.columns} for row in found]

    def answer(self, question: Question) -> Answer:
        if isinstance(question, CapQuestion):
            return self.cap
        if isinstance(question, CountQuestion):
            return sum(self.matches(row, question.where) for row in self.rows)
        column = self.table.column(question.column)
        texts = [row[column.name] for row in self.rows]
        values = sorted(Value(column.type, t) for t in texts if t is not None)
        low, high = (values[0], values[-1]) if values else (None, None)
        return Bounds(low, high, None in texts, len(texts))


@dataclass
class MemoryTarget:
    """A destination as a list of rows, with what a control row says of it."""

    rows: list[Row] = field(default_factory=list)
    staging: list[Row] = field(default_factory=list)
    watermark: str | None = None
    backfill: Backfill | None = None
    load_full: bool = False
    strategy: str | None = None
    load_seq: int = 0

    def state(self) -> LoadState:
        return LoadState(self.load_seq, self.watermark, self.load_full, self.backfill, bool(self.rows))


def matches(row: Row, where: Sequence[Condition], columns: Mapping[str, Column]) -> bool:
    """Whether all conditions hold; a comparison with NULL does not."""
    return all(_holds(row[c.column], c, columns[c.column]) for c in where)


def _holds(text: str | None, condition: Condition, column: Column) -> bool:
    if not isinstance(condition, Comparison):
        return text is None
    if text is None:
        return False
    value, other = Value(column.type, text), condition.value
    return {
        "=": value == other,
        "<": value < other,
        "<=": value <= other,
        ">": value > other,
        ">=": value >= other,
    }[condition.op]


def plan(strategy: LoadStrategy, table: TableConfig, source: MemorySource, target: MemoryTarget) -> LoadPlan:
    """The plan of the next load, checked and asked for as a real one is."""
    options = parse_options(type(strategy), table.strategy_options)
    given = PlanInput(match_names(table, source.table), source.table, target.state(), options)
    refuse_impossible(strategy, given)
    facts = Facts(source.clock, {q: source.answer(q) for q in strategy.questions(given)})
    more = {q: source.answer(q) for q in strategy.follow_up(given, facts)}
    return strategy.plan(given, replace(facts, answers={**facts.answers, **more}))


def load(strategy: LoadStrategy, table: TableConfig, source: MemorySource, target: MemoryTarget) -> LoadPlan:
    """Plan the next load and carry it out."""
    target.load_seq += 1
    planned = plan(strategy, table, source, target)
    for step in planned.steps:
        commit(step, source, target)
        if planned.load_full:
            target.load_full = False
    finish(planned, target)
    return planned


def finish(planned: LoadPlan, target: MemoryTarget) -> None:
    """What the control row becomes when the last step has committed."""
    if planned.becomes is not None:
        target.strategy, target.backfill = planned.becomes, None


def commit(step: Step, source: MemorySource, target: MemoryTarget) -> None:
    """One step: the rows and the watermark together.

    Raises:
        KeyValuesError: keys that nothing proves are NULL or doubled in what was read.
        LossRefusedError: see :class:`~dataloader_core.plan.LossPolicy`.
    """
    columns = {c.target: c for c in source.table.columns}
    read = target.staging if step.read is None else source.read(step.read)
    there = target.staging if step.staged else target.rows
    if step.unproven:
        _refuse_keys(step.unproven, read)
    after = _written(step, read, there, columns)
    _refuse_loss(step, read, there, columns)
    if step.staged:
        target.staging = after
    else:
        target.rows = after
    target.watermark = _watermark(step, read, target.watermark, source.table)
    target.backfill = step.progress if step.progress is not None else target.backfill


def _written(step: Step, read: list[Row], there: list[Row], columns: Mapping[str, Column]) -> list[Row]:
    if isinstance(step.write, Replace):
        return list(read)
    if isinstance(step.write, Append):
        return [*there, *read]
    return [*_kept(step.write, read, there, columns), *read]


def _refuse_keys(keys: Sequence[str], read: list[Row]) -> None:
    found = {_key(keys, row) for row in read}
    if len(found) != len(read) or any(part is None for key in found for part in key):
        raise KeyValuesError(f"Keys {', '.join(keys)} are NULL or doubled in what was read.")


def _key(keys: Sequence[str], row: Row) -> tuple[str | None, ...]:
    return tuple(row[name] for name in keys)


def _kept(
    merge: Merge, read: list[Row], there: list[Row], columns: Mapping[str, Column], *, updated: bool = False
) -> list[Row]:
    """Rows of the table that a merge does not delete; ``updated``: those that it replaces among them."""
    new = {_key(merge.keys, row) for row in read}
    wheres = [where for where in (merge.delete_where, merge.delete_missing_where) if where]
    return [
        row
        for row in there
        if (updated if _key(merge.keys, row) in new else not any(matches(row, where, columns) for where in wheres))
    ]


def _refuse_loss(step: Step, read: list[Row], there: list[Row], columns: Mapping[str, Column]) -> None:
    if isinstance(step.write, Replace):
        check_replace(step.loss, read=len(read), there=len(there))
    elif isinstance(step.write, Merge):
        window = bool(step.write.delete_where or step.write.delete_missing_where)
        deleted = len(there) - len(_kept(step.write, read, there, columns, updated=True))
        check_merge(step.loss, read=len(read), there=len(there), deleted=deleted, window=window)


def _watermark(step: Step, read: list[Row], current: str | None, table: SourceTable) -> str | None:
    rule = step.watermark
    if isinstance(rule, FixedWatermark):
        return rule.value.text if rule.value else None
    if not isinstance(rule, HighestRead):
        return current
    column = table.column(rule.column)
    values = [Value(column.type, text) for row in read if (text := row[column.target]) is not None]
    below = [v for v in values if rule.upto is None or v < rule.upto or (rule.inclusive and v == rule.upto)]
    candidates = [*below, *([rule.floor] if rule.floor else [])]
    return max(candidates).text if candidates else None
