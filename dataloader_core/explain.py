"""A plan in words and SQL, for ``dataloader plan``: what would be read, how, and what would be committed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from dataloader_core.commit import version_of
from dataloader_core.errors import ConfigurationError
from dataloader_core.interfaces.source import SourceDialect, WayOfReading
from dataloader_core.plan import (
    Append,
    Comparison,
    Condition,
    FixedWatermark,
    HighestRead,
    LoadPlan,
    Merge,
    Read,
    Replace,
    Step,
    WatermarkRule,
)
from dataloader_core.table import LoadState, SourceTable, TableConfig

SHOWN_STEPS: Final = 3
"""Of many alike steps the text shows so many from the front, and the last one."""


@dataclass(frozen=True, slots=True)
class ExplainedWay:
    """A way of reading that the source offers, with its reason, and whether it would be taken."""

    way: str
    usable: bool
    chosen: bool
    reason: str
    parallel: int


@dataclass(frozen=True, slots=True)
class ExplainedStep:
    """One read and the one commit that it becomes. ``sql`` None: nothing is read."""

    label: str
    sql: str | None
    ways: tuple[ExplainedWay, ...]
    no_way: str | None
    write: str
    guard: str | None
    watermark: str
    commit: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """A plan as data. ``to_json()`` is stable for scripts, ``to_text()`` is for people."""

    control_key: str
    strategy: str
    source: str
    destination: str
    location: str | None
    engine: str | None
    load_full: bool
    watermark: str | None
    notes: tuple[str, ...]
    reasons: tuple[str, ...]
    steps: tuple[ExplainedStep, ...]
    becomes: str | None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def to_text(self) -> str:
        return "\n".join(_lines(self))


Ways = Callable[[Read], Sequence[WayOfReading]]
"""What a source's snapshot offers for a read."""

Choose = Callable[[Sequence[WayOfReading]], WayOfReading]
"""Which of them the engine takes.

Raises:
    ConfigurationError: none.
"""


def explain(
    plan: LoadPlan,
    table: TableConfig,
    source: SourceTable,
    state: LoadState,
    dialect: SourceDialect,
    *,
    ways: Ways | None = None,
    choose: Choose | None = None,
    engine: str | None = None,
    location: str | None = None,
) -> Explanation:
    """Put a plan into words.

    Args:
        ways: Given together with ``choose``; without them nothing is said of ways.
        state: What the plan was made from.
    """
    steps = tuple(
        _step(step, number, plan, table, state, dialect, *_reading(step.read, ways, choose))
        for number, step in enumerate(plan.steps, 1)
    )
    return Explanation(
        control_key=table.control_key,
        strategy=plan.strategy,
        source="its query" if source.relation.query is not None else f"{source.kind} {source.relation}",
        destination=table.destination,
        location=location,
        engine=engine,
        load_full=plan.load_full,
        watermark=state.watermark,
        notes=plan.notes,
        reasons=plan.reasons,
        steps=steps,
        becomes=plan.becomes,
    )


def _reading(
    read: Read | None, ways: Ways | None, choose: Choose | None
) -> tuple[tuple[ExplainedWay, ...], str | None]:
    if read is None or ways is None or choose is None:
        return (), None
    offered = ways(read)
    try:
        chosen, refusal = choose(offered), None
    except ConfigurationError as error:
        chosen, refusal = None, str(error)
    return tuple(ExplainedWay(w.way, w.usable, w == chosen, w.reason, w.parallel) for w in offered), refusal


def _step(
    step: Step,
    number: int,
    plan: LoadPlan,
    table: TableConfig,
    state: LoadState,
    dialect: SourceDialect,
    ways: tuple[ExplainedWay, ...],
    no_way: str | None,
) -> ExplainedStep:
    return ExplainedStep(
        label=step.label,
        sql=dialect.render(step.read) if step.read else None,
        ways=ways,
        no_way=no_way,
        write=describe_write(step, table.destination),
        guard=_guard(step),
        watermark=describe_watermark(step.watermark),
        commit=_commit(step, number, len(plan.steps), state),
    )


def describe_write(step: Step, destination: str) -> str:
    """What a step does to the table, in one sentence."""
    if step.read is None:
        return f"Replace {destination} by the staging table."
    target = f"the staging table of {destination}" if step.staged else destination
    if isinstance(step.write, Replace):
        return f"Overwrite {target}."
    if isinstance(step.write, Append):
        return f"Append to {target}."
    return f"Merge into {target} by {', '.join(step.write.keys)}{_deletes(step.write)}."


def _deletes(merge: Merge) -> str:
    parts = []
    if merge.delete_where:
        parts.append(f"delete where {_conditions(merge.delete_where)}")
    if merge.delete_missing_where:
        parts.append(f"delete what was not read where {_conditions(merge.delete_missing_where)}")
    return "".join(f", {part}" for part in parts)


def _conditions(where: Sequence[Condition]) -> str:
    return " and ".join(
        f"{c.column} {c.op} {c.value}" if isinstance(c, Comparison) else f"{c.column} is NULL" for c in where
    )


def _guard(step: Step) -> str | None:
    """What keeps the step from taking too much away; None: nothing does, or it takes nothing."""
    deletes = isinstance(step.write, Merge) and (step.write.delete_where or step.write.delete_missing_where)
    if not (isinstance(step.write, Replace) or deletes):
        return None
    guards = [] if step.loss.allow_empty else ["refused if nothing is read while the table holds rows"]
    if step.loss.max_fraction < 1:
        guards.append(f"refused if more than {step.loss.max_fraction:.0%} of the rows would go")
    return "; ".join(guards) or None


def describe_watermark(rule: WatermarkRule) -> str:
    """What the watermark becomes, in one sentence."""
    if isinstance(rule, FixedWatermark):
        return f"It becomes {rule.value}." if rule.value else "There is none."
    if not isinstance(rule, HighestRead):
        return "It stays as it is."
    bound = f" {'up to' if rule.inclusive else 'below'} {rule.upto}" if rule.upto else ""
    floor = f", at least {rule.floor}" if rule.floor else ""
    return f"It becomes the highest {rule.column} read{bound}{floor}."


def _commit(step: Step, number: int, of: int, state: LoadState) -> str:
    progress = f", backfill at chunk {step.progress.done} of {step.progress.chunks}" if step.progress else ""
    which = "One commit" if of == 1 else f"Commit {number} of {of}"
    return f"{which}: version {version_of(state.load_seq, number)} (load {state.load_seq}, step {number}){progress}."


def _lines(e: Explanation) -> list[str]:
    lines = [f"{e.control_key}: {e.strategy}{' (load_full)' if e.load_full else ''}", f"  from {e.source}"]
    lines.append(f"  to {e.destination}" + (f" ({e.location})" if e.location else ""))
    if e.engine:
        lines.append(f"  by the engine {e.engine}")
    lines.append(f"  watermark now: {e.watermark or 'none'}")
    lines += [f"  * {text}" for text in (*e.reasons, *e.notes)]
    if not e.steps:
        lines.append("Nothing would be read or written.")
    hidden = max(len(e.steps) - SHOWN_STEPS - 1, 0)
    for number, step in enumerate(e.steps, 1):
        if number <= SHOWN_STEPS or number == len(e.steps):
            lines += _step_lines(step, number)
        elif number == SHOWN_STEPS + 1:
            lines.append(f"... {hidden} more like these ...")
    if e.becomes:
        lines.append(f"Then the table becomes {e.becomes}.")
    return lines


def _step_lines(step: ExplainedStep, number: int) -> list[str]:
    lines = [f"Step {number}: {step.label}"]
    if step.sql:
        lines += ["", *(f"    {line}" for line in step.sql.splitlines()), ""]
    for way in step.ways:
        mark = "read by" if way.chosen else ("not taken:" if way.usable else "not usable:")
        parallel = f", {way.parallel} at once" if way.chosen and way.parallel > 1 else ""
        lines.append(f"  {mark} {way.way}{parallel}: {way.reason}")
    if step.no_way:
        lines.append(f"  CANNOT BE READ: {step.no_way}")
    lines.append(f"  {step.write}")
    if step.guard:
        lines.append(f"  guard: {step.guard}")
    lines += [f"  watermark: {step.watermark}", f"  {step.commit}"]
    return lines
