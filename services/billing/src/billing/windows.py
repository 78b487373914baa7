"""When an allowance begins and ends: calendar days and months in the catalogue's time zone. Pure."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo


class WindowKind(StrEnum):
    """How long an allowance lasts before it renews."""

    CALENDAR_DAY = "calendar_day"
    CALENDAR_MONTH = "calendar_month"


@dataclass(frozen=True)
class Span:
    """A stretch of time in UTC: `starts_at` belongs to it, `ends_at` to the next one."""

    starts_at: datetime
    ends_at: datetime


def window_at(kind: WindowKind, at: datetime, zone: ZoneInfo) -> Span:
    """The window of `zone` that holds at the aware time `at`. Windows follow each other without a gap or an overlap.

    A window begins at midnight by the wall clock: at the first of two where clocks are put back over it, at the moment
    it would have been where they are put forward over it. So a day has 23 to 25 hours where they change by one.
    """
    day = at.astimezone(zone).date()
    if kind is WindowKind.CALENDAR_MONTH:
        day = day.replace(day=1)
    # Where clocks are put back over midnight, the wall's date is for a while one that has ended already.
    while at < (starts_at := _midnight(day, zone)):
        day = _before(kind, day)
    while at >= (ends_at := _midnight(_after(kind, day), zone)):
        day, starts_at = _after(kind, day), ends_at
    return Span(starts_at, ends_at)


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    # In a gap and between two midnights alike, fold=0 takes the offset from before the change.
    return datetime.combine(day, time(), zone).astimezone(UTC)


def _after(kind: WindowKind, day: date) -> date:
    if kind is WindowKind.CALENDAR_DAY:
        return day + timedelta(days=1)
    return (day + timedelta(days=31)).replace(day=1)


def _before(kind: WindowKind, day: date) -> date:
    day -= timedelta(days=1)
    return day if kind is WindowKind.CALENDAR_DAY else day.replace(day=1)
