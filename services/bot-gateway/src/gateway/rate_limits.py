"""How often a person may ask: exact sliding windows in Redis, all limits of an update in one round trip.

While Redis is away every process bounds by itself, which lets people do more, never less.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, TypeVar, cast
from uuid import UUID

import structlog
from prometheus_client import Counter
from redis.asyncio import Redis
from redis.exceptions import RedisError
from servicekit.clock import Clock

from gateway.errors import RateLimited

if TYPE_CHECKING:
    from redis.commands.core import AsyncScript

ANSWER_SECONDS = 0.4
REST_SECONDS = 2.0
"""How long Redis is left alone after it failed, so that not every update waits for it."""
REMEMBERED_WINDOWS = 10_000

T = TypeVar("T")

_failures = Counter("pismo_gateway_redis_failures", "Questions that Redis did not answer")

log = structlog.get_logger()


@dataclass(frozen=True)
class Limit:
    name: str
    most: int
    window_seconds: int


COMMANDS = Limit("commands", 5, 60)
AI_REQUESTS = Limit("ai_requests", 3, 300)


class LocalWindows:
    """The same windows in this process's memory."""

    def __init__(self) -> None:
        self._windows: dict[str, dict[str, float]] = {}

    def take(self, keys: Sequence[str], limits: Sequence[Limit], member: str, now: float) -> tuple[int, float]:
        """As the script: (0, 0), or which limit is full and the seconds to wait."""
        found = []
        for number, (key, limit) in enumerate(zip(keys, limits, strict=True), start=1):
            taken = self._windows.get(key, {})
            window = {each: at for each, at in taken.items() if at > now - limit.window_seconds}
            if member not in window and len(window) >= limit.most:
                return number, min(window.values()) + limit.window_seconds - now
            found.append((key, window))
        for key, window in found:
            window.setdefault(member, now)
            self._windows.pop(key, None)
            self._windows[key] = window
        while len(self._windows) > REMEMBERED_WINDOWS:
            del self._windows[next(iter(self._windows))]
        return 0, 0

    def give_back(self, key: str, member: str) -> None:
        self._windows.get(key, {}).pop(member, None)


class RateLimits:
    """Takes from a person's limits. A member that was taken counts once, so a second run of an update costs nothing."""

    def __init__(self, redis: Redis, clock: Clock) -> None:
        self._redis = redis
        self._clock = clock
        self._script: AsyncScript = redis.register_script((files(__package__) / "rate_limits.lua").read_text())
        self._local = LocalWindows()
        self._rests_until = float("-inf")

    async def take(self, person_id: UUID, limits: Sequence[Limit], member: str) -> None:
        """Takes one of every limit, or of none. Raises RateLimited with the whole seconds to wait."""
        now = self._clock.now().timestamp()
        keys = [_key(person_id, limit) for limit in limits]
        arguments: list[str | int] = [round(now * 1000), member]
        for limit in limits:
            arguments += [limit.most, limit.window_seconds * 1000]

        async def ask() -> tuple[int, float]:
            full, wait_ms = cast("list[int]", await self._script(keys=keys, args=arguments))
            return full, wait_ms / 1000

        answer = await self._asked(ask)
        full, wait = answer if answer is not None else self._local.take(keys, limits, member, now)
        if full:
            raise RateLimited(limits[full - 1].name, max(1, math.ceil(wait)))

    async def give_back(self, person_id: UUID, limit: Limit, member: str) -> None:
        """Undoes a take: what was refused elsewhere does not count."""
        key = _key(person_id, limit)

        async def ask() -> int:
            return await self._redis.zrem(key, member)

        self._local.give_back(key, member)
        await self._asked(ask)

    async def _asked(self, ask: Callable[[], Awaitable[T]]) -> T | None:
        """What Redis answers; None, soon, while it is away."""
        loop = asyncio.get_running_loop()
        if loop.time() < self._rests_until:
            return None
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await ask()
        except (RedisError, OSError, TimeoutError) as error:
            self._rests_until = loop.time() + REST_SECONDS
            _failures.inc()
            log.warning("rate limits are kept by each process while Redis is away", error_type=type(error).__name__)
            return None


def _key(person_id: UUID, limit: Limit) -> str:
    return f"pismo:gateway:limit:{{{person_id}}}:{limit.name}"


class PersonLimits:
    """One person's limits, while one of their updates is handled."""

    def __init__(self, limits: RateLimits, person_id: UUID, *, exempt: bool) -> None:
        self._limits = limits
        self._person_id = person_id
        self._exempt = exempt

    async def take(self, limit: Limit, request_id: UUID) -> None:
        """Counts a request, once however often it is made. Raises RateLimited."""
        if self._exempt:
            log.info("an admin is exempt from rate limits", limit=limit.name, person_id=str(self._person_id))
            return
        await self._limits.take(self._person_id, [limit], str(request_id))

    async def give_back(self, limit: Limit, request_id: UUID) -> None:
        """The request came to nothing, and does not count."""
        if not self._exempt:
            await self._limits.give_back(self._person_id, limit, str(request_id))
