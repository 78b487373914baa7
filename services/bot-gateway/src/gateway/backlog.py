"""How long people wait for the bot: the age of the oldest update, call and delivery, for whoever watches over it."""

from datetime import datetime

from prometheus_client import Gauge
from servicekit.clock import Clock
from servicekit.postgres import Database

from gateway import store

MEASURE_SECONDS = 5.0

_update = Gauge("pismo_gateway_inbox_oldest_seconds", "How long the oldest update has waited to be handled")
_call = Gauge("pismo_gateway_outgoing_oldest_seconds", "How long the oldest message has waited to be sent")
_delivery = Gauge("pismo_gateway_deliveries_oldest_seconds", "How long the oldest delivery has been open")


async def measure(worker: Database, bot_id: int, clock: Clock) -> None:
    """Measures all processes' work. Every process does, so that it is known also while nobody leads."""
    async with worker.connection() as connection:
        oldest = await store.oldest_waiting(connection, bot_id)
    now = clock.now()

    def age(since: datetime | None) -> float:
        return max(0.0, (now - since).total_seconds()) if since else 0.0

    _update.set(age(oldest.update))
    _call.set(age(oldest.call))
    _delivery.set(age(oldest.delivery))
