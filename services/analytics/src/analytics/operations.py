"""What analytics does: it takes facts in, keeps the months in order, and reads out its views."""

from collections.abc import Sequence
from dataclasses import dataclass

import structlog
from prometheus_client import Counter, Histogram
from servicekit.clock import Clock
from servicekit.postgres import Connection, Database

from analytics import store
from analytics.catalogue import Fact
from analytics.report import Table
from analytics.retention import AHEAD_MONTHS, IDS_KEPT, Window, month_start

_events = Counter("pismo_analytics_events", "Events that came in", ["outcome"])
_delay = Histogram(
    "pismo_analytics_delay_seconds",
    "From the oldest event of a batch to its arrival: how far behind the senders are",
    buckets=(1, 2, 5, 10, 30, 60, 300, 1_800, 7_200, 43_200),
)

log = structlog.get_logger()


@dataclass(frozen=True)
class Ingested:
    """What became of a batch."""

    stored: int
    repeated: int


class Ingestion:
    """Takes facts in; each is counted once, however often it is sent."""

    def __init__(self, requests: Database, clock: Clock) -> None:
        self._requests = requests
        self._clock = clock

    async def ingest(self, facts: Sequence[Fact]) -> Ingested:
        """Stores the facts that are new; durable when it returns. Raises InvalidFields for times out of bounds."""
        now = self._clock.now()
        Window.at(now).check(facts)
        once = list({fact.event_id: fact for fact in reversed(facts)}.values())
        async with self._requests.connection() as connection:
            try:
                stored = await store.add_facts(connection, once, now)
            except store.NoMonth:
                # Rare: an event that waited long, or the first one of all. So it is met here rather than asked before.
                for month in sorted({month_start(fact.occurred_at) for fact in once}):
                    await store.make_month(connection, month)
                stored = await store.add_facts(connection, once, now)
        repeated = len(facts) - stored
        _events.labels("stored").inc(stored)
        _events.labels("repeated").inc(repeated)
        _delay.observe(max(0.0, (now - min(fact.occurred_at for fact in once)).total_seconds()))
        return Ingested(stored, repeated)


class Housekeeping:
    """Keeps the months in order: those to come are made ahead, those past retention are dropped."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def keep_months(self, connection: Connection) -> None:
        now = self._clock.now()
        for months_later in range(AHEAD_MONTHS + 1):
            await store.make_month(connection, month_start(now, months_later))
        if dropped := await store.drop_months_before(connection, Window.at(now).earliest):
            log.info("partitions past retention dropped", partitions=dropped)
        await store.forget_ids_before(connection, now - IDS_KEPT)


async def read_views(worker: Database) -> list[Table]:
    """The six views, all of one moment."""
    async with worker.transaction() as connection:
        await store.hold_moment(connection)
        return [await store.read_view(connection, name) for name in store.VIEWS]
