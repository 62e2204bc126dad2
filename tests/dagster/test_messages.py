"""Outcomes survive the way from the load's process to the asset."""

from __future__ import annotations

import json
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataloader_core.control.records import LoadResult, Outcome
from dataloader_dagster.messages import MESSAGE_LENGTH, from_message, to_message

TEXT = st.text(max_size=40)
RESULTS = st.builds(
    LoadResult,
    rows=st.integers(0, 2**63),
    bytes=st.integers(0, 2**63),
    watermark_before=st.none() | TEXT,
    watermark_after=st.none() | TEXT,
    committed_version=st.none() | st.integers(0, 2**62),
    skipped=st.booleans(),
    notes=st.lists(TEXT, max_size=3),
    metrics=st.dictionaries(TEXT, st.integers() | TEXT, max_size=3),
)
OUTCOMES = st.builds(
    Outcome,
    control_key=TEXT,
    load_id=st.uuids(),
    status=st.sampled_from(["Succeeded", "Failed", "Cancelled", "Lost"]),
    message=TEXT,
    destination=TEXT,
    duration_seconds=st.floats(0, 1e9),
    result=st.none() | RESULTS,
    error_class=st.none() | TEXT,
    transient=st.booleans(),
)


@given(OUTCOMES)
def test_an_outcome_comes_back_as_it_was(outcome: Outcome) -> None:
    assert from_message(json.loads(json.dumps(to_message(outcome)))) == outcome


def test_other_messages_are_no_outcomes() -> None:
    assert from_message({"something": "else"}) is None


@pytest.mark.parametrize(
    "message",
    [5, [1], None, {"outcome": 5}, {"outcome": {"new": 1}}, {"outcome": {"load_id": "x", "control_key": []}}],
)
def test_what_is_no_outcome_is_left_out(message: object) -> None:
    assert from_message(message) is None


def test_a_newer_process_may_say_more() -> None:
    outcome = Outcome("a.b", UUID(int=1), "Succeeded", "done", "c.s.t", 1.0, LoadResult(rows=1, bytes=2, notes=["n"]))
    message = json.loads(json.dumps(to_message(outcome)))
    message["outcome"]["result"]["new"] = 1
    assert from_message({**message, "new": 1, "outcome": {**message["outcome"], "new": 1}}) == outcome


def test_the_load_id_travels_as_text() -> None:
    outcome = Outcome("a.b", UUID(int=1), "Failed", "no", "c.s.t", 1.0)
    assert to_message(outcome)["outcome"]["load_id"] == str(UUID(int=1))


def test_an_outcome_that_is_too_large_is_shortened_and_keeps_its_numbers() -> None:
    result = LoadResult(
        rows=7, bytes=8, watermark_after="9", notes=["long " * 10_000] * 50, metrics={"m": "x" * 90_000}
    )
    large = Outcome("a", UUID(int=1), "Succeeded", "text " * 50_000, "b.c.d", 1.0, result)
    message = to_message(large)
    assert len(json.dumps(message)) < MESSAGE_LENGTH
    got = from_message(message)
    assert got is not None
    assert got.result is not None
    assert (got.result.rows, got.result.bytes, got.result.watermark_after) == (7, 8, "9")
    assert got.message.endswith("the control database has it whole)")
