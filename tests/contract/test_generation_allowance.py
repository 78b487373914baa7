"""What generation relies on in AllowanceService holds of billing itself and of the fake in generation's tests."""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import grpc
import pytest
from billing.servicer import AllowanceServicer
from billing_desk import Hands, open_desk
from generation_house import FakeBilling, serve_billing
from pismo.billing.v1.billing_pb2 import ReservationState
from pismo.billing.v1.billing_service_pb2 import CommitRequest, GetAllowanceRequest, ReleaseRequest, ReserveRequest
from pismo.billing.v1.billing_service_pb2_grpc import AllowanceServiceStub
from servicekit.channel import open_channel
from servicekit.errors import Refusal, refusal
from stores import ServiceDatabaseFactory

if TYPE_CHECKING:
    from pismo.billing.v1.billing_service_pb2_grpc import AllowanceServiceAsyncStub

LIMIT = 3


@pytest.fixture(params=["fake", "real"])
async def billing(
    request: pytest.FixtureRequest, service_database: ServiceDatabaseFactory
) -> AsyncIterator["AllowanceServiceAsyncStub"]:
    if request.param == "fake":
        async with serve_billing(FakeBilling(LIMIT)) as port, open_channel(f"127.0.0.1:{port}") as channel:
            yield AllowanceServiceStub(channel)
        return
    async with open_desk(await service_database("billing"), Hands()) as desk:
        servicer = AllowanceServicer(desk.allowances)
        async with serve_billing(servicer) as port, open_channel(f"127.0.0.1:{port}") as channel:
            yield AllowanceServiceStub(channel)
        assert await desk.audit() == []


def new() -> str:
    return str(uuid4())


async def refused(call: Any) -> Refusal:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call
    return refusal(error.value)


async def reserve(
    billing: "AllowanceServiceAsyncStub", person: str, letter: str = "", request_id: str = ""
) -> tuple[str, int]:
    answer = await billing.Reserve(
        ReserveRequest(request_id=request_id or new(), person_id=person, letter_id=letter or new())
    )
    return answer.reservation.reservation_id, answer.reservation.state


async def test_a_letter_has_one_hold_whatever_asks_for_it(billing: "AllowanceServiceAsyncStub") -> None:
    person, letter, request_id = new(), new(), new()
    first = await reserve(billing, person, letter, request_id)
    assert first[1] == ReservationState.RESERVATION_STATE_HELD
    assert await reserve(billing, person, letter, request_id) == first
    assert await reserve(billing, person, letter) == first
    allowance = (await billing.GetAllowance(GetAllowanceRequest(person_id=person))).allowance
    assert (allowance.limit, allowance.used, allowance.reserved) == (LIMIT, 0, 1)


async def test_an_exhausted_allowance_says_all_that_is_passed_on(billing: "AllowanceServiceAsyncStub") -> None:
    person = new()
    holds = [await reserve(billing, person) for _ in range(LIMIT)]
    await billing.Commit(CommitRequest(request_id=new(), person_id=person, reservation_id=holds[0][0]))
    answer = await refused(reserve(billing, person))
    assert (answer.code, answer.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "ALLOWANCE_EXHAUSTED")
    assert set(answer.metadata) == {"plan", "limit", "used", "reserved", "resets_at", "time_zone"}
    assert (answer.metadata["used"], answer.metadata["reserved"]) == ("1", "2")
    await billing.Release(ReleaseRequest(request_id=new(), person_id=person, reservation_id=holds[1][0]))
    await reserve(billing, person)


async def test_a_hold_is_resolved_once_and_repeats_agree(billing: "AllowanceServiceAsyncStub") -> None:
    person = new()
    hold, _ = await reserve(billing, person)
    commit = CommitRequest(request_id=new(), person_id=person, reservation_id=hold)
    for _ in range(2):
        committed = (await billing.Commit(commit)).reservation
        assert committed.state == ReservationState.RESERVATION_STATE_COMMITTED
    answer = await refused(billing.Release(ReleaseRequest(request_id=new(), person_id=person, reservation_id=hold)))
    assert (answer.code, answer.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "RESERVATION_RESOLVED")
    assert answer.metadata["state"].upper() == "COMMITTED"


async def test_what_is_not_ones_own_is_not_found_and_a_request_id_is_for_one_request(
    billing: "AllowanceServiceAsyncStub",
) -> None:
    person, request_id = new(), new()
    hold, _ = await reserve(billing, person, request_id=request_id)
    stranger = CommitRequest(request_id=new(), person_id=new(), reservation_id=hold)
    assert (await refused(billing.Commit(stranger))).reason == "RESERVATION_NOT_FOUND"
    assert (await refused(reserve(billing, person, request_id=request_id))).reason == "IDEMPOTENCY_MISMATCH"
