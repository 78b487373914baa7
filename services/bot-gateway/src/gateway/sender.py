"""Sends what the outbox of chats holds: in order within a chat, buttons first, nobody's turn before it comes."""

import asyncio
from collections import deque
from collections.abc import Coroutine
from datetime import timedelta
from functools import partial
from typing import Any

import structlog
from aiogram.methods import AnswerCallbackQuery, EditMessageText, SendMessage, TelegramMethod
from opentelemetry.trace import SpanKind
from servicekit import telemetry
from servicekit.clock import Clock
from servicekit.keys import CannotDecrypt, KeyRing
from servicekit.postgres import STORE_ERRORS, Database

from gateway import store
from gateway.errors import LeadershipLost
from gateway.inbox import outgoing_place
from gateway.pacer import Priority
from gateway.patience import backoff_seconds, keep_at_last, wait_any
from gateway.store import Outgoing
from gateway.telegram import Blocked, Rejected, Unreachable, Voice

IDLE_SECONDS = 0.1
STORE_RETRY_SECONDS = 0.5
MOST_IN_HAND = 1_000
OLDEST_BUTTON_ANSWER = timedelta(seconds=30)
"""Telegram takes no answer to a button that was pressed longer ago."""
OLDEST_CALL = timedelta(days=1)

METHODS: dict[str, type[TelegramMethod[Any]]] = {
    method.__api_method__: method
    for method in (
        SendMessage,
        EditMessageText,
        AnswerCallbackQuery,
    )
}
"""What handlers may call."""

log = structlog.get_logger()


class Sender:
    """A leader's duty. A call that was made and not yet crossed out when the process died is made again."""

    def __init__(self, bot_id: int, database: Database, keys: KeyRing, voice: Voice, clock: Clock) -> None:
        self._bot_id = bot_id
        self._database = database
        self._keys = keys
        self._voice = voice
        self._clock = clock
        self.arrived = asyncio.Event()
        """Set when there is something new to send."""
        self._lanes: dict[int, deque[Outgoing]] = {}
        self._in_hand: set[int] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, stopping: asyncio.Event) -> None:
        """Sends until the service stops, then ends the calls that it has begun."""
        try:
            while not stopping.is_set():
                self.arrived.clear()
                try:
                    found = await self._take_up(stopping)
                except STORE_ERRORS as error:
                    # What is in hand goes on: a call that was broken off might have been made.
                    log.warning("nothing new is sent just now", exc_info=error)
                    await wait_any(STORE_RETRY_SECONDS, stopping)
                    continue
                if not found:
                    await wait_any(IDLE_SECONDS, self.arrived, stopping)
            if self._tasks:
                await asyncio.wait(self._tasks)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _take_up(self, stopping: asyncio.Event) -> bool:
        room = MOST_IN_HAND - len(self._in_hand)
        if room <= 0:
            return False
        async with self._database.connection() as connection:
            calls = await store.waiting_calls(connection, self._bot_id, list(self._in_hand), room)
        for each in calls:
            self._in_hand.add(each.outgoing_id)
            if each.method == AnswerCallbackQuery.__api_method__:
                self._start(self._send(each, Priority.BUTTON, stopping))
            elif each.chat_id in self._lanes:
                self._lanes[each.chat_id].append(each)
            else:
                self._lanes[each.chat_id] = deque([each])
                self._start(self._drain(each.chat_id, stopping))
        return bool(calls)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self.arrived.set()
        if not task.cancelled() and (error := task.exception()) and not isinstance(error, LeadershipLost):
            log.error("sending failed", exc_info=error)

    async def _drain(self, chat_id: int, stopping: asyncio.Event) -> None:
        """Sends a chat's calls, one after the other."""
        lane = self._lanes[chat_id]
        try:
            while lane and not stopping.is_set():
                await self._send(lane[0], Priority.ANSWER, stopping)
                lane.popleft()
        finally:
            self._in_hand.difference_update(each.outgoing_id for each in lane)
            del self._lanes[chat_id]

    async def _send(self, each: Outgoing, priority: Priority, stopping: asyncio.Event) -> None:
        """Makes a call and crosses it out; returns with the call still waiting only when the service stops."""
        try:
            with telemetry.span(each.method, SpanKind.PRODUCER, parent=telemetry.parent(each.traceparent)):
                tries = 0
                method = self._open(each)
                while method is not None and not self._is_too_old(each):
                    await self._voice.turn(priority, each.chat_id if isinstance(method, SendMessage) else None)
                    try:
                        await self._voice.make(method, priority)
                    except Unreachable as error:
                        log.warning("Telegram cannot be reached", method=each.method, reason=str(error), tries=tries)
                        await wait_any(backoff_seconds(tries), stopping)
                        if stopping.is_set():
                            return
                        tries += 1
                        continue
                    except Blocked:
                        await self._block(each)
                    except Rejected as error:
                        log.warning("a call is dropped", method=each.method, reason=str(error))
                    break
                await keep_at_last(self._database, partial(store.remove_call, outgoing_id=each.outgoing_id), stopping)
        finally:
            self._in_hand.discard(each.outgoing_id)

    def _open(self, each: Outgoing) -> TelegramMethod[Any] | None:
        try:
            body = self._keys.open(each.body, outgoing_place(self._bot_id, each.chat_id))
        except CannotDecrypt as error:
            log.error("a call cannot be read and is dropped", method=each.method, exc_info=error)
            return None
        return METHODS[each.method].model_validate_json(body)

    def _is_too_old(self, each: Outgoing) -> bool:
        button = each.method == AnswerCallbackQuery.__api_method__
        return self._clock.now() - each.created_at > (OLDEST_BUTTON_ANSWER if button else OLDEST_CALL)

    async def _block(self, each: Outgoing) -> None:
        async with self._database.transaction() as connection:
            await store.block_person(connection, self._bot_id, each.chat_id, each.person_id, self._clock.now())
