"""Long polling, for when Telegram cannot reach this machine. The offset moves only after what came is durable."""

import asyncio
from typing import Any

import structlog
from aiogram import Bot
from aiogram.exceptions import TelegramRetryAfter
from servicekit.postgres import STORE_ERRORS

from gateway.inbox import Inbox
from gateway.patience import backoff_seconds, wait_any
from gateway.telegram import CALL_SECONDS, Blocked, GetRawUpdates, Rejected, Unreachable, call
from gateway.updates import ALLOWED_UPDATES, is_update

POLL_SECONDS = 25
BATCH_UPDATES = 100
LONGEST_PAUSE_SECONDS = 5.0

log = structlog.get_logger()


class Poller:
    """Asks for updates, one request at a time: Telegram answers a second one with 409."""

    def __init__(self, bot: Bot, inbox: Inbox) -> None:
        self._bot = bot
        self._inbox = inbox
        self._offset: int | None = None

    async def run(self, stopping: asyncio.Event) -> None:
        tries = 0
        while not stopping.is_set():
            try:
                if await self.poll(stopping):
                    tries = 0
            except TelegramRetryAfter as error:
                await wait_any(error.retry_after, stopping)
            except (Unreachable, Rejected, Blocked) as error:
                # Also 409: another program polls this bot, or a webhook is set; it passes when that one goes.
                log.warning("polling is tried again", reason=str(error), tries=tries)
                await wait_any(backoff_seconds(tries, LONGEST_PAUSE_SECONDS), stopping)
                tries += 1
            except STORE_ERRORS as error:
                log.warning("Telegram keeps the updates", exc_info=error)
                await wait_any(backoff_seconds(tries, LONGEST_PAUSE_SECONDS), stopping)
                tries += 1

    async def poll(self, stopping: asyncio.Event) -> bool:
        """One request and what it brought. False when the service stopped meanwhile."""
        method = GetRawUpdates(
            offset=self._offset, limit=BATCH_UPDATES, timeout=POLL_SECONDS, allowed_updates=list(ALLOWED_UPDATES)
        )
        asked = asyncio.ensure_future(call(self._bot, method, POLL_SECONDS + CALL_SECONDS))
        stopped = asyncio.ensure_future(stopping.wait())
        try:
            await asyncio.wait([asked, stopped], return_when=asyncio.FIRST_COMPLETED)
            if not asked.done():
                return False
            await self._take(asked.result())
        finally:
            asked.cancel()
            stopped.cancel()
        return True

    async def _take(self, updates: list[dict[str, Any]]) -> None:
        """Keeps what came, then moves the offset. What is no update has no id to come again under."""
        known = [each for each in updates if is_update(each)]
        if len(known) < len(updates):
            log.error("Telegram sent what is no update", count=len(updates) - len(known))
        if known:
            await self._inbox.receive(known)
            self._offset = max(each["update_id"] for each in known) + 1
