"""Whose turn it is to call Telegram."""

import asyncio

from gateway.pacer import CHAT_BURST_MESSAGES, Pacer, Priority


async def test_the_urgent_go_before_those_who_came_earlier() -> None:
    pacer = Pacer(calls_per_second=1_000)
    pacer.hold(0.05)
    order: list[Priority] = []

    async def take(priority: Priority) -> None:
        await pacer.turn(priority)
        order.append(priority)

    await asyncio.gather(*(take(priority) for priority in sorted(Priority, reverse=True)))
    assert order == sorted(Priority)


async def test_nobody_goes_while_telegram_asks_to_wait() -> None:
    pacer = Pacer()
    loop = asyncio.get_running_loop()
    began = loop.time()
    pacer.hold(0.2)
    await asyncio.gather(*(pacer.turn(Priority.ANSWER) for _ in range(3)))
    assert loop.time() - began >= 0.2


async def test_calls_of_a_bot_keep_its_rate_after_a_burst() -> None:
    pacer = Pacer(calls_per_second=100)
    loop = asyncio.get_running_loop()
    began = loop.time()
    for _ in range(40):
        await pacer.turn(Priority.LIVE)
    assert loop.time() - began >= (40 - 11) / 100


async def test_a_chat_has_its_own_pace_which_holds_up_no_other() -> None:
    pacer = Pacer(calls_per_second=10_000, messages_per_second=5)
    loop = asyncio.get_running_loop()
    began = loop.time()
    for _ in range(CHAT_BURST_MESSAGES):
        await pacer.turn(Priority.ANSWER, 1)
    late = asyncio.create_task(pacer.turn(Priority.ANSWER, 1))
    await pacer.turn(Priority.ANSWER, 2)
    assert loop.time() - began < 0.15
    await late
    assert loop.time() - began >= 0.15


async def test_who_gave_up_waiting_takes_nobodys_turn() -> None:
    pacer = Pacer(calls_per_second=1_000)
    pacer.hold(0.05)
    gone = asyncio.create_task(pacer.turn(Priority.BUTTON))
    stays = asyncio.create_task(pacer.turn(Priority.LIVE))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.wait_for(stays, 1)
