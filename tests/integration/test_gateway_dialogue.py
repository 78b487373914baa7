"""The chat path, as people walk it and as they stray from it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from gateway.buttons import AnswerConsent, ChangeConsent, NewLetter, StopLetter
from gateway.conversation import CONSENT_OF_STAGE, Consent, Stage
from gateway_house import ANNA, LETTER, RESUME, VACANCY, House, Visitor, open_house, refused, until
from pismo.analytics.v1.analytics_pb2 import Event
from pismo.generation.v1.generation_pb2 import FAILURE_REASON_TIMED_OUT, RATING_LIKE
from stores import ServiceDatabaseFactory


@dataclass
class Scene:
    house: House
    anna: Visitor


@pytest.fixture
async def scene(service_database: ServiceDatabaseFactory, redis_url: str) -> AsyncIterator[Scene]:
    """Anna before a gateway that leads."""
    async with open_house(await service_database("gateway"), redis_url) as house:
        process = await house.process()
        async with process.leading():
            yield Scene(house, Visitor(house, process))


async def events(house: House) -> list[Event]:
    return [Event.FromString(row["payload"]) for row in await house.fetch("SELECT payload FROM outbox")]


async def facts(house: House) -> list[str | None]:
    return [each.WhichOneof("fact") for each in await events(house)]


async def test_a_newcomer_walks_from_start_to_a_revised_letter(scene: Scene) -> None:
    house, anna = scene.house, scene.anna
    greeting, question = await anna.says("/start")
    assert "доступны ещё 3 письма" in greeting
    assert "На каком языке" in question
    assert "Обработка" not in (await anna.presses("Русский"))[0]
    for label in ("Согласиться", "Разрешить"):
        assert len(await anna.presses(label)) == 2
    assert (await anna.presses("Присылать"))[-1].startswith("Пришлите текст вакансии")
    assert "резюме" in (await anna.says(VACANCY))[0]

    await anna.says(RESUME)
    letter_id = await house.value("SELECT letter_id FROM deliveries")
    await house.letters.write(letter_id, "Здравствуйте!")
    await until(lambda: _stands(house, "Здравствуйте!\n\n✍️ Пишу…"))
    await house.letters.complete(letter_id)
    await until(anna.has_rating)
    assert await house.stage() == Stage.READY

    assert "Что изменить" in (await anna.presses("👎"))[-1]
    await anna.says("Короче")
    await house.letters.complete(letter_id, "Короткое письмо")
    await until(anna.has_rating)
    assert [shown.text for shown in house.telegram.shown() if shown.text in (LETTER, "Короткое письмо")] == [
        LETTER,
        "Короткое письмо",
    ]
    assert "Спасибо" in (await anna.presses("👍"))[0]
    assert house.letters.letters[letter_id].rating == RATING_LIKE
    assert house.letters.foreign == [True]
    said = await facts(house)
    assert said.count("consent_given") == 3
    assert said.count("letter_delivered") == 2
    assert said.count("start_command") == 1


async def _offers(house: House, label: str) -> bool:
    return any(label in shown.buttons for shown in house.telegram.shown())


async def _stands(house: House, text: str) -> bool:
    return any(shown.text == text for shown in house.telegram.shown())


async def test_the_first_button_always_leads_on(scene: Scene) -> None:
    """Whoever presses what comes first ends where the letter begins."""
    await scene.anna.says("/start")
    while buttons := [shown.buttons for shown in scene.house.telegram.shown() if shown.buttons]:
        await scene.anna.presses(next(iter(buttons[-1])))
    assert await scene.house.stage() == Stage.VACANCY
    assert await scene.house.value("SELECT consents FROM people") == (
        '{"marketing": true, "foreign_ai": true, "processing": true}'
    )


async def test_whatever_is_sent_first_is_greeted(scene: Scene) -> None:
    said = await scene.anna.says("привет")
    assert said[0].startswith("Здравствуйте")
    assert await scene.house.stage() == Stage.LANGUAGE


async def test_the_greeting_does_without_billing(scene: Scene) -> None:
    scene.house.allowances.refusal = refused("", grpc.StatusCode.UNAVAILABLE)
    greeting, _ = await scene.anna.says("/start")
    assert "Здравствуйте" in greeting
    assert "доступн" not in greeting


async def test_a_deep_link_is_kept_with_its_campaign(scene: Scene) -> None:
    await scene.house.superuser.execute("INSERT INTO campaigns (code, utm_source) VALUES ('spring_26', 'vk')")
    await scene.anna.says("/start spring_26")
    await Visitor(scene.house, scene.anna.process, 1002).says("/start ref_abc-1")
    await Visitor(scene.house, scene.anna.process, 1003).says("/start not a code!")
    rows = await scene.house.fetch("SELECT payload, referral, utm_source FROM acquisition_channels ORDER BY payload")
    assert [tuple(row) for row in rows] == [("ref_abc-1", "abc-1", None), ("spring_26", None, "vk")]
    await scene.anna.says("/start other")
    assert await scene.house.value("SELECT count(*) FROM acquisition_channels") == 2


async def test_without_the_first_consent_nothing_goes_on(scene: Scene) -> None:
    anna = scene.anna
    await anna.says("/start")
    await anna.presses("Русский")
    refusal = (await anna.presses("Не соглашаться"))[-1]
    assert "/privacy" in refusal
    for attempt in (VACANCY, "/new", "/plan"):
        assert "Вы согласны на обработку" in (await anna.says(attempt))[-1]
    assert scene.house.letters.requests == {}
    assert "Что я храню" in (await anna.says("/privacy"))[0]
    await anna.presses("Согласиться")
    assert await scene.house.stage() == Stage.CONSENT_FOREIGN_AI


async def test_without_the_second_only_models_at_home_write(scene: Scene) -> None:
    await scene.anna.says("/start")
    for label in ("Русский", "Согласиться", "Не разрешать", "Не присылать"):
        await scene.anna.presses(label)
    await scene.anna.asks_for_letter()
    assert scene.house.letters.foreign == [False]
    rows = await scene.house.fetch("SELECT kind, given FROM consents ORDER BY consent_id")
    assert [tuple(row) for row in rows] == [("processing", True), ("foreign_ai", False), ("marketing", False)]


async def test_a_consent_can_be_withdrawn_and_given_again(scene: Scene) -> None:
    anna, house = scene.anna, scene.house
    await anna.settles_in()
    letter_id = await anna.asks_for_letter()
    await anna.says("/privacy")
    await anna.presses("Отозвать: обработка данных")
    assert await house.stage() == Stage.CONSENT_PROCESSING
    await until(lambda: _stands(house, "Остановлено, ничего не списано."))
    assert house.letters.requests[next(reversed(house.letters.requests))][0] == "cancel"
    assert letter_id in house.letters.letters
    await anna.presses("Согласиться")
    assert await house.stage() == Stage.VACANCY
    assert [row["given"] for row in await house.fetch("SELECT given FROM consents WHERE kind = 'processing'")] == [
        True,
        False,
        True,
    ]


async def test_the_language_can_be_changed_at_any_time(scene: Scene) -> None:
    await scene.anna.settles_in()
    await scene.anna.says("/language")
    assert "English" in (await scene.anna.presses("English"))[-1]
    assert "Send me the text of the vacancy" in (await scene.anna.says("/new"))[0]
    assert await scene.house.stage() == Stage.VACANCY


async def test_a_refused_vacancy_is_explained_and_can_be_sent_again(scene: Scene) -> None:
    await scene.anna.settles_in()
    scene.house.letters.refuse("create", refused("TEXT_TOO_SHORT", field="vacancy", minimum_characters="30"))
    assert "слишком мало" in (await scene.anna.says("hh.ru/123"))[0]
    assert await scene.house.stage() == Stage.VACANCY
    assert "резюме" in (await scene.anna.says(VACANCY))[0]


async def test_thanks_after_a_letter_are_no_bad_vacancy(scene: Scene) -> None:
    await scene.anna.settles_in()
    await scene.anna.gets_letter()
    scene.house.letters.refuse("create", refused("TEXT_TOO_SHORT", field="vacancy", minimum_characters="30"))
    assert (await scene.anna.says("Спасибо!"))[0].startswith("Я всегда рядом")


async def test_being_unblocked_by_a_stranger_remembers_nobody(scene: Scene) -> None:
    bot = {"id": 4242, "is_bot": True, "first_name": "Pismo"}
    member = {
        "chat": {"id": ANNA, "type": "private"},
        "date": 1,
        "old_chat_member": {"status": "kicked", "user": bot, "until_date": 0},
        "new_chat_member": {"status": "member", "user": bot},
    }
    assert await scene.anna.sends(scene.house.update(my_chat_member=member)) == []
    assert await scene.house.value("SELECT count(*) FROM people") == 0
    await scene.anna.says("/start promo")
    (event,) = [each for each in await events(scene.house) if each.HasField("start_command")]
    assert event.start_command.first


async def test_a_used_up_allowance_is_said_with_its_renewal_and_the_draft_stays(scene: Scene) -> None:
    await scene.anna.settles_in()
    await scene.anna.says(VACANCY)
    exhausted = refused(
        "ALLOWANCE_EXHAUSTED",
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        plan="free",
        limit="3",
        used="3",
        reserved="0",
        resets_at="2026-11-30T21:00:00+00:00",
        time_zone="Europe/Moscow",
    )
    scene.house.letters.refuse("submit", exhausted)
    assert "1 декабря" in (await scene.anna.says(RESUME))[0]
    assert await scene.house.stage() == Stage.RESUME
    assert "limit_reached" in await facts(scene.house)
    assert await scene.house.value("SELECT count(*) FROM deliveries") == 0


async def test_a_lost_draft_asks_for_the_vacancy_again(scene: Scene) -> None:
    await scene.anna.settles_in()
    await scene.anna.says(VACANCY)
    scene.house.letters.refuse("submit", refused("LETTER_NOT_FOUND", grpc.StatusCode.NOT_FOUND))
    assert "Пришлите её ещё раз" in (await scene.anna.says(RESUME))[0]
    assert await scene.house.stage() == Stage.VACANCY


async def test_while_a_letter_is_written_texts_and_new_letters_wait(scene: Scene) -> None:
    anna = scene.anna
    await anna.settles_in()
    letter_id = await anna.asks_for_letter()
    for attempt in ("ещё текст", "/new", "/start"):
        assert "Остановить" in (await anna.says(attempt))[-1]
    assert await scene.house.stage() == Stage.WRITING
    await scene.house.letters.complete(letter_id)
    await until(anna.has_rating)
    assert await scene.house.stage() == Stage.READY


async def test_stop_stops_and_costs_nothing(scene: Scene) -> None:
    anna, house = scene.anna, scene.house
    await anna.settles_in()
    await anna.asks_for_letter()
    await until(lambda: _stands(house, "Принято. Ставлю в очередь…"))
    await anna.presses("Остановить")
    await until(lambda: _stands(house, "Остановлено, ничего не списано."))
    assert await house.stage() == Stage.READY
    await anna.presses("Новое письмо")
    assert await house.stage() == Stage.VACANCY


async def test_stop_works_when_nothing_else_does(scene: Scene) -> None:
    anna, house = scene.anna, scene.house
    await anna.settles_in()
    await anna.asks_for_letter()
    for _ in range(6):
        said = await anna.says("/help")
    assert "Подождите" in said[0]
    await until(lambda: _stands(house, "Принято. Ставлю в очередь…"))
    await anna.presses("Остановить")
    await until(lambda: _stands(house, "Остановлено, ничего не списано."))


async def test_a_failed_letter_says_so_and_offers_a_new_one(scene: Scene) -> None:
    await scene.anna.settles_in()
    letter_id = await scene.anna.asks_for_letter()
    await scene.house.letters.fail(letter_id, FAILURE_REASON_TIMED_OUT)
    await until(scene.anna.has_rating)
    last = scene.house.telegram.shown()[-1]
    assert "Ничего не списано" in last.text
    assert list(last.buttons) == ["Новое письмо"]
    assert await scene.house.stage() == Stage.READY


async def test_after_three_revisions_the_answer_is_honest(scene: Scene) -> None:
    anna, house = scene.anna, scene.house
    await anna.settles_in()
    letter_id = await anna.gets_letter()
    for number in range(3):
        await anna.presses("👎")
        house.clock.pass_by(301)
        await anna.says(f"Пожелание {number}")
        await house.letters.complete(letter_id, f"Правка {number}")
        await until(anna.has_rating)
    assert "Все 3 правки этого письма использованы" in (await anna.presses("👎"))[-1]
    assert await house.stage() == Stage.READY


async def test_a_stopped_revision_leaves_its_number_to_the_next(scene: Scene) -> None:
    anna, house = scene.anna, scene.house
    await anna.settles_in()
    letter_id = await anna.gets_letter()
    await anna.presses("👎")
    await anna.says("Короче")
    await until(lambda: _offers(house, "Остановить"))
    await anna.presses("Остановить")
    await until(anna.has_rating)
    await anna.presses("Попросить ещё раз")
    await anna.says("Короче и теплее")
    assert house.letters.letters[letter_id].version == 1
    await house.letters.complete(letter_id, "Короткое тёплое письмо")
    await until(anna.has_rating)
    assert "Короткое тёплое письмо" in [shown.text for shown in house.telegram.shown()]


async def test_letters_that_are_used_up_are_spoken_of_before_haste(scene: Scene) -> None:
    anna, house = scene.anna, scene.house
    await anna.settles_in()
    for _ in range(3):
        await anna.gets_letter()
        house.clock.pass_by(1)
    house.allowances.answer.used = 3
    await anna.says(VACANCY)
    assert "Новые появятся 1 декабря" in (await anna.says(RESUME))[0]
    assert (await facts(house)).count("limit_reached") == 1


async def test_a_fourth_request_in_five_minutes_is_told_how_long_to_wait(scene: Scene) -> None:
    anna, house = scene.anna, scene.house
    await anna.settles_in()
    letter_id = await anna.gets_letter()
    for number in range(2):
        await anna.presses("👎")
        await anna.says(f"Пожелание {number}")
        await house.letters.complete(letter_id, f"Правка {number}")
        await until(anna.has_rating)
    house.clock.pass_by(100)
    await anna.presses("👎")
    assert "Подождите 200 секунд" in (await anna.says("Третье пожелание"))[0]
    assert await house.stage() == Stage.WISH
    house.clock.pass_by(200)
    await anna.says("Третье пожелание")
    assert await house.stage() == Stage.WRITING
    assert house.letters.calls("revise") == 3


async def test_a_refused_request_does_not_count(scene: Scene) -> None:
    anna, house = scene.anna, scene.house
    await anna.settles_in()
    await anna.says(VACANCY)
    too_short = refused("TEXT_TOO_SHORT", grpc.StatusCode.INVALID_ARGUMENT, field="resume", minimum_characters="30")
    house.letters.refuse("submit", too_short, times=5)
    for _ in range(5):
        assert "слишком мало" in (await anna.says("я"))[0]
    await anna.says(RESUME)
    assert await house.stage() == Stage.WRITING


async def test_a_sixth_command_in_a_minute_waits_and_texts_do_not(scene: Scene) -> None:
    anna, house = scene.anna, scene.house
    await anna.settles_in()
    for _ in range(4):
        assert "Тариф" in (await anna.says("/plan"))[0]
    house.clock.pass_by(20)
    assert "Подождите 40 секунд" in (await anna.says("/plan"))[0]
    assert "резюме" in (await anna.says(VACANCY))[0]
    house.clock.pass_by(40)
    assert "Тариф" in (await anna.says("/plan"))[0]
    assert [each.rate_limited.limit for each in await events(house) if each.HasField("rate_limited")] == ["commands"]


async def test_an_admin_is_not_slowed_down(service_database: ServiceDatabaseFactory, redis_url: str) -> None:
    async with open_house(await service_database("gateway"), redis_url) as house:
        house.admins = (ANNA,)
        process = await house.process()
        async with process.leading():
            anna = Visitor(house, process)
            await anna.settles_in()
            for _ in range(8):
                assert "Тариф" in (await anna.says("/plan"))[0]


async def test_the_plan_says_what_is_used_and_when_it_renews(scene: Scene) -> None:
    await scene.anna.settles_in()
    scene.house.allowances.answer.used = 1
    (said,) = await scene.anna.says("/plan")
    assert said == "Тариф: бесплатный\nПисем в этом месяце: 1 из 3\nЛимит обновится 1 декабря."


async def test_the_history_opens_letters_page_by_page(scene: Scene) -> None:
    anna, house = scene.anna, scene.house
    await anna.settles_in()
    assert "Писем пока нет" in (await anna.says("/history"))[0]
    for number in range(3):
        house.clock.pass_by(301)
        await anna.gets_letter(f"Письмо {number}")
    await anna.says("/history")
    assert len(house.telegram.shown()[-1].buttons) == 3
    await anna.presses("Старше →")
    assert list(house.telegram.shown()[-1].buttons)[-1] == "← Новее"
    await anna.presses("← Новее")
    label = next(iter(house.telegram.shown()[-1].buttons))
    assert await anna.presses(label) == ["Письмо 2"]
    assert "Изменить письмо" in house.telegram.shown()[-1].buttons
    assert "Что изменить" in (await anna.presses("Изменить письмо"))[0]


async def test_help_terms_and_unknown_commands_are_answered(scene: Scene) -> None:
    await scene.anna.settles_in()
    assert "/history" in (await scene.anna.says("/help"))[0]
    assert "засчитывается" in (await scene.anna.says("/terms"))[0]
    assert "/help" in (await scene.anna.says("/fly"))[0]


WRONG: dict[str, dict[str, Any]] = {
    "photo": {"photo": [{"file_id": "f", "file_unique_id": "u", "width": 1, "height": 1}], "caption": VACANCY},
    "voice": {"voice": {"file_id": "f", "file_unique_id": "u", "duration": 1}},
    "document": {"document": {"file_id": "f", "file_unique_id": "u", "file_name": "cv.pdf"}},
    "location": {"location": {"latitude": 1.0, "longitude": 1.0}},
}


@pytest.mark.parametrize("stage", [stage for stage in Stage if stage is not Stage.NEW])
async def test_the_wrong_kind_of_message_is_answered_at_every_stage(scene: Scene, stage: Stage) -> None:
    anna, house = scene.anna, scene.house
    await _reach(scene, stage)
    before = await house.fetch("SELECT stage, details FROM chats")
    for content in WRONG.values():
        said = await anna.sends(house.update(message=content))
        assert len(said) == 1
        if stage in (Stage.VACANCY, Stage.RESUME, Stage.READY, Stage.WISH):
            assert "текст" in said[0] or "словами" in said[0]
    assert await house.fetch("SELECT stage, details FROM chats") == before


async def _reach(scene: Scene, stage: Stage) -> None:
    anna, house = scene.anna, scene.house
    if stage is Stage.LANGUAGE:
        await anna.says("/start")
        return
    if stage in CONSENT_OF_STAGE:
        await anna.says("/start")
        for label in ("Русский", "Согласиться", "Разрешить", "Присылать"):
            if await house.stage() != stage:
                await anna.presses(label)
        return
    await anna.settles_in()
    if stage in (Stage.READY, Stage.WISH):
        await anna.gets_letter()
    if stage is Stage.WISH:
        await anna.presses("👎")
    if stage is Stage.RESUME:
        await anna.says(VACANCY)
    if stage is Stage.WRITING:
        await anna.asks_for_letter()
        await until(lambda: _stands(house, "Принято. Ставлю в очередь…"))
    assert await house.stage() == stage


async def test_an_edited_message_is_answered(scene: Scene) -> None:
    await scene.anna.settles_in()
    said = await scene.anna.sends(scene.house.update(edited_message={"text": "правка", "edit_date": 1}))
    assert "/new" in said[0]


@pytest.mark.parametrize(
    "data",
    [
        "nonsense",
        AnswerConsent(kind=Consent.MARKETING, given=False).pack(),
        "language:xx",
        "page:7",
        "rate:zz:0:1",
        "x" * 64,
    ],
)
async def test_an_old_or_foreign_button_is_answered_politely(scene: Scene, data: str) -> None:
    await scene.anna.settles_in()
    before = await scene.house.fetch("SELECT stage, details FROM chats")
    await scene.anna.sends(scene.house.press(data))
    await until(lambda: _noted(scene.house))
    assert scene.house.telegram.notes[-1]
    assert await scene.house.fetch("SELECT stage, details FROM chats") == before


async def _noted(house: House) -> bool:
    return bool(house.telegram.notes and house.telegram.notes[-1])


async def test_another_persons_letter_is_not_there(scene: Scene) -> None:
    """What a service refuses to show is said, and the press is answered."""
    await scene.anna.settles_in()
    foreign = StopLetter(letter_id=await _somebodys_letter(scene)).pack()
    scene.house.letters.refuse("cancel", refused("LETTER_NOT_FOUND", grpc.StatusCode.NOT_FOUND))
    assert "больше нет" in (await scene.anna.sends(scene.house.press(foreign)))[0]


async def _somebodys_letter(scene: Scene) -> Any:
    boris = Visitor(scene.house, scene.anna.process, 1002)
    await boris.settles_in()
    return await boris.asks_for_letter()


async def test_in_a_group_the_bot_says_where_it_works_and_remembers_nobody(scene: Scene) -> None:
    group = {"id": -100, "type": "group", "title": "Поиск работы"}
    said = await scene.anna.sends(scene.house.update(message={"chat": group, "text": "/start@pismo_bot"}))
    assert "в личном чате" in said[0]
    assert await scene.anna.sends(scene.house.update(message={"chat": group, "text": "привет всем"})) == []
    assert await scene.house.value("SELECT count(*) FROM people") == 0


async def test_whoever_blocks_the_bot_is_marked_and_forgiven_when_they_return(scene: Scene) -> None:
    await scene.anna.settles_in()
    bot = {"id": 4242, "is_bot": True, "first_name": "Pismo"}
    member = {
        "chat": {"id": ANNA, "type": "private"},
        "date": 1,
        "old_chat_member": {"status": "member", "user": bot},
        "new_chat_member": {"status": "kicked", "user": bot, "until_date": 0},
    }
    await scene.anna.sends(scene.house.update(my_chat_member=member))
    assert await scene.house.value("SELECT blocked_at FROM people") == scene.house.clock.now()
    await scene.anna.says("/help")
    assert await scene.house.value("SELECT blocked_at FROM people") is None


async def test_every_press_of_a_button_is_answered(scene: Scene) -> None:
    await scene.anna.settles_in()
    before = len(scene.house.telegram.notes)
    await scene.anna.sends(scene.house.press(NewLetter().pack()))
    await scene.anna.sends(scene.house.press(ChangeConsent(kind=Consent.MARKETING, given=True).pack()))
    assert len(scene.house.telegram.notes) == before + 2


async def test_no_text_of_a_person_stays_in_the_gateway(scene: Scene) -> None:
    """The words are gone from every table once they are handled, and were never there in the clear."""
    anna, house = scene.anna, scene.house
    await anna.settles_in()
    await anna.says("канарейка " + VACANCY)
    await house.superuser.execute("UPDATE people SET first_name = ''")
    await anna.asks_for_letter()
    for table in ("inbox", "outgoing", "chats", "deliveries", "people", "outbox"):
        for row in await house.fetch(f"SELECT t::text AS words FROM {table} AS t"):  # noqa: S608  # a name of ours
            assert "канарейка" not in row["words"]
            assert "канарейка".encode().hex() not in row["words"]
    assert await house.value("SELECT count(*) FROM inbox WHERE body IS NOT NULL") == 0
