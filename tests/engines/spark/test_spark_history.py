"""What a table's history tells of its rows, so that a load need not ask."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import uuid4

import pytest

from dataloader_core.commit import CommitRecord
from dataloader_engines.spark.look import Entry

OURS = CommitRecord(uuid4(), 1 << 20 | 1, uuid4(), None, 10, "fingerprint", load_full=False)
WHOLE = {"mode": "Overwrite", "partitionBy": "[]"}


def entry(
    parameters: Mapping[str, str] = WHOLE,
    *,
    operation: str = "WRITE",
    record: CommitRecord | None = OURS,
    metrics: Mapping[str, str] = {"numOutputRows": "10"},
) -> Entry:
    return Entry(7, None, operation, record.to_json() if record else None, 6, metrics, parameters)


def test_an_overwrite_of_all_rows_tells_how_many_there_are() -> None:
    assert entry().rows_total == 10
    assert entry({"mode": "Overwrite", "partitionBy": '["day"]'}).rows_total == 10


@pytest.mark.parametrize(
    "other",
    [
        entry({"mode": "Append", "partitionBy": "[]"}),
        entry({**WHOLE, "predicate": '["id > 1"]'}),
        entry({**WHOLE, "isDynamicPartitionOverwrite": "true"}),
        entry(operation="MERGE"),
        entry(record=None),
        entry(metrics={}),
    ],
    ids=["append", "with a condition", "by partitions", "merge", "not ours", "without metrics"],
)
def test_every_other_commit_tells_nothing_of_the_whole_table(other: Entry) -> None:
    assert other.rows_total is None


@pytest.mark.parametrize(
    ("commit", "proven"),
    [
        (entry(), True),
        (entry({"mode": "Append", "partitionBy": "[]"}), True),
        (entry(operation="MERGE"), True),
        (entry(operation="MERGE", metrics={"numOutputRows": "0", "numTargetRowsDeleted": "3"}), False),
        (entry(record=None), False),
        (entry(metrics={}), False),
    ],
    ids=["overwrite", "append", "merge", "only deletes", "not ours", "without metrics"],
)
def test_a_commit_that_wrote_rows_proves_that_there_are_some(commit: Entry, proven: bool) -> None:
    assert commit.wrote_rows is proven
