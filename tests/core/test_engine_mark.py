"""On S3 a table is one engine's, which its mark says; elsewhere engines may take turns unless a table has the mark."""

from __future__ import annotations

import pytest

from dataloader_core.engine_mark import mark_of, marked_problem


@pytest.mark.parametrize("location", ["s3://bucket/t", "s3a://bucket/t"])
def test_a_new_table_on_s3_is_marked_and_refused_by_the_other_engine(location: str) -> None:
    mark = mark_of("local", location)
    assert mark
    assert marked_problem("local", mark) is None
    assert "local engine" in (marked_problem("spark", mark) or "")


@pytest.mark.parametrize("location", ["/lake/t", "abfss://c@account/t", "gs://bucket/t"])
def test_elsewhere_no_table_gets_a_mark(location: str) -> None:
    assert not mark_of("local", location)


def test_a_table_that_nobody_marked_may_be_loaded_by_either() -> None:
    assert marked_problem("spark", {}) is None
