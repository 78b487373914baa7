"""What generation says of its models to whoever watches over it."""

import pytest
from generation.breaker import Breaker, SharedBreaker
from generation.ports import ModelUnavailable
from generation.shared import Shared
from prometheus_client import REGISTRY
from redis.asyncio import Redis


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def resting(model: str) -> float | None:
    return REGISTRY.get_sample_value("pismo_generation_model_resting", {"model": model})


async def test_a_model_rests_from_its_failures_until_a_probe_has_found_it_well() -> None:
    clock = Clock()
    passages = SharedBreaker("weary", Shared(None), Breaker(clock, failures=1), longest_call_seconds=120)
    assert resting("weary") == 0
    with pytest.raises(ModelUnavailable):
        async with passages.passage():
            raise ModelUnavailable("http_500")
    assert resting("weary") == 1
    clock.now += 15
    with pytest.raises(ModelUnavailable):
        async with passages.passage():
            raise ModelUnavailable("http_500")
    assert resting("weary") == 1
    clock.now += 15
    async with passages.passage():
        pass
    assert resting("weary") == 0


async def test_a_redis_that_does_not_answer_is_counted() -> None:
    def failures() -> float:
        return REGISTRY.get_sample_value("pismo_generation_redis_failures_total") or 0

    before = failures()
    shared = Shared(Redis(port=1))
    assert await shared.ask(lambda redis: redis.get("key")) is None
    assert failures() == before + 1
