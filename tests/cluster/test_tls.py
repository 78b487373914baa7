"""mTLS from Secrets of one's own: who has no certificate is nobody, and who has one may call what the table says."""

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import grpc
import pytest
import pytest_asyncio
from cluster.conftest import MakeNamespace
from cluster.release import ROOT, SERVICES, Release, run
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2_grpc import HealthStub
from pismo.generation.v1.generation_service_pb2 import ListLettersRequest
from pismo.generation.v1.generation_service_pb2_grpc import LetterServiceStub
from servicekit.errors import refusal

CALL_SECONDS = 10.0


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("certificates")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def release(make_namespace: MakeNamespace, certificates: Path) -> AsyncIterator[Release]:
    namespace = await make_namespace("tls")
    await run(str(ROOT / "k8s/examples/certificates.sh"), namespace.name, "pismo", str(certificates))
    values = [f"tls.existingSecrets.{service}=pismo-{service}-tls" for service in SERVICES]
    release = Release(namespace, ["--set", ",".join(["demo.enabled=true", *values])])
    await release.install()
    yield release
    await release.uninstall()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def port(release: Release) -> AsyncIterator[int]:
    """Generation's, on this machine."""
    async with release.forwarded("svc/pismo-generation", 50051) as port:
        yield port


def channel(port: int, release: Release, certificates: Path, caller: str | None) -> grpc.aio.Channel:
    authority = (certificates / "ca.crt").read_bytes()
    if caller is None:
        credentials = grpc.ssl_channel_credentials(authority)
    else:
        key, certificate = (certificates / f"{caller}.{kind}" for kind in ("key", "crt"))
        credentials = grpc.ssl_channel_credentials(authority, key.read_bytes(), certificate.read_bytes())
    host = f"pismo-generation.{release.namespace.name}.svc"
    return grpc.aio.secure_channel(f"localhost:{port}", credentials, [("grpc.ssl_target_name_override", host)])


async def test_letters_are_written_over_mtls(release: Release) -> None:
    async with release.chats() as chats:
        await chats.a_letter()
    await release.test()


async def test_without_a_certificate_nothing_is_answered(release: Release, port: int, certificates: Path) -> None:
    for asked in (grpc.aio.insecure_channel(f"localhost:{port}"), channel(port, release, certificates, None)):
        async with asked:
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await HealthStub(asked).Check(health_pb2.HealthCheckRequest(), timeout=CALL_SECONDS)
            assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_the_gateways_certificate_calls_by_the_table(release: Release, port: int, certificates: Path) -> None:
    async with channel(port, release, certificates, "gateway") as asked:
        request = ListLettersRequest(person_id=str(uuid4()), page_size=5)
        answer = await LetterServiceStub(asked).ListLetters(request, timeout=CALL_SECONDS)
        assert not answer.letters


async def test_another_services_certificate_may_ask_for_health_and_no_more(
    release: Release, port: int, certificates: Path
) -> None:
    async with channel(port, release, certificates, "billing") as asked:
        health = await HealthStub(asked).Check(health_pb2.HealthCheckRequest(), timeout=CALL_SECONDS)
        assert health.status == health_pb2.HealthCheckResponse.SERVING
        request = ListLettersRequest(person_id=str(uuid4()), page_size=5)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await LetterServiceStub(asked).ListLetters(request, timeout=CALL_SECONDS)
    answer = refusal(refused.value)
    assert answer.reason == "CALLER_NOT_ALLOWED"
    assert answer.metadata["caller"] == "billing"
