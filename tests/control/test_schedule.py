"""When a table is due next, on days when clocks change as well."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataloader_core.control.schedule import next_time
from dataloader_core.errors import ConfigurationError

BERLIN = "Europe/Berlin"


def _times(cron: str, start: str, end: str, zone: str = BERLIN) -> list[str]:
    """The UTC times from ``start`` to ``end`` (UTC, ISO)."""
    now, last, found = datetime.fromisoformat(start + "+00:00"), datetime.fromisoformat(end + "+00:00"), []
    while (now := next_time(cron, zone, now)) <= last:
        found.append(f"{now:%d %H:%M}")
    return found


def test_a_time_that_the_clock_leaves_out_is_due_right_after_it() -> None:
    assert _times("30 2 * * *", "2026-03-27T12:00", "2026-03-30T12:00") == ["28 01:30", "29 01:00", "30 00:30"]


def test_a_time_that_comes_twice_is_due_once() -> None:
    assert _times("30 2 * * *", "2026-10-24T12:00", "2026-10-26T12:00") == ["25 00:30", "26 01:30"]


def test_every_hour_means_both_hours_when_the_clock_goes_back() -> None:
    assert _times("0 * * * *", "2026-10-24T22:30", "2026-10-25T03:00") == [
        f"{d}:00" for d in ("24 23", "25 00", "25 01", "25 02", "25 03")
    ]


def test_every_quarter_of_an_hour_knows_no_clock_change() -> None:
    for start, end in (("2026-03-28T20:00", "2026-03-29T06:00"), ("2026-10-24T20:00", "2026-10-25T06:00")):
        assert len(_times("*/15 * * * *", start, end)) == 40


@pytest.mark.parametrize("cron", ["30 * * * *", "30 */1 * * *", "30 0-23 * * *", "30 0-11,12-23 * * *"])
def test_every_hour_is_every_hour_however_it_is_written(cron: str) -> None:
    assert _times(cron, "2026-10-24T23:00", "2026-10-25T03:00") == ["24 23:30", "25 00:30", "25 01:30", "25 02:30"]


def test_several_named_hours_are_neither_left_out_nor_doubled() -> None:
    assert _times("30 1,2,3 * * *", "2026-03-28T12:00", "2026-03-29T12:00") == ["29 00:30", "29 01:00", "29 01:30"]
    assert _times("30 1,2,3 * * *", "2026-10-24T12:00", "2026-10-25T12:00") == ["24 23:30", "25 00:30", "25 02:30"]


def test_a_day_that_a_zone_leaves_out_is_made_up_for_and_never_gone_back_over() -> None:
    # Samoa went from the 29th of December 2011 to the 31st; the second is of the year after.
    assert _times("0 0 30 12 *", "2011-12-01T00:00", "2013-01-01T00:00", "Pacific/Apia") == ["30 10:00", "29 10:00"]


@pytest.mark.parametrize("cron", ["", "* * * *", "* * * * * *", "60 * * * *", "0 0 31 2 *", "@sometimes"])
def test_a_bad_cron_is_named(cron: str) -> None:
    with pytest.raises(ConfigurationError, match="load_cron"):
        next_time(cron, "UTC", datetime(2026, 1, 1, tzinfo=UTC))


def test_a_bad_zone_is_named() -> None:
    with pytest.raises(ConfigurationError, match="'Mars/Olympus'"):
        next_time("0 0 * * *", "Mars/Olympus", datetime(2026, 1, 1, tzinfo=UTC))


@given(
    st.datetimes(datetime(2025, 1, 1), datetime(2027, 12, 31)),
    st.integers(0, 59),
    st.integers(0, 23),
    st.sampled_from(["UTC", BERLIN, "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "America/Havana"]),
)
def test_a_daily_load_comes_once_a_day_whatever_the_clocks_do(
    start: datetime, minute: int, hour: int, zone: str
) -> None:
    moment, cron = start.replace(tzinfo=UTC), f"{minute} {hour} * * *"
    first = next_time(cron, zone, moment)
    assert first > moment
    second = next_time(cron, zone, first)
    assert timedelta(hours=22, minutes=30) <= second - first <= timedelta(hours=25, minutes=30)
