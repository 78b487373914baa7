"""One process acts for a bot at a time: it polls, sends and delivers. The others handle updates and stand by."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from prometheus_client import Gauge
from servicekit.postgres import STORE_ERRORS, Database

from gateway import store
from gateway.patience import wait_any

LEASE_SECONDS = 6.0
RENEW_SECONDS = 2.0
SAFETY_SECONDS = 1.0
"""How long before its lease ends a leader that could not renew it stops acting."""

_leads = Gauge("pismo_gateway_leads", "1 in the process that acts for the bot")

log = structlog.get_logger()

Duty = Callable[[asyncio.Event], Awaitable[None]]
"""Works until the event is set, then returns soon; it may be cancelled at any time."""


class Leader:
    """Holds the bot's lease by the database's clock, and does the duties while it does."""

    def __init__(self, database: Database, bot_id: int, holder: str) -> None:
        self._database = database
        self._bot_id = bot_id
        self._holder = holder
        self._duties: list[tuple[str, Duty]] = []
        self._valid_until = float("-inf")

    def add_duty(self, name: str, duty: Duty) -> None:
        """Has something done while this process leads."""
        self._duties.append((name, duty))

    def leads(self) -> bool:
        """Whether this process may act just now. Asked before every call to Telegram: a frozen process finds out."""
        return asyncio.get_running_loop().time() < self._valid_until

    async def run(self, stopping: asyncio.Event) -> None:
        """Stands by, leads, and hands over when the service stops."""
        while not stopping.is_set():
            if await self._renew():
                await self._lead(stopping)
            else:
                await wait_any(RENEW_SECONDS / 2, stopping)

    async def _lead(self, stopping: asyncio.Event) -> None:
        log.info("leads the bot")
        _leads.set(1)
        tasks = [asyncio.create_task(self._keep_on(name, duty, stopping), name=name) for name, duty in self._duties]
        try:
            while not stopping.is_set() and self.leads():
                await wait_any(RENEW_SECONDS if await self._renew() else RENEW_SECONDS / 4, stopping)
            if stopping.is_set():
                await self._finish(tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            _leads.set(0)
            self._valid_until = float("-inf")
            log.info("no longer leads the bot")
        await self._release()

    async def _finish(self, tasks: list[asyncio.Task[None]]) -> None:
        """Lets what is in progress end, while the lease still holds."""
        rest = set(tasks)
        while rest and self.leads():
            _, rest = await asyncio.wait(rest, timeout=RENEW_SECONDS)
            if rest:
                await self._renew()

    async def _renew(self) -> bool:
        began = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(RENEW_SECONDS), self._database.connection() as connection:
                held = await store.hold_bot(connection, self._bot_id, self._holder, LEASE_SECONDS)
        except STORE_ERRORS as error:
            log.warning("the lease of the bot cannot be renewed just now", error_type=type(error).__name__)
            return False
        self._valid_until = began + LEASE_SECONDS - SAFETY_SECONDS if held else float("-inf")
        return held

    async def _release(self) -> None:
        try:
            async with self._database.connection() as connection:
                await store.release_bot(connection, self._bot_id, self._holder)
        except STORE_ERRORS:
            log.info("the lease of the bot ends by itself")

    async def _keep_on(self, name: str, duty: Duty, stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            try:
                await duty(stopping)
                return
            except Exception as error:
                log.error("a duty failed and begins again", duty=name, exc_info=error)
                await wait_any(1, stopping)
