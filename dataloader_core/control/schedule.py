"""When a table is due next: cron expressions in time zones, on days when clocks change as well."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from croniter import CroniterError, croniter

from dataloader_core.errors import ConfigurationError


def next_time(cron: str, time_zone: str, after: datetime) -> datetime:
    """The first time after ``after`` (aware) that the cron names in the zone, in UTC.

    A time that a clock change leaves out is due right after the change. A time that comes twice is due
    the first time only, unless the cron says every hour: then both hours are meant.

    Raises:
        ConfigurationError: the cron or the zone cannot be understood, or the cron names no time at all.
    """
    zone = _zone(time_zone)
    try:
        fields = cron.split()
        if len(fields) != 5:
            raise ConfigurationError(
                f"load_cron {cron!r} has {len(fields)} fields.", cure="Write five: minute hour day month weekday."
            )
        times = croniter(cron, after.astimezone(zone))
        # Expanded: 0-23 and */1 are every hour as well.
        every_hour = times.expanded[1] == ["*"]
        due: datetime = times.get_next(datetime)
        while not every_hour and _is_second_of_two(due, zone):
            due = times.get_next(datetime)
    except (CroniterError, ValueError, OverflowError) as error:
        raise ConfigurationError(
            f"load_cron {cron!r} cannot be understood: {error}.", cure="Write it like '0 6 * * *' (every day at 06:00)."
        ) from error
    return due.astimezone(UTC)


def _zone(time_zone: str) -> ZoneInfo:
    try:
        return ZoneInfo(time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ConfigurationError(
            f"time_zone {time_zone!r} is not known on this machine.",
            cure="Write a name such as 'Europe/Berlin', or install the package tzdata.",
        ) from error


def _is_second_of_two(moment: datetime, zone: ZoneInfo) -> bool:
    wall = moment.astimezone(zone)
    first = wall.replace(fold=0).astimezone(UTC)
    return first < moment.astimezone(UTC)
