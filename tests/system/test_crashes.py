"""Whatever dies, the letter arrives once and nobody is lost."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
import redis.asyncio
from whole_system import System, running

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def system(home: Path) -> AsyncIterator[System]:
    async with running(home, OFFLINE_WRITER_SECONDS="4", GATEWAY="2", GENERATION="2") as system:
        yield system


@pytest.mark.parametrize("service", ["generation", "gateway", "billing", "analytics", "postgres", "redis", "sandbox"])
async def test_a_process_killed_in_the_middle_of_a_letter_costs_nobody_the_letter(system: System, service: str) -> None:
    anna = system.person()
    await anna.gets_ready()
    await anna.asks_for_a_letter()
    await anna.read("Пишу")
    system.kill(service)
    if service in ("generation", "gateway"):
        # Whichever replica has it: both die, one after the other.
        await asyncio.sleep(0.5)
        system.kill(f"{service}-2")
    await anna.read("how is it?", 60)
    await asyncio.sleep(1)
    assert len(await anna.letters()) == 1
    assert sum(each.says("Как вам письмо") for each in await anna.messages()) == 1
    await anna.say("/plan")
    assert "1 из 3" in (await anna.read("Тариф", 30)).text


async def test_redis_may_forget_everything_in_mid_conversation(system: System) -> None:
    anna = system.person()
    await anna.gets_ready()
    client = redis.asyncio.Redis.from_url(system.env["REDIS_URL"])
    await client.flushall()
    await client.aclose()
    await anna.asks_for_a_letter()
    await anna.read("how is it?", 60)
    assert len(await anna.letters()) == 1


async def test_an_update_delivered_three_times_has_one_effect(system: System) -> None:
    anna = system.person()
    await anna.gets_ready()
    await anna.asks_for_a_letter()
    async with system.session.get(f"{system.sandbox_url}/sandbox/journal") as response:
        journal = await response.json()
    mine = {
        entry["update_id"]
        for entry in journal["entries"]
        if entry.get("kind") == "update" and str(anna.id) in str(entry)
    }
    assert len(mine) >= 6, "what Anna did is in the journal"
    for update in sorted(mine, reverse=True) * 2:
        async with system.session.post(f"{system.sandbox_url}/sandbox/updates/{update}/redeliver") as response:
            assert response.status == 200, await response.text()
    await anna.read("how is it?", 60)
    await asyncio.sleep(2)
    assert len(await anna.letters()) == 1
    assert sum(each.says("Пришлите текст вакансии") for each in await anna.messages()) == 1
