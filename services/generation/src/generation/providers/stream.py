"""One streamed call to a vendor: its patience, its end, and its failures in the port's words."""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

import aiohttp
import httpx2

from generation.chain_file import Timeouts
from generation.ports import (
    Draft,
    ModelFailure,
    ModelRateLimited,
    ModelRejected,
    ModelStalled,
    ModelTruncated,
    ModelUnavailable,
    OrderRejected,
    Usage,
)
from generation.providers.sse import EventSplitter

HEADERS = {"Accept": "text/event-stream", "Accept-Encoding": "identity"}
"""Compressed words would wait in a proxy until its block is full."""

Read = Callable[[bytes, Draft], str]
"""Understands one event of a vendor: returns the words in it, notes usage and finish in the draft.

Raises a ModelFailure when the event says that the call failed. What it trips over (bad JSON, a field of another shape)
it need not catch.
"""

_LINGER_SECONDS = 0.5
_LOST = (httpx2.HTTPError, httpx2.StreamError, aiohttp.ClientError, OSError)


def new_http_limits(calls: int) -> httpx2.Limits:
    """A connection for each call that may run at once, kept for the next one."""
    return httpx2.Limits(max_connections=calls, max_keepalive_connections=calls, keepalive_expiry=60.0)


def new_http_timeout(timeouts: Timeouts) -> httpx2.Timeout:
    """Only connecting is left to the HTTP client: `stream` itself watches everything after it."""
    return httpx2.Timeout(None, connect=timeouts.connect_seconds)


def reported_usage(prompt_tokens: object, completion_tokens: object) -> Usage | None:
    """The usage a vendor reports; None where a vendor's work-alike left it out, which is no reason to lose a letter."""
    if isinstance(prompt_tokens, int) and isinstance(completion_tokens, int):
        return Usage(prompt_tokens, completion_tokens)
    return None


async def stream(call: Callable[[], Awaitable[httpx2.Response]], read: Read, draft: Draft, timeouts: Timeouts) -> None:
    """Makes the call and reads its events into the draft until the text is whole.

    `call` may raise nothing but a ModelFailure. The response is closed whichever way this ends. A body read to its end
    leaves its connection to the next call; any other closes it, so a cancelled call is over at the vendor too.
    """
    splitter = EventSplitter()

    def take(chunk: bytes) -> None:
        try:
            text = "".join([read(event, draft) for event in splitter.feed(chunk)])
        except (ValueError, TypeError, AttributeError, LookupError):
            raise ModelUnavailable("malformed_event") from None
        if text:
            draft.add(text)

    async with contextlib.AsyncExitStack() as closing:
        try:
            async with _patience(draft, timeouts):
                response = await call()
                closing.push_async_callback(response.aclose)
                chunks = response.aiter_bytes()
                async for chunk in chunks:
                    take(chunk)
                    if draft.finish is not None:
                        break
        except _LOST:
            raise ModelUnavailable("connection_lost") from None
        # The words have ended. Usage and the end of the body are welcome still, but not worth a wait or a fault.
        if draft.finish is not None:
            with contextlib.suppress(TimeoutError, ModelFailure, *_LOST):
                async with asyncio.timeout(_LINGER_SECONDS):
                    async for chunk in chunks:
                        take(chunk)
    if draft.finish is None:
        raise ModelTruncated("no_finish_reason", counts=True)
    if draft.finish != "stop":
        raise ModelTruncated(draft.finish, counts=False)
    if not draft.text.strip():
        raise ModelTruncated("empty", counts=True)


@contextlib.asynccontextmanager
async def _patience(draft: Draft, timeouts: Timeouts) -> AsyncIterator[None]:
    """Raises ModelStalled when the words are late: the first ones, the next ones, or the last.

    Only words count: a vendor that keeps the connection warm with pings is not writing. One timer looks when a wait
    could be over, and is not touched for each chunk: no wait that begins after a look ends within a pause of it.
    """
    loop = asyncio.get_running_loop()
    end = draft.started_at + timeouts.whole_seconds
    timer: asyncio.Handle

    def due() -> float:
        if draft.last_text_at is None:
            return min(end, draft.started_at + timeouts.first_text_seconds)
        return min(end, draft.last_text_at + timeouts.pause_seconds)

    def look() -> None:
        nonlocal timer
        now = loop.time()
        if now >= due():
            limit.reschedule(now)
        else:
            timer = loop.call_at(min(due(), now + timeouts.pause_seconds), look)

    timer = loop.call_soon(look)
    try:
        async with asyncio.timeout(None) as limit:
            yield
    except TimeoutError:
        if not limit.expired():
            raise
        if loop.time() >= end:
            raise ModelStalled("too_long") from None
        raise ModelStalled("first_text_late" if draft.last_text_at is None else "stalled") from None
    finally:
        timer.cancel()


def failure_of(status: int, headers: Mapping[str, str] | None = None, *, out_of_money: bool = False) -> ModelFailure:
    """What an HTTP status of a vendor means to us."""
    if out_of_money:
        return ModelRejected("out_of_money")
    wait = retry_after_seconds(headers or {})
    if status == 429:
        return ModelRateLimited("rate_limited", retry_after_seconds=wait)
    if status in (400, 413, 422):
        return OrderRejected(f"http_{status}")
    if 400 <= status < 500 and status not in (408, 409, 425):
        return ModelRejected(f"http_{status}")
    return ModelUnavailable(f"http_{status}", retry_after_seconds=wait)


def retry_after_seconds(headers: Mapping[str, str]) -> float | None:
    """What Retry-After says, in seconds or as a date; None if it says nothing that can be understood.

    A date is read against the vendor's own `Date`, so that a wrong clock on either side does not matter.
    """
    value = headers.get("retry-after", "").strip()
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        until = email.utils.parsedate_to_datetime(value)
        return max(0.0, (until - email.utils.parsedate_to_datetime(headers.get("date", ""))).total_seconds())
    except (ValueError, TypeError):
        return None
