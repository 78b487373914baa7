"""Billing as others meet it: over gRPC, and at the command line."""

import asyncio
import os
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import grpc
import pytest
from billing.app import ALLOWANCE_SERVICE
from billing.errors import TABLE
from billing.servicer import AllowanceServicer
from billing_desk import Desk, Hands, open_desk
from pismo.billing.v1.billing_pb2 import (
    RESERVATION_STATE_COMMITTED,
    RESERVATION_STATE_HELD,
    RESERVATION_STATE_RELEASED,
    WINDOW_CALENDAR_MONTH,
    ErrorReason,
)
from pismo.billing.v1.billing_service_pb2 import (
    CommitRequest,
    GetAllowanceRequest,
    ReleaseRequest,
    ReserveRequest,
)
from pismo.billing.v1.billing_service_pb2_grpc import AllowanceServiceStub, add_AllowanceServiceServicer_to_server
from servicekit.channel import open_channel
from servicekit.errors import Refusal, refusal
from servicekit.server import Server
from stores import ServiceDatabase, ServiceDatabaseFactory

if TYPE_CHECKING:
    from pismo.billing.v1.billing_service_pb2_grpc import AllowanceServiceAsyncStub


@dataclass
class Service:
    calls: "AllowanceServiceAsyncStub"
    desk: Desk
    unforeseen: list[tuple[str, ...]]


@pytest.fixture
async def database(service_database: ServiceDatabaseFactory) -> ServiceDatabase:
    return await service_database("billing")


@pytest.fixture
async def service(database: ServiceDatabase) -> AsyncIterator[Service]:
    async with AsyncExitStack() as stack:
        desk = await stack.enter_async_context(open_desk(database, Hands()))
        add = partial(add_AllowanceServiceServicer_to_server, AllowanceServicer(desk.allowances))
        unforeseen: list[tuple[str, ...]] = []
        server = Server("127.0.0.1", 0, TABLE, [(ALLOWANCE_SERVICE, add)], lambda *error: unforeseen.append(error))
        await server.start()
        stack.push_async_callback(server.stop, 0)
        channel = await stack.enter_async_context(open_channel(f"127.0.0.1:{server.port}"))
        yield Service(AllowanceServiceStub(channel), desk, unforeseen)


def new_id() -> str:
    return str(uuid.uuid4())


async def refused(call: Awaitable[object]) -> Refusal:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    return refusal(raised.value)


async def test_a_letter_is_reserved_committed_and_told_of(service: Service) -> None:
    person, letter = new_id(), new_id()
    reserved = await service.calls.Reserve(ReserveRequest(request_id=new_id(), person_id=person, letter_id=letter))
    hold = reserved.reservation
    assert (hold.letter_id, hold.state, hold.plan_id, hold.priority) == (letter, RESERVATION_STATE_HELD, "free", 0)
    assert hold.expires_at.ToJsonString() == "2026-11-23T12:30:00Z"
    assert (reserved.allowance.limit, reserved.allowance.used, reserved.allowance.reserved) == (3, 0, 1)
    committed = await service.calls.Commit(
        CommitRequest(request_id=new_id(), person_id=person, reservation_id=hold.reservation_id)
    )
    assert committed.reservation.state == RESERVATION_STATE_COMMITTED
    told = (await service.calls.GetAllowance(GetAllowanceRequest(person_id=person))).allowance
    assert (told.plan_id, told.window, told.time_zone) == ("free", WINDOW_CALENDAR_MONTH, "Europe/Moscow")
    assert (told.limit, told.used, told.reserved) == (3, 1, 0)
    assert told.resets_at.ToJsonString() == "2026-11-30T21:00:00Z"


async def test_every_reason_is_answered_with_what_its_proto_promises(service: Service) -> None:
    person, request = new_id(), new_id()
    holds = [
        (await service.calls.Reserve(ReserveRequest(request_id=each, person_id=person, letter_id=new_id()))).reservation
        for each in (request, new_id(), new_id())
    ]
    released = await service.calls.Release(
        ReleaseRequest(request_id=new_id(), person_id=person, reservation_id=holds[2].reservation_id)
    )
    assert released.reservation.state == RESERVATION_STATE_RELEASED
    await service.calls.Reserve(ReserveRequest(request_id=new_id(), person_id=person, letter_id=new_id()))
    unknown = new_id()
    answers = [
        await refused(call)
        for call in (
            service.calls.Reserve(ReserveRequest(request_id=new_id(), person_id=person, letter_id=new_id())),
            service.calls.Commit(CommitRequest(request_id=new_id(), person_id=person, reservation_id=unknown)),
            service.calls.Commit(
                CommitRequest(request_id=new_id(), person_id=person, reservation_id=holds[2].reservation_id)
            ),
            service.calls.Reserve(ReserveRequest(request_id=request, person_id=person, letter_id=new_id())),
        )
    ]
    assert answers == [
        Refusal(
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "ALLOWANCE_EXHAUSTED",
            {
                "plan": "free",
                "limit": "3",
                "used": "0",
                "reserved": "3",
                "resets_at": "2026-11-30T21:00:00+00:00",
                "time_zone": "Europe/Moscow",
            },
        ),
        Refusal(grpc.StatusCode.NOT_FOUND, "RESERVATION_NOT_FOUND", {"reservation_id": unknown}),
        Refusal(
            grpc.StatusCode.FAILED_PRECONDITION,
            "RESERVATION_RESOLVED",
            {"reservation_id": holds[2].reservation_id, "state": "released"},
        ),
        Refusal(grpc.StatusCode.ALREADY_EXISTS, "IDEMPOTENCY_MISMATCH", {"request_id": request}),
    ]
    assert {f"ERROR_REASON_{answer.reason}" for answer in answers} == set(ErrorReason.keys()) - {
        "ERROR_REASON_UNSPECIFIED"
    }
    assert service.unforeseen == []


async def test_a_malformed_request_names_its_fields(service: Service) -> None:
    answer = await refused(service.calls.Reserve(ReserveRequest(request_id="17", person_id=new_id())))
    assert (answer.code, answer.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")


async def billing(database: ServiceDatabase, *arguments: str, **environment: str) -> tuple[int | None, list[str]]:
    """Runs `python -m billing …`; its exit code and what it printed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "billing", *arguments),
        env={"PATH": os.environ["PATH"], "DATABASE_URL": database.requests_url, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return process.returncode, output.decode().splitlines()


async def test_the_operator_grants_premium_and_audits_the_books(database: ServiceDatabase, service: Service) -> None:
    person = new_id()
    (granted, said), (unknown, told) = await asyncio.gather(
        billing(database, "grant", "--person", person, "--plan", "premium", "--days", "30"),
        billing(database, "grant", "--person", person, "--plan", "gold", "--days", "30"),
    )
    assert (granted, said[-1].split(" from ")[0]) == (0, f"granted: premium to {person}")
    assert (unknown, told) == (1, ["there is no plan 'gold'; there are: free, premium"])
    assert await billing(database, "audit") == (0, ["violations: 0"])
    await service.calls.Reserve(ReserveRequest(request_id=new_id(), person_id=person, letter_id=new_id()))
    forger = await asyncpg.connect(database.superuser_url, server_settings={"search_path": "billing"})
    await forger.execute("DELETE FROM reservations")
    await forger.close()
    code, lines = await billing(database, "audit")
    assert (code, lines[-1], len(lines)) == (1, "violations: 2", 3)


async def test_faults_of_the_environment_and_of_every_plan_are_reported_at_once(
    database: ServiceDatabase, tmp_path: Path
) -> None:
    plans = tmp_path / "plans.toml"
    plans.write_text('time_zone = "Moscow"\n[[plans]]\nid = "premium"\nlimit = -1\nwindow = "week"\npriority = 1\n')
    code, lines = await billing(database, "audit", PLANS_FILE=str(plans), RESERVATION_MINUTES="0")
    assert code == 2
    said = "\n".join(lines)
    for fault in ('plan "premium" limit:', 'plan "premium" window:', 'plan "free": is missing', "time_zone:"):
        assert fault in said
    assert "RESERVATION_MINUTES:" in said
