"""`python -m gateway try-letter` says in a line what is wrong, whatever stands where the services should."""

import argparse

import grpc
import pytest
from gateway.settings import Settings
from gateway.trial import try_letter
from grpc_health.v1 import health_pb2_grpc
from grpc_health.v1.health import aio
from servicekit.settings import load


async def test_a_server_that_is_healthy_and_no_service_of_pismos_is_named_for_what_it_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = grpc.aio.server()
    health_pb2_grpc.add_HealthServicer_to_server(aio.HealthServicer(), server)
    target = f"localhost:{server.add_insecure_port('localhost:0')}"
    await server.start()
    environment = dict.fromkeys(("GENERATION_TARGET", "BILLING_TARGET", "ANALYTICS_TARGET"), target) | {
        "DATABASE_URL": "postgresql://nobody@localhost/nothing",
        "REDIS_URL": "redis://localhost",
        "ENCRYPTION_KEYS": f"1:{'A' * 43}=",
        "TELEGRAM_BOT_TOKEN": f"1:{'a' * 35}",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    try:
        code = await try_letter(load(Settings), argparse.Namespace(seconds=20, health_seconds=10))
    finally:
        await server.stop(0)
    assert code == 1
    assert capsys.readouterr().out.splitlines()[-1].startswith("a call failed: UNIMPLEMENTED")
