"""How often a model may be called: calls and tokens a minute in all pods together, calls at once in this one."""

from __future__ import annotations

import time
import uuid
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from redis.asyncio import Redis

from generation.chain_file import Entry
from generation.ports import Held
from generation.shared import Shared

WINDOW_SECONDS: Final = 60.0
AWAY_SHARE: Final = 4
"""With Redis away a pod allows itself one part in so many of each limit: so many pods together stay within it."""
BUSY_SECONDS: Final = 1.0
"""When all slots of a model are taken, look again after so long."""

# One exact sliding window for calls and tokens: a sorted set of calls by the time they began, each member "tokens:id",
# and the sum of its tokens beside it, so that a call costs O(expired) and not O(window). Returns milliseconds to wait;
# 0 means that the call is counted. Redis's own clock is the one that all pods share.
_ADMIT: Final = """
local blocked = redis.call('PTTL', KEYS[3])
if blocked > 0 then return blocked end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local window, tokens = tonumber(ARGV[1]), tonumber(ARGV[4])
local calls_limit, tokens_limit = tonumber(ARGV[2]), tonumber(ARGV[3])
local expired = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now - window)
if #expired > 0 then
  local freed = 0
  for _, member in ipairs(expired) do freed = freed + tonumber(string.match(member, '^%d+')) end
  redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - window)
  redis.call('DECRBY', KEYS[2], freed)
end
local calls = redis.call('ZCARD', KEYS[1])
local used = calls == 0 and 0 or tonumber(redis.call('GET', KEYS[2]) or '0')
if (calls_limit > 0 and calls >= calls_limit) or (tokens_limit > 0 and used > 0 and used + tokens > tokens_limit) then
  local oldest = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
  return math.max(1, tonumber(oldest[2]) + window - now)
end
redis.call('ZADD', KEYS[1], now, tokens .. ':' .. ARGV[5])
redis.call('SET', KEYS[2], used + tokens)
redis.call('PEXPIRE', KEYS[1], window)
redis.call('PEXPIRE', KEYS[2], window)
return 0
"""


class ModelLimits:
    """The limits of every model, shared through Redis; in each pod a quarter of them while Redis is away."""

    def __init__(self, shared: Shared, clock: Callable[[], float] = time.monotonic) -> None:
        self._shared = shared
        self._clock = clock
        self._running: Counter[str] = Counter()
        self._windows: dict[str, _Window] = {}
        self._blocked_until: dict[str, float] = {}

    @asynccontextmanager
    async def slot(self, entry: Entry, tokens: int) -> AsyncIterator[None]:
        """One call of the model, counted now with the tokens it is expected to use. Raises Held if it must wait."""
        if self._running[entry.name] >= entry.concurrency:
            raise Held(BUSY_SECONDS)
        self._running[entry.name] += 1
        try:
            await self._admit(entry, tokens)
            yield
        finally:
            self._running[entry.name] -= 1

    async def block(self, entry: Entry, seconds: float) -> None:
        """Nobody calls the model for so long, because its vendor asked for that."""
        milliseconds = max(1, round(seconds * 1000))
        self._blocked_until[entry.name] = self._clock() + seconds

        async def set_block(redis: Redis) -> bool:
            return bool(await redis.set(_key(entry, "blocked"), 1, px=milliseconds))

        await self._shared.ask(set_block)

    async def _admit(self, entry: Entry, tokens: int) -> None:
        if (wait := self._blocked_until.get(entry.name, 0.0) - self._clock()) > 0:
            raise Held(wait)
        calls_limit, tokens_limit = entry.requests_per_minute or 0, entry.tokens_per_minute or 0
        if entry.vendor == "offline" and not calls_limit and not tokens_limit:
            return  # nothing to share: a vendor without limits may still have told another pod to wait
        tokens = min(tokens, tokens_limit) if tokens_limit else tokens

        wait_ms = await self._shared.run(
            _ADMIT,
            [_key(entry, "calls"), _key(entry, "tokens"), _key(entry, "blocked")],
            [round(WINDOW_SECONDS * 1000), calls_limit, tokens_limit, tokens, uuid.uuid4().hex],
        )
        if wait_ms is None:
            window = self._windows.setdefault(
                entry.name, _Window(_share(calls_limit), _share(tokens_limit), self._clock)
            )
            window.admit(tokens)
        elif wait_ms > 0:
            raise Held(wait_ms / 1000)


class _Window:
    """The same sliding window inside one process."""

    def __init__(self, calls_limit: int, tokens_limit: int, clock: Callable[[], float]) -> None:
        self._calls_limit = calls_limit
        self._tokens_limit = tokens_limit
        self._clock = clock
        self._calls: deque[tuple[float, int]] = deque()
        self._tokens = 0

    def admit(self, tokens: int) -> None:
        now = self._clock()
        while self._calls and self._calls[0][0] <= now - WINDOW_SECONDS:
            self._tokens -= self._calls.popleft()[1]
        too_many_calls = 0 < self._calls_limit <= len(self._calls)
        too_many_tokens = 0 < self._tokens_limit < self._tokens + tokens and self._calls
        if too_many_calls or too_many_tokens:
            raise Held(self._calls[0][0] + WINDOW_SECONDS - now)
        self._calls.append((now, tokens))
        self._tokens += tokens


def _share(limit: int) -> int:
    return max(1, limit // AWAY_SHARE) if limit else 0


def _key(entry: Entry, what: str) -> str:
    # The braces keep a model's keys in one slot of a Redis cluster, where one script may touch them together.
    return f"generation:model:{{{entry.name}}}:{what}"
