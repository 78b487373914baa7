"""A breaker for each model: after some failures in a row nobody calls it, until one probe finds it well again."""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import structlog
from prometheus_client import Gauge
from redis.asyncio import Redis

from generation.ports import Held, ModelFailure, ModelRejected
from generation.shared import Shared

FAILURES: Final = 5
WINDOW_SECONDS: Final = 30.0
OPEN_SECONDS: Final = 15.0
"""From opening to the probe, and from one failed probe to the next."""
REJECTED_SECONDS: Final = 300.0
"""The same after a rejection: a key that is wrong now will hardly be right in a moment."""
ELSEWHERE_SECONDS: Final = 1.0
"""While another probe is out, look again after so long."""

_resting = Gauge("pismo_generation_model_resting", "1 while this process lets no call but a probe through", ["model"])

log = structlog.get_logger()


class Breaker:
    """The rules alone: closed → open → half open.

    It opens after `failures` in a row within `window_seconds`, and once half open lets one probe through at a time.

    Every `enter` that returned is followed by exactly one of `succeeded`, `failed`, `rejected` and `abandoned`, given
    what `enter` returned. Outcomes of calls that began before the breaker opened neither close it nor keep it open.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        failures: int = FAILURES,
        window_seconds: float = WINDOW_SECONDS,
        open_seconds: float = OPEN_SECONDS,
        rejected_seconds: float = REJECTED_SECONDS,
    ) -> None:
        self._clock = clock
        self._window_seconds = window_seconds
        self._open_seconds = open_seconds
        self._rejected_seconds = rejected_seconds
        self._failed_at: deque[float] = deque(maxlen=failures)
        self._probe_at: float | None = None
        self._probing = False

    @property
    def closed(self) -> bool:
        """Whether calls go through freely."""
        return self._probe_at is None

    @property
    def wait_seconds(self) -> float:
        """Until a call may be let through; 0 if one may now."""
        return 0.0 if self._probe_at is None else max(0.0, self._probe_at - self._clock())

    def enter(self) -> bool:
        """Lets a call through; True if it is the probe. Raises Held while it is open or another probe is out."""
        if self._probe_at is None:
            return False
        if (wait := self.wait_seconds) > 0:
            raise Held(wait)
        if self._probing:
            raise Held(ELSEWHERE_SECONDS)
        self._probing = True
        return True

    def succeeded(self, probe: bool) -> None:
        if probe:
            self._probing = False
            self._probe_at = None
        self._failed_at.clear()

    def failed(self, probe: bool) -> None:
        now = self._clock()
        if probe:
            self._probing = False
            self._probe_at = now + self._open_seconds
        elif self._probe_at is None:
            self._failed_at.append(now)
            if len(self._failed_at) == self._failed_at.maxlen and now - self._failed_at[0] <= self._window_seconds:
                self._probe_at = now + self._open_seconds

    def rejected(self, probe: bool) -> None:
        """The vendor will not serve us: opens at once, and for longer."""
        self._probing = self._probing and not probe
        self._probe_at = self._clock() + self._rejected_seconds

    def abandoned(self, probe: bool, retry_seconds: float = 0.0) -> None:
        """The call said nothing about the model's health. A probe may be tried again after `retry_seconds`."""
        if probe:
            self._probing = False
            self._probe_at = self._clock() + retry_seconds


# A token is given back only by who took it: it may have run out meanwhile and be another's.
_GIVE_BACK: Final = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
local milliseconds = tonumber(ARGV[2])
if milliseconds > 0 then return redis.call('PEXPIRE', KEYS[1], milliseconds) end
return redis.call('DEL', KEYS[1])
"""


class SharedBreaker:
    """A model's breaker in this process, which sends a probe only while no other process has one out.

    Each process counts its own failures and closes by its own success; what is shared is the probe, as a token in
    Redis, which after a failed probe stays until the next is due. With Redis away each process probes for itself.
    """

    def __init__(self, name: str, shared: Shared, breaker: Breaker, *, longest_call_seconds: float) -> None:
        """`longest_call_seconds` bounds a probe: the token of a process that died is gone by then."""
        self._name = name
        self._key = f"generation:model:{{{name}}}:probe"
        self._shared = shared
        self._breaker = breaker
        self._token_ms = round(longest_call_seconds * 1000)
        self._resting = _resting.labels(name)

    @property
    def wait_seconds(self) -> float:
        """Until a call may be let through; 0 if one may now."""
        return self._breaker.wait_seconds

    @asynccontextmanager
    async def passage(self) -> AsyncIterator[None]:
        """One call of the model; how it leaves the block is what the breaker learns. Raises Held while it is open."""
        probe = self._breaker.enter()
        token = uuid.uuid4().hex if probe else None
        try:
            if token and not await self._take(token):
                raise Held(ELSEWHERE_SECONDS)
            yield
        except ModelFailure as failure:
            if isinstance(failure, ModelRejected):
                self._breaker.rejected(probe)
            elif failure.counts:
                self._breaker.failed(probe)
            else:
                self._breaker.abandoned(probe)
            if rest := self.wait_seconds:
                log.warning("model_rests", model=self._name, reason=failure.reason, seconds=round(rest))
            raise
        except Held as held:
            self._breaker.abandoned(probe, held.seconds)
            raise
        except BaseException:
            self._breaker.abandoned(probe)
            raise
        else:
            self._breaker.succeeded(probe)
        finally:
            self._resting.set(not self._breaker.closed)
            if token:
                rest_ms = round(self._breaker.wait_seconds * 1000)
                await self._shared.run(_GIVE_BACK, [self._key], [token, rest_ms])

    async def _take(self, token: str) -> bool:
        async def take(redis: Redis) -> bool:
            return bool(await redis.set(self._key, token, nx=True, px=self._token_ms))

        return await self._shared.ask(take) is not False
