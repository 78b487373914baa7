"""What billing is put together from."""

from datetime import timedelta
from functools import partial
from pathlib import Path

from pismo.billing.v1 import billing_service_pb2
from pismo.billing.v1.billing_service_pb2_grpc import add_AllowanceServiceServicer_to_server
from servicekit.runtime import Runtime

from billing.errors import TABLE
from billing.operations import Allowances, Housekeeping, publish
from billing.servicer import AllowanceServicer
from billing.settings import Settings

MIGRATIONS = Path(__file__).parents[2] / "migrations"
EXPIRY_SECONDS = 15.0
FORGETTING_SECONDS = 3_600.0

ALLOWANCE_SERVICE = billing_service_pb2.DESCRIPTOR.services_by_name["AllowanceService"].full_name


async def serve(settings: Settings) -> None:
    """Answers calls and gives back overdue holds until SIGTERM."""
    catalogue = settings.catalogue()
    async with Runtime(settings) as runtime:
        requests = await runtime.database(settings.requests_dsn)
        worker = await runtime.database(settings.worker_dsn, max_connections=4)
        reservation = timedelta(minutes=settings.reservation_minutes)
        servicer = AllowanceServicer(Allowances(requests, runtime.clock, catalogue, reservation))
        housekeeping = Housekeeping(runtime.clock, settings.request_days)
        runtime.relay_events(worker)
        runtime.repeat_alone("reservation expiry", housekeeping.expire_holds, worker, EXPIRY_SECONDS)
        runtime.repeat_alone("request forgetting", housekeeping.forget_requests, worker, FORGETTING_SECONDS)
        await runtime.serve(
            TABLE,
            [(ALLOWANCE_SERVICE, partial(add_AllowanceServiceServicer_to_server, servicer))],
            requests,
            MIGRATIONS,
            prepare=partial(publish, catalogue, worker, runtime.clock),
        )
