"""A letter comes into the chat once, whatever dies on the way."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest
from aiogram.exceptions import (
    TelegramBadRequest,
    TelegramForbiddenError,
    TelegramNetworkError,
    TelegramRetryAfter,
    TelegramServerError,
)
from aiogram.methods import EditMessageText, SendMessage, TelegramMethod
from gateway.errors import Refused
from gateway_house import (
    ANNA,
    AWAY,
    LETTER,
    RESUME,
    VACANCY,
    Fuse,
    House,
    Process,
    Shown,
    Visitor,
    open_house,
    refused,
    until,
)
from pismo.analytics.v1.analytics_pb2 import Event
from pismo.generation.v1 import generation_pb2 as pb
from stores import ServiceDatabaseFactory

METHOD = SendMessage(chat_id=ANNA, text="…")
RATING = "Готово! Как вам письмо?"
PLACEHOLDER = "Принято. Ставлю в очередь…"
POINTS = 60
"""More than a delivery has; the test below says so when that is no longer true."""


@pytest.fixture
async def house(
    service_database: ServiceDatabaseFactory, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[House]:
    for module in ("deliveries", "sender"):
        monkeypatch.setattr(f"gateway.{module}.backoff_seconds", lambda *_: 0.01)
    monkeypatch.setattr("gateway.deliveries.FIRST_LOOK_SECONDS", 0.05)
    monkeypatch.setattr("gateway.deliveries.EDIT_SECONDS", 0.05)
    async with open_house(await service_database("gateway"), redis_url) as opened:
        yield opened


async def submitted(house: House) -> tuple[Process, Visitor, UUID]:
    """Anna's letter is about to be written; nobody leads yet."""
    process = await house.process("handling")
    anna = Visitor(house, process)
    async with (await house.process("settling")).leading():
        await anna.settles_in()
        await anna.says(VACANCY)
    await process.inbox.receive([house.text(RESUME)])
    await process.drain()
    return process, anna, await house.value("SELECT letter_id FROM deliveries")


def is_text(text: str) -> Any:
    return lambda method: getattr(method, "text", None) == text


def is_edit(method: TelegramMethod[Any]) -> bool:
    return isinstance(method, EditMessageText)


def letters(house: House) -> list[Shown]:
    return [shown for shown in house.telegram.shown() if shown.text == LETTER]


def ratings(house: House) -> list[Shown]:
    return [shown for shown in house.telegram.shown() if shown.text == RATING]


async def test_a_delivery_that_dies_at_any_point_ends_with_one_letter_and_one_rating_at_most(house: House) -> None:
    """Every point at which a leader meets the database or Telegram, one after the other."""
    _, anna, first = await submitted(house)
    for point in range(1, POINTS):
        house.telegram.chats.clear()
        letter_id = UUID(int=point)
        copy = pb.Letter()
        copy.CopyFrom(house.letters.letters[first])
        copy.letter_id = str(letter_id)
        house.letters.letters[letter_id] = copy
        await house.superuser.execute(
            """UPDATE chats SET stage = 'writing', details = jsonb_build_object('letter_id', $1::uuid, 'version', 0)""",
            letter_id,
        )
        await house.superuser.execute(
            """UPDATE deliveries SET letter_id = $1, step = 'following', message_id = NULL, outcome = NULL,
                                     ended_at = NULL""",
            letter_id,
        )
        await house.letters.complete(letter_id)
        dying = await house.process("leader", Fuse(point))
        async with dying.living():
            died = asyncio.ensure_future(dying.fuse.blown.wait())
            done = asyncio.ensure_future(until(anna.has_rating, seconds=20))
            await asyncio.wait([died, done], return_when=asyncio.FIRST_COMPLETED)
            survived = done.done()
            died.cancel()
            done.cancel()
        async with (await house.process("leader")).leading():
            await until(anna.has_rating)
        assert len(letters(house)) == 1, f"killed at point {point}"
        assert len(ratings(house)) <= 1, f"killed at point {point}"
        rated = [shown for shown in house.telegram.shown() if "👍 Нравится" in shown.buttons]
        assert rated, f"killed at point {point}"
        assert await house.stage() == "ready"
        if survived:
            break
    else:
        raise AssertionError("a delivery has more points than were tried")
    assert point > 5


async def test_the_growing_text_is_edited_into_the_placeholder(house: House) -> None:
    _, anna, letter_id = await submitted(house)
    async with (await house.process()).leading():
        await house.letters.look(letter_id, pb.Progress(queued=pb.Progress.Queued(position=3, eta_seconds=40)))
        await until(lambda: _stands(house, "⏳ Ваше место в очереди: 3. Начну примерно через 40 с."))
        for text in ("Здравствуйте!", "Здравствуйте! Откликаюсь.", "Короче."):
            await house.letters.write(letter_id, text)
            await until(lambda text=text: _stands(house, f"{text}\n\n✍️ Пишу…"))  # type: ignore[misc]
        assert "Остановить" in house.telegram.shown()[-1].buttons
        await house.letters.complete(letter_id)
        await until(anna.has_rating)
    letter, rating = house.telegram.shown()[-2:]
    assert (letter.text, letter.buttons) == (LETTER, {})
    assert list(rating.buttons) == ["👍 Нравится", "👎 Улучшить"]


async def _stands(house: House, text: str) -> bool:
    return any(shown.text == text for shown in house.telegram.shown())


async def test_a_placeholder_that_the_person_deleted_is_sent_anew(house: House) -> None:
    _, anna, letter_id = await submitted(house)
    async with (await house.process()).leading():
        await until(lambda: _stands(house, PLACEHOLDER))
        del house.telegram.chats[ANNA][house.telegram.shown()[-1].message_id]
        await house.letters.complete(letter_id)
        await until(anna.has_rating)
    assert len(letters(house)) == len(ratings(house)) == 1


async def test_a_person_who_blocked_the_bot_finds_the_letter_in_the_history(house: House) -> None:
    _, anna, letter_id = await submitted(house)
    house.telegram.fail(lambda _: True, TelegramForbiddenError(METHOD, "Forbidden: bot was blocked by the user"))
    async with (await house.process()).leading():
        await house.letters.complete(letter_id)
        await until(anna.has_rating)
        assert await house.value("SELECT outcome FROM deliveries") == "undeliverable"
        assert await house.value("SELECT blocked_at IS NOT NULL FROM people")
        assert letters(house) == []
        assert await house.stage() == "ready"
        await anna.says("/history")
        assert await anna.presses(next(iter(house.telegram.shown()[-1].buttons))) == [LETTER]


@pytest.mark.parametrize(
    "error",
    [
        TelegramServerError(METHOD, "Bad Gateway"),
        TelegramNetworkError(METHOD, "Request timeout error"),
        TelegramRetryAfter(METHOD, "Too Many Requests", retry_after=0),
    ],
    ids=["server error", "no answer", "retry after"],
)
@pytest.mark.parametrize("done", [False, True], ids=["not done", "answer lost"])
async def test_faults_of_telegram_leave_one_letter(house: House, error: Exception, done: bool) -> None:
    _, anna, letter_id = await submitted(house)
    for when in (is_text(LETTER), is_text(LETTER), is_text(RATING)):
        house.telegram.fail(when, error, done=done and not isinstance(error, TelegramRetryAfter | TelegramServerError))
    async with (await house.process()).leading():
        await house.letters.complete(letter_id)
        await until(anna.has_rating)
    assert len(letters(house)) == 1
    assert len(ratings(house)) <= 1
    assert [shown for shown in house.telegram.shown() if "👍 Нравится" in shown.buttons]


async def test_a_lost_answer_to_the_rating_message_puts_the_buttons_under_the_letter(house: House) -> None:
    _, anna, letter_id = await submitted(house)
    house.telegram.fail(is_text(RATING), TelegramNetworkError(METHOD, "Request timeout error"), done=True)
    async with (await house.process()).leading():
        await house.letters.complete(letter_id)
        await until(anna.has_rating)
    assert len(ratings(house)) == 1
    assert list(letters(house)[0].buttons) == ["👍 Нравится", "👎 Улучшить"]


async def test_a_live_edit_that_fails_is_left_out(house: House) -> None:
    _, anna, letter_id = await submitted(house)
    async with (await house.process()).leading():
        await until(lambda: _stands(house, PLACEHOLDER))
        house.telegram.fail(is_edit, TelegramServerError(METHOD, "Bad Gateway"))
        await house.letters.write(letter_id, "Раз.")
        await house.letters.write(letter_id, "Раз. Два.")
        await until(lambda: _stands(house, "Раз. Два.\n\n✍️ Пишу…"))
        await house.letters.complete(letter_id)
        await until(anna.has_rating)
    assert len(letters(house)) == 1


async def test_a_letter_that_telegram_will_not_show_waits_in_the_history(house: House) -> None:
    _, anna, letter_id = await submitted(house)
    house.telegram.fail(is_text(LETTER), TelegramBadRequest(METHOD, "Bad Request: text is odd"))
    async with (await house.process()).leading():
        await house.letters.complete(letter_id)
        await until(anna.has_rating)
    assert "/history" in house.telegram.shown()[-1].text
    assert await house.value("SELECT outcome FROM deliveries") == "undeliverable"
    assert await house.stage() == "ready"


async def test_a_watch_that_breaks_is_opened_again(house: House) -> None:
    _, anna, letter_id = await submitted(house)
    house.letters.refuse("watch", Refused(AWAY), times=3)
    async with (await house.process()).leading():
        await house.letters.complete(letter_id)
        await until(anna.has_rating)
    assert len(letters(house)) == 1


async def test_a_letter_that_is_gone_leaves_an_honest_word(house: House) -> None:
    _, anna, _ = await submitted(house)
    house.letters.refuse("watch", refused("LETTER_NOT_FOUND"))
    async with (await house.process()).leading():
        await until(anna.has_rating)
    assert house.telegram.shown()[-1].text == "Это письмо больше не хранится."
    assert await house.stage() == "ready"


async def test_a_chat_that_has_gone_on_is_left_alone(house: House) -> None:
    """A letter that ends late does not move a chat which is about another one by then."""
    process, anna, letter_id = await submitted(house)
    async with (await house.process()).leading():
        await until(lambda: _stands(house, PLACEHOLDER))
        await anna.presses("Остановить")
        await anna.says("/new")
        await until(anna.has_rating)
    assert await house.stage() == "vacancy"
    assert process.workers is not None
    assert house.letters.letters[letter_id].state == pb.LETTER_STATE_CANCELLED


async def test_a_leader_that_stops_hands_over_between_two_steps(house: House) -> None:
    _, anna, letter_id = await submitted(house)
    async with (await house.process("first")).leading():
        await house.letters.write(letter_id, "Раз.")
        await until(lambda: _stands(house, "Раз.\n\n✍️ Пишу…"))
    async with (await house.process("second")).leading():
        await house.letters.complete(letter_id)
        await until(anna.has_rating)
    assert len(letters(house)) == len(ratings(house)) == 1


async def test_the_event_says_how_long_a_delivery_took_and_is_there_once(house: House) -> None:
    _, anna, letter_id = await submitted(house)
    house.clock.pass_by(7)
    async with (await house.process()).leading():
        await house.letters.complete(letter_id)
        await until(anna.has_rating)
    rows = await house.fetch("SELECT payload FROM outbox")
    found = [each for row in rows if (each := Event.FromString(row["payload"])).HasField("letter_delivered")]
    assert [(each.letter_id, each.letter_delivered.delivery_ms) for each in found] == [(str(letter_id), 7_000)]
