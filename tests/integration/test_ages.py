"""What waits, and for how long: the ages that alerts go by, measured from what is stored."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from uuid import uuid4

import gateway_house
import generation_house
import grpc
import pytest
from gateway import backlog
from grpc.aio import AioRpcError, Metadata
from pismo.analytics.v1.analytics_pb2 import StartCommand
from pismo.analytics.v1.analytics_service_pb2 import IngestEventsRequest, IngestEventsResponse
from prometheus_client import REGISTRY
from servicekit.events import OutboxRelay, add_events, event
from servicekit.postgres import Database, open_database
from stores import ServiceDatabaseFactory


def measured(name: str, **labels: str) -> float:
    value = REGISTRY.get_sample_value(name, labels)
    assert value is not None, f"nothing measures {name}"
    return value


@pytest.fixture
async def gateway(service_database: ServiceDatabaseFactory, redis_url: str) -> AsyncIterator[gateway_house.House]:
    async with gateway_house.open_house(await service_database("gateway"), redis_url) as opened:
        yield opened


@pytest.fixture
async def generation(service_database: ServiceDatabaseFactory, redis_url: str) -> AsyncIterator[generation_house.House]:
    async with generation_house.open_house(await service_database("generation"), redis_url) as opened:
        yield opened


async def test_an_update_ages_until_it_is_handled_and_then_its_answer_until_it_is_sent(
    gateway: gateway_house.House,
) -> None:
    process = await gateway.process()
    worker = process.databases[1]

    async def ages() -> list[float]:
        await backlog.measure(worker, gateway_house.BOT_ID, gateway.clock)
        return [measured(f"pismo_gateway_{what}_oldest_seconds") for what in ("inbox", "outgoing", "deliveries")]

    assert await ages() == [0, 0, 0]
    await process.inbox.receive([gateway.text("/start")])
    gateway.clock.pass_by(90)
    assert await ages() == [90, 0, 0]
    await process.drain()
    gateway.clock.pass_by(30)
    assert await ages() == [0, 30, 0]


async def test_a_delivery_ages_until_the_letter_stands_in_the_chat(gateway: gateway_house.House) -> None:
    process = await gateway.process()
    anna = gateway_house.Visitor(gateway, process)
    worker = process.databases[1]
    async with process.leading():
        await anna.settles_in()
        letter_id = await anna.asks_for_letter()
        gateway.clock.pass_by(1_000)
        await backlog.measure(worker, gateway_house.BOT_ID, gateway.clock)
        assert measured("pismo_gateway_deliveries_oldest_seconds") == 1_000
        before = measured("pismo_gateway_delivery_seconds_sum")
        await gateway.letters.complete(letter_id)
        await gateway_house.until(anna.has_rating)
        assert measured("pismo_gateway_delivery_seconds_sum") - before == 1_000


async def test_an_ended_letter_ages_until_billing_has_resolved_it(generation: generation_house.House) -> None:
    process = await generation.process(run=False)
    person = uuid4()
    letter = await process.submitted(person)
    await generation.close_billing()
    await process.letters.cancel(person, uuid4(), letter.letter_id)
    generation.clock.pass_by(seconds=400)
    await process.settler.measure(generation.clock)
    assert measured("pismo_generation_settlements_oldest_seconds") == 400
    await generation.open_billing()
    await generation.sql("UPDATE letter_versions SET settle_after = now() WHERE settlement = 'release'")
    await process.settler.run_once()
    await process.settler.measure(generation.clock)
    assert measured("pismo_generation_settlements_oldest_seconds") == 0


class Analytics:
    """Analytics that is away, until it is not."""

    away = True

    async def IngestEvents(self, request: IngestEventsRequest) -> IngestEventsResponse:
        if self.away:
            raise AioRpcError(grpc.StatusCode.UNAVAILABLE, Metadata(), Metadata(), "away")
        return IngestEventsResponse(stored=len(request.events))


async def test_the_outbox_ages_while_analytics_is_away(service_database: ServiceDatabaseFactory) -> None:
    async with AsyncExitStack() as stack:
        url = (await service_database("billing")).worker_url
        worker: Database = await stack.enter_async_context(open_database(url, "billing", 2))
        async with worker.transaction() as connection:
            await add_events(connection, [event("billing", gateway_house.NOON, StartCommand())])
            await connection.execute("UPDATE outbox SET created_at = now() - interval '1 hour'")
        analytics = Analytics()
        relay = OutboxRelay(worker, analytics, "billing")  # type: ignore[arg-type]
        with pytest.raises(AioRpcError):
            await relay.run_once()
        assert measured("pismo_outbox_oldest_seconds", service="billing") == pytest.approx(3_600, abs=60)
        analytics.away = False
        await relay.run_once()
        await relay.run_once()
        assert measured("pismo_outbox_oldest_seconds", service="billing") == 0
