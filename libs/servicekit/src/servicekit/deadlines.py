"""The time a call has left, handed from the call being served to the calls it makes."""

import asyncio
from contextvars import ContextVar

_ends_at: ContextVar[float | None] = ContextVar("deadline", default=None)


def begin(seconds: float | None) -> None:
    """Notes that the current call ends in `seconds`; None for one without an end."""
    _ends_at.set(None if seconds is None else asyncio.get_running_loop().time() + seconds)


def remaining(at_most: float) -> float:
    """How long a call made now may take: the current call's rest, never more than `at_most`."""
    ends_at = _ends_at.get()
    if ends_at is None:
        return at_most
    return max(0.0, min(at_most, ends_at - asyncio.get_running_loop().time()))
