"""Values as text for a terminal: nothing in them may act on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

_UNITS = ("B", "kB", "MB", "GB", "TB")


def safe(text: str) -> str:
    """Control characters made visible: a table's name must not move the cursor or ring the bell."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def cell(value: object) -> str:
    """One value in a table."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return moment(value)
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, Mapping):
        return safe(", ".join(f"{k}={v}" for k, v in value.items()))
    if isinstance(value, Sequence) and not isinstance(value, str):
        return safe(", ".join(map(str, value)))
    return safe(str(value))


def moment(value: datetime) -> str:
    """In UTC to the second, for instance ``2026-11-23 15:30:00Z``."""
    at = value.astimezone(UTC) if value.tzinfo else value
    return f"{at:%Y-%m-%d %H:%M:%S}{'Z' if value.tzinfo else ''}"


def size(count: float) -> str:
    """Bytes with a decimal unit, for instance ``12.3 MB``."""
    unit = 0
    while count >= 1000 and unit < len(_UNITS) - 1:
        count, unit = count / 1000, unit + 1
    return f"{count:.0f} {_UNITS[unit]}" if unit == 0 else f"{count:.1f} {_UNITS[unit]}"


def rate(count: float, seconds: float) -> str:
    """Per second, for instance ``120,000/s``."""
    return f"{count / seconds:,.0f}/s" if seconds > 0 else "-"


def ago(seconds: float) -> str:
    """A span in its largest two units, for instance ``2h 05m``."""
    whole = max(int(seconds), 0)
    days, rest = divmod(whole, 86_400)
    hours, rest = divmod(rest, 3600)
    minutes, left = divmod(rest, 60)
    if days:
        return f"{days}d {hours:02d}h"
    if hours:
        return f"{hours}h {minutes:02d}m"
    return f"{minutes}m {left:02d}s" if minutes else f"{left}s"
