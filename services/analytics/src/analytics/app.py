"""What analytics is put together from."""

from functools import partial
from pathlib import Path

from pismo.analytics.v1 import analytics_service_pb2
from pismo.analytics.v1.analytics_service_pb2_grpc import add_EventServiceServicer_to_server
from servicekit.runtime import Runtime

from analytics.errors import TABLE
from analytics.operations import Housekeeping, Ingestion
from analytics.servicer import EventServicer
from analytics.settings import Settings

MIGRATIONS = Path(__file__).parents[2] / "migrations"
HOUSEKEEPING_SECONDS = 3_600.0

EVENT_SERVICE = analytics_service_pb2.DESCRIPTOR.services_by_name["EventService"].full_name


async def serve(settings: Settings) -> None:
    """Answers calls and keeps the months until SIGTERM."""
    async with Runtime(settings) as runtime:
        requests = await runtime.database(settings.requests_dsn)
        worker = await runtime.database(settings.worker_dsn, max_connections=4)
        servicer = EventServicer(Ingestion(requests, runtime.clock))
        runtime.relay_events(worker)
        runtime.repeat_alone("months", Housekeeping(runtime.clock).keep_months, worker, HOUSEKEEPING_SECONDS)
        await runtime.serve(
            TABLE,
            [(EVENT_SERVICE, partial(add_EventServiceServicer_to_server, servicer))],
            requests,
            MIGRATIONS,
        )
