"""What billing does. Each operation owns its transaction."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import structlog
from prometheus_client import Counter
from servicekit.clock import Clock
from servicekit.postgres import Connection, Database

from billing import store
from billing.allowance import Allowance, Reservation
from billing.catalogue import Catalogue
from billing.errors import AllowanceExhausted, IdempotencyMismatch, ReservationNotFound, ReservationResolved
from billing.store import Outcome, Reply
from billing.windows import Span, WindowKind, window_at

PEOPLE_EXPIRED_AT_ONCE = 500

_reserved = Counter("pismo_billing_reserved", "Letters held", ["plan"])
_committed = Counter("pismo_billing_committed", "Held letters that were delivered and counted", ["plan"])
_given = Counter("pismo_billing_given", "Letters delivered after their hold had expired and no room was left", ["plan"])
_released = Counter("pismo_billing_released", "Held letters that were given back", ["plan"])
_expired = Counter("pismo_billing_expired", "Holds that nobody resolved in time")
_exhausted = Counter("pismo_billing_exhausted", "Letters refused because the allowance was used up or held", ["plan"])

log = structlog.get_logger()


@dataclass(frozen=True)
class Held:
    """A hold, and what is left beside it."""

    reservation: Reservation
    allowance: Allowance


class Allowances:
    """What people may still ask for. Every operation is exact under any number of callers, and may be repeated."""

    def __init__(self, requests: Database, clock: Clock, catalogue: Catalogue, reservation: timedelta) -> None:
        self._requests = requests
        self._clock = clock
        self._zone = catalogue.zone
        self._reservation = reservation

    @property
    def time_zone(self) -> str:
        return self._zone.key

    async def get(self, person_id: UUID) -> Allowance:
        """What the person has left now; the untouched free plan for a person never seen."""
        now = self._clock.now()
        day, month = self._windows(now)
        async with self._requests.connection() as connection:
            allowance, expired = await store.allowance_now(connection, person_id, now, day, month)
        _expired.inc(expired)
        return allowance

    async def reserve(self, request_id: UUID, person_id: UUID, letter_id: UUID) -> Held:
        """Holds one letter. A letter that is held or paid for already keeps what it has, whatever the request id.

        Raises AllowanceExhausted, which leaves nothing behind, and IdempotencyMismatch.
        """
        now = self._clock.now()
        day, month = self._windows(now)
        async with self._requests.connection() as connection:
            reply = await store.reserve(
                connection, request_id, person_id, letter_id, uuid4(), now, now + self._reservation, day, month
            )
        _expired.inc(reply.expired)
        if reply.outcome is Outcome.MISMATCH or reply.allowance is None:
            raise IdempotencyMismatch(request_id)
        allowance = reply.allowance
        if reply.outcome is Outcome.EXHAUSTED or reply.reservation is None:
            _exhausted.labels(allowance.plan_id).inc()
            raise AllowanceExhausted(
                allowance.plan_id,
                allowance.limit,
                allowance.used,
                allowance.reserved,
                allowance.resets_at,
                self.time_zone,
            )
        if reply.outcome is Outcome.DONE:
            _reserved.labels(allowance.plan_id).inc()
        return Held(reply.reservation, allowance)

    async def commit(self, request_id: UUID, person_id: UUID, reservation_id: UUID) -> Reservation:
        """Counts the letter as used, in the window in which it was reserved.

        Where the hold has expired: the letter's newer hold is committed, if there is one; else the letter is counted if
        there is room; else it is a gift, and the ledger says so.
        Raises ReservationNotFound, ReservationResolved and IdempotencyMismatch.
        """
        async with self._requests.connection() as connection:
            reply = await store.commit(connection, request_id, person_id, reservation_id, self._clock.now())
        reservation = _resolved(reply, request_id, reservation_id)
        if reply.outcome is Outcome.DONE:
            (_given if reply.goodwill else _committed).labels(reservation.plan_id).inc()
        return reservation

    async def release(self, request_id: UUID, person_id: UUID, reservation_id: UUID) -> Reservation:
        """Gives the letter back; one that has expired was given back then.

        Raises ReservationNotFound, ReservationResolved and IdempotencyMismatch.
        """
        async with self._requests.connection() as connection:
            reply = await store.release(connection, request_id, person_id, reservation_id, self._clock.now())
        reservation = _resolved(reply, request_id, reservation_id)
        if reply.outcome is Outcome.DONE:
            _released.labels(reservation.plan_id).inc()
        return reservation

    def _windows(self, now: datetime) -> tuple[Span, Span]:
        """Both kinds of window: which of them counts is known only where the plan is."""
        return (
            window_at(WindowKind.CALENDAR_DAY, now, self._zone),
            window_at(WindowKind.CALENDAR_MONTH, now, self._zone),
        )


def _resolved(reply: Reply, request_id: UUID, reservation_id: UUID) -> Reservation:
    _expired.inc(reply.expired)
    if reply.outcome is Outcome.MISMATCH:
        raise IdempotencyMismatch(request_id)
    if reply.outcome is Outcome.NOT_FOUND or reply.reservation is None:
        raise ReservationNotFound(reservation_id)
    if reply.outcome is Outcome.RESOLVED:
        raise ReservationResolved(reservation_id, reply.reservation.state)
    return reply.reservation


class Housekeeping:
    """What time does to what is stored."""

    def __init__(self, clock: Clock, request_days: int) -> None:
        self._clock = clock
        self._remembered = timedelta(days=request_days)

    async def expire_holds(self, connection: Connection) -> None:
        """Gives back what nobody resolved in time."""
        if expired := await store.expire_holds(connection, self._clock.now(), PEOPLE_EXPIRED_AT_ONCE):
            _expired.inc(expired)
            log.warning("reservations expired", count=expired)

    async def forget_requests(self, connection: Connection) -> None:
        """Forgets request ids that nobody repeats any more."""
        await store.forget_requests(connection, self._clock.now() - self._remembered)


async def publish(catalogue: Catalogue, worker: Database, clock: Clock) -> None:
    """Makes each plan that is new or has changed a version in the database. Plans no longer listed keep theirs."""
    async with worker.transaction() as connection:
        await store.lock_catalogue(connection)
        current = await store.current_plans(connection)
        for plan in catalogue.plans:
            version, known = current.get(plan.id, (0, None))
            if plan != known:
                await store.add_plan_version(connection, plan, version + 1, clock.now())
                log.info("plan version made", plan=plan.id, version=version + 1)


class NoSuchPlan(Exception):
    """The database knows no such plan; says which it knows."""


async def grant(worker: Database, clock: Clock, person_id: UUID, plan_id: str, days: int) -> Span:
    """Gives the person days on a plan, after those they have on it already, as the operator. Raises NoSuchPlan."""
    now = clock.now()
    async with worker.transaction() as connection:
        plans = await store.current_plans(connection)
        if plan_id not in plans:
            raise NoSuchPlan(f"there is no plan {plan_id!r}; there are: {', '.join(plans) or 'none yet'}")
        version, _ = plans[plan_id]
        await store.lock_person(connection, person_id)
        starts_at = await store.subscribed_until(connection, person_id, plan_id, now) or now
        period = Span(starts_at, starts_at + timedelta(days=days))
        await store.add_subscription(connection, uuid4(), person_id, plan_id, version, period, "operator", now)
    return period


async def audit(worker: Database) -> list[str]:
    """Recomputes everything from the ledger. One line for each thing that does not agree with it; best none."""
    async with worker.transaction() as connection:
        await store.begin_snapshot(connection)
        return [f"{what}: {found}" for what, found in await store.mismatches(connection)]
