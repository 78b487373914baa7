"""Redis as what all pods know together, which may be lost at any time and away for any while."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar

from prometheus_client import Counter
from redis.asyncio import Redis
from redis.commands.core import AsyncScript
from redis.exceptions import RedisError

T = TypeVar("T")

ANSWER_SECONDS: Final = 0.4
"""Under the half second that a frozen Redis may cost a letter."""
REST_SECONDS: Final = 1.0
"""After a failure nobody asks for so long: one letter a second finds out whether Redis is back, the others go on."""

_failures = Counter("pismo_generation_redis_failures", "Questions that Redis did not answer")


class Shared:
    """Asks Redis, and takes silence for an answer."""

    def __init__(self, redis: Redis | None, clock: Callable[[], float] = time.monotonic) -> None:
        """`redis` must not retry by itself; None is a Redis that is always away. `clock` counts seconds."""
        self._redis = redis
        self._clock = clock
        self._rest_until = float("-inf")
        self._scripts: dict[str, AsyncScript] = {}

    async def ask(self, question: Callable[[Redis], Awaitable[T]]) -> T | None:
        """What `question` finds out (never None), or None within `ANSWER_SECONDS` when Redis is away."""
        if self._redis is None or self._clock() < self._rest_until:
            return None
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await question(self._redis)
        except (RedisError, OSError, TimeoutError):
            _failures.inc()
            self._rest_until = self._clock() + REST_SECONDS
            return None

    async def run(self, lua: str, keys: Sequence[str], arguments: Sequence[str | int]) -> Any | None:
        """What the script returns, in one round trip; None when Redis is away."""

        async def run(redis: Redis) -> Any:
            if (script := self._scripts.get(lua)) is None:
                script = self._scripts[lua] = redis.register_script(lua)
            return await script(keys=keys, args=arguments)

        return await self.ask(run)
