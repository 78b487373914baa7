"""Events over the wire into Postgres: each counted once, none kept of a refused batch, no table made by a caller."""

import asyncio
import random
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import asyncpg
import grpc
import orjson
import pytest
from analytics.app import EVENT_SERVICE
from analytics.errors import TABLE
from analytics.operations import Housekeeping, Ingestion
from analytics.servicer import EventServicer
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest
from grpc_status import rpc_status
from pismo.analytics.v1 import analytics_pb2
from pismo.analytics.v1.analytics_pb2 import AiRequest, Error, Event, Feedback, StartCommand
from pismo.analytics.v1.analytics_service_pb2 import IngestEventsRequest
from pismo.analytics.v1.analytics_service_pb2_grpc import EventServiceStub, add_EventServiceServicer_to_server
from servicekit.channel import open_channel
from servicekit.errors import refusal
from servicekit.events import OutboxRelay, add_events, event
from servicekit.postgres import Database, open_database
from servicekit.server import Server
from stores import ServiceDatabaseFactory

if TYPE_CHECKING:
    from pismo.analytics.v1.analytics_service_pb2_grpc import EventServiceAsyncStub

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
CATALOGUE = list(Event.DESCRIPTOR.oneofs_by_name["fact"].fields)


@dataclass
class Hands:
    """A clock that is set."""

    time: datetime = NOW

    def now(self) -> datetime:
        return self.time


@dataclass
class Analytics:
    events: "EventServiceAsyncStub"
    worker: Database
    requests: Database
    clock: Hands
    unforeseen: list[tuple[str, ...]] = field(default_factory=list)

    async def send(self, *events: Event) -> tuple[int, int]:
        answer = await self.events.IngestEvents(IngestEventsRequest(events=events))
        return answer.stored, answer.repeated

    async def count(self) -> int:
        query = """SELECT (SELECT count(*) FROM user_events) + (SELECT count(*) FROM ai_requests)
                       + (SELECT count(*) FROM error_logs)"""
        async with self.worker.connection() as connection:
            counted: int = await connection.fetchval(query)
        return counted

    async def partitions(self) -> list[str]:
        query = """SELECT inhrelid::regclass::text FROM pg_inherits
                   WHERE inhparent IN (SELECT partrelid FROM pg_partitioned_table) ORDER BY 1"""
        async with self.worker.connection() as connection:
            return [
                name
                for (name,) in await connection.fetch(query)
                if name.startswith(("user_events_", "ai_requests_", "error_logs_")) and not name.endswith("idx")
            ]

    async def keep_months(self) -> None:
        async with self.worker.transaction() as connection:
            await Housekeeping(self.clock).keep_months(connection)


@pytest.fixture
async def analytics(service_database: ServiceDatabaseFactory) -> AsyncIterator[Analytics]:
    database = await service_database("analytics")
    async with AsyncExitStack() as stack:
        requests = await stack.enter_async_context(open_database(database.requests_url, "analytics"))
        worker = await stack.enter_async_context(open_database(database.worker_url, "analytics"))
        clock = Hands()
        unforeseen: list[tuple[str, ...]] = []
        add = partial(add_EventServiceServicer_to_server, EventServicer(Ingestion(requests, clock)))
        server = Server("127.0.0.1", 0, TABLE, [(EVENT_SERVICE, add)], lambda *error: unforeseen.append(error))
        await server.start()
        stack.push_async_callback(server.stop, 0)
        channel = await stack.enter_async_context(open_channel(f"127.0.0.1:{server.port}"))
        yield Analytics(EventServiceStub(channel), worker, requests, clock, unforeseen)


def some_events(number: int) -> list[Event]:
    facts = [Feedback(liked=True), AiRequest(model="m", vendor="openai"), Error(error_type="ValueError")]
    return [event("gateway", NOW - timedelta(seconds=each), facts[each % len(facts)]) for each in range(number)]


async def refused(call: Awaitable[object]) -> dict[str, str]:
    """The faults of a call that is answered with INVALID_FIELD."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert refusal(raised.value).reason == "INVALID_FIELD"
    status = rpc_status.from_call(raised.value)
    assert status is not None
    (bad,) = [detail for detail in status.details if detail.Is(BadRequest.DESCRIPTOR)]
    found = BadRequest.FromString(bad.value)
    return {violation.field: violation.description for violation in found.field_violations}


async def test_an_event_is_counted_once_however_often_it_is_sent(analytics: Analytics) -> None:
    events = some_events(30)
    assert await analytics.send(*events) == (30, 0)
    for _ in range(4):
        assert await analytics.send(*events) == (0, 30)
    assert await analytics.count() == 30


async def test_a_repeat_within_a_batch_is_counted_as_repeated(analytics: Analytics) -> None:
    first, second = some_events(2)
    shouted = Event()
    shouted.CopyFrom(first)
    shouted.event_id = first.event_id.upper()
    assert await analytics.send(first, second, first, shouted) == (2, 2)
    assert await analytics.count() == 2


async def test_racing_senders_of_the_same_events_store_each_once(analytics: Analytics) -> None:
    events = some_events(120)
    shuffle = random.Random(20261123).sample

    async def send() -> tuple[int, int]:
        return await analytics.send(*shuffle(events, 100))

    answers = await asyncio.gather(*(send() for _ in range(16)))
    assert sum(stored for stored, _ in answers) == await analytics.count() <= 120
    assert sum(stored + repeated for stored, repeated in answers) == 1600
    assert analytics.unforeseen == []


async def test_an_event_sent_again_with_another_month_is_still_the_same(analytics: Analytics) -> None:
    (sent,) = some_events(1)
    assert await analytics.send(sent) == (1, 0)
    sent.occurred_at.FromDatetime(NOW - timedelta(days=40))
    assert await analytics.send(sent) == (0, 1)
    assert await analytics.count() == 1


async def test_a_malformed_event_is_named_and_nothing_of_its_batch_is_kept(analytics: Analytics) -> None:
    good = some_events(3)
    unknown = Event(event_id=str(uuid.uuid4()), service="gateway", occurred_at=good[0].occurred_at)
    assert list(await refused(analytics.send(*good, unknown))) == ["events[3].fact"]
    assert list(await refused(analytics.send(Event(event_id="1"), *good))) == [
        "events[0].event_id",
        "events[0].service",
        "events[0].occurred_at",
    ]
    costly = event("generation", NOW, AiRequest(cost_micro_usd=2**64 - 1))
    assert await refused(analytics.send(*good, costly)) == {
        "events[3].ai_request.cost_micro_usd": "must be at most 1000000000000, is 18446744073709551615"
    }
    assert await analytics.count() == 0
    assert await analytics.send(*good) == (3, 0)


async def test_a_time_that_cannot_be_is_refused_with_its_limit(analytics: Analytics) -> None:
    late, early = some_events(2)
    late.occurred_at.FromDatetime(datetime(2025, 9, 30, 23, 59, 59, tzinfo=UTC))
    early.occurred_at.FromDatetime(NOW + timedelta(days=1, seconds=1))
    assert await refused(analytics.send(late, early)) == {
        "events[0].occurred_at": "must be 2025-10-01T00:00:00+00:00 or later: events are kept for 13 months",
        "events[1].occurred_at": "must be at most 1 day in the future, which is 2026-11-24T12:00:00+00:00",
    }
    assert await analytics.count() == 0


async def test_months_are_made_when_an_event_needs_them(analytics: Analytics) -> None:
    assert await analytics.partitions() == []
    before, after = some_events(2)
    before.occurred_at.FromDatetime(datetime(2025, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC))
    after.occurred_at.FromDatetime(datetime(2026, 1, 1, tzinfo=UTC))
    answers = await asyncio.gather(*(analytics.send(before, after) for _ in range(4)))
    assert sorted(answers) == [(0, 2), (0, 2), (0, 2), (2, 0)]
    assert await analytics.partitions() == [
        f"{table}_{month}" for table in ("ai_requests", "error_logs", "user_events") for month in ("2025_12", "2026_01")
    ]
    async with analytics.worker.connection() as connection:
        rows = await connection.fetch("SELECT tableoid::regclass::text, name FROM user_events")
        requests = await connection.fetch("SELECT tableoid::regclass::text, vendor FROM ai_requests")
    assert [*map(tuple, rows), *map(tuple, requests)] == [
        ("user_events_2025_12", "feedback"),
        ("ai_requests_2026_01", "openai"),
    ]


async def test_months_are_made_ahead_and_dropped_after_thirteen(analytics: Analytics) -> None:
    await analytics.keep_months()
    assert {name[-7:] for name in await analytics.partitions()} == {"2026_11", "2026_12", "2027_01"}
    events = some_events(6)
    await analytics.send(*events)

    analytics.clock.time = datetime(2027, 12, 31, 23, tzinfo=UTC)
    await analytics.keep_months()
    assert await analytics.count() == 6
    assert await analytics.send(*events) == (0, 6)

    analytics.clock.time = datetime(2028, 1, 1, tzinfo=UTC)
    await analytics.keep_months()
    assert await analytics.count() == 0
    assert "2026_11" not in {name[-7:] for name in await analytics.partitions()}
    assert len(await refused(analytics.send(*events))) == 6

    analytics.clock.time = datetime(2028, 2, 1, tzinfo=UTC)
    await analytics.keep_months()
    async with analytics.worker.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM event_ids") == 0


def filled(descriptor_field: FieldDescriptor) -> Message:
    """A fact of the catalogue with a value of its own in every field."""
    assert descriptor_field.message_type is not None
    fact: Message = getattr(analytics_pb2, descriptor_field.message_type.name)()
    values: dict[int, Callable[[int], Any]] = {
        FieldDescriptor.CPPTYPE_STRING: lambda number: f"value {number}",
        FieldDescriptor.CPPTYPE_BOOL: lambda _: True,
        FieldDescriptor.CPPTYPE_UINT32: lambda number: 2**32 - number,
        FieldDescriptor.CPPTYPE_UINT64: lambda number: 10**11 + number,
    }
    for each in fact.DESCRIPTOR.fields:
        value = values[each.cpp_type](each.number)
        setattr(fact, each.name, value[:8] if isinstance(value, str) else value)
    return fact


@pytest.mark.parametrize("kind", CATALOGUE, ids=lambda kind: kind.name)
async def test_every_fact_of_the_catalogue_can_be_read_back(analytics: Analytics, kind: FieldDescriptor) -> None:
    person_id, letter_id, trace_id = uuid.uuid4(), uuid.uuid4(), uuid.uuid4().hex
    fact = filled(kind)
    sent = event("generation", NOW, fact, person_id=person_id, letter_id=letter_id)
    sent.trace_id = trace_id
    assert await analytics.send(sent) == (1, 0)

    expected = {each.name: getattr(fact, each.name) for each in fact.DESCRIPTOR.fields}
    query = {
        "ai_request": "SELECT to_jsonb(t), * FROM ai_requests AS t",
        "error": "SELECT to_jsonb(t), * FROM error_logs AS t",
    }.get(kind.name, "SELECT data, * FROM user_events")
    async with analytics.worker.connection() as connection:
        await connection.set_type_codec("jsonb", encoder=str, decoder=orjson.loads, schema="pg_catalog")
        row = await connection.fetchrow(query)
    assert row is not None
    assert {name: value for name, value in row[0].items() if name in expected} == expected
    assert row["occurred_at"] == NOW
    assert (row["service"], row["person_id"], row["letter_id"], row["trace_id"]) == (
        "generation",
        person_id,
        letter_id,
        trace_id,
    )
    if "name" in row:
        assert row["name"] == kind.name
    assert await analytics.count() == 1


@pytest.mark.parametrize("role", ["requests", "worker"])
async def test_no_role_that_runs_the_service_makes_or_drops_tables(analytics: Analytics, role: str) -> None:
    await analytics.send(*some_events(3))
    database: Database = getattr(analytics, role)
    for statement in (
        "CREATE TABLE mine (id int)",
        "DROP TABLE user_events_2026_11",
        "ALTER TABLE user_events ADD COLUMN more int",
        "TRUNCATE user_events",
        "DELETE FROM user_events",
        "UPDATE user_events SET name = 'other'",
        "SELECT * FROM user_events_2026_11",
    ):
        async with database.connection() as connection:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)


async def test_the_role_that_takes_events_in_reads_none_and_drops_none(analytics: Analytics) -> None:
    await analytics.send(*some_events(3))
    for statement in (
        "SELECT * FROM user_events",
        "SELECT * FROM ai_requests",
        "SELECT * FROM error_logs",
        "SELECT * FROM user_stats",
        "SELECT kept_at FROM event_ids",
        "DELETE FROM event_ids",
        "SELECT drop_months_before(now())",
    ):
        async with analytics.requests.connection() as connection:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)


async def test_one_event_that_is_refused_does_not_hold_up_the_outbox(analytics: Analytics) -> None:
    events = [*some_events(9), event("gateway", NOW - timedelta(days=500), StartCommand())]
    random.Random(1).shuffle(events)
    async with analytics.requests.transaction() as connection:
        await add_events(connection, events)
    await OutboxRelay(analytics.worker, analytics.events, "analytics").run_once()
    assert await analytics.count() == 9
    async with analytics.worker.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM outbox") == 0


async def test_questions_about_what_facts_carry_use_their_index(analytics: Analytics) -> None:
    await analytics.keep_months()
    async with analytics.worker.transaction() as connection:
        await connection.execute("SET LOCAL enable_seqscan = off")
        plan = await connection.fetch(
            """EXPLAIN SELECT * FROM user_events
               WHERE data @> '{"reason": "timed_out"}' AND occurred_at >= '2026-12-01'"""
        )
    text = "\n".join(line for (line,) in plan)
    assert "data_idx" in text
    assert "user_events_2026_11" not in text
