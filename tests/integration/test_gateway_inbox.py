"""Updates: each has one effect, in its person's order, whatever dies on the way."""

import asyncio
import random
from collections.abc import AsyncIterator

import pytest
from gateway.errors import Refused
from gateway.inbox import FAILURES, POSTPONEMENTS
from gateway.updates import PART_CHARACTERS
from gateway_house import (
    ANNA,
    AWAY,
    LETTER,
    RESUME,
    VACANCY,
    Fuse,
    House,
    Process,
    Telegram,
    Visitor,
    open_house,
    until,
)
from stores import ServiceDatabaseFactory

LONG = "x" * PART_CHARACTERS


@pytest.fixture
async def house(service_database: ServiceDatabaseFactory, redis_url: str) -> AsyncIterator[House]:
    async with open_house(await service_database("gateway"), redis_url) as opened:
        yield opened


async def settled(house: House, process: Process) -> Visitor:
    """Anna, past all questions."""
    async with (await house.process("settling")).leading():
        await Visitor(house, process).settles_in()
    return Visitor(house, process)


async def waiting(house: House) -> int:
    return int(await house.value("SELECT count(*) FROM inbox WHERE done_at IS NULL"))


async def test_an_update_delivered_three_times_shuffled_to_two_gateways_has_one_effect(house: House) -> None:
    first, second = await house.process("gateway-1"), await house.process("gateway-2")
    await settled(house, first)
    before = int(await house.value("SELECT count(*) FROM outgoing"))
    updates = [house.text(VACANCY), house.text(RESUME)]
    deliveries = updates * 3
    random.Random(3).shuffle(deliveries)
    # The first copy of each is in order, as from Telegram; the rest comes as it comes.
    await first.inbox.receive([updates[0]])
    await asyncio.gather(*((first, second)[number % 2].inbox.receive([each]) for number, each in enumerate(deliveries)))
    await asyncio.gather(first.drain(), second.drain())
    while await waiting(house):
        await asyncio.gather(first.drain(), second.drain())
    await first.inbox.receive(deliveries)
    await first.drain()
    assert house.letters.calls("create") == house.letters.calls("submit") == 1
    assert await house.value("SELECT count(*) FROM deliveries") == 1
    assert int(await house.value("SELECT count(*) FROM outgoing")) == before + 1


async def test_a_persons_updates_are_handled_in_order_by_many_workers(house: House) -> None:
    processes = [await house.process(f"gateway-{number}") for number in range(3)]
    visitors = [Visitor(house, processes[0], telegram_id) for telegram_id in range(1, 6)]
    updates = [house.text(f"слово {number}", each.telegram_id) for number in range(6) for each in visitors]
    await processes[0].inbox.receive(updates)
    while await waiting(house):
        await asyncio.gather(*(process.drain() for process in processes))
    for visitor in visitors:
        rows = await house.fetch(
            "SELECT update_id, lease_number FROM inbox WHERE telegram_id = $1 ORDER BY done_at, update_id",
            visitor.telegram_id,
        )
        assert [row["update_id"] for row in rows] == sorted(row["update_id"] for row in rows)
        assert await house.value("SELECT revision FROM chats WHERE chat_id = $1", visitor.telegram_id) == 5


class Gate:
    """Holds up the first that comes."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.opened = asyncio.Event()


def slow_greeting(house: House) -> Gate:
    gate, answer = Gate(), house.allowances.get

    async def wait_first(*arguments: object) -> object:
        if not gate.begun.is_set():
            gate.begun.set()
            await gate.opened.wait()
        return await answer(*arguments)  # type: ignore[arg-type]

    house.allowances.get = wait_first  # type: ignore[method-assign, assignment]
    return gate


async def test_no_two_updates_of_a_person_are_handled_at_once(house: House) -> None:
    first, second = await house.process("gateway-1"), await house.process("gateway-2")
    gate = slow_greeting(house)
    await first.inbox.receive([house.text("раз"), house.text("два")])
    assert await first.workers.lease_and_start() == 1
    await gate.begun.wait()
    assert await second.workers.lease_and_start() == 0
    gate.opened.set()
    await first.drain()
    assert await waiting(house) == 0


@pytest.mark.parametrize("point", [1, 2])
async def test_a_process_that_dies_at_the_commit_leaves_either_everything_or_nothing(house: House, point: int) -> None:
    """Before the commit there is no trace of the first run; after it there is no second one."""
    calm = await house.process("calm")
    await settled(house, calm)
    await calm.inbox.receive([house.text(VACANCY)])
    before = await house.fetch("SELECT chat_id, stage, details, revision FROM chats")
    dying = await house.process("dying", Fuse(point))
    await dying.workers.lease_and_start()
    await asyncio.wait_for(dying.fuse.blown.wait(), 5)
    after = await house.fetch("SELECT chat_id, stage, details, revision FROM chats")
    assert (after == before) is (point == 1)
    dying.die()
    await house.superuser.execute("UPDATE inbox SET leased_until = now() - interval '1 s' WHERE leased_until > now()")
    await calm.drain()
    assert await waiting(house) == 0
    assert house.letters.calls("create") == 1
    assert await house.stage() == "resume"
    assert await house.value("SELECT count(*) FROM outgoing WHERE method = 'sendMessage'") == 1


async def test_a_process_takes_back_what_it_held_when_it_died(house: House) -> None:
    dead, reborn = await house.process("gateway-1", Fuse(1)), await house.process("gateway-1")
    await dead.inbox.receive([house.text("/start")])
    await dead.workers.lease_and_start()
    await asyncio.wait_for(dead.fuse.blown.wait(), 5)
    dead.die()
    async with reborn.living():
        await until(lambda: _none_waits(house), seconds=5)


async def _none_waits(house: House) -> bool:
    return await waiting(house) == 0


async def test_a_handler_that_lost_its_lease_changes_nothing(house: House) -> None:
    slow, other = await house.process("slow"), await house.process("other")
    await slow.inbox.receive([house.text("/start")])
    gate = slow_greeting(house)
    await slow.workers.lease_and_start()
    await gate.begun.wait()
    await house.superuser.execute("UPDATE inbox SET leased_until = now() - interval '1 s'")
    await other.drain()
    gate.opened.set()
    await slow.drain()
    assert await house.value("SELECT count(*) FROM outgoing") == 2
    assert await house.value("SELECT revision FROM chats") == 0


async def test_texts_that_telegram_split_are_one_vacancy(house: House) -> None:
    process = await house.process()
    await settled(house, process)
    parts = [house.text(LONG), house.text(LONG), house.text("конец")]
    await process.inbox.receive(parts)
    await process.drain()
    assert await waiting(house) == 3
    await house.hurry()
    await process.drain()
    (text,) = [texts[0] for texts in house.letters.texts.values()]
    assert text == f"{LONG}\n{LONG}\nконец"
    assert await waiting(house) == 0
    assert await house.value("SELECT count(*) FROM inbox WHERE body IS NOT NULL") == 0


async def test_a_paste_whose_last_part_is_long_waits_for_the_rest(house: House) -> None:
    process = await house.process()
    await settled(house, process)
    await process.inbox.receive([house.text(LONG)])
    await house.hurry()
    await process.inbox.receive([house.text(LONG)])
    await process.drain()
    assert house.letters.calls("create") == 0
    await process.inbox.receive([house.text("конец")])
    await house.hurry()
    await process.drain()
    assert [texts[0].count("\n") for texts in house.letters.texts.values()] == [2]


async def test_a_photo_ends_a_paste(house: House) -> None:
    process = await house.process()
    await settled(house, process)
    location = {"latitude": 1.0, "longitude": 1.0}
    await process.inbox.receive([house.text(LONG), house.update(message={"location": location}), house.text(RESUME)])
    await house.hurry()
    while await waiting(house):
        await process.drain()
    assert [texts[0] for texts in house.letters.texts.values()] == [LONG]
    assert await house.stage() == "writing"


async def test_a_service_that_is_away_for_a_moment_is_not_noticed(house: House) -> None:
    process = await house.process()
    await settled(house, process)
    house.letters.refuse("create", Refused(AWAY), times=POSTPONEMENTS)
    await process.inbox.receive([house.text(VACANCY)])
    for _ in range(POSTPONEMENTS + 1):
        await process.drain()
        await house.hurry()
    assert await house.stage() == "resume"
    assert house.letters.calls("create") == 1


async def test_a_service_that_stays_away_is_said_and_nothing_is_spent(house: House) -> None:
    process = await house.process()
    anna = await settled(house, process)
    house.letters.refuse("create", Refused(AWAY), times=POSTPONEMENTS + 1)
    await process.inbox.receive([house.text(VACANCY)])
    for _ in range(POSTPONEMENTS + 1):
        await process.drain()
        await house.hurry()
    assert await waiting(house) == 0
    async with (await house.process("speaking")).leading():
        assert "Ничего не списано" in (await anna.says("/help"))[0]
    assert await house.stage() == "vacancy"


async def test_a_letter_whose_acceptance_was_lost_is_delivered_all_the_same(house: House) -> None:
    process = await house.process()
    anna = await settled(house, process)
    await process.inbox.receive([house.text(VACANCY)])
    await process.drain()
    submit = house.letters.submit

    async def lose_answer(*arguments: object, **named: object) -> object:
        await submit(*arguments, **named)  # type: ignore[arg-type]
        raise Refused(AWAY)

    house.letters.submit = lose_answer  # type: ignore[assignment]
    await process.inbox.receive([house.text(RESUME)])
    for _ in range(POSTPONEMENTS + 1):
        await process.drain()
        await house.hurry()
    assert await house.value("SELECT step FROM deliveries") == "unsure"
    async with (await house.process("leading")).leading():
        await until(lambda: _stage_is(house, "writing"))
        await house.letters.complete(await house.value("SELECT letter_id FROM deliveries"))
        await until(anna.has_rating)
    assert sum(shown.text == LETTER for shown in house.telegram.shown()) == 1
    assert house.letters.calls("submit") == 1


async def test_a_request_that_never_came_through_is_forgotten(house: House) -> None:
    process = await house.process()
    anna = await settled(house, process)
    await process.inbox.receive([house.text(VACANCY)])
    await process.drain()
    house.letters.refuse("submit", Refused(AWAY), times=POSTPONEMENTS + 1)
    await process.inbox.receive([house.text(RESUME)])
    for _ in range(POSTPONEMENTS + 1):
        await process.drain()
        await house.hurry()
    house.clock.pass_by(61)
    async with (await house.process("leading")).leading():
        await until(anna.has_rating)
    assert await house.value("SELECT outcome FROM deliveries") == "withdrawn"
    assert await house.stage() == "resume"


async def _stage_is(house: House, stage: str) -> bool:
    return await house.stage() == stage


async def test_an_update_that_fails_three_times_is_parked_with_an_apology_and_the_next_goes_on(house: House) -> None:
    process = await house.process()
    anna = await settled(house, process)

    async def break_down(*_: object) -> None:
        raise ZeroDivisionError("канарейка: words of a person")

    create = house.letters.create
    house.letters.create = break_down  # type: ignore[assignment]
    await process.inbox.receive([house.text(VACANCY), house.text("/help")])
    for _ in range(FAILURES + 1):
        await process.drain()
        await house.hurry()
    house.letters.create = create  # type: ignore[method-assign]
    await process.drain()
    assert [row["parked"] for row in await house.fetch("SELECT parked FROM inbox ORDER BY update_id DESC LIMIT 2")] == [
        False,
        True,
    ]
    assert await house.value("SELECT count(*) FROM inbox WHERE body IS NOT NULL") == 0
    assert len(house.reports) == FAILURES
    assert not any("канарейка" in said for report in house.reports for said in report)
    house.telegram = Telegram()
    async with (await house.process("speaking")).leading():
        await until(anna._all_sent)
    said = [shown.text for shown in house.telegram.shown()]
    assert "Что-то сломалось" in said[0]
    assert "/history" in said[1]


async def test_an_update_of_a_future_bot_api_does_not_stop_the_others(house: House) -> None:
    process = await house.process()
    await process.inbox.receive([house.update(message={"chat": 7}), house.text("/start")])
    for _ in range(FAILURES + 1):
        await process.drain()
        await house.hurry()
    await process.drain()
    assert await waiting(house) == 0
    assert await house.stage() == "language"


async def test_a_database_that_goes_away_at_the_commit_loses_and_doubles_nothing(house: House) -> None:
    process = await house.process()
    anna = Visitor(house, process)
    async with process.leading():
        await anna.settles_in()
        storm = asyncio.create_task(_storm(house))
        for _ in range(5):
            await _receive(process, house)
            for _ in range(40):
                try:
                    await process.drain()
                    if not await waiting(house):
                        break
                except Exception:  # noqa: S110  # what the runtime would wait for and begin again
                    pass
                await asyncio.sleep(0.1)
            await house.superuser.execute("UPDATE inbox SET leased_until = now() WHERE leased_until > now()")
        storm.cancel()
        while await waiting(house):
            await process.drain()
            await house.hurry()
        await until(anna._all_sent)
    greetings = [shown.text for shown in house.telegram.shown(ANNA) if shown.text.startswith("Я пишу")]
    assert len(greetings) == 5


async def _receive(process: Process, house: House) -> None:
    update = house.text("/help")
    house.clock.pass_by(61)
    while True:
        try:
            await process.inbox.receive([update])
            return
        except Exception:
            await asyncio.sleep(0.02)


async def _storm(house: House) -> None:
    """Ends every session of the gateway's again and again."""
    while True:
        await asyncio.sleep(0.15)
        await house.superuser.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename LIKE 'gateway_%' "
            "AND datname = current_database()"
        )
