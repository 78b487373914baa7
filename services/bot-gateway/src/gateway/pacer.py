"""When the next call to Telegram may be made: a bot has about 30 a second in all, a chat about one new message."""

import asyncio
import heapq
import itertools
from enum import IntEnum

CALLS_PER_SECOND = 28.0
BURST_CALLS = 10
CHAT_MESSAGES_PER_SECOND = 1.0
CHAT_BURST_MESSAGES = 6
REMEMBERED_CHATS = 10_000


class Priority(IntEnum):
    """Who goes first when not all can."""

    BUTTON = 0
    ANSWER = 1
    LETTER = 2
    LIVE = 3


class _Bucket:
    """Lets a burst through, then a steady rate."""

    def __init__(self, rate: float, burst: int, now: float) -> None:
        self._interval = 1 / rate
        self._slack = (burst - 1) * self._interval
        self._next = now - self._slack

    def wait(self, now: float) -> float:
        """Seconds until the next may pass."""
        return max(0.0, self._next - now)

    def take(self, now: float) -> float:
        """Takes the next place and gives the seconds until its time has come."""
        self._next = max(self._next, now - self._slack)
        wait = max(0.0, self._next - now)
        self._next += self._interval
        return wait


class Pacer:
    """Hands out turns, the most urgent first, and holds all of them when Telegram says so."""

    def __init__(
        self, calls_per_second: float = CALLS_PER_SECOND, messages_per_second: float = CHAT_MESSAGES_PER_SECOND
    ) -> None:
        """`messages_per_second` are one chat's."""
        self._rate = calls_per_second
        self._chat_rate = messages_per_second
        self._all: _Bucket | None = None
        self._chats: dict[int, _Bucket] = {}
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = itertools.count()
        self._timer: asyncio.TimerHandle | None = None
        self._held_until = float("-inf")

    async def turn(self, priority: Priority, chat_id: int | None = None) -> None:
        """Returns when the call may be made. With a chat, that chat's own pace of new messages is kept too."""
        loop = asyncio.get_running_loop()
        if chat_id is not None and (wait := self._chat(chat_id, loop.time()).take(loop.time())):
            await asyncio.sleep(wait)
        place: asyncio.Future[None] = loop.create_future()
        heapq.heappush(self._waiting, (priority, next(self._order), place))
        self._hand_out()
        await place

    def hold(self, seconds: float) -> None:
        """Nobody's turn comes for so long: Telegram answers 429 to all calls of a bot."""
        self._held_until = max(self._held_until, asyncio.get_running_loop().time() + seconds)

    def _chat(self, chat_id: int, now: float) -> _Bucket:
        bucket = self._chats.pop(chat_id, None) or _Bucket(self._chat_rate, CHAT_BURST_MESSAGES, now)
        self._chats[chat_id] = bucket
        if len(self._chats) > REMEMBERED_CHATS:
            del self._chats[next(iter(self._chats))]
        return bucket

    def _hand_out(self) -> None:
        loop = asyncio.get_running_loop()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._all is None:
            self._all = _Bucket(self._rate, BURST_CALLS, loop.time())
        while self._waiting:
            if self._waiting[0][2].done():
                heapq.heappop(self._waiting)
                continue
            now = loop.time()
            wait = max(self._held_until - now, self._all.wait(now))
            if wait > 0:
                self._timer = loop.call_later(wait, self._hand_out)
                return
            self._all.take(now)
            heapq.heappop(self._waiting)[2].set_result(None)
