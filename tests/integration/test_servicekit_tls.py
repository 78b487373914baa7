"""mTLS: no certificate, no call; the wrong service, CALLER_NOT_ALLOWED."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import grpc
import pytest
from pismo.billing.v1 import billing_pb2, billing_service_pb2_grpc
from pismo.billing.v1.billing_service_pb2 import GetAllowanceRequest, GetAllowanceResponse
from servicekit.channel import open_channel
from servicekit.errors import ErrorTable, refusal
from servicekit.server import Server
from servicekit.tls import CallTable, TlsFiles
from stack.certificates import Authority

PERSON = "3f2b8c1e-9d4a-4b6f-8a57-0c1d2e3f4a5b"
CALL_TABLE = Path(__file__).parents[2] / "charts/pismo/files/call-table.yaml"


class Billing(billing_service_pb2_grpc.AllowanceServiceServicer):
    async def GetAllowance(self, request: GetAllowanceRequest, context: object) -> GetAllowanceResponse:
        return GetAllowanceResponse(allowance=billing_pb2.Allowance(plan_id="free"))


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, datetime.now(UTC))


@pytest.fixture
async def ports(authority: Authority) -> AsyncIterator[list[int]]:
    """Where two replicas listen."""
    servers = [serve_billing(TlsFiles(*authority.issue("billing"))) for _ in range(2)]
    for server in servers:
        await server.start()
    yield [server.port for server in servers]
    for server in servers:
        await server.stop(0)


@pytest.fixture
def target(ports: list[int]) -> str:
    return f"localhost:{ports[0]}"


def serve_billing(tls: TlsFiles) -> Server:
    return Server(
        "127.0.0.1",
        0,
        ErrorTable(billing_pb2.ErrorReason, {}),
        [
            (
                "pismo.billing.v1.AllowanceService",
                lambda it: billing_service_pb2_grpc.add_AllowanceServiceServicer_to_server(Billing(), it),  # type: ignore[abstract]
            )
        ],
        lambda *_: None,
        tls,
        CallTable.read(CALL_TABLE, "billing"),
    )


async def ask(target: str, tls: TlsFiles | None) -> str:
    async with open_channel(target, tls) as channel:
        stub = billing_service_pb2_grpc.AllowanceServiceStub(channel)
        response = await stub.GetAllowance(GetAllowanceRequest(person_id=PERSON), timeout=5)
        return response.allowance.plan_id


async def test_a_caller_in_the_table_is_served(target: str, authority: Authority) -> None:
    assert await ask(target, TlsFiles(*authority.issue("gateway"))) == "free"


@pytest.mark.parametrize("form", ["127.0.0.1:{}", "ipv4:127.0.0.1:{},127.0.0.1:{}"])
async def test_a_server_is_known_by_its_address_also_where_several_are_given(
    ports: list[int], form: str, authority: Authority
) -> None:
    assert await ask(form.format(*ports), TlsFiles(*authority.issue("gateway"))) == "free"


async def test_a_caller_that_is_not_in_the_table_is_told_so(target: str, authority: Authority) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await ask(target, TlsFiles(*authority.issue("analytics")))
    answer = refusal(raised.value)
    assert (answer.code, answer.reason) == (grpc.StatusCode.PERMISSION_DENIED, "CALLER_NOT_ALLOWED")
    assert answer.metadata == {"caller": "analytics", "method": "pismo.billing.v1.AllowanceService/GetAllowance"}


async def test_without_a_certificate_there_is_no_call(target: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await ask(target, None)
    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_certificate_of_another_authority_is_no_certificate(target: str, tmp_path: Path) -> None:
    other = Authority(tmp_path / "other", datetime.now(UTC))
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await ask(target, TlsFiles(*other.issue("gateway")))
    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
