"""Windows of any zone and time follow each other without a gap, and begin at midnight."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from billing.windows import Span, WindowKind, window_at
from hypothesis import given, settings
from hypothesis import strategies as st

ZONES = st.sampled_from(sorted(available_timezones())).map(ZoneInfo)
TIMES = st.datetimes(datetime(1972, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
DAY, MONTH = WindowKind.CALENDAR_DAY, WindowKind.CALENDAR_MONTH
INSTANT = timedelta(microseconds=1)


@settings(deadline=None)
@given(st.sampled_from(WindowKind), TIMES, ZONES)
def test_a_time_is_in_its_window_and_every_time_of_the_window_agrees(
    kind: WindowKind, at: datetime, zone: ZoneInfo
) -> None:
    window = window_at(kind, at, zone)
    assert window.starts_at <= at < window.ends_at
    assert window_at(kind, window.starts_at, zone) == window
    assert window_at(kind, window.ends_at - INSTANT, zone) == window


@settings(deadline=None)
@given(st.sampled_from(WindowKind), TIMES, ZONES)
def test_a_window_begins_where_the_one_before_it_ends(kind: WindowKind, at: datetime, zone: ZoneInfo) -> None:
    window = window_at(kind, at, zone)
    assert window_at(kind, window.ends_at, zone).starts_at == window.ends_at
    assert window_at(kind, window.starts_at - INSTANT, zone).ends_at == window.starts_at


@settings(deadline=None)
@given(TIMES, ZONES)
def test_a_month_is_made_of_whole_days(at: datetime, zone: ZoneInfo) -> None:
    month = window_at(MONTH, at, zone)
    assert window_at(DAY, month.starts_at, zone).starts_at == month.starts_at
    assert window_at(DAY, month.ends_at - INSTANT, zone).ends_at == month.ends_at
    assert timedelta(days=27) < month.ends_at - month.starts_at < timedelta(days=32)


@settings(deadline=None)
@given(st.sampled_from(WindowKind), TIMES.filter(lambda at: at.year >= 2000))  # Moscow's did, until 1984
def test_where_clocks_do_not_jump_over_it_windows_begin_at_midnight(kind: WindowKind, at: datetime) -> None:
    for name in ("Europe/Moscow", "Europe/Berlin", "America/New_York", "Australia/Sydney"):
        begins = window_at(kind, at, ZoneInfo(name)).starts_at.astimezone(ZoneInfo(name))
        assert (begins.hour, begins.minute, begins.second) == (0, 0, 0)
        assert kind is DAY or begins.day == 1


@pytest.mark.parametrize(
    ("kind", "zone", "at", "starts_at", "ends_at"),
    [
        (MONTH, "Europe/Moscow", "2026-11-23T12:00", "2026-10-31T21:00", "2026-11-30T21:00"),
        (MONTH, "Europe/Moscow", "2026-12-31T21:00", "2026-12-31T21:00", "2027-01-31T21:00"),
        (DAY, "Europe/Berlin", "2026-03-29T12:00", "2026-03-28T23:00", "2026-03-29T22:00"),  # 23 hours
        (DAY, "Europe/Berlin", "2026-10-25T12:00", "2026-10-24T22:00", "2026-10-25T23:00"),  # 25 hours
        (DAY, "America/Sao_Paulo", "2018-11-04T12:00", "2018-11-04T03:00", "2018-11-05T02:00"),  # no midnight
        (DAY, "America/Havana", "2026-11-01T12:00", "2026-11-01T04:00", "2026-11-02T05:00"),  # two midnights
        (DAY, "Pacific/Apia", "2011-12-30T09:00", "2011-12-29T10:00", "2011-12-30T10:00"),  # the day before none
        (DAY, "Pacific/Apia", "2011-12-30T10:00", "2011-12-30T10:00", "2011-12-31T10:00"),
    ],
)
def test_days_on_which_clocks_change_are_as_long_as_they_are(
    kind: WindowKind, zone: str, at: str, starts_at: str, ends_at: str
) -> None:
    def utc(text: str) -> datetime:
        return datetime.fromisoformat(text).replace(tzinfo=UTC)

    assert window_at(kind, utc(at), ZoneInfo(zone)) == Span(utc(starts_at), utc(ends_at))
