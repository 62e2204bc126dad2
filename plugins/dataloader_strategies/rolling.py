"""``rolling``: a window of days, made equal to the source by one merge."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from dataloader_core.errors import ConfigurationError
from dataloader_core.interfaces.strategy import LoadStrategy, PlanInput, StrategyOptions
from dataloader_core.plan import Column, Comparison, Facts, KeepWatermark, LoadPlan, Merge, Question, Replace, Step
from dataloader_core.plugins import StrategyRecord, hookimpl
from dataloader_core.reads import loss_of, merge_by_keys, read_all, unproven_keys
from dataloader_core.values import Value, utc_value

_TYPES = ("date", "timestamp_ntz", "timestamp")


class RollingOptions(StrategyOptions):
    """``delete_outside``: rows older than the window go. ``delete_missing``: so do rows inside it that the
    source no longer has. Rows whose ``rolling_column`` is NULL stay either way."""

    delete_outside: bool = True
    delete_missing: bool = True


class Rolling(LoadStrategy):
    """For the last N days of a table, read anew each time.

    The window starts at midnight N days ago, in the table's time zone and by the source's clock. It has no end:
    rows dated in the future are inside.
    """

    name = "rolling"
    options_model = RollingOptions
    needs_keys = True

    def check(self, given: PlanInput) -> Sequence[str]:
        table, problems = given.table, []
        if not table.rolling_column:
            problems.append("rolling needs rolling_column: set it to the column that dates a row.")
        elif (column := given.source.column(table.rolling_column)).type.name not in _TYPES:
            problems.append(
                f"rolling_column {column.name!r} arrives as {column.type} ({column.native}); "
                f"allowed: {', '.join(_TYPES)}. Choose another column."
            )
        if table.rolling_days is None or table.rolling_days < 0:
            problems.append("rolling needs rolling_days: set it to how many days before today the window starts.")
        return problems

    def questions(self, given: PlanInput) -> Sequence[Question]:
        return ()

    def plan(self, given: PlanInput, facts: Facts) -> LoadPlan:
        options, loss = _options(given), loss_of(given)
        column = _column(given)
        start = window_start(given, column, facts.clock)
        inside = Comparison(column.name, ">=", start)
        reasons = (f"The window starts at {start}: {given.table.rolling_days} days before today in {_zone(given)}.",)
        label = f"{column.name} >= {start}"
        if given.state.load_full or not given.state.has_rows:
            where = (inside,) if options.delete_outside else ()
            label = label if where else "everything"
            unique = unproven_keys(given)
            step = Step(read_all(given, where), Replace(), KeepWatermark(), label, loss, unique=unique)
        else:
            step = Step(read_all(given, (inside,)), self._merge(given, column, start), KeepWatermark(), label, loss)
        return LoadPlan(self.name, (step,), load_full=given.state.load_full, reasons=reasons)

    def _merge(self, given: PlanInput, column: Column, start: Value) -> Merge:
        options = _options(given)
        outside = (Comparison(column.target, "<", start),) if options.delete_outside else ()
        # what a row_limit left out is not missing
        deletes_missing = options.delete_missing and given.table.row_limit is None
        missing = (Comparison(column.target, ">=", start),) if deletes_missing else ()
        return merge_by_keys(given, delete_where=outside, delete_missing_where=missing)


def window_start(given: PlanInput, column: Column, clock: datetime) -> Value:
    """Local midnight ``rolling_days`` ago, as a value of the column's type.

    Where the clocks went forward over midnight there is none; the day's first instant is taken.
    """
    zone = _zone(given)
    first = _days_before(clock.astimezone(zone).date(), given.table.rolling_days or 0)
    if column.type.name == "date":
        return Value(column.type, first.isoformat())
    if column.type.name == "timestamp_ntz":
        return Value(column.type, f"{first.isoformat()} 00:00:00")
    return utc_value(datetime.combine(first, time(), zone).astimezone(UTC))


def _days_before(today: date, days: int) -> date:
    try:
        return today - timedelta(days=days)
    except OverflowError:
        raise ConfigurationError(
            f"rolling_days {days} reaches before the year 1.", cure="Set it to fewer days, or use full."
        ) from None


def _zone(given: PlanInput) -> ZoneInfo:
    try:
        return ZoneInfo(given.table.time_zone)
    except (ZoneInfoNotFoundError, ValueError):
        raise ConfigurationError(
            f"time_zone {given.table.time_zone!r} is unknown.", cure="Write an IANA name such as 'Europe/Berlin'."
        ) from None


def _column(given: PlanInput) -> Column:
    assert given.table.rolling_column
    return given.source.column(given.table.rolling_column)


def _options(given: PlanInput) -> RollingOptions:
    assert isinstance(given.options, RollingOptions)
    return given.options


@hookimpl
def dataloader_strategies() -> Iterable[StrategyRecord]:
    yield StrategyRecord("rolling", "The last N days, made equal to the source by one merge", lambda: Rolling)
