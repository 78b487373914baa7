"""Rate limits are exact: Redis, the script and a model of them never disagree."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID, uuid4

import pytest
from gateway.errors import RateLimited
from gateway.rate_limits import AI_REQUESTS, COMMANDS, Limit, LocalWindows, PersonLimits, RateLimits
from gateway_house import NOON, StillClock
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis
from servicekit import redis

PERSON = UUID(int=7)
SMALL = Limit("small", 2, 10)
WIDE = Limit("wide", 3, 25)


class Model:
    """What the limits mean, in the plainest words."""

    def __init__(self) -> None:
        self.taken: dict[str, dict[str, float]] = {SMALL.name: {}, WIDE.name: {}}

    def take(self, limits: list[Limit], member: str, now: float) -> tuple[str, int] | None:
        for limit in limits:
            live = {each: at for each, at in self.taken[limit.name].items() if now - at < limit.window_seconds}
            self.taken[limit.name] = live
            if member not in live and len(live) >= limit.most:
                wait = min(live.values()) + limit.window_seconds - now
                return limit.name, max(1, int(-(-wait // 1)))
        for limit in limits:
            self.taken[limit.name].setdefault(member, now)
        return None


@asynccontextmanager
async def opened(url: str, clock: StillClock) -> AsyncIterator[RateLimits]:
    client = redis.connect(url)
    try:
        yield RateLimits(client, clock)
    finally:
        await client.aclose()


async def took(limits: RateLimits, wanted: list[Limit], member: str, person: UUID) -> tuple[str, int] | None:
    try:
        await limits.take(person, wanted, member)
    except RateLimited as limited:
        return limited.limit, limited.retry_after_seconds
    return None


STEPS = st.lists(
    st.tuples(
        st.integers(0, 12_000),
        st.sampled_from([[SMALL], [WIDE], [SMALL, WIDE]]),
        st.integers(0, 8).map(str),
        st.booleans(),
    ),
    max_size=30,
)


# Every example has a person of its own, so that one database serves all.
@given(steps=STEPS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_script_agrees_with_the_model(redis_url: str, steps: list[tuple[int, list[Limit], str, bool]]) -> None:
    async def check() -> None:
        clock, model, person = StillClock(), Model(), uuid4()
        async with opened(redis_url, clock) as limits:
            for milliseconds, wanted, member, given_back in steps:
                clock.pass_by(milliseconds / 1000)
                now = clock.now().timestamp()
                assert await took(limits, wanted, member, person) == model.take(wanted, member, now)
                if given_back:
                    await limits.give_back(person, wanted[0], member)
                    model.taken[wanted[0].name].pop(member, None)

    asyncio.run(check())


@given(steps=STEPS)
def test_a_process_alone_agrees_with_the_model(steps: list[tuple[int, list[Limit], str, bool]]) -> None:
    clock, model, alone = StillClock(), Model(), LocalWindows()
    for milliseconds, wanted, member, given_back in steps:
        clock.pass_by(milliseconds / 1000)
        now = clock.now().timestamp()
        full, _ = alone.take([limit.name for limit in wanted], wanted, member, now)
        expected = model.take(wanted, member, now)
        assert (wanted[full - 1].name if full else None) == (expected[0] if expected else None)
        if given_back:
            alone.give_back(wanted[0].name, member)
            model.taken[wanted[0].name].pop(member, None)


async def test_fifty_at_once_get_exactly_the_limit(redis_url: str) -> None:
    async with opened(redis_url, StillClock()) as limits:
        answers = await asyncio.gather(*(took(limits, [COMMANDS], str(number), PERSON) for number in range(50)))
    assert answers.count(None) == COMMANDS.most


async def test_a_window_ends_to_the_millisecond(redis_url: str) -> None:
    clock = StillClock()
    async with opened(redis_url, clock) as limits:
        for number in range(AI_REQUESTS.most):
            await limits.take(PERSON, [AI_REQUESTS], str(number))
        clock.pass_by(299.999)
        assert await took(limits, [AI_REQUESTS], "late", PERSON) == ("ai_requests", 1)
        clock.pass_by(0.001)
        assert await took(limits, [AI_REQUESTS], "late", PERSON) is None


async def test_people_do_not_share_limits_and_keys_hold_no_telegram_id(redis_url: str) -> None:
    async with opened(redis_url, StillClock()) as limits:
        for number in range(COMMANDS.most):
            await limits.take(PERSON, [COMMANDS], str(number))
        assert await took(limits, [COMMANDS], "x", uuid4()) is None
    client: Redis = redis.connect(redis_url)
    keys = sorted(str(key, "utf-8") for key in await client.keys() if isinstance(key, bytes))
    assert f"pismo:gateway:limit:{{{PERSON}}}:commands" in keys
    assert len(keys) == 2
    for key in keys:
        assert 0 < await client.pttl(key) <= COMMANDS.window_seconds * 1000
    await client.aclose()


async def test_an_admin_takes_nothing(redis_url: str) -> None:
    async with opened(redis_url, StillClock()) as limits:
        admin = PersonLimits(limits, PERSON, exempt=True)
        for _ in range(20):
            await admin.take(COMMANDS, uuid4())
            await admin.give_back(COMMANDS, uuid4())
        assert await took(limits, [COMMANDS], "x", PERSON) is None


async def test_without_redis_each_process_bounds_by_itself_and_soon() -> None:
    async with opened("redis://127.0.0.1:1/0", StillClock()) as limits:
        began = time.monotonic()
        answers = [await took(limits, [COMMANDS], str(number), PERSON) for number in range(8)]
        assert time.monotonic() - began < 0.5
    assert answers.count(None) == COMMANDS.most
    assert answers[-1] == ("commands", 60)


async def test_a_frozen_redis_holds_nobody_up() -> None:
    async def freeze(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    server = await asyncio.start_server(freeze, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with opened(f"redis://127.0.0.1:{port}/0", StillClock()) as limits:
        began = time.monotonic()
        for number in range(3):
            await limits.take(PERSON, [COMMANDS], str(number))
        assert time.monotonic() - began < 0.6
    server.close()


@pytest.mark.parametrize("member", ["a", "b"])
async def test_a_second_run_of_an_update_costs_nothing(redis_url: str, member: str) -> None:
    clock = StillClock(NOON)
    async with opened(redis_url, clock) as limits:
        for _ in range(10):
            await limits.take(PERSON, [COMMANDS], member)
        assert await took(limits, [COMMANDS], "other", PERSON) is None
