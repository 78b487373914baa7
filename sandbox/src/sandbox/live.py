"""Tells open pages what changes, as it changes."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson

_BACKLOG = 2_000


class Subscription:
    """What one page watches: chats of one bot, or None for whichever bot is there; events wait in `queue`."""

    def __init__(self, bot_key: str | None, people: frozenset[int]) -> None:
        self.bot_key = bot_key
        self.people = people
        self.queue: asyncio.Queue[bytes | None] = asyncio.Queue(_BACKLOG)


class Live:
    """Fans events out; a page too slow to read is cut off and gets a fresh snapshot when it comes back."""

    def __init__(self) -> None:
        self._subscriptions: set[Subscription] = set()

    def subscribe(self, subscription: Subscription) -> None:
        self._subscriptions.add(subscription)

    def unsubscribe(self, subscription: Subscription) -> None:
        self._subscriptions.discard(subscription)

    def tell(self, event: str, data: dict[str, Any], bot_key: str | None = None, person_id: int | None = None) -> None:
        """Sends to the pages that show this chat, or to all of them when no chat is named."""
        interested = [
            s
            for s in self._subscriptions
            if (bot_key is None or s.bot_key == bot_key) and (person_id is None or person_id in s.people)
        ]
        if not interested:
            return
        frame = encode(event, data)
        for subscription in interested:
            if subscription.queue.full():
                self.unsubscribe(subscription)
                while not subscription.queue.empty():
                    subscription.queue.get_nowait()
                subscription.queue.put_nowait(None)
            else:
                subscription.queue.put_nowait(frame)

    def close(self) -> None:
        """Ends every stream."""
        for subscription in list(self._subscriptions):
            self.unsubscribe(subscription)
            if not subscription.queue.full():
                subscription.queue.put_nowait(None)


def encode(event: str, data: dict[str, Any]) -> bytes:
    """One server-sent event."""
    return b"event: " + event.encode() + b"\ndata: " + orjson.dumps(data) + b"\n\n"
