"""What an SQL expression makes of the server's clock: an instant, a wall clock of a named zone, or of the session's.

Read from a column's default (``pg_get_expr``) or from a trigger's source. Whatever is not recognized is no clock:
the answer errs towards "not proven".
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final, Literal

MICROSECOND: Final = timedelta(microseconds=1)
DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Clock:
    """A value taken from the server's clock at or after the start of the transaction.

    Attributes:
        shape: An instant, or a wall clock (a date is one of a day's resolution).
        zone: Of a wall clock.
        tick: The resolution: the value is the clock's, rounded to it.
        by_session: A conversion followed the session's time zone, so that two sessions disagree.
    """

    shape: Literal["instant", "wall"]
    zone: str | None = None
    tick: timedelta = MICROSECOND
    by_session: bool = False


# Not statement_timestamp(): in a procedure that commits it stays at the CALL, before the transactions that follow.
_NOW: Final = re.compile(
    r"(?:pg_catalog\s*\.\s*)?(?:now|transaction_timestamp|clock_timestamp)\s*\(\s*\)", re.IGNORECASE
)
_KEYWORD: Final = re.compile(r"(current_timestamp|localtimestamp)\s*(?:\(\s*(\d)\s*\))?", re.IGNORECASE)
_TEXT: Final = r"'((?:[^']|'')+)'(?:\s*::\s*text)?"
_AT_ZONE: Final = re.compile(r"(.+?)\s+at\s+time\s+zone\s+\(?" + _TEXT + r"\)?", re.IGNORECASE | re.DOTALL)
_ZONE_CALL: Final = re.compile(
    r"(?:pg_catalog\s*\.\s*)?timezone\s*\(\s*" + _TEXT + r"\s*,(.+)\)", re.IGNORECASE | re.DOTALL
)
_CAST_CALL: Final = re.compile(r"cast\s*\((.+)\s+as\s+([^()]+(?:\(\d\)[^()]*)?)\)", re.IGNORECASE | re.DOTALL)
_CAST: Final = re.compile(r"(.+)::\s*([^:()']+(?:\(\s*\d\s*\)[^:()']*)?)", re.DOTALL)
_TYPE: Final = re.compile(
    r"(date|timestamptz|timestamp)\s*(?:\(\s*(\d)\s*\))?\s*(with(?:out)?\s+time\s+zone)?", re.IGNORECASE
)


def read_clock(expression: str) -> Clock | None:
    """The clock that the expression reads; None: it is none, or not recognized."""
    text = _bare(expression)
    if _NOW.fullmatch(text):
        return Clock("instant")
    if match := _KEYWORD.fullmatch(text):
        local = match[1].lower() == "localtimestamp"
        return Clock("wall" if local else "instant", tick=_tick(match[2]), by_session=local)
    if text.lower() == "current_date":
        return Clock("wall", tick=DAY, by_session=True)
    if match := _ZONE_CALL.fullmatch(text):
        return _in_zone(read_clock(match[2]), match[1])
    if match := _AT_ZONE.fullmatch(text):
        return _in_zone(read_clock(match[1]), match[2])
    if match := _CAST.fullmatch(text) or _CAST_CALL.fullmatch(text):
        inner = read_clock(match[1])
        return as_type(inner, match[2].strip()) if inner else None
    return None


def as_type(clock: Clock, type_name: str) -> Clock | None:
    """The clock cast or assigned to a type; None: to a type that is no date or timestamp."""
    match = _TYPE.fullmatch(type_name.strip())
    if not match:
        return None
    name, digits, zoned = match[1].lower(), match[2], (match[3] or "").lower()
    shape: Literal["instant", "wall"] = (
        "instant" if name == "timestamptz" or (name == "timestamp" and zoned.split()[:1] == ["with"]) else "wall"
    )
    tick = max(clock.tick, DAY if name == "date" else _tick(digits))
    return replace(clock, shape=shape, tick=tick, by_session=clock.by_session or shape != clock.shape)


def _in_zone(clock: Clock | None, zone: str) -> Clock | None:
    """A wall clock put into a zone again would need its whole history: taken as the session's."""
    if clock is None:
        return None
    if clock.shape == "wall":
        return replace(clock, shape="instant", by_session=True)
    return replace(clock, shape="wall", zone=zone.replace("''", "'"))


def _tick(digits: str | None) -> timedelta:
    return timedelta(microseconds=10 ** (6 - min(int(digits), 6))) if digits is not None else MICROSECOND


def _bare(expression: str) -> str:
    """Without the parentheses around the whole."""
    text = expression.strip()
    while text.startswith("(") and text.endswith(")") and _closes_at_end(text):
        text = text[1:-1].strip()
    return text


def _closes_at_end(text: str) -> bool:
    depth = 0
    for at, character in enumerate(text):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if depth == 0:
            return at == len(text) - 1
    return False
