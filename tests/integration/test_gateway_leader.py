"""One process acts for a bot; updates that it polls are durable before Telegram hears of them."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiogram import Bot
from aiogram.exceptions import TelegramConflictError, TelegramRetryAfter, TelegramServerError
from aiogram.methods import TelegramMethod
from gateway.leader import Leader
from gateway.poller import Poller
from gateway.telegram import GetRawUpdates
from gateway_house import BOT_ID, TOKEN, House, Telegram, open_house, until
from stores import ServiceDatabaseFactory

ASKED = GetRawUpdates(limit=1, timeout=0, allowed_updates=[])


@pytest.fixture
async def house(service_database: ServiceDatabaseFactory, redis_url: str) -> AsyncIterator[House]:
    async with open_house(await service_database("gateway"), redis_url) as opened:
        yield opened


async def holder(house: House) -> str | None:
    name: str | None = await house.value(
        "SELECT holder FROM bot_leases WHERE bot_id = $1 AND expires_at > clock_timestamp()", BOT_ID
    )
    return name


async def test_one_leads_and_the_other_takes_over_when_it_stops(house: House) -> None:
    first, second = await house.process("first"), await house.process("second")
    async with second.living():
        await until(lambda: _holds(house, "second"))
        async with first.living():
            await asyncio.sleep(0.1)
            assert second.leader.leads()
            assert not first.leader.leads()
            second.stopping.set()
            await until(lambda: _holds(house, "first"))
            assert not second.leader.leads()


async def _holds(house: House, name: str) -> bool:
    return await holder(house) == name


async def test_a_process_that_came_back_under_its_name_leads_at_once(house: House) -> None:
    dead = await house.process("gateway-1")
    async with dead.living():
        await until(lambda: _holds(house, "gateway-1"))
    reborn, other = await house.process("gateway-1"), await house.process("gateway-2")
    async with other.living(), reborn.living():
        await until(lambda: _leads(reborn.leader), seconds=2)
        assert not other.leader.leads()


async def _leads(leader: Leader) -> bool:
    return leader.leads()


async def _stands_by(leader: Leader) -> bool:
    return not leader.leads()


async def test_who_cannot_renew_stops_acting_before_another_may(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.leader.LEASE_SECONDS", 1.5)
    monkeypatch.setattr("gateway.leader.RENEW_SECONDS", 0.2)
    leading = await house.process("first")
    async with leading.living():
        await until(lambda: _leads(leading.leader))
        for database in leading.databases:
            database.pool.terminate()
        await until(lambda: _stands_by(leading.leader))
        assert await holder(house) == "first"


class Updates(Telegram):
    """Answers getUpdates by a script."""

    def __init__(self) -> None:
        super().__init__()
        self.script: list[list[dict[str, Any]] | Exception] = []
        self.offsets: list[int | None] = []

    async def make_request(self, bot: Bot, method: TelegramMethod[Any], timeout: int | None = None) -> Any:
        assert isinstance(method, GetRawUpdates)
        self.offsets.append(method.offset)
        if not self.script:
            await asyncio.Event().wait()
        answer = self.script.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


async def test_the_offset_moves_only_after_the_commit(house: House) -> None:
    process, telegram = await house.process(), Updates()
    poller, stopping = Poller(Bot(TOKEN, session=telegram), process.inbox), asyncio.Event()
    telegram.script = [[house.text("раз"), house.text("два")], [], [house.text("три")]]
    await house.superuser.execute("REVOKE INSERT ON inbox FROM gateway_requests")
    with pytest.raises(Exception, match="permission denied"):
        await poller.poll(stopping)
    await house.superuser.execute("GRANT INSERT ON inbox TO gateway_requests")
    telegram.script.insert(0, [house.update(message={"text": "раз"}) | {"update_id": 1}])
    for _ in range(3):
        assert await poller.poll(stopping)
    assert telegram.offsets == [None, None, 2, 2]
    assert await house.value("SELECT array_agg(update_id ORDER BY update_id) FROM inbox") == [1, 3]


@pytest.mark.parametrize(
    "error",
    [
        TelegramConflictError(ASKED, "Conflict: terminated by other getUpdates request"),
        TelegramServerError(ASKED, "Bad Gateway"),
        TelegramRetryAfter(ASKED, "Too Many Requests", retry_after=0),
    ],
)
async def test_polling_goes_on_after_faults(house: House, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    monkeypatch.setattr("gateway.poller.backoff_seconds", lambda *_: 0.01)
    process, telegram = await house.process(), Updates()
    telegram.script = [error, error, [house.text("раз"), {"no": "update"}]]
    poller, stopping = Poller(Bot(TOKEN, session=telegram), process.inbox), asyncio.Event()
    polling = asyncio.create_task(poller.run(stopping))
    await until(lambda: _came(house))
    stopping.set()
    await asyncio.wait_for(polling, 2)


async def _came(house: House) -> bool:
    return bool(await house.value("SELECT count(*) FROM inbox"))
