"""A load as data: what to read, what to do with it, and the watermark that becomes true with it.

A strategy makes a :class:`LoadPlan` and does no I/O; a source renders and reads it; an engine
carries it out. Nothing here knows SQL, Delta or a database.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from dataloader_core.types import ColumnType
from dataloader_core.values import Value

# --- what there is at the source


@dataclass(frozen=True, slots=True)
class Relation:
    """A table or view by its catalog names, as they are written there, or somebody's own SELECT.

    ``query`` is sent as it is, as a derived table; then the names are empty.
    """

    schema: str = ""
    name: str = ""
    catalog: str | None = None
    query: str | None = None

    def __str__(self) -> str:
        return "query" if self.query else ".".join(p for p in (self.catalog, self.schema, self.name) if p)


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a source, with its projection into the closed set of types.

    Attributes:
        name: As the source's catalog has it.
        target: Its name in Delta (folded where Delta refuses the name).
        type: What the projection produces.
        projection: SQL expression of the source's dialect over the bare relation, without alias.
        native: The source's own name of the type, for people.
        nullable: Whether the source admits NULL, whatever ``on_unrepresentable`` makes of other values.
        exact: Values read by the projection order like the source's own and lose no digit. A watermark
            may then be taken from what was read; otherwise the source is asked.
        guards: Kinds of values the type cannot hold, by name, for instance ``NaN``. The source knows how to
            find them (see ``SourceSnapshot.unrepresentable``).
        one_text: Values that the source holds equal arrive equal. Not so where 1.0 and 1.00 are one number there and
            two texts here.
        constant: The column is not the source's: every row gets this value, as the dialect's own literal instead
            of the projection. See :func:`dataloader_core.reads.constant_column`.
    """

    name: str
    target: str
    type: ColumnType
    projection: str
    native: str
    nullable: bool = True
    comment: str | None = None
    exact: bool = True
    guards: tuple[str, ...] = ()
    constant: Value | None = None
    one_text: bool = True


# --- conditions and reads


@dataclass(frozen=True, slots=True)
class Comparison:
    """``column op value``; rows where the column is NULL do not match."""

    column: str
    op: Literal["=", "<", "<=", ">", ">="]
    value: Value


@dataclass(frozen=True, slots=True)
class IsNull:
    column: str


Condition = Comparison | IsNull


@dataclass(frozen=True, slots=True)
class Split:
    """A wish for parallel ranges of a column; a source with something better (ctid) ignores it."""

    column: str
    parts: int
    lower: str | None = None
    upper: str | None = None


@dataclass(frozen=True, slots=True)
class Read:
    """One SELECT: these columns of this relation where all conditions hold.

    ``filter`` is somebody's own SQL predicate, sent as it is in parentheses. ``row_limit`` cuts the result
    for trial environments; a limited load says so wherever it shows.
    """

    relation: Relation
    columns: tuple[Column, ...]
    where: tuple[Condition, ...] = ()
    filter: str | None = None
    row_limit: int | None = None
    split: Split | None = None
    on_unrepresentable: Literal["fail", "null"] = "fail"


# --- facts: what a strategy asks before it plans


@dataclass(frozen=True, slots=True)
class CapQuestion:
    """The highest value of the column below which nothing can still appear."""

    column: str


@dataclass(frozen=True, slots=True)
class CountQuestion:
    """How many rows match."""

    where: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class BoundsQuestion:
    """Lowest and highest value of the column, whether it holds NULL, and an estimate of the rows."""

    column: str


Question = CapQuestion | CountQuestion | BoundsQuestion


@dataclass(frozen=True, slots=True)
class Cap:
    """A bound for watermarks.

    Attributes:
        value: None: nothing is known, or the watermark must stay where it is (``hold``).
        inclusive: Whether a row with exactly this value is below the cap.
        proven: The source itself guarantees it. Otherwise ``value`` is the best bound known (the source's
            clock, or the highest value seen) and a delay or a lookback is required.
        hold: The watermark must not move in this load; ``reason`` names why (a prepared transaction).
        reason: For people, in one sentence.
    """

    value: Value | None
    inclusive: bool
    proven: bool
    reason: str
    hold: bool = False


@dataclass(frozen=True, slots=True)
class Bounds:
    low: Value | None
    high: Value | None
    has_null: bool
    row_estimate: int | None


Answer = Cap | Bounds | int


@dataclass(frozen=True)
class Facts:
    """What the source answered. ``clock`` is the source's own, an aware ``datetime``."""

    clock: datetime
    answers: Mapping[Question, Answer] = field(default_factory=dict)

    def cap(self, column: str) -> Cap:
        answer = self.answers[CapQuestion(column)]
        assert isinstance(answer, Cap)
        return answer

    def count(self, where: tuple[Condition, ...]) -> int:
        answer = self.answers[CountQuestion(where)]
        assert isinstance(answer, int)
        return answer

    def bounds(self, column: str) -> Bounds:
        answer = self.answers[BoundsQuestion(column)]
        assert isinstance(answer, Bounds)
        return answer


# --- operations on the target


@dataclass(frozen=True, slots=True)
class Replace:
    """One atomic overwrite of the whole table with what was read."""


@dataclass(frozen=True, slots=True)
class Append:
    """Add what was read."""


@dataclass(frozen=True, slots=True)
class Merge:
    """Upsert by ``keys`` (target names): a key that is there is replaced whole, another is added.

    Attributes:
        delete_where: Target rows that match are deleted too (rows outside a window). They are not among
            those read. NULL never matches.
        delete_missing_where: Target rows that match and whose key was not read are deleted (rows that vanished
            inside the window).
        proven: A constraint of the source keeps the keys present and unique in what is read.
    """

    keys: tuple[str, ...]
    delete_where: tuple[Condition, ...] = ()
    delete_missing_where: tuple[Condition, ...] = ()
    proven: bool = False


Write = Replace | Append | Merge


@dataclass(frozen=True, slots=True)
class KeepWatermark:
    """The watermark stays what it is (or absent)."""


@dataclass(frozen=True, slots=True)
class FixedWatermark:
    """The watermark becomes this value, whatever was read."""

    value: Value | None


@dataclass(frozen=True, slots=True)
class HighestRead:
    """The highest value read of ``column`` that is not above ``upto``, never below ``floor``.

    With nothing read below the cap the watermark stays ``floor``. ``upto`` None: no cap.
    """

    column: str
    floor: Value | None
    upto: Value | None = None
    inclusive: bool = True


WatermarkRule = KeepWatermark | FixedWatermark | HighestRead


@dataclass(frozen=True, slots=True)
class Backfill:
    """The stored progress of a chunked backfill: fixed before its first chunk, repeated in every commit.

    Attributes:
        column: What it is cut on.
        boundaries: Ascending texts b0..bn of the column's type: chunk i of n is [b(i-1), bi), the last one closed.
        null_chunk: Whether a further chunk reads the rows where the column is NULL.
        watermark: The watermark that becomes true with the last chunk (text of the watermark column's type).
        then: The strategy that the row gets at the end, with ``then_options`` as its ``strategy_options``.
        done: Number of chunks committed.
        started_seq: ``load_seq`` of the load that started it.
        publish: ``as_loaded``, or ``at_end`` (chunks go to a staging table, one commit publishes).
        limit_inclusive: ``then = append_only``: chunks read only up to ``watermark``, or below it where this is false.
    """

    column: str
    boundaries: tuple[str, ...]
    null_chunk: bool
    watermark: str | None
    then: str
    done: int
    started_seq: int
    publish: Literal["as_loaded", "at_end"] = "as_loaded"
    limit_inclusive: bool = True
    then_options: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def chunks(self) -> int:
        return max(len(self.boundaries) - 1, 0) + (1 if self.null_chunk else 0)

    @property
    def complete(self) -> bool:
        return self.done >= self.chunks

    def to_json(self) -> dict[str, Any]:
        return {
            "column": self.column,
            "boundaries": list(self.boundaries),
            "null_chunk": self.null_chunk,
            "watermark": self.watermark,
            "then": self.then,
            "done": self.done,
            "started_seq": self.started_seq,
            "publish": self.publish,
            "limit_inclusive": self.limit_inclusive,
            "then_options": dict(self.then_options),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Backfill:
        return cls(**{**data, "boundaries": tuple(data["boundaries"])})


@dataclass(frozen=True, slots=True)
class LossPolicy:
    """What a step may take away. ``max_fraction`` of the rows there (0 to 1); empty proves nothing."""

    allow_empty: bool = False
    max_fraction: float = 0.5


@dataclass(frozen=True, slots=True)
class Step:
    """One read and the one commit that it becomes.

    ``unique``: for a write that is no merge, target names of columns that must be present and unique in what is read,
    as a merge's keys must, where no constraint of the source proves it. ``staged``: the rows go to the backfill's
    staging table instead of the target. ``read`` None: nothing is read, the staging table itself replaces the target
    (the last step of ``publish = at_end``).
    """

    read: Read | None
    write: Write
    watermark: WatermarkRule
    label: str
    loss: LossPolicy = LossPolicy()
    progress: Backfill | None = None
    staged: bool = False
    unique: tuple[str, ...] = ()

    @property
    def unproven(self) -> tuple[str, ...]:
        """Target names of the keys that an engine must find present and unique in what it read."""
        if isinstance(self.write, Merge):
            return () if self.write.proven else self.write.keys
        return self.unique


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """What a load will do.

    Attributes:
        steps: In order; each is one commit. Empty: there is nothing to do (``notes`` say why), the load succeeds.
        notes: What people should know after the load as well: what was left, kept or limited, with its cure.
        reasons: Why bounds, cap and chunks are what they are; for ``dataloader plan`` only.
        becomes: A strategy that the control row gets when the last step has committed.
        load_full: This load carries the one-time order.
    """

    strategy: str
    steps: tuple[Step, ...]
    notes: tuple[str, ...] = ()
    becomes: str | None = None
    load_full: bool = False
    reasons: tuple[str, ...] = ()
