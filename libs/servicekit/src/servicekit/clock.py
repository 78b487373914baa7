"""Time, injected: nothing in a service asks the operating system what time it is."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

OFFSET_REREAD_SECONDS = 1.0


class Clock(Protocol):
    """Where a service gets its time."""

    def now(self) -> datetime:
        """The time, aware, in UTC."""


class SystemClock:
    """The machine's clock, moved by the seconds that stand in `offset_file`, re-read each second.

    The offset is how months pass in a sandbox. A missing, empty or unreadable file is no offset.
    """

    def __init__(self, offset_file: Path | None = None, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._offset_file = offset_file
        self._monotonic = monotonic
        self._offset = timedelta()
        self._reread_at = float("-inf")

    def now(self) -> datetime:
        if self._offset_file is not None and self._monotonic() >= self._reread_at:
            self._reread_at = self._monotonic() + OFFSET_REREAD_SECONDS
            self._offset = _read_offset(self._offset_file)
        return datetime.now(UTC) + self._offset


def _read_offset(path: Path) -> timedelta:
    try:
        return timedelta(seconds=float(path.read_text().strip() or 0))
    except (OSError, ValueError, OverflowError):
        return timedelta()
