from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataloader_core.errors import ConfigurationError
from dataloader_core.types import ColumnType
from dataloader_core.values import Distance, Value, order_key, step_back, timestamp_text, utc_value
from dataloader_core.watermarks import just_below

YEARS_OF_NANOS = st.integers(-62_135_596_800 * 10**9, 253_402_300_799 * 10**9)


def value(type: str, text: str) -> Value:
    return Value(ColumnType.parse(type), text)


@given(YEARS_OF_NANOS, st.booleans())
def test_a_timestamp_keeps_every_nanosecond_through_its_text(nanos, zoned):
    text = timestamp_text(nanos, zoned=zoned)
    assert order_key(value("timestamp" if zoned else "timestamp_ntz", text)) == nanos


@given(YEARS_OF_NANOS, YEARS_OF_NANOS)
def test_timestamps_order_like_their_nanoseconds(a, b):
    one, other = (value("timestamp", timestamp_text(n, zoned=True)) for n in (a, b))
    assert (one < other, one == other) == (a < b, a == b)


@given(st.datetimes(timezones=st.builds(timezone, st.timedeltas(timedelta(hours=-23), timedelta(hours=23)))))
def test_an_aware_datetime_becomes_the_same_instant(moment):
    if moment.year in (1, 9999):
        return
    expected = (moment.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    assert order_key(utc_value(moment)) == expected * 1000


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("2024-06-15 12:00:00+02:00", "2024-06-15T10:00:00Z"),
        ("2024-06-15 12:00:00+0530", "2024-06-15 06:30:00"),
        ("2024-06-15 12:00:00-03", "2024-06-15 15:00:00.000000000+00:00"),
        ("2024-06-15", "2024-06-15 00:00"),
    ],
)
def test_an_instant_may_be_written_in_any_zone_and_without_one_is_utc(text, same):
    assert value("timestamp", text) == value("timestamp", same)


def test_values_of_38_digits_compare_exactly():
    high = "9" * 38
    assert value("decimal(38,0)", high) > value("decimal(38,0)", high[:-1] + "8")


def test_numbers_beyond_a_float_compare_exactly():
    assert value("bigint", str(2**53 + 1)) > value("bigint", str(2**53))


def test_a_change_counter_orders_as_a_number():
    assert value("binary", "0x00000000000007D1") > value("binary", "00000000000007d0")


@pytest.mark.parametrize(
    ("type", "text"),
    [
        ("bigint", "1.5"),
        ("bigint", "1_000"),
        ("bigint", "١٢"),
        ("bigint", ""),
        ("decimal(10,2)", "NaN"),
        ("decimal(10,2)", "Infinity"),
        ("decimal(10,2)", "1,5"),
        ("decimal(10,2)", "1_0"),
        ("date", "20240615"),
        ("date", "2024-W24-6"),
        ("date", "2024-02-30"),
        ("date", "infinity"),
        ("timestamp", "2024-06-15 25:00:00"),
        ("timestamp", "2024-06-15 12:00:00 Europe/Berlin"),
        ("timestamp", "0044-03-15 BC"),
        ("timestamp_ntz", "2024-06-15 12:00:00+02:00"),
        ("binary", "0xZZ"),
        ("binary", "-1"),
        ("bigint", "1; DROP TABLE orders"),
    ],
)
def test_garbage_is_no_watermark(type, text):
    with pytest.raises(ConfigurationError, match="is not a watermark of type"):
        value(type, text)


@pytest.mark.parametrize("type", ["string", "float", "double", "boolean"])
def test_types_whose_order_means_nothing_carry_no_watermark(type):
    with pytest.raises(ConfigurationError, match="cannot be a watermark"):
        value(type, "1")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1000", Distance(number=Decimal(1000))),
        ("0.5", Distance(number=Decimal("0.5"))),
        ("90s", Distance(span=timedelta(seconds=90))),
        ("2 hours", Distance(span=timedelta(hours=2))),
        ("1 day 02:00:00", Distance(span=timedelta(days=1, hours=2))),
        ("00:30:00", Distance(span=timedelta(minutes=30))),
        ("1 week, 3 days", Distance(span=timedelta(days=10))),
        ("15 Minutes", Distance(span=timedelta(minutes=15))),
    ],
)
def test_a_distance_is_a_number_or_an_interval(text, expected):
    assert Distance.parse(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "soon", "-5", "-2 hours", "NaN", "Infinity", "3 months", "2 hours ago", "9e99 days", "99999999999 weeks"],
)
def test_what_is_no_distance_is_refused(text):
    with pytest.raises(ConfigurationError):
        Distance.parse(text)


@pytest.mark.parametrize(
    ("type", "text", "distance", "expected"),
    [
        ("timestamp", "2024-03-01 00:30:00.123456789+00:00", "1 hour", "2024-02-29 23:30:00.123456789+00:00"),
        ("timestamp_ntz", "2024-03-01 00:00:00", "1us", "2024-02-29 23:59:59.999999"),
        ("date", "2024-03-01", "25 hours", "2024-02-28"),
        ("date", "0001-01-01", "5 days", "0001-01-01"),
        ("timestamp", "0001-01-01 00:00:01+00:00", "5 days", "0001-01-01 00:00:00+00:00"),
        ("bigint", "10", "2.5", "7"),
        ("decimal(38,2)", "9" * 36 + ".99", "0.99", "9" * 36 + ".00"),
        ("decimal(10,0)", "100000", "0", "100000"),
    ],
)
def test_stepping_back_is_exact_and_never_too_short(type, text, distance, expected):
    assert step_back(value(type, text), Distance.parse(distance)).text == expected


@pytest.mark.parametrize(("type", "text", "distance"), [("bigint", "5", "1 hour"), ("date", "2024-01-01", "5")])
def test_a_distance_of_the_wrong_kind_is_refused(type, text, distance):
    with pytest.raises(ConfigurationError, match="cannot step back by that"):
        step_back(value(type, text), Distance.parse(distance))


@given(st.integers(-(2**63), 2**63 - 1), st.integers(0, 2**40))
def test_stepping_back_undoes_stepping_on(start, distance):
    assert step_back(value("bigint", str(start + distance)), Distance(number=Decimal(distance))).text == str(start)


@pytest.mark.parametrize(
    ("type", "text", "below"),
    [
        ("bigint", "5", "4"),
        ("date", "2024-03-01", "2024-02-29"),
        ("timestamp", "2024-03-01 00:00:00+00:00", "2024-02-29 23:59:59.999999+00:00"),
        ("decimal(10,2)", "5.50", "4.50"),
        ("binary", "0x00000100", "000000ff"),
    ],
)
def test_just_below_is_lower_and_of_the_same_type(type, text, below):
    lower = just_below(value(type, text))
    assert lower.text == below
    assert lower < value(type, text)


def test_equal_values_hash_alike():
    texts: Any = ["2024-06-15 12:00:00+02:00", "2024-06-15 10:00:00Z"]
    assert len({value("timestamp", t) for t in texts}) == 1
    assert order_key(value("date", "2024-06-15")) == date(2024, 6, 15).toordinal()
