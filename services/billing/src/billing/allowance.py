"""What billing speaks of: the allowance that holds now, and what is held for a letter."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from billing.windows import WindowKind


class ReservationState(StrEnum):
    """Where a reservation stands. It leaves HELD once."""

    HELD = "held"
    COMMITTED = "committed"
    RELEASED = "released"
    EXPIRED = "expired"


@dataclass(frozen=True)
class Allowance:
    """A person's allowance in the window that holds now; used + reserved <= limit."""

    plan_id: str
    window: WindowKind
    limit: int
    used: int
    reserved: int
    resets_at: datetime


@dataclass(frozen=True)
class Reservation:
    """Allowance held for one letter, under the plan that held when it was made."""

    reservation_id: UUID
    letter_id: UUID
    state: ReservationState
    expires_at: datetime
    plan_id: str
    priority: int
