"""`python -m analytics`: it serves, relays its own errors to itself, reports, and goes when it is told."""

import asyncio
import os
import signal
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import grpc
import pytest
from pismo.analytics.v1.analytics_pb2 import Error, Event, Feedback
from pismo.analytics.v1.analytics_service_pb2 import IngestEventsRequest
from pismo.analytics.v1.analytics_service_pb2_grpc import EventServiceStub
from servicekit.events import add_events, event
from servicekit.postgres import Database, open_database
from stack.ports import free_port
from stores import ServiceDatabase, ServiceDatabaseFactory


@pytest.fixture
async def database(service_database: ServiceDatabaseFactory) -> ServiceDatabase:
    return await service_database("analytics")


@asynccontextmanager
async def run(database: ServiceDatabase, *arguments: str, **environ: str) -> AsyncIterator[asyncio.subprocess.Process]:
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "analytics", *arguments),
        env={"PATH": os.environ["PATH"], "DATABASE_URL": database.requests_url, **environ},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield program
    finally:
        if program.returncode is None:
            program.kill()
        await program.wait()


async def until_logged(worker: Database, error_type: str) -> None:
    async with asyncio.timeout(20), worker.connection() as connection:
        query = "SELECT EXISTS (SELECT FROM error_logs WHERE error_type = $1)"
        while not await connection.fetchval(query, error_type):  # noqa: ASYNC110  # another process brings it about
            await asyncio.sleep(0.05)


async def test_it_serves_relays_its_own_errors_reports_and_stops(database: ServiceDatabase) -> None:
    now = datetime.now(UTC)
    port = free_port()
    ports = {"ANALYTICS_GRPC_PORT": str(port), "ANALYTICS_OPS_PORT": "0", "ANALYTICS_TARGET": f"127.0.0.1:{port}"}
    async with open_database(database.worker_url, "analytics") as worker, run(database, "serve", **ports) as serving:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            answer = await EventServiceStub(channel).IngestEvents(
                IngestEventsRequest(events=[event("gateway", now, Feedback(liked=True), letter_id=uuid.uuid4())]),
                wait_for_ready=True,
                timeout=20,
            )
        assert answer.stored == 1

        own: Event = event("analytics", now, Error(error_type="OwnError", handler_name="months"))
        async with worker.transaction() as connection:
            await add_events(connection, [own])
        await until_logged(worker, "OwnError")

        async with run(database, "report", **ports) as reporting:
            output, _ = await reporting.communicate()
        text = output.decode()
        assert reporting.returncode == 0, text
        for view in ("user_stats", "session_stats", "user_activity", "ai_usage", "feedback_stats", "iteration_stats"):
            assert f"{view}\n" in text
        assert f"  {now.date()}  feedback       1       0\n" in text

        serving.send_signal(signal.SIGTERM)
        async with asyncio.timeout(20):
            log, _ = await serving.communicate()
        assert serving.returncode == 0, log.decode()


async def test_a_fault_in_the_environment_is_named(database: ServiceDatabase) -> None:
    async with run(database, "serve", ANALYTICS_GRPC_PORT="many") as program:
        output, _ = await program.communicate()
    assert program.returncode == 2
    assert "GRPC_PORT" in output.decode()
