"""Watermarks in plans: where to start, how far the new one may go, and which columns can carry one.

A watermark W is a promise: every row at or below W was read. So it may only move to where nothing can still
appear, which the source says with a :class:`~dataloader_core.plan.Cap`. Where the source cannot prove that, the
table has to say how late rows come: ``watermark_delay`` is taken off the cap, ``incremental_lookback`` is read
again, which is harmless only where rows are merged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Final

from dataloader_core.errors import ConfigurationError
from dataloader_core.interfaces.strategy import PlanInput
from dataloader_core.plan import Cap, Column, Comparison, FixedWatermark, HighestRead, KeepWatermark, WatermarkRule
from dataloader_core.types import INTEGERS, ColumnType
from dataloader_core.values import WATERMARK_TYPES, Distance, Value, order_key, step_back

_TIMES: Final = ("date", "timestamp_ntz", "timestamp")
_NUMBERS: Final = (*INTEGERS, "decimal", "binary")
_FAMILIES: Final = {"timestamp": _TIMES, "integer": _NUMBERS}


@dataclass(frozen=True, slots=True)
class Cursor:
    """The watermark column and where this load starts.

    Attributes:
        last: The committed watermark; None: everything is read (ordered, or there is no watermark yet).
        start: ``last`` less the lookback.
        fallen_from: The committed watermark, where the cap has fallen below it (see :func:`under_cap`).
    """

    column: Column
    last: Value | None
    start: Value | None
    fallen_from: Value | None = None

    @property
    def reads_everything(self) -> bool:
        return self.last is None

    def newer(self) -> tuple[Comparison, ...]:
        """The condition of an increment; empty where everything is read.

        A lookback includes its own end: one day back from a date is that day too.
        """
        if self.start is None:
            return ()
        return (Comparison(self.column.name, ">" if self.start == self.last else ">=", self.start),)

    def describe(self) -> str:
        """The increment in words."""
        return "".join(f"{c.column} {c.op} {c.value}" for c in self.newer()) or "everything"


@dataclass(frozen=True, slots=True)
class Limit:
    """How far the watermark may move in this load. ``value`` None: it must not move, ``note`` says why."""

    value: Value | None
    inclusive: bool
    note: str


def cursor_column(given: PlanInput) -> Column:
    """The configured watermark column."""
    name = given.table.incremental_column
    if not name:
        raise ConfigurationError(
            f"{given.table.control_key} has no incremental_column.", cure="Set it to the column that grows."
        )
    return given.source.column(name)


def cursor_of(given: PlanInput, *, lookback: bool = True) -> Cursor:
    """Where this load starts.

    Raises:
        ConfigurationError: the stored watermark is no value of the column's type.
    """
    column = cursor_column(given)
    if given.state.load_full or given.state.watermark is None:
        return Cursor(column, None, None)
    last = Value(column.type, given.state.watermark)
    distance = given.table.incremental_lookback if lookback else None
    return Cursor(column, last, step_back(last, Distance.parse(distance)) if distance else last)


def has_fallen(cursor: Cursor, cap: Cap) -> bool:
    """Whether the cap lies below the committed watermark although caps only grow: a clock or a sequence was set back.

    What is stamped from then on lies below the watermark, and no increment would read it. The highest value seen, the
    bound of a number without proof, may fall by a delete, and says nothing. A watermark_delay is no part of this: it
    may be new.
    """
    if cursor.last is None or cap.value is None or not (cap.proven or cursor.column.type.name in _TIMES):
        return False
    return cursor.last > cap.value


def under_cap(given: PlanInput, cursor: Cursor, cap: Cap, limit: Limit) -> Cursor:
    """The cursor of a merge: under a cap that has fallen the watermark goes back to it.

    How long ago that happened cannot be seen, so as much is read again below the cap as the watermark lay above it.
    """
    if limit.value is None or not has_fallen(cursor, cap):
        return cursor
    assert cursor.last is not None
    last = limit.value if limit.inclusive else just_below(limit.value)
    start = _as_far_below(last, cursor.last)
    if given.table.incremental_lookback:
        start = min(start, step_back(last, Distance.parse(given.table.incremental_lookback)))
    return Cursor(cursor.column, last, start, fallen_from=cursor.last)


def _as_far_below(value: Value, above: Value) -> Value:
    """``value`` less its distance to ``above``; a change counter has no distances."""
    if value.type.name == "binary":
        return value
    steps = order_key(above) - order_key(value)
    if value.type.name == "date":
        return step_back(value, Distance(span=timedelta(days=int(steps))))
    if value.type.name in _TIMES:
        return step_back(value, Distance(span=timedelta(microseconds=-(-int(steps) // 1000))))
    return step_back(value, Distance(number=Decimal(steps)))


def limit_of(given: PlanInput, cap: Cap, *, merges: bool) -> Limit:
    """The cap, less ``watermark_delay``, if the watermark may move at all.

    ``merges``: rows that are read twice do no harm, so a lookback makes up for a cap without proof.

    Raises:
        ConfigurationError: the cap is not proven, and nothing says how late rows may come.
    """
    column = cursor_column(given)
    delay = given.table.watermark_delay
    if not (cap.proven or cap.hold or delay or (merges and given.table.incremental_lookback)):
        raise ConfigurationError(
            f"Rows can still appear below the highest {column.name!r}, and they would be lost. {_sentence(cap.reason)}",
            cure="Set watermark_delay to how late a row may appear (for instance '2 hours', or a number for a number)"
            + (", or incremental_lookback to read that much again." if merges else "."),
        )
    if cap.hold or cap.value is None:
        return Limit(None, True, f"The watermark stays where it is. {_sentence(cap.reason)}")
    value = step_back(cap.value, Distance.parse(delay)) if delay else cap.value
    inclusive = cap.inclusive and not delay
    where = "up to" if inclusive else "below"
    held_back = f", {delay} before the cap {cap.value}" if delay else ""
    return Limit(value, inclusive, f"The watermark may move {where} {value}{held_back}. {_sentence(cap.reason)}")


def _sentence(reason: str) -> str:
    return f"{reason[:1].upper()}{reason[1:].rstrip('.')}."


def rule_of(given: PlanInput, cursor: Cursor, limit: Limit, *, overwrites: bool | None = None) -> WatermarkRule:
    """The watermark that becomes true with the commit of what was read from ``cursor``.

    Under a ``row_limit`` rows below the highest one read were left out, so nothing is promised: the watermark stays,
    and goes where the limited rows replace the table (``overwrites``; by default where everything is read).
    """
    if given.table.row_limit is not None:
        gone = cursor.reads_everything if overwrites is None else overwrites
        return FixedWatermark(None) if gone else KeepWatermark()
    if limit.value is not None:
        return HighestRead(cursor.column.name, cursor.last, limit.value, limit.inclusive)
    if cursor.reads_everything and not _can_be_kept(given, cursor.column):
        return FixedWatermark(None)
    return KeepWatermark()


def _can_be_kept(given: PlanInput, column: Column) -> bool:
    """Whether a reload may leave the old watermark: garbage is often the very reason for ``load_full``."""
    if given.state.watermark is None:
        return True
    try:
        Value(column.type, given.state.watermark)
    except ConfigurationError:
        return False
    return True


def just_below(value: Value) -> Value:
    """The next lower value in the type's own steps (a microsecond, a day, 1).

    A watermark that is stored without a row to take it from must lie *under* an exclusive cap: the next increment
    reads ``> watermark``, and a row with exactly the cap's value may still come.
    """
    if value.type.name == "binary":
        digits = value.text.strip().removeprefix("0x")
        return Value(value.type, f"{max(int(digits or '0', 16) - 1, 0):0{len(digits)}x}")
    if value.type.name == "date":
        return step_back(value, Distance(span=timedelta(days=1)))
    if value.type.name in _TIMES:
        return step_back(value, Distance(span=timedelta(microseconds=1)))
    return step_back(value, Distance(number=Decimal(1)))


def check_cursor(given: PlanInput, *, lookback: bool) -> Sequence[str]:
    """What makes the watermark column or its distances impossible, one sentence each.

    ``lookback``: the strategy may read rows again.
    """
    column, table = cursor_column(given), given.table
    name = column.type.name
    if name not in WATERMARK_TYPES:
        return [
            f"incremental_column {column.name!r} arrives as {column.type} ({column.native}), whose order is not the "
            f"order in which rows change; allowed: {', '.join(WATERMARK_TYPES)}. Choose another column, or full."
        ]
    problems = []
    if table.incremental_type and name not in _FAMILIES[table.incremental_type]:
        problems.append(
            f"incremental_type is {table.incremental_type!r}, but {column.name!r} is {column.type} ({column.native}). "
            f"Set it to {'timestamp' if name in _TIMES else 'integer'!r}."
        )
    if table.incremental_lookback and not lookback:
        problems.append(
            f"{table.load_strategy} cannot read rows again: incremental_lookback would double them. "
            "Clear it; where rows appear late, set watermark_delay."
        )
    distances = {"watermark_delay": table.watermark_delay, "incremental_lookback": table.incremental_lookback}
    problems += [why for field, text in distances.items() if text and (why := _misfit(field, text, column.type))]
    return problems


def _misfit(field: str, text: str, type: ColumnType) -> str | None:
    """Why a distance cannot be taken off a value of the type."""
    if type.name == "binary":
        return f"{field} does nothing on a {type} column, which has no distances. Clear it."
    sample = {"date": "2000-01-01", "timestamp_ntz": "2000-01-01", "timestamp": "2000-01-01"}.get(type.name, "0")
    try:
        step_back(Value(type, sample), Distance.parse(text))
    except (ConfigurationError, OverflowError) as error:
        return f"{field} {text!r}: {error}"
    return None


def cursor_notes(given: PlanInput, cursor: Cursor, limit: Limit, *, reads_nulls: bool) -> tuple[str, ...]:
    """What people should know of the cursor: it is held, it can be NULL, it lies too high.

    ``reads_nulls``: a full reload of this strategy does read rows without a value.
    """
    notes = [limit.note] if limit.value is None else []
    name = cursor.column.name
    if cursor.column.nullable:
        when = "only by a load_full" if reads_nulls else "never"
        notes.append(
            f"{name!r} can be NULL: such rows are read {when}. "
            "Make the column NOT NULL at the source, or choose one that is."
        )
    if cursor.fallen_from is not None:
        notes.append(
            f"The watermark {cursor.fallen_from} lies above {limit.value}: it was set too high, or the source's clock "
            f"or sequence was set back. It goes back to {cursor.last}, and rows are read again from {cursor.start}. "
            "Where rows came with lower values since then, set incremental_value below them or order load_full."
        )
    elif cursor.last is not None and limit.value is not None and cursor.last > limit.value:
        notes.append(
            f"The watermark {cursor.last} lies above {limit.value}: nothing below it is read. Where it was set too "
            "high, set incremental_value anew or order load_full."
        )
    return tuple(notes)


def cursor_reasons(given: PlanInput, cursor: Cursor, limit: Limit) -> tuple[str, ...]:
    """Why the load starts where it does, and how far its watermark may move."""
    reasons = [] if limit.value is None else [limit.note]
    if cursor.last is not None and cursor.start != cursor.last and cursor.fallen_from is None:
        reasons.append(f"Reads again from {cursor.start}: incremental_lookback {given.table.incremental_lookback}.")
    return tuple(reasons)
