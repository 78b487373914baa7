"""Facts for analytics: written in the transaction that makes them true, sent until they have arrived.

A service's schema has this table, made by its own migration:

    CREATE TABLE outbox (
        event_id uuid PRIMARY KEY, payload bytea NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(), leased_until timestamptz);
    CREATE INDEX outbox_waiting ON outbox (created_at);
    GRANT INSERT ON outbox TO <service>_requests;
    GRANT SELECT, INSERT, UPDATE, DELETE ON outbox TO <service>_worker;
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import grpc
import structlog
from google.protobuf.message import Message
from pismo.analytics.v1.analytics_pb2 import Event
from pismo.analytics.v1.analytics_service_pb2 import IngestEventsRequest
from prometheus_client import Gauge

from servicekit import telemetry
from servicekit.postgres import Connection, Database

if TYPE_CHECKING:
    from pismo.analytics.v1.analytics_service_pb2_grpc import EventServiceAsyncStub

BATCH_EVENTS = 500
LEASE_SECONDS = 30

_FACTS = {
    field.message_type.full_name: field.name
    for field in Event.DESCRIPTOR.oneofs_by_name["fact"].fields
    if field.message_type
}

_oldest = Gauge("pismo_outbox_oldest_seconds", "How long the oldest event has waited for analytics", ["service"])

log = structlog.get_logger()


def event(
    service: str,
    at: datetime,
    fact: Message,
    *,
    person_id: UUID | None = None,
    letter_id: UUID | None = None,
    event_id: UUID | None = None,
) -> Event:
    """The event that states a fact of the catalogue. Its id is new unless the caller derives one."""
    made = Event(
        event_id=str(event_id or uuid4()),
        service=service,
        person_id=str(person_id or ""),
        letter_id=str(letter_id or ""),
        trace_id=telemetry.trace_id(),
    )
    made.occurred_at.FromDatetime(at)
    getattr(made, _FACTS[fact.DESCRIPTOR.full_name]).CopyFrom(fact)
    return made


async def add_events(connection: Connection, events: Iterable[Event]) -> None:
    """Puts events into the outbox, inside the caller's transaction. One that is there already is left as it is."""
    rows = [(UUID(each.event_id), each.SerializeToString()) for each in events]
    if rows:
        await connection.execute(
            """INSERT INTO outbox (event_id, payload) SELECT * FROM unnest($1::uuid[], $2::bytea[])
               ON CONFLICT DO NOTHING""",
            [event_id for event_id, _ in rows],
            [payload for _, payload in rows],
        )


class OutboxRelay:
    """Sends what the outbox holds. Analytics counts each event once, so sending twice is harmless."""

    def __init__(self, database: Database, analytics: "EventServiceAsyncStub", service: str) -> None:
        """`service` names the outbox in the metrics."""
        self._database = database
        self._analytics = analytics
        self._oldest = _oldest.labels(service)

    async def run_once(self) -> bool:
        """Sends one batch. True when there may be more; raises what the database or analytics raised."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(
                """UPDATE outbox SET leased_until = clock_timestamp() + make_interval(secs => $2)
                   WHERE event_id IN (
                       SELECT event_id FROM outbox WHERE leased_until IS NULL OR leased_until < clock_timestamp()
                       ORDER BY created_at LIMIT $1 FOR UPDATE SKIP LOCKED)
                   RETURNING event_id, payload, extract(epoch FROM clock_timestamp() - created_at)::float8 AS age""",
                BATCH_EVENTS,
                LEASE_SECONDS,
            )
        self._oldest.set(max((row["age"] for row in rows), default=0))
        if not rows:
            return False
        ids = [row["event_id"] for row in rows]
        try:
            with telemetry.span("outbox relay", parent=telemetry.detached()):
                await self._send([Event.FromString(row["payload"]) for row in rows])
        except grpc.aio.AioRpcError:
            async with self._database.connection() as connection:
                await connection.execute("UPDATE outbox SET leased_until = NULL WHERE event_id = ANY($1)", ids)
            raise
        async with self._database.connection() as connection:
            await connection.execute("DELETE FROM outbox WHERE event_id = ANY($1)", ids)
        return len(rows) == BATCH_EVENTS

    async def _send(self, events: Sequence[Event]) -> None:
        """Sends events. One that will never be accepted is found, named in the log and given up: it would hold up all
        the others, and keeping it would help nobody."""
        try:
            await self._analytics.IngestEvents(IngestEventsRequest(events=events))
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.INVALID_ARGUMENT:
                raise
            if len(events) == 1:
                log.error("event refused", event_id=events[0].event_id, refusal=error.details())
                return
            half = len(events) // 2
            await self._send(events[:half])
            await self._send(events[half:])
