"""The breaker's rules, with the clock in the test's hand."""

import asyncio

import pytest
from generation.breaker import Breaker, SharedBreaker
from generation.ports import Held, ModelRejected, ModelUnavailable, OrderRejected
from generation.shared import Shared


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker(clock, failures=3, window_seconds=30, open_seconds=15, rejected_seconds=300)


def fail(breaker: Breaker, times: int) -> None:
    for _ in range(times):
        breaker.failed(breaker.enter())


def is_closed(breaker: Breaker) -> bool:
    return breaker.wait_seconds == 0 and breaker.enter() is False


def held_for(breaker: Breaker) -> float:
    with pytest.raises(Held) as held:
        breaker.enter()
    return held.value.seconds


def test_it_opens_after_so_many_failures_in_a_row(breaker: Breaker) -> None:
    fail(breaker, 2)
    assert is_closed(breaker)
    fail(breaker, 1)
    assert held_for(breaker) == pytest.approx(15)


def test_failures_far_apart_do_not_open_it(breaker: Breaker, clock: Clock) -> None:
    for _ in range(10):
        fail(breaker, 1)
        clock.now += 16
    assert is_closed(breaker)


def test_a_success_between_failures_keeps_it_closed(breaker: Breaker) -> None:
    for _ in range(5):
        fail(breaker, 2)
        breaker.succeeded(breaker.enter())
    assert is_closed(breaker)


def test_half_open_it_lets_one_probe_through(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 3)
    clock.now += 15
    assert breaker.wait_seconds == 0
    assert breaker.enter() is True
    assert held_for(breaker) > 0


def test_a_good_probe_closes_it_and_the_count_starts_anew(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 3)
    clock.now += 15
    breaker.succeeded(breaker.enter())
    assert is_closed(breaker)
    fail(breaker, 2)
    assert is_closed(breaker)


def test_a_bad_probe_keeps_it_open_for_another_interval(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 3)
    clock.now += 15
    fail(breaker, 1)
    assert held_for(breaker) == pytest.approx(15)


def test_a_probe_that_says_nothing_makes_room_for_another(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 3)
    clock.now += 15
    breaker.abandoned(breaker.enter())
    assert breaker.enter() is True


def test_late_outcomes_of_calls_from_before_do_not_move_it(breaker: Breaker, clock: Clock) -> None:
    early = [breaker.enter() for _ in range(5)]
    fail(breaker, 3)
    clock.now += 10
    breaker.succeeded(early[0])
    breaker.failed(early[1])
    assert held_for(breaker) == pytest.approx(5)


def test_a_rejection_opens_it_at_once_and_for_longer(breaker: Breaker) -> None:
    breaker.rejected(breaker.enter())
    assert held_for(breaker) == pytest.approx(300)


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (ModelUnavailable("http_500"), 15),
        (ModelRejected("http_401"), 300),
        (OrderRejected("http_400"), 0),
    ],
)
async def test_only_failures_that_are_the_models_fault_open_it(error: Exception, seconds: float, clock: Clock) -> None:
    passages = SharedBreaker("m", Shared(None), Breaker(clock, failures=1), longest_call_seconds=120)
    with pytest.raises(type(error)):
        async with passages.passage():
            raise error
    assert passages.wait_seconds == seconds


async def test_a_stopped_call_says_nothing_of_the_model(clock: Clock) -> None:
    passages = SharedBreaker("m", Shared(None), Breaker(clock, failures=1), longest_call_seconds=120)
    await fail_once(passages)
    clock.now += 15

    async def stopped() -> None:
        async with passages.passage():
            await asyncio.sleep(60)

    task = asyncio.create_task(stopped())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await race([passages] * 20) == 1
    assert await race([passages] * 20) == 20


async def test_of_twenty_racers_in_one_process_one_probes(clock: Clock) -> None:
    passages = SharedBreaker("m", Shared(None), Breaker(clock, failures=1), longest_call_seconds=120)
    await fail_once(passages)
    clock.now += 15
    assert await race([passages] * 20) == 1
    assert await race([passages] * 20) == 20


async def fail_once(passages: SharedBreaker) -> None:
    with pytest.raises(ModelUnavailable):
        async with passages.passage():
            raise ModelUnavailable("http_500")


async def race(racers: list[SharedBreaker]) -> int:
    """How many of them got through while the first was still on its way."""
    through = 0

    async def run(passages: SharedBreaker) -> None:
        nonlocal through
        try:
            async with passages.passage():
                through += 1
                await asyncio.sleep(0.05)
        except Held:
            pass

    await asyncio.gather(*(run(passages) for passages in racers))
    return through
