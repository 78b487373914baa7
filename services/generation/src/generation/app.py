"""Generation put together: read this first.

CreateLetter, SubmitLetter … → operations.Letters → letters and letter_versions (the queue)
worker.Worker → leases versions → chain.Chain → models; guard.OutputGuard → progress.LiveTexts
WatchLetter → progress.Hub reads for all watchers
settlement.Settler → billing; upkeep.Upkeep → what is done by the clock
"""

import functools
from pathlib import Path

from pismo.billing.v1.billing_service_pb2_grpc import AllowanceServiceStub
from pismo.generation.v1.generation_service_pb2_grpc import add_LetterServiceServicer_to_server
from servicekit.runtime import Runtime

from generation.allowance import Allowance
from generation.chain import Chain
from generation.chain_file import read_chain
from generation.errors import TABLE
from generation.operations import Letters
from generation.person_keys import PersonKeys
from generation.progress import Hub, LiveTexts
from generation.providers import open_models
from generation.queue import MEASURE_SECONDS, Queue
from generation.servicer import LetterServicer
from generation.settings import Settings
from generation.settlement import SETTLE_SECONDS, Settler
from generation.shared import Shared
from generation.upkeep import FORGET_SECONDS, SWEEP_SECONDS, Upkeep
from generation.worker import Worker

MIGRATIONS = Path(__file__).parents[2] / "migrations"
LETTER_SERVICE = "pismo.generation.v1.LetterService"


async def serve(settings: Settings) -> None:
    """Serves until SIGTERM."""
    async with (
        open_models(
            read_chain(settings.model_chain_file), settings.accounts, offline_seconds=settings.offline_writer_seconds
        ) as models,
        Runtime(settings) as runtime,
    ):
        clock = runtime.clock
        requests = await runtime.database(settings.requests_dsn)
        worker = await runtime.database(settings.worker_dsn)
        shared = Shared(runtime.redis(settings.redis_url.get_secret_value()))
        keys = PersonKeys(settings.key_ring, clock)
        allowance = Allowance(AllowanceServiceStub(runtime.channel(settings.billing_target)))

        queue = Queue(worker, clock, settings.queue_limit)
        settler = Settler(worker, allowance)
        hub = Hub(worker, shared, queue, runtime.stopping)
        letters = Letters(requests, keys, allowance, queue, settler, hub, clock)
        upkeep = Upkeep(worker, clock, queue, settler, hub)
        writing = Worker(
            instance=settings.instance,
            slots=settings.worker_slots,
            database=worker,
            keys=keys,
            chain=Chain(models, shared),
            live=LiveTexts(shared, worker),
            hub=hub,
            queue=queue,
            settler=settler,
            clock=clock,
            stopping=runtime.stopping,
            report=runtime.report_error,
        )

        runtime.background("worker", writing.run)
        runtime.background("hub", hub.run)
        runtime.repeat("queue measure", queue.measure, MEASURE_SECONDS)
        runtime.repeat("settlement measure", functools.partial(settler.measure, clock), MEASURE_SECONDS)
        runtime.repeat("settlement", settler.run_once, SETTLE_SECONDS, wake=settler.due)
        runtime.repeat("sweep", upkeep.sweep, SWEEP_SECONDS)
        runtime.repeat_alone("retention", upkeep.forget, worker, FORGET_SECONDS)
        runtime.relay_events(worker)
        await runtime.serve(
            TABLE,
            [(LETTER_SERVICE, functools.partial(add_LetterServiceServicer_to_server, LetterServicer(letters)))],
            requests,
            MIGRATIONS,
        )
