"""`python -m generation`: a whole letter by the offline writer over gRPC, and an end without loss."""

import asyncio
import os
import signal
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import grpc
import pytest
from generation_house import RESUME, VACANCY, FakeBilling, serve_billing
from pismo.generation.v1 import generation_pb2 as pb
from pismo.generation.v1 import generation_service_pb2 as rpc
from pismo.generation.v1.generation_service_pb2_grpc import LetterServiceStub
from servicekit.channel import open_channel
from servicekit.errors import refusal
from stack.ports import free_port
from stores import ServiceDatabase, ServiceDatabaseFactory

if TYPE_CHECKING:
    from pismo.generation.v1.generation_service_pb2_grpc import LetterServiceAsyncStub

KEYS = "test:a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s="


@asynccontextmanager
async def run(database: ServiceDatabase, **environ: str) -> AsyncIterator[asyncio.subprocess.Process]:
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "generation", "serve"),
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


async def watched(letters: "LetterServiceAsyncStub", person: str, letter_id: str) -> list[pb.Progress]:
    request = rpc.WatchLetterRequest(person_id=person, letter_id=letter_id)
    return [answer.progress async for answer in letters.WatchLetter(request, timeout=30)]


async def submit(letters: "LetterServiceAsyncStub", person: str) -> str:
    draft = await letters.CreateLetter(
        rpc.CreateLetterRequest(request_id=str(uuid.uuid4()), person_id=person, vacancy=VACANCY),
        wait_for_ready=True,
        timeout=20,
    )
    letter_id = draft.letter.letter_id
    await letters.SubmitLetter(
        rpc.SubmitLetterRequest(request_id=str(uuid.uuid4()), person_id=person, letter_id=letter_id, resume=RESUME)
    )
    return letter_id


async def test_the_offline_writer_writes_a_letter_that_is_watched_growing_and_survives_kill_9(
    service_database: ServiceDatabaseFactory, redis_url: str
) -> None:
    database = await service_database("generation")
    billing = FakeBilling()
    port, person = free_port(), str(uuid.uuid4())
    async with serve_billing(billing) as billing_port:
        environ = {
            "GENERATION_GRPC_PORT": str(port),
            "GENERATION_OPS_PORT": "0",
            "BILLING_TARGET": f"127.0.0.1:{billing_port}",
            "ANALYTICS_TARGET": "127.0.0.1:1",
            "REDIS_URL": redis_url,
            "ENCRYPTION_KEYS": KEYS,
            "OFFLINE_WRITER_SECONDS": "1.5",
            "INSTANCE": "generation-1",
        }
        channel = open_channel(f"127.0.0.1:{port}")
        letters = LetterServiceStub(channel)
        async with run(database, **environ) as first:
            letter_id = await submit(letters, person)
            looks = await watched(letters, person, letter_id)
            texts = [look.writing.text for look in looks if look.HasField("writing")]
            assert len(set(texts)) >= 2, "the text grew while it was watched"
            assert looks[-1].completed.text.startswith(texts[-1])
            assert looks[-1].completed.model == "offline"

            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await letters.GetLetter(rpc.GetLetterRequest(person_id=str(uuid.uuid4()), letter_id=letter_id))
            assert refusal(refused.value).reason == "LETTER_NOT_FOUND"

            killed = await submit(letters, person)
            request = rpc.WatchLetterRequest(person_id=person, letter_id=killed)
            async for answer in letters.WatchLetter(request, timeout=30):
                if answer.progress.writing.text:
                    break
            first.kill()
        async with run(database, **environ) as second:
            await letters.GetLetter(
                rpc.GetLetterRequest(person_id=person, letter_id=killed), wait_for_ready=True, timeout=20
            )
            assert (await watched(letters, person, killed))[-1].HasField("completed")
            second.send_signal(signal.SIGTERM)
            output, _ = await asyncio.wait_for(second.communicate(), 20)
        assert second.returncode == 0
        assert "unforeseen" not in output.decode()
        assert VACANCY[:20] not in output.decode()
        await channel.close()
    assert billing.states() == {"committed": 2}
