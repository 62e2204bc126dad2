"""Watermark values: text at full precision together with a type, never a float or a ``datetime``.

A ``datetime`` ends at microseconds and a float at 2**53; sources go further. So a value keeps the
source's own text, and comparisons and subtractions work on exact integers made from it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_CEILING, Decimal, InvalidOperation, localcontext
from functools import total_ordering
from typing import Final

from dataloader_core.errors import ConfigurationError
from dataloader_core.types import INTEGERS, ColumnType

_TIMESTAMP = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:[ T](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?)?\s*(Z|[+-]\d\d(?::?\d\d)?)?", re.ASCII
)
# Stricter than int() and friends: the text itself becomes a literal at the source.
_INTEGER = re.compile(r"[+-]?\d+", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_HEX = re.compile(r"(0x)?([0-9a-fA-F]*)")
_NANOS: Final = 1_000_000_000
_EPOCH: Final = datetime(1970, 1, 1)
_YEAR_1: Final = (datetime(1, 1, 1) - _EPOCH) // timedelta(seconds=1) * _NANOS
_EXACT: Final = 100
"""Digits of decimal arithmetic: Python's own 28 would round a decimal(38) in silence."""
_UNITS: Final = {
    "us": "microseconds", "ms": "milliseconds", "s": "seconds", "sec": "seconds", "second": "seconds",
    "m": "minutes", "min": "minutes", "minute": "minutes", "h": "hours", "hour": "hours",
    "d": "days", "day": "days", "w": "weeks", "week": "weeks",
}  # fmt: skip

WATERMARK_TYPES: Final = (*INTEGERS, "decimal", "date", "timestamp_ntz", "timestamp", "binary")
"""Types whose order is the order in which rows appear or change. Text and floats are not among them."""


@total_ordering
@dataclass(frozen=True, eq=False)
class Value:
    """A typed value as text.

    ``text`` is ISO 8601 for dates and times (up to nine digits of a second; an offset or ``Z`` for
    ``timestamp``, taken as UTC where it has none), digits for numbers, hex digits for ``binary``.

    Raises:
        ConfigurationError: the text is no value of the type.
    """

    type: ColumnType
    text: str

    def __post_init__(self) -> None:
        order_key(self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Value) and order_key(self) == order_key(other)

    def __lt__(self, other: Value) -> bool:
        return order_key(self) < order_key(other)

    def __hash__(self) -> int:
        return hash(order_key(self))

    def __str__(self) -> str:
        return self.text


def order_key(value: Value) -> int | Decimal:
    """The value as an exact number: days, nanoseconds since 1970, or the number itself."""
    name, text = value.type.name, value.text.strip()
    try:
        if name in INTEGERS:
            return int(_shaped(_INTEGER, text))
        if name == "decimal":
            return Decimal(_shaped(_NUMBER, text))
        if name == "date":
            return date.fromisoformat(_shaped(_DATE, text)).toordinal()
        if name in ("timestamp", "timestamp_ntz"):
            return _nanoseconds(text, zoned=name == "timestamp")
        if name == "binary":
            return int(_shaped(_HEX, text).removeprefix("0x") or "0", 16)
    except (ValueError, InvalidOperation) as error:
        raise ConfigurationError(
            f"{value.text!r} is not a watermark of type {value.type}.",
            cure="Set incremental_value to such a value, or clear it to load everything again.",
        ) from error
    raise ConfigurationError(
        f"A column of type {value.type} cannot be a watermark; allowed: {', '.join(WATERMARK_TYPES)}."
    )


def _shaped(pattern: re.Pattern[str], text: str) -> str:
    if not pattern.fullmatch(text):
        raise ValueError(text)
    return text


def _nanoseconds(text: str, *, zoned: bool) -> int:
    match = _TIMESTAMP.fullmatch(text)
    if not match:
        raise ValueError(text)
    year, month, day, hour, minute, second, fraction, offset = match.groups()
    if offset and not zoned:
        raise ValueError(text)
    moment = datetime(int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0))
    seconds = (moment - _EPOCH) // timedelta(seconds=1)
    if offset and offset != "Z":
        digits = offset[1:].replace(":", "").ljust(4, "0")
        shift = int(digits[:2]) * 3600 + int(digits[2:]) * 60
        seconds += shift if offset[0] == "-" else -shift
    return seconds * _NANOS + int((fraction or "").ljust(9, "0"))


def timestamp_text(nanoseconds: int, *, zoned: bool) -> str:
    """ISO text of nanoseconds since 1970, with as many digits as the value needs (none, 6 or 9)."""
    seconds, nanos = divmod(nanoseconds, _NANOS)
    moment = _EPOCH + timedelta(seconds=seconds)
    digits = f"{nanos:09d}"
    fraction = "" if not nanos else "." + (digits[:6] if digits.endswith("000") else digits)
    return f"{moment.isoformat(' ')}{fraction}{'+00:00' if zoned else ''}"


def utc_value(moment: datetime) -> Value:
    """A ``timestamp`` value of an aware ``datetime``."""
    stamp = moment.astimezone(UTC).replace(tzinfo=None)
    nanos = ((stamp - _EPOCH) // timedelta(microseconds=1)) * 1000
    return Value(ColumnType("timestamp"), timestamp_text(nanos, zoned=True))


@dataclass(frozen=True, slots=True)
class Distance:
    """How far to step back from a watermark: a time span or a number."""

    span: timedelta | None = None
    number: Decimal | None = None

    @classmethod
    def parse(cls, text: str) -> Distance:
        """Read ``'1000'``, ``'90s'``, ``'2 hours'``, ``'1 day 02:00:00'`` or ISO ``HH:MM:SS``.

        Raises:
            ConfigurationError: neither a number nor an interval, or negative.
        """
        text = text.strip()
        try:
            number = Decimal(text)
        except InvalidOperation:
            return cls(span=cls._span(text))
        if not number.is_finite() or number < 0:
            raise ConfigurationError(f"{text!r} is negative or not finite; give a number >= 0.")
        return cls(number=number)

    @classmethod
    def _span(cls, text: str) -> timedelta:
        problem = ConfigurationError(
            f"{text!r} is neither a number nor an interval.", cure="Write it like '1000', '90s' or '2 hours'."
        )
        rest, total, found = text.lower(), timedelta(), False
        if clock := re.search(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)$", rest):
            total += _timedelta(problem, hours=int(clock[1]), minutes=int(clock[2]), seconds=float(clock[3]))
            rest, found = rest[: clock.start()].strip(), True
        for amount, unit in re.findall(r"(\d+(?:\.\d+)?)\s*([a-z]+)", rest):
            name = _UNITS.get(unit) or _UNITS.get(unit.removesuffix("s"))
            if name is None:
                raise problem
            total += _timedelta(problem, **{name: float(amount)})
            found = True
        if not found or re.sub(r"(\d+(?:\.\d+)?)\s*([a-z]+)", "", rest).strip(" ,"):
            raise problem
        return total


def _timedelta(problem: ConfigurationError, **parts: float) -> timedelta:
    try:
        return timedelta(**parts)
    except OverflowError:
        raise problem from None


def step_back(value: Value, distance: Distance) -> Value:
    """``value`` less ``distance``, exact, in its own type, and not below the year 1.

    A date steps back by whole days and an integer by whole numbers, rounded up: rather too far than too short.

    Raises:
        ConfigurationError: a time span on a number or a number on a time.
    """
    name, key = value.type.name, order_key(value)
    if name in INTEGERS and distance.number is not None:
        return Value(value.type, str(key - int(distance.number.to_integral_value(ROUND_CEILING))))
    if name == "decimal" and distance.number is not None:
        with localcontext(prec=_EXACT):
            return Value(value.type, f"{key - distance.number:f}")
    if name == "date" and distance.span is not None:
        days = -(-distance.span // timedelta(days=1))
        return Value(value.type, date.fromordinal(max(int(key) - days, 1)).isoformat())
    if name in ("timestamp", "timestamp_ntz") and distance.span is not None:
        nanos = max(int(key) - (distance.span // timedelta(microseconds=1)) * 1000, _YEAR_1)
        return Value(value.type, timestamp_text(nanos, zoned=name == "timestamp"))
    wanted = "an interval such as '2 hours'" if name not in (*INTEGERS, "decimal") else "a number"
    raise ConfigurationError(f"A watermark of type {value.type} cannot step back by that; give {wanted}.")
