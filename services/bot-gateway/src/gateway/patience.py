"""Ways of waiting: for events, for a service that stops, for a database that comes back."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from servicekit.postgres import STORE_ERRORS, Connection, Database

LONGEST_SECONDS = 30.0

log = structlog.get_logger()


def backoff_seconds(tries: int, longest: float = LONGEST_SECONDS) -> float:
    """Half a second after the first failure, then twice as long each time."""
    return min(longest, 0.5 * 2.0 ** min(tries, 10))


async def wait_any(seconds: float, *events: asyncio.Event) -> None:
    """Returns when one of the events is set or the time is over."""
    if any(event.is_set() for event in events):
        return
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in waits:
            each.cancel()


async def keep_at_last(
    database: Database, statement: Callable[[Connection], Awaitable[None]], stopping: asyncio.Event
) -> None:
    """Notes what has been done at Telegram, as soon as the database takes it: doing it again would be worse.

    Gives up when the service stops. The statement must bear repeating.
    """
    tries = 0
    while True:
        try:
            async with database.connection() as connection:
                await statement(connection)
            return
        except STORE_ERRORS as error:
            log.warning("what was done cannot be noted just now", exc_info=error)
            if stopping.is_set():
                return
            await wait_any(backoff_seconds(tries, 2.0), stopping)
            tries += 1
