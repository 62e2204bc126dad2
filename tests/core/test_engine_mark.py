"""On S3 a table is one engine's; elsewhere engines may take turns."""

from __future__ import annotations

import pytest

from dataloader_core.engine_mark import mark_of, marked_problem


@pytest.mark.parametrize("location", ["s3://bucket/t", "s3a://bucket/t"])
def test_a_new_table_on_s3_is_marked_and_refused_by_the_other_engine(location: str) -> None:
    mark = mark_of("local", location)
    assert mark
    assert marked_problem("local", location, mark) is None
    assert "local engine" in (marked_problem("spark", location, mark) or "")


@pytest.mark.parametrize("location", ["/lake/t", "abfss://c@account/t", "gs://bucket/t"])
def test_elsewhere_engines_may_take_turns(location: str) -> None:
    assert not mark_of("local", location)
    assert marked_problem("spark", location, {"dataloader.engine": "local"}) is None


def test_a_table_on_s3_that_nobody_marked_may_be_loaded_by_either() -> None:
    assert marked_problem("spark", "s3://bucket/t", {}) is None
