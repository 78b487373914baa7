"""What happened, newest last, in a ring: every Bot API call and every update with its delivery attempts."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

_ENTRIES = 5_000


class Journal:
    """Entries are plain JSON, numbered from 1; the oldest are forgotten beyond `capacity`."""

    def __init__(self, clock: Callable[[], float], capacity: int = _ENTRIES) -> None:
        self._clock = clock
        self._entries: deque[dict[str, Any]] = deque(maxlen=capacity)
        self._updates: dict[int, dict[str, Any]] = {}
        self._last = 0

    def _add(self, entry: dict[str, Any]) -> dict[str, Any]:
        self._last += 1
        if len(self._entries) == self._entries.maxlen:
            self._updates.pop(self._entries[0].get("update_id", 0), None)
        entry = {"n": self._last, "at": self._now(), **entry}
        self._entries.append(entry)
        return entry

    def _now(self) -> int:
        return int(self._clock() * 1000)

    def begin_call(self, bot_id: int, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """An entry for a call that has come in; `end_call` completes it."""
        return self._add({"kind": "call", "bot": bot_id, "method": method, "params": params, "status": None})

    def end_call(self, entry: dict[str, Any], status: int, **outcome: object) -> None:
        entry.update(status=status, duration_ms=self._now() - entry["at"], **outcome)

    def update(self, bot_id: int, update: dict[str, Any]) -> None:
        number = update["update_id"]
        self._updates[number] = self._add(
            {"kind": "update", "bot": bot_id, "update_id": number, "update": update, "attempts": []}
        )

    def attempt(self, update_id: int, via: str, outcome: str) -> None:
        """Notes that an update was handed out: by `polling` or `webhook`, and how that ended."""
        if entry := self._updates.get(update_id):
            entry["attempts"].append({"at": self._now(), "via": via, "outcome": outcome})

    def after(self, number: int, limit: int) -> dict[str, Any]:
        """Entries numbered above `number`, oldest first, and where to go on from."""
        entries = [entry for entry in self._entries if entry["n"] > number][:limit]
        return {"entries": entries, "next": entries[-1]["n"] if entries else number, "last": self._last}
