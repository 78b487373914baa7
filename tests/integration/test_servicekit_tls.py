"""mTLS: no certificate, no call; the wrong service, CALLER_NOT_ALLOWED."""

import datetime
import ipaddress
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pismo.billing.v1 import billing_pb2, billing_service_pb2_grpc
from pismo.billing.v1.billing_service_pb2 import GetAllowanceRequest, GetAllowanceResponse
from servicekit.channel import open_channel
from servicekit.errors import ErrorTable, refusal
from servicekit.server import Server
from servicekit.tls import CallTable, TlsFiles

PERSON = "3f2b8c1e-9d4a-4b6f-8a57-0c1d2e3f4a5b"
CALL_TABLE = Path(__file__).parents[2] / "charts/pismo/files/call-table.yaml"


class Authority:
    """A certificate authority that lives as long as a test."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
        self._certificate = self._build(self._name, self._key.public_key(), authority=True)
        (folder / "ca.crt").write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, service: str) -> TlsFiles:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, service)])
        certificate = self._build(name, key.public_key(), authority=False)
        files = TlsFiles(self._folder / f"{service}.crt", self._folder / f"{service}.key", self._folder / "ca.crt")
        files.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        files.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return files

    def _build(self, name: x509.Name, key: ec.EllipticCurvePublicKey, authority: bool) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(minutes=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        )
        if not authority:
            names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self._key, hashes.SHA256())


class Billing(billing_service_pb2_grpc.AllowanceServiceServicer):
    async def GetAllowance(self, request: GetAllowanceRequest, context: object) -> GetAllowanceResponse:  # type: ignore[override]
        return GetAllowanceResponse(allowance=billing_pb2.Allowance(plan_id="free"))


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
async def port(authority: Authority) -> AsyncIterator[int]:
    server = Server(
        "127.0.0.1",
        0,
        ErrorTable(billing_pb2.ErrorReason, {}),
        [
            (
                "pismo.billing.v1.AllowanceService",
                lambda it: billing_service_pb2_grpc.add_AllowanceServiceServicer_to_server(Billing(), it),
            )
        ],
        lambda *_: None,
        authority.issue("billing"),
        CallTable.read(CALL_TABLE, "billing"),
    )
    await server.start()
    yield server.port
    await server.stop(0)


async def ask(port: int, tls: TlsFiles | None) -> str:
    async with open_channel(f"localhost:{port}", tls) as channel:
        stub = billing_service_pb2_grpc.AllowanceServiceStub(channel)
        response = await stub.GetAllowance(GetAllowanceRequest(person_id=PERSON), timeout=5)
        return response.allowance.plan_id


async def test_a_caller_in_the_table_is_served(port: int, authority: Authority) -> None:
    assert await ask(port, authority.issue("gateway")) == "free"


async def test_a_caller_that_is_not_in_the_table_is_told_so(port: int, authority: Authority) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await ask(port, authority.issue("analytics"))
    answer = refusal(raised.value)
    assert (answer.code, answer.reason) == (grpc.StatusCode.PERMISSION_DENIED, "CALLER_NOT_ALLOWED")
    assert answer.metadata == {"caller": "analytics", "method": "pismo.billing.v1.AllowanceService/GetAllowance"}


async def test_without_a_certificate_there_is_no_call(port: int) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await ask(port, None)
    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_certificate_of_another_authority_is_no_certificate(port: int, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await ask(port, Authority(tmp_path / "other").issue("gateway"))
    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
