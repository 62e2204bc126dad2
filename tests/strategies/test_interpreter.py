"""The interpreter refuses what an engine refuses, or a strategy that passes under it would fail for real."""

from __future__ import annotations

from typing import Any

import pytest

from dataloader_core.errors import KeyValuesError, LossRefusedError
from dataloader_core.plan import (
    Append,
    FixedWatermark,
    HighestRead,
    KeepWatermark,
    LossPolicy,
    Merge,
    Read,
    Replace,
    Step,
)
from dataloader_core.testing.builders import source_table
from dataloader_core.testing.interpreter import MemorySource, MemoryTarget, Row, commit
from dataloader_core.types import BIGINT
from dataloader_core.values import Value

TABLE = source_table(id="bigint", at="bigint")


def rows(*pairs: tuple[int | None, int]) -> list[Row]:
    return [{"id": None if i is None else str(i), "at": str(at)} for i, at in pairs]


def step(write: Any, watermark: Any = KeepWatermark(), loss: LossPolicy = LossPolicy()) -> Step:  # noqa: B008  # both are frozen
    return Step(Read(TABLE.relation, TABLE.columns), write, watermark, "step", loss)


@pytest.mark.parametrize("read", [rows((1, 1), (1, 2)), rows((None, 1))])
def test_keys_that_are_doubled_or_null_are_refused(read):
    with pytest.raises(KeyValuesError):
        commit(step(Merge(("id",))), MemorySource(TABLE, read), MemoryTarget())


def test_nothing_read_does_not_empty_a_table():
    target = MemoryTarget(rows((1, 1)))
    with pytest.raises(LossRefusedError, match="the table holds 1 rows"):
        commit(step(Replace()), MemorySource(TABLE, []), target)
    commit(step(Replace(), loss=LossPolicy(allow_empty=True)), MemorySource(TABLE, []), target)
    assert target.rows == []


def test_more_than_the_fraction_is_not_taken_away():
    target = MemoryTarget(rows((1, 1), (2, 1), (3, 1), (4, 1)))
    with pytest.raises(LossRefusedError, match="holds 4: 3 fewer"):
        commit(step(Replace()), MemorySource(TABLE, rows((1, 1))), target)
    assert len(target.rows) == 4


@pytest.mark.parametrize(
    ("rule", "watermark"),
    [
        (KeepWatermark(), "1"),
        (FixedWatermark(None), None),
        (HighestRead("at", None), "9"),
        (HighestRead("at", None, Value(BIGINT, "5"), True), "5"),
        (HighestRead("at", None, Value(BIGINT, "5"), False), "3"),
        (HighestRead("at", Value(BIGINT, "4"), Value(BIGINT, "3"), True), "4"),
        (HighestRead("at", None, Value(BIGINT, "2")), None),
    ],
)
def test_the_watermark_follows_its_rule(rule, watermark):
    target = MemoryTarget(watermark="1")
    commit(step(Append(), rule), MemorySource(TABLE, rows((1, 3), (2, 5), (3, 9))), target)
    assert target.watermark == watermark
