from __future__ import annotations

from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from dataloader_core.testing.builders import source_table, table_config
from dataloader_core.testing.interpreter import MemorySource, MemoryTarget, load
from dataloader_strategies.rolling import Rolling

TODAY = date(2024, 6, 15)
START = (TODAY - timedelta(days=2)).isoformat()
TABLE = source_table((("id",),), id="bigint!", day="date")

days = st.one_of(st.none(), st.integers(-6, 1).map(lambda n: (TODAY + timedelta(days=n)).isoformat()))
contents = st.dictionaries(st.integers(0, 9).map(str), days)


def keeps(day: str | None, *, missing: bool, outside: bool) -> bool:
    """Whether a row of the destination that was not read stays."""
    if day is None:
        return True
    return not missing if day >= START else not outside


@given(before=contents, now=contents, missing=st.booleans(), outside=st.booleans())
def test_the_window_equals_the_source_and_each_delete_takes_only_its_own(before, now, missing, outside):
    rows = [{"id": i, "day": day} for i, day in now.items()]
    target = MemoryTarget([{"id": i, "day": day} for i, day in before.items()])
    table = table_config(
        "rolling",
        primary_key_cols=("id",),
        rolling_column="day",
        rolling_days=2,
        allow_empty=True,
        max_delete_fraction=1.0,
        strategy_options={"delete_missing": missing, "delete_outside": outside},
    )
    load(Rolling(), table, MemorySource(TABLE, list(rows)), target)
    read = {i: day for i, day in now.items() if day is not None and day >= START}
    stayed = {i: d for i, d in before.items() if i not in read and keeps(d, missing=missing, outside=outside)}
    expected = read | stayed if before or outside else now
    assert {row["id"]: row["day"] for row in target.rows} == expected
    assert len(target.rows) == len(expected)
