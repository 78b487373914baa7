"""Any sequence of calls, repeats, kills, restarts and weeks leaves the books as twenty lines of arithmetic say."""

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID, uuid4

import pytest
from billing.allowance import Reservation
from billing.catalogue import Catalogue, Plan
from billing.errors import AllowanceExhausted, IdempotencyMismatch, ReservationNotFound, ReservationResolved
from billing.windows import WindowKind
from billing_desk import NOON, Desk, Hands, open_desk
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)
from stores import ServiceDatabase, ServiceDatabaseFactory

T = TypeVar("T")
FREE, PREMIUM = 2, 3
PLANS = Catalogue(  # small, so that it is soon used up
    plans=(
        Plan(id="free", limit=FREE, window=WindowKind.CALENDAR_MONTH, priority=0),
        Plan(id="premium", limit=PREMIUM, window=WindowKind.CALENDAR_DAY, priority=1, period_days=1, prices={"XTR": 1}),
    )
)
STEPS = (
    *("reserve",) * 5,
    *("commit",) * 4,
    *("pass_time",) * 3,
    *("release", "repeat", "repeat", "look", "grant"),
    *("misuse_a_request_id", "act_as_another_person", "die_before_the_commit", "restart", "keep_house"),
)
MOSCOW = timedelta(hours=3)


@dataclass
class Hold:
    letter: UUID
    window: tuple[str, date]
    expires_at: datetime
    state: str = "held"
    gift: bool = False


class Model:
    """What billing promises, in the plainest words."""

    def __init__(self) -> None:
        self.holds: list[Hold] = []
        self.premium_until = NOON - timedelta(days=1)

    def window(self, now: datetime) -> tuple[tuple[str, date], int]:
        today = (now + MOSCOW).date()
        return (("premium", today), PREMIUM) if now < self.premium_until else (("free", today.replace(day=1)), FREE)

    def count(self, window: tuple[str, date], state: str) -> int:
        return sum(hold.window == window and hold.state == state and not hold.gift for hold in self.holds)

    def has_room(self, window: tuple[str, date]) -> bool:
        limit = PREMIUM if window[0] == "premium" else FREE
        return self.count(window, "held") + self.count(window, "committed") < limit

    def expire(self, now: datetime) -> None:
        for hold in self.holds:
            if hold.state == "held" and hold.expires_at <= now:
                hold.state = "expired"

    def standing(self, letter: UUID) -> Hold | None:
        return next(
            (each for each in self.holds if each.letter == letter and each.state in ("held", "committed")), None
        )

    def reserve(self, letter: UUID, now: datetime) -> Hold | None:
        hold = self.standing(letter)
        window, _ = self.window(now)
        if hold is None and self.has_room(window):
            self.holds.append(hold := Hold(letter, window, now + timedelta(minutes=30)))
        return hold

    def commit(self, hold: Hold) -> Hold | None:
        hold = (self.standing(hold.letter) or hold) if hold.state == "expired" else hold
        if hold.state == "released":
            return None
        hold.gift |= hold.state == "expired" and not self.has_room(hold.window)
        hold.state = "committed"
        return hold

    def release(self, hold: Hold) -> Hold | None:
        if hold.state == "held":
            hold.state = "released"
        return None if hold.state == "committed" else hold


class Machine(RuleBasedStateMachine):
    """The real desk and the model, side by side. Each run is a person of their own."""

    database: ServiceDatabase
    loop: asyncio.AbstractEventLoop

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.clock = Hands()
        self.person = uuid4()
        self.letters = [uuid4() for _ in range(4)]
        self.holds: list[tuple[Hold, Reservation]] = []
        """Each of the model's holds and what billing calls it."""
        self.done: list[tuple[str, UUID, UUID, Hold]] = []
        """Requests that had an answer: operation, request id, subject, hold."""

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(timeout=30)

    def ask(self, operation: str, request: UUID, subject: UUID, person: UUID | None = None) -> Reservation:
        if operation == "reserve":
            return self.run(self.desk.reserve(person or self.person, subject, request)).reservation
        resolve = self.desk.allowances.commit if operation == "commit" else self.desk.allowances.release
        return self.run(resolve(request, person or self.person, subject))

    @initialize()
    def start(self) -> None:
        self.stack = AsyncExitStack()
        self.desk: Desk = self.run(self.stack.enter_async_context(open_desk(self.database, self.clock, PLANS)))

    # One rule for all: rules of their own would be switched off in most runs, and the depth is in their mixture.
    @rule(step=st.sampled_from(STEPS), number=st.integers(0, 11))
    def go_on(self, step: str, number: int) -> None:
        self.model.expire(self.clock.now())
        getattr(self, step)(number)

    def reserve(self, number: int) -> None:
        request, letter = uuid4(), self.letters[number % len(self.letters)]
        expected = self.model.reserve(letter, self.clock.now())
        if expected is None:
            with pytest.raises(AllowanceExhausted):
                self.ask("reserve", request, letter)
            return
        answer = self.ask("reserve", request, letter)
        if all(hold is not expected for hold, _ in self.holds):
            self.holds.append((expected, answer))
        self.check(answer, expected)
        self.done.append(("reserve", request, letter, expected))

    def commit(self, number: int) -> None:
        self.resolve("commit", number)

    def release(self, number: int) -> None:
        self.resolve("release", number)

    def resolve(self, operation: str, number: int) -> None:
        if not self.holds:
            return
        hold, reservation = self.holds[-1 - number % len(self.holds)]
        request = uuid4()
        expected = self.model.commit(hold) if operation == "commit" else self.model.release(hold)
        if expected is None:
            with pytest.raises(ReservationResolved):
                self.ask(operation, request, reservation.reservation_id)
            return
        self.check(self.ask(operation, request, reservation.reservation_id), expected)
        self.done.append((operation, request, reservation.reservation_id, expected))

    def repeat(self, number: int) -> None:
        if self.done:
            operation, request, subject, expected = self.done[-1 - number % len(self.done)]
            self.check(self.ask(operation, request, subject), expected)

    def pass_time(self, number: int) -> None:
        self.clock.pass_by(minutes=[1, 29, 30, 30, 31, 31, 31, 31, 60, 9 * 60, 9 * 60, 8 * 24 * 60][number])

    def grant(self, number: int) -> None:
        days = 1 + number % 2
        self.model.premium_until = max(self.clock.now(), self.model.premium_until) + timedelta(days=days)
        self.run(self.desk.grant(self.person, "premium", days))

    def look(self, _: int = 0) -> None:
        self.model.expire(self.clock.now())
        told = self.run(self.desk.allowances.get(self.person))
        window, limit = self.model.window(self.clock.now())
        counted = (self.model.count(window, "committed"), self.model.count(window, "held"))
        assert (told.plan_id, told.limit, told.used, told.reserved) == (window[0], limit, *counted)

    def misuse_a_request_id(self, number: int) -> None:
        if self.done:
            _, request, _, _ = self.done[number % len(self.done)]
            with pytest.raises(IdempotencyMismatch):
                self.ask(["reserve", "commit", "release"][number % 3], request, uuid4())

    def act_as_another_person(self, number: int) -> None:
        if self.holds:
            _, reservation = self.holds[number % len(self.holds)]
            with pytest.raises(ReservationNotFound):
                self.ask(["commit", "release"][number % 2], uuid4(), reservation.reservation_id, person=uuid4())

    def die_before_the_commit(self, number: int) -> None:
        now, later = self.clock.now(), self.clock.now() + timedelta(days=1)
        ids = (uuid4(), self.person, self.letters[number % len(self.letters)], uuid4())

        async def die() -> None:
            async with self.desk.requests.transaction() as connection:
                await connection.execute("SELECT reserve($1, $2, $3, $4, $5, $6, $5, $6, $5, $6)", *ids, now, later)
                raise InterruptedError

        with pytest.raises(InterruptedError):
            self.run(die())

    def restart(self, _: int) -> None:
        self.run(self.stack.aclose())
        self.start()

    def keep_house(self, _: int) -> None:
        self.run(self.desk.keep_house())

    def check(self, answer: Reservation, expected: Hold) -> None:
        known = next(reservation for hold, reservation in self.holds if hold is expected)
        assert (answer.reservation_id, answer.letter_id) == (known.reservation_id, expected.letter)
        assert (answer.state, answer.expires_at) == (expected.state, expected.expires_at)

    def teardown(self) -> None:
        if hasattr(self, "desk"):
            try:
                self.look()
                assert self.run(self.desk.audit()) == []
            finally:
                self.run(self.stack.aclose())


@pytest.fixture
async def database(service_database: ServiceDatabaseFactory) -> ServiceDatabase:
    return await service_database("billing")


async def test_no_sequence_of_calls_repeats_kills_and_restarts_leaves_the_books_wrong(
    database: ServiceDatabase,
) -> None:
    class Bound(Machine):
        loop = asyncio.get_running_loop()

    Bound.database = database
    bounds = settings(
        max_examples=30, stateful_step_count=50, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    await asyncio.to_thread(run_state_machine_as_test, Bound, settings=bounds)
