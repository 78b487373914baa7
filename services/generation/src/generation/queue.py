"""The queue as a whole: how long it is, whether it takes another letter, how long one waits in it."""

import asyncio

from prometheus_client import Gauge
from servicekit.clock import Clock
from servicekit.postgres import Database

from generation import store
from generation.errors import QueueFull
from generation.letters import eta_seconds

MEASURE_SECONDS = 1.0
FULL_RETRY_SECONDS = 30.0
"""A full queue holds minutes of work: sooner there would hardly be room."""
_NEWEST_WEIGHT = 0.1

_length = Gauge("pismo_generation_queue_letters", "Versions that wait for a worker")
_oldest = Gauge("pismo_generation_queue_oldest_seconds", "How long the oldest waiting version has waited")
_writing = Gauge("pismo_generation_writing_letters", "Versions being written, in all processes")


class Queue:
    """What a process knows of the queue: measured each second, with what it added itself counted at once."""

    def __init__(self, worker: Database, clock: Clock, limit: int) -> None:
        self._worker = worker
        self._clock = clock
        self._limit = limit
        self._waiting = 0
        self._writing = 0
        self._mean_seconds = 0.0
        self.grown = asyncio.Event()
        """Set when this process has put something in."""

    async def measure(self) -> None:
        async with self._worker.connection() as connection:
            found = await store.measure_queue(connection)
        self._waiting, self._writing = found.queued, found.writing
        _length.set(found.queued)
        _writing.set(found.writing)
        _oldest.set((self._clock.now() - found.oldest_at).total_seconds() if found.oldest_at else 0)

    def check_room(self) -> None:
        """Raises QueueFull when as many wait as may."""
        if self._waiting >= self._limit:
            raise QueueFull(retry_after_seconds=FULL_RETRY_SECONDS)

    def note_added(self) -> None:
        self._waiting += 1
        self.grown.set()

    def note_written(self, seconds: float) -> None:
        """Takes the time that a text took into the moving average behind `eta_seconds`."""
        if self._mean_seconds:
            seconds = self._mean_seconds + _NEWEST_WEIGHT * (seconds - self._mean_seconds)
        self._mean_seconds = seconds

    def eta_seconds(self, position: int) -> int:
        """A guess of the wait at `position` (from 1); 0 when this process has seen too little to guess."""
        return eta_seconds(position, self._writing, self._mean_seconds)
