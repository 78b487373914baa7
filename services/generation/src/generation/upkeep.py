"""What is done by the clock: leases of the dead are freed, late letters given up, old ones forgotten."""

from datetime import timedelta

import structlog
from pismo.analytics.v1.analytics_pb2 import LetterFailed
from servicekit.clock import Clock
from servicekit.events import add_events, event
from servicekit.postgres import Connection, Database

from generation import store
from generation.letters import Failure
from generation.progress import Hub
from generation.queue import Queue
from generation.settlement import Settler

SWEEP_SECONDS = 1.0
FORGET_SECONDS = 3600.0
DRAFTS_KEPT = timedelta(days=7)
LETTERS_KEPT = timedelta(days=90)
_BATCH = 200

log = structlog.get_logger()


class Upkeep:
    """The steps; several processes may take them at once."""

    def __init__(self, worker: Database, clock: Clock, queue: Queue, settler: Settler, hub: Hub) -> None:
        self._worker = worker
        self._clock = clock
        self._queue = queue
        self._settler = settler
        self._hub = hub

    async def sweep(self) -> bool:
        """Frees leases that ran out and gives up versions past their deadline. True when there may be more."""
        async with self._worker.connection() as connection:
            if freed := await store.free_expired_leases(connection):
                log.warning("took versions from workers that went silent", versions=freed)
                self._queue.grown.set()
        now = self._clock.now()
        async with self._worker.transaction() as connection:
            late = await store.time_out(connection, now, _BATCH)
            await add_events(
                connection,
                [
                    event(
                        "generation",
                        now,
                        LetterFailed(version=number, reason=Failure.TIMED_OUT),
                        person_id=person_id,
                        letter_id=letter_id,
                    )
                    for letter_id, number, person_id in late
                ],
            )
        for letter_id, number, _ in late:
            self._hub.nudge(letter_id, number)
        if late:
            log.warning("letters ran out of time", versions=len(late))
            self._settler.due.set()
        return len(late) == _BATCH

    async def forget(self, connection: Connection) -> None:
        """Deletes drafts after 7 days and letters after 90. Run on one replica at a time."""
        now = self._clock.now()
        drafts = await store.forget_drafts(connection, now - DRAFTS_KEPT)
        letters = await store.forget_letters(connection, now - LETTERS_KEPT)
        if drafts or letters:
            log.info("forgot what was old", drafts=drafts, letters=letters)
