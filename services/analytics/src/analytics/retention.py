"""How long facts are kept and which times are believed. Pure; months are UTC."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from servicekit.errors import FieldFault, InvalidFields

from analytics.catalogue import Fact

KEPT_MONTHS = 13
AHEAD_MONTHS = 2
AHEAD = timedelta(days=1)
"""How far ahead a sender's clock may be."""
IDS_KEPT = timedelta(days=430)
"""How long an event's id is remembered: beyond 13 months, the month that is not over, and AHEAD. An event whose id is
forgotten is too old to be taken again."""


def month_start(moment: datetime, months_later: int = 0) -> datetime:
    """The first moment of the month that is `months_later` than that of `moment`."""
    year, month = divmod(moment.astimezone(UTC).year * 12 + moment.astimezone(UTC).month - 1 + months_later, 12)
    return datetime(year, month + 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Window:
    """The times at which a fact may have come about: from `earliest` to `latest`."""

    earliest: datetime
    latest: datetime

    @classmethod
    def at(cls, now: datetime) -> "Window":
        """Events are kept for KEPT_MONTHS whole months before the current one."""
        return cls(month_start(now, -KEPT_MONTHS), now + AHEAD)

    def check(self, facts: Iterable[Fact]) -> None:
        """Raises InvalidFields naming every fact outside the window, and the limit it breaks."""
        faults = []
        for number, fact in enumerate(facts):
            if fact.occurred_at < self.earliest:
                limit = f"must be {self.earliest.isoformat()} or later: events are kept for {KEPT_MONTHS} months"
            elif fact.occurred_at > self.latest:
                limit = f"must be at most {AHEAD.days} day in the future, which is {self.latest.isoformat()}"
            else:
                continue
            faults.append(FieldFault(f"events[{number}].occurred_at", limit))
        if faults:
            raise InvalidFields(faults)
