"""A letter on trial: whether a release writes, asked the way the gateway asks, without a chat and without a store."""

import argparse
import asyncio
from contextlib import AsyncExitStack
from uuid import UUID, uuid4

import grpc
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub
from pismo.generation.v1.generation_pb2 import FailureReason
from servicekit.channel import open_channel

from gateway.errors import Refused
from gateway.peers import Letters
from gateway.settings import Settings

# Nobody is behind these, so any model may read them.
_VACANCY = """Python developer, Example Ltd, Berlin. We build a payment service for small shops.
Required: three years of Python, PostgreSQL and gRPC. Duties: writing services, reviewing code."""

_RESUME = """Robin Example, Python developer, five years of experience.
2021-2026 Sample GmbH: led a payment service on Python and PostgreSQL, moved twelve services to gRPC."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, default=120, help="how long it may take in all (default 120)")
    parser.add_argument(
        "--health-seconds",
        type=float,
        default=30,  # policies of the network take a moment to let a new pod through
        help="how long each service may take to say how it is (default 30)",
    )


async def try_letter(settings: Settings, arguments: argparse.Namespace) -> int:
    """Asks each service for its health and what it offers, and has a letter written for a made-up person; prints all.

    Gives 0 when all serve and the letter came, else 1 after a line that says what did not.
    """
    try:
        async with asyncio.timeout(arguments.seconds):
            return await _try_letter(settings, arguments.health_seconds)
    except TimeoutError:
        print(f"no letter within {arguments.seconds:g} s")
    except Refused as refused:
        print(f"refused: {refused}")
    except grpc.aio.AioRpcError as error:
        print(f"a call failed: {_described(error)}")
    return 1


async def _try_letter(settings: Settings, health_seconds: float) -> int:
    targets = {
        "generation": settings.generation_target,
        "billing": settings.billing_target,
        "analytics": settings.analytics_target,
    }
    async with AsyncExitStack() as opened:
        channels = {name: open_channel(target, settings.tls) for name, target in targets.items()}
        for channel in channels.values():
            opened.push_async_callback(channel.close)
        states = {name: await _health(channel, health_seconds) for name, channel in channels.items()}
        for name, state in states.items():
            print(f"{name}: {state}")
        if set(states.values()) != {"SERVING"}:
            return 1
        for name, channel in channels.items():
            print(f"{name} offers {', '.join(await _offers(channel, health_seconds))}")
        return await _write(Letters(channels["generation"]))


async def _health(channel: grpc.aio.Channel, seconds: float) -> str:
    try:
        request = health_pb2.HealthCheckRequest()
        answer = await HealthStub(channel).Check(request, timeout=seconds, wait_for_ready=True)
    except grpc.aio.AioRpcError as error:
        return _described(error)
    state: str = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
    return state


def _described(error: grpc.aio.AioRpcError) -> str:
    return f"{error.code().name} {error.details()}"


async def _offers(channel: grpc.aio.Channel, seconds: float) -> list[str]:
    """The services of Pismo behind a channel, as `grpcurl … list` shows them."""
    requests = iter([ServerReflectionRequest(list_services="")])
    calls = ServerReflectionStub(channel).ServerReflectionInfo(requests, timeout=seconds)
    names = [each.name async for answer in calls for each in answer.list_services_response.service]
    return sorted(name for name in names if name.startswith("pismo."))


async def _write(letters: Letters) -> int:
    person = uuid4()
    draft = await letters.create(uuid4(), person, _VACANCY)
    letter = await letters.submit(uuid4(), person, UUID(draft.letter_id), _RESUME, allow_foreign_models=True)
    async for progress in letters.watch(person, UUID(letter.letter_id), letter.version):
        match progress.WhichOneof("state"):
            case "completed":
                print(f"letter by {progress.completed.model}:\n\n{progress.completed.text}")
                return 0
            case "failed":
                print(f"failed: {FailureReason.Name(progress.failed.reason)}")
                return 1
    print("the letter ended without a text")
    return 1
