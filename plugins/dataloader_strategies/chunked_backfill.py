"""``chunked_backfill``: a large table for the first time, chunk after chunk, and then another strategy."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from pydantic import Field, model_validator

from dataloader_core.errors import ConfigurationError, TransientError
from dataloader_core.interfaces.strategy import LoadStrategy, PlanInput, StrategyOptions
from dataloader_core.plan import (
    Append,
    Backfill,
    BoundsQuestion,
    CapQuestion,
    Column,
    Comparison,
    Condition,
    Facts,
    FixedWatermark,
    LoadPlan,
    LossPolicy,
    Question,
    Replace,
    Step,
)
from dataloader_core.planning import needs, parse_options
from dataloader_core.plugins import StrategyRecord, hookimpl
from dataloader_core.reads import loss_of, read_all, unproven_keys
from dataloader_core.values import Value
from dataloader_core.watermarks import cursor_column, just_below, limit_of
from dataloader_strategies.append_only import AppendOnly
from dataloader_strategies.check_and_load import CheckAndLoad
from dataloader_strategies.chunks import (
    CHUNK_TYPES,
    MAX_CHUNKS,
    boundaries,
    chunk_conditions,
    needs_null_chunk,
    number_of_chunks,
)
from dataloader_strategies.full import Full
from dataloader_strategies.incremental import Incremental
from dataloader_strategies.rolling import Rolling

Then = Literal["incremental", "append_only", "check_and_load", "full", "rolling"]
SUCCESSORS: dict[str, type[LoadStrategy]] = {s.name: s for s in (Incremental, AppendOnly, CheckAndLoad, Full, Rolling)}


class ChunkedBackfillOptions(StrategyOptions):
    """Settings of a backfill.

    ``chunks`` or ``chunk_rows``: how many, or how large by the source's estimate; neither: chosen by the estimate.
    ``then``: what the row becomes; ``then_options``: the ``strategy_options`` that it gets with that.
    ``publish``: ``as_loaded`` shows every chunk as it lands, ``at_end`` shows all of them in one commit.
    ``immutable``: a row's value in the chunk column never changes, so it stays in its chunk.
    """

    chunks: int | None = Field(None, ge=1, le=MAX_CHUNKS)
    chunk_rows: int | None = Field(None, ge=1)
    then: Then = "incremental"
    then_options: dict[str, Any] = Field(default_factory=dict)
    publish: Literal["as_loaded", "at_end"] = "as_loaded"
    immutable: bool = False

    @model_validator(mode="after")
    def _one_size(self) -> ChunkedBackfillOptions:
        if self.chunks is not None and self.chunk_rows is not None:
            raise ValueError("set chunks or chunk_rows, not both")
        return self


class ChunkedBackfill(LoadStrategy):
    """For tables that are too large for one read.

    Boundaries and the watermark are fixed before the first chunk and stored; a load that was interrupted goes on
    after the last chunk that was committed. What changes meanwhile lies above that watermark, and the strategy
    that follows reads it. A row is read once only if it stays in its chunk: hence the demands on the chunk column.
    """

    name = "chunked_backfill"
    options_model = ChunkedBackfillOptions
    appends = True
    runs_alone = True

    def check(self, given: PlanInput) -> Sequence[str]:
        successor = _then(given)
        try:
            after = _successor_input(given)
        except ConfigurationError as error:
            return [f"then_options: {error}"]
        problems = list(needs(successor, after)) or list(successor().check(after))
        return problems or list(_column_problems(given))

    def questions(self, given: PlanInput) -> Sequence[Question]:
        """The cap first: every row below it is then within the bounds that are asked afterwards."""
        if _resumes(given):
            return ()
        bounds = BoundsQuestion(_chunk_column(given).name)
        return (CapQuestion(cursor_column(given).name), bounds) if _then(given).needs_watermark else (bounds,)

    def plan(self, given: PlanInput, facts: Facts) -> LoadPlan:
        progress, notes, reasons = _resume(given) if _resumes(given) else _start(given, facts)
        if given.table.row_limit is not None and not progress.complete:
            # Chunks that a row_limit cut short promise nothing, and not when the limit is gone either.
            progress = replace(progress, watermark=None)
        return LoadPlan(
            self.name,
            tuple(_Chunks(given, progress).steps()),
            tuple(notes),
            becomes=progress.then,
            load_full=given.state.load_full,
            reasons=tuple(reasons),
        )


@dataclass(frozen=True)
class _Chunks:
    """The steps that are left of a backfill."""

    given: PlanInput
    progress: Backfill

    def steps(self) -> Iterable[Step]:
        progress = self.progress
        column = self.given.source.column(progress.column)
        conditions = chunk_conditions(progress, column, open_end=_open_end(self.given, column))
        for number, where in enumerate(conditions[progress.done :], progress.done + 1):
            yield self._chunk(number, len(conditions), (*where, *self._limit()))
        if progress.publish == "at_end":
            yield Step(
                None,
                Replace(),
                self._watermark(),
                "publish all chunks",
                loss_of(self.given),
                replace(progress, done=progress.chunks),
            )

    def _chunk(self, number: int, of: int, where: tuple[Condition, ...]) -> Step:
        staged = self.progress.publish == "at_end"
        last = number == of and not staged
        return Step(
            read_all(self.given, where),
            Replace() if number == 1 else Append(),
            self._watermark() if last else FixedWatermark(None),
            f"chunk {number} of {of}",
            self._loss(of),
            replace(self.progress, done=number),
            staged=staged,
            unique=unproven_keys(self.given) if _merges(self.given) else (),
        )

    def _loss(self, of: int) -> LossPolicy:
        """The first of many chunks is a small part of the table that it overwrites, and that proves no loss.

        Nor does one without rows under the watermark: the source has rows, or it would not have been cut.
        """
        loss = loss_of(self.given)
        return loss if of == 1 else replace(loss, allow_empty=True, max_fraction=1.0)

    def _limit(self) -> tuple[Condition, ...]:
        """What ``then`` would append must not be in a chunk, and NULLs are never its."""
        if self.progress.watermark is None or not _then(self.given).appends:
            return ()
        cursor = cursor_column(self.given)
        op: Literal["<=", "<"] = "<=" if self.progress.limit_inclusive else "<"
        return (Comparison(cursor.name, op, Value(cursor.type, self.progress.watermark)),)

    def _watermark(self) -> FixedWatermark:
        if self.progress.watermark is None:
            return FixedWatermark(None)
        return FixedWatermark(Value(cursor_column(self.given).type, self.progress.watermark))


Beginning = tuple[Backfill, list[str], list[str]]
"""The progress to go on from, notes, and reasons."""


def _resume(given: PlanInput) -> Beginning:
    progress = given.state.backfill
    assert progress is not None
    notes = [f"Goes on after chunk {progress.done} of {progress.chunks}."]
    options = _options(given)
    if (progress.then, progress.then_options) != (options.then, options.then_options):
        ends = f"then = {progress.then} and then_options = {json.dumps(dict(progress.then_options))}"
        notes.append(f"It was started for {ends} and ends so; load_full starts it anew.")
    return progress, notes, []


def _start(given: PlanInput, facts: Facts) -> Beginning:
    options, column = _options(given), _chunk_column(given)
    watermark, reasons = _fixed_watermark(given, facts) if _then(given).needs_watermark else (None, [])
    bounds = facts.bounds(column.name)
    low, high = bounds.low, bounds.high
    if high is not None and watermark is not None and _under_cap(given, column):
        high = min(high, watermark)
    estimate = bounds.row_estimate if bounds.row_estimate is not None else given.source.row_estimate
    cuts: tuple[str, ...] = ()
    if low is not None and high is not None and low <= high:
        count = number_of_chunks(estimate, chunks=options.chunks, chunk_rows=options.chunk_rows)
        cuts = boundaries(low, high, count)
    progress = Backfill(
        column=column.name,
        boundaries=cuts,
        null_chunk=needs_null_chunk(cuts, column, has_null=bounds.has_null, open_end=_open_end(given, column)),
        watermark=watermark.text if watermark else None,
        then=options.then,
        done=0,
        started_seq=given.state.load_seq,
        publish=options.publish,
        then_options=options.then_options,
    )
    about = "unknown" if estimate is None else f"about {estimate}"
    reasons.append(f"{progress.chunks} chunks of {column.name!r}; rows: {about}.")
    notes = []
    if options.publish == "as_loaded" and given.state.has_rows and progress.chunks > 1:
        notes.append(
            "The first chunk overwrites the table, and max_delete_fraction cannot be checked against a chunk; "
            "publish = at_end checks it against the whole."
        )
    return progress, notes, reasons


def _fixed_watermark(given: PlanInput, facts: Facts) -> tuple[Value | None, list[str]]:
    """The watermark that becomes true with the last chunk: below it every row exists already.

    Raises:
        TransientError: the source cannot say where that is now.
    """
    # Read again, a row that was stamped anew below the limit would be in two chunks: a lookback is no cure for that.
    merges = not _then(given).appends and not _under_cap(given, _chunk_column(given))
    cap = facts.cap(cursor_column(given).name)
    limit = limit_of(given, cap, merges=merges)
    if limit.value is None and (cap.hold or facts.bounds(_chunk_column(given).name).low is not None):
        raise TransientError(
            f"A backfill cannot start now, because its watermark cannot be fixed: {cap.reason}",
            cure="Load it again when that is over.",
        )
    if limit.value is None:
        return None, [limit.note]
    value = limit.value if limit.inclusive else just_below(limit.value)
    return value, [f"The watermark will be {value} after the last chunk. {limit.note}"]


def _resumes(given: PlanInput) -> bool:
    return given.state.backfill is not None and not given.state.load_full


def _ending(given: PlanInput) -> tuple[str, Mapping[str, Any]]:
    """What the row becomes, and its options then: as stored, whatever the row says meanwhile."""
    stored, options = given.state.backfill, _options(given)
    if stored is not None and _resumes(given):
        return stored.then, stored.then_options
    return options.then, options.then_options


def _then(given: PlanInput) -> type[LoadStrategy]:
    name, _ = _ending(given)
    if name not in SUCCESSORS:
        raise ConfigurationError(
            f"The stored backfill ends as {name!r}, which this program does not know.",
            cure="Order load_full to start it anew.",
        )
    return SUCCESSORS[name]


def _merges(given: PlanInput) -> bool:
    """Whether ``then`` upserts by key, so that keys that come in twice would stay."""
    _, options = _ending(given)
    return _then(given).needs_keys or (_then(given) is CheckAndLoad and options.get("reload") != "full")


def _successor_input(given: PlanInput) -> PlanInput:
    """What ``then`` will be given once the row has become it."""
    name, options = _ending(given)
    table = replace(given.table, load_strategy=name, strategy_options=options)
    return replace(given, table=table, options=parse_options(_then(given), options))


def _chunk_column(given: PlanInput) -> Column:
    """The stored one, ``partition_column``, or a primary key of one column."""
    if given.state.backfill is not None and _resumes(given):
        return given.source.column(given.state.backfill.column)
    if given.table.partition_column:
        return given.source.column(given.table.partition_column)
    keys = given.table.primary_key_cols or (given.source.keys[0] if given.source.keys else ())
    if len(keys) != 1:
        raise ConfigurationError(
            f"{given.table.control_key}: chunked_backfill does not know what to cut on: "
            + (f"the key has {len(keys)} columns." if keys else "there is no key."),
            cure="Set partition_column to a number, date or timestamp whose value in a row never changes.",
        )
    return given.source.column(keys[0])


def _under_cap(given: PlanInput, column: Column) -> bool:
    """Whether rows may leave their chunk, upwards only and over the cap: it is the watermark column itself."""
    return not _stays(given, column) and column.name == given.table.incremental_column


def _open_end(given: PlanInput, column: Column) -> bool:
    """What lies above the end of the watermark column is the increments' to read."""
    return column.name != given.table.incremental_column


def _stays(given: PlanInput, column: Column) -> bool:
    """A row with another key is another row, so key columns cannot change either."""
    keys = {*given.table.primary_key_cols, *(given.source.keys[0] if given.source.keys else ())}
    return _options(given).immutable or column.name in keys


def _column_problems(given: PlanInput) -> Iterable[str]:
    try:
        column = _chunk_column(given)
    except ConfigurationError as error:
        yield str(error)
        return
    if column.type.name not in CHUNK_TYPES:
        yield (
            f"The chunk column {column.name!r} arrives as {column.type} ({column.native}); allowed: "
            f"{', '.join(CHUNK_TYPES)}. Set partition_column to another one."
        )
    if not _stays(given, column) and not (_under_cap(given, column) and _then(given).needs_watermark):
        yield (
            f"Rows could move between chunks while they are read: {column.name!r} is no part of the primary key. "
            "Set strategy_options.immutable to true if its value in a row never changes, or choose a key column."
        )
    if _merges(given) and unproven_keys(given) and column.name not in given.table.primary_key_cols:
        keys = ", ".join(given.table.primary_key_cols)
        yield (
            f"No constraint of the source proves that primary_key_cols ({keys}) are unique and never NULL, and rows of "
            f"one key could be in two chunks of {column.name!r}, where nothing would notice them. "
            "Set partition_column to one of these columns, or make them a key at the source."
        )


def _options(given: PlanInput) -> ChunkedBackfillOptions:
    assert isinstance(given.options, ChunkedBackfillOptions)
    return given.options


@hookimpl
def dataloader_strategies() -> Iterable[StrategyRecord]:
    yield StrategyRecord(
        "chunked_backfill", "A large table chunk after chunk, then another strategy", lambda: ChunkedBackfill
    )
