"""What time it is, and ids that no restart repeats."""

from __future__ import annotations

import time
from pathlib import Path

_2026 = 1_767_225_600  # 1 January 2026, UTC, in unix seconds


class Clock:
    """Unix time in seconds, moved by the number that `offset_file` holds (read again at most once a second)."""

    def __init__(self, offset_file: Path | None = None) -> None:
        self._offset_file = offset_file
        self._offset = 0.0
        self._read_at = float("-inf")

    def __call__(self) -> float:
        if self._offset_file is not None and time.monotonic() - self._read_at >= 1:
            self._read_at = time.monotonic()
            try:
                self._offset = float(self._offset_file.read_text().strip() or 0)
            except (OSError, ValueError):
                self._offset = 0.0
        return time.time() + self._offset


def first_update_id() -> int:
    """Where update ids start in a process without memory: 10 000 a second, more than it could ever hand out."""
    return int((time.time() - _2026) * 10_000)


def first_message_id() -> int:
    """Where a chat's message ids start: 8 a second, so that they stay in 32 bits, as Telegram's do, until 2034."""
    return int((time.time() - _2026) * 8)
