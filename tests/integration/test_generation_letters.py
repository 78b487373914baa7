"""What people can do with letters, over a real database, Redis and gRPC."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from billing.allowance import ReservationState
from generation.errors import (
    AllowanceExhausted,
    BillingUnavailable,
    IdempotencyMismatch,
    LetterAlreadySubmitted,
    LetterNotCompleted,
    LetterNotFound,
    QueueFull,
    RevisionsExhausted,
)
from generation.letters import Cancelled, Completed, Failed, Failure, Letter, State
from generation.ports import ModelUnavailable
from generation.text_rules import TextTooLarge, TextTooShort
from generation_house import LETTER, RESUME, VACANCY, House, Process, open_house, until
from servicekit import redis
from servicekit.errors import InvalidFields
from stores import ServiceDatabaseFactory


@pytest.fixture
async def house(service_database: ServiceDatabaseFactory, redis_url: str) -> AsyncIterator[House]:
    async with open_house(await service_database("generation"), redis_url) as opened:
        yield opened


async def completed(process: Process, person: UUID) -> Letter:
    letter = await process.submitted(person)
    assert isinstance(await process.last_look(person, letter.letter_id), Completed)
    return await process.letters.get(person, letter.letter_id)


async def test_a_vacancy_and_a_resume_become_a_letter(house: House) -> None:
    process = await house.process()
    person = uuid4()
    draft = await process.letters.create(person, uuid4(), VACANCY)
    assert (draft.state, draft.title) == (State.DRAFT, "Python-разработчик — Ромашка")

    submitted = await process.letters.submit(person, uuid4(), draft.letter_id, RESUME, False)
    assert submitted.state in (State.QUEUED, State.WRITING)
    assert await process.last_look(person, draft.letter_id) == Completed(LETTER, "scripted-1", 3)

    letter = await process.letters.get(person, draft.letter_id)
    assert (letter.state, letter.text, letter.model) == (State.COMPLETED, LETTER, "scripted-1")
    assert (letter.version, letter.text_version, letter.revisions_left, letter.liked) == (0, 0, 3, None)
    assert (house.model.orders[0].vacancy, house.model.orders[0].resume) == (VACANCY, RESUME)
    await house.until_settled()
    assert house.billing.states() == {"committed": 1}
    facts = {"vacancy_sent": 1, "resume_sent": 1, "letter_submitted": 1, "ai_request": 1, "letter_generated": 1}
    assert await house.facts() == facts


async def test_every_mutation_repeated_answers_the_same_and_has_no_second_effect(house: House) -> None:
    process = await house.process()
    letters, person = process.letters, uuid4()
    requests = {name: uuid4() for name in ("create", "submit", "rate", "revise", "cancel", "second rate")}

    async def twice(call: Callable[[], Coroutine[Any, Any, Letter]]) -> Letter:
        first, second = await call(), await call()
        assert (first.letter_id, first.version) == (second.letter_id, second.version)
        return second

    draft = await twice(lambda: letters.create(person, requests["create"], VACANCY))
    letter_id = draft.letter_id
    assert letter_id == requests["create"]
    await twice(lambda: letters.submit(person, requests["submit"], letter_id, RESUME, True))
    await process.last_look(person, letter_id)
    await twice(lambda: letters.rate(person, requests["rate"], letter_id, 0, False))
    revised = await twice(lambda: letters.revise(person, requests["revise"], letter_id, "Покороче, пожалуйста", True))
    assert revised.version == 1
    await process.last_look(person, letter_id, 1)
    assert (await twice(lambda: letters.cancel(person, requests["cancel"], letter_id))).state is State.COMPLETED
    await letters.rate(person, requests["second rate"], letter_id, 0, True)
    await house.until_settled()
    before = await house.facts()

    # Much later, when everything has moved on.
    house.model.go.clear()
    second = await letters.revise(person, uuid4(), letter_id, "Добавь про asyncio", True)
    assert (await letters.create(person, requests["create"], VACANCY)).letter_id == letter_id
    assert (await letters.submit(person, requests["submit"], letter_id, RESUME, True)).version == 2
    await letters.rate(person, requests["rate"], letter_id, 0, False)
    first_revision = await letters.revise(person, requests["revise"], letter_id, "Покороче, пожалуйста", True)
    assert (first_revision.version, first_revision.state) == (1, State.COMPLETED)
    assert not (await letters.cancel(person, requests["cancel"], letter_id)).state.ended, "the new revision goes on"
    house.model.go.set()
    assert isinstance(await process.last_look(person, letter_id, second.version), Completed)

    assert await house.sql("SELECT liked FROM feedback") == [(True,)]
    assert await house.facts() - before == {"iteration": 1, "ai_request": 1, "letter_generated": 1}
    assert house.billing.calls == {"reserve": 1, "commit": 1}


async def test_a_request_id_used_for_another_request_is_refused(house: House) -> None:
    process = await house.process()
    letters, person = process.letters, uuid4()
    create, submit, revise, rate = uuid4(), uuid4(), uuid4(), uuid4()
    await letters.create(person, create, VACANCY)
    await letters.submit(person, submit, create, RESUME, True)
    await process.last_look(person, create)
    await letters.rate(person, rate, create, 0, True)
    await letters.revise(person, revise, create, "Покороче, пожалуйста", True)
    other = (await letters.create(person, uuid4(), VACANCY)).letter_id

    for call in (
        letters.create(person, create, VACANCY + " И ещё знание Kafka."),
        letters.create(uuid4(), create, VACANCY),
        letters.submit(person, submit, create, RESUME + " Английский B2.", True),
        letters.submit(person, submit, other, RESUME, True),
        letters.submit(person, revise, create, RESUME, True),
        letters.revise(person, revise, create, "Подлиннее, пожалуйста", True),
        letters.revise(person, submit, create, "Покороче, пожалуйста", True),
        letters.rate(person, rate, create, 0, False),
        letters.cancel(person, rate, create),
        letters.cancel(person, submit, other),
    ):
        with pytest.raises(IdempotencyMismatch):
            await call


async def test_a_letter_is_submitted_once(house: House) -> None:
    process = await house.process(run=False)
    person = uuid4()
    letter = await process.letters.create(person, uuid4(), VACANCY)
    answers = await asyncio.gather(
        *(process.letters.submit(person, uuid4(), letter.letter_id, RESUME, True) for _ in range(20)),
        return_exceptions=True,
    )
    assert [type(each) for each in answers].count(Letter) == 1
    assert [type(each) for each in answers].count(LetterAlreadySubmitted) == 19
    assert len(house.billing.reservations) == 1
    assert await house.states() == {"queued": 1}

    one = await process.letters.create(person, uuid4(), VACANCY)
    request = uuid4()
    same = await asyncio.gather(
        *(process.letters.submit(person, request, one.letter_id, RESUME, True) for _ in range(20))
    )
    assert {each.letter_id for each in same} == {one.letter_id}
    assert len(house.billing.reservations) == 2
    assert (await house.facts())["letter_submitted"] == 2


async def test_fifty_submissions_racing_for_the_last_letter_have_one_winner(house: House) -> None:
    house.billing.limit = 1
    processes = [await house.process(name, run=False) for name in ("one", "two")]
    person = uuid4()
    drafts = [await processes[0].letters.create(person, uuid4(), VACANCY) for _ in range(50)]
    answers = await asyncio.gather(
        *(
            processes[number % 2].letters.submit(person, uuid4(), draft.letter_id, RESUME, True)
            for number, draft in enumerate(drafts)
        ),
        return_exceptions=True,
    )
    refused = [each for each in answers if isinstance(each, AllowanceExhausted)]
    assert len(refused) == 49
    assert (refused[0].plan, refused[0].limit, refused[0].reserved) == ("free", "1", "1")
    assert refused[0].resets_at.startswith("2026-11-23T12:00:00")
    assert await house.states() == {"queued": 1}


async def test_without_billing_nothing_is_spent_and_the_same_request_succeeds_later(house: House) -> None:
    process = await house.process(run=False)
    person, request = uuid4(), uuid4()
    draft = await process.letters.create(person, uuid4(), VACANCY)
    await house.close_billing()
    with pytest.raises(BillingUnavailable) as refused:
        await process.letters.submit(person, request, draft.letter_id, RESUME, True)
    assert refused.value.retry_after_seconds > 0
    assert (await process.letters.get(person, draft.letter_id)).state is State.DRAFT
    await house.open_billing()
    assert (await process.letters.submit(person, request, draft.letter_id, RESUME, True)).state is State.QUEUED


async def test_a_hold_that_a_crash_left_behind_is_found_again_and_renewed_when_it_ran_out(house: House) -> None:
    process = await house.process(run=False)
    person = uuid4()
    drafts = [await process.letters.create(person, uuid4(), VACANCY) for _ in range(2)]
    for draft in drafts:
        await process.allowance.reserve(person, draft.letter_id)
    held, expired = house.billing.reservations.values()
    expired.state = ReservationState.EXPIRED
    for draft in drafts:
        await process.letters.submit(person, uuid4(), draft.letter_id, RESUME, True)
    kept = {row["reservation_id"] for row in await house.sql("SELECT reservation_id FROM letter_versions")}
    assert held.reservation_id in kept
    assert expired.reservation_id not in kept
    assert house.billing.states() == {"held": 2, "expired": 1}


async def test_a_full_queue_refuses_before_anything_is_held(house: House) -> None:
    process = await house.process(queue_limit=3, run=False)
    for _ in range(3):
        await process.submitted()
    with pytest.raises(QueueFull) as refused:
        await process.submitted()
    assert refused.value.retry_after_seconds > 0
    assert len(house.billing.reservations) == 3
    other = await house.process("two", queue_limit=3, run=False)
    await other.queue.measure()
    with pytest.raises(QueueFull):
        await other.submitted()


async def test_nobody_reaches_another_persons_letter(house: House) -> None:
    process = await house.process()
    owner, stranger = uuid4(), uuid4()
    letter_id = (await completed(process, owner)).letter_id
    await process.letters.create(stranger, uuid4(), VACANCY)
    letters = process.letters
    for call in (
        letters.get(stranger, letter_id),
        letters.submit(stranger, uuid4(), letter_id, RESUME, True),
        letters.cancel(stranger, uuid4(), letter_id),
        letters.revise(stranger, uuid4(), letter_id, "Покороче, пожалуйста", True),
        letters.rate(stranger, uuid4(), letter_id, 0, True),
        anext(letters.watch(stranger, letter_id, 0)),
    ):
        with pytest.raises(LetterNotFound):
            await call
    assert await letters.list(stranger, 10, "") == ([], "")

    connection = await asyncpg.connect(house.database.requests_url, server_settings={"search_path": "generation"})
    try:
        for table in ("person_keys", "letters", "letter_versions", "feedback", "answered_requests"):
            assert await connection.fetchval(f"SELECT count(*) FROM {table}") == 0, table  # noqa: S608
            async with connection.transaction():
                await connection.execute(f"SET LOCAL app.person_id = '{stranger}'")
                seen = await connection.fetch(f"SELECT person_id FROM {table}")  # noqa: S608
                assert {row["person_id"] for row in seen} <= {stranger}, table
    finally:
        await connection.close()


async def test_texts_outside_their_bounds_are_refused_by_name(house: House) -> None:
    letters, person = (await house.process(run=False)).letters, uuid4()
    with pytest.raises(TextTooLarge) as large:
        await letters.create(person, uuid4(), "я" * 51_200)
    assert (large.value.field, large.value.limit_bytes, large.value.actual_bytes) == ("vacancy", 51_200, 102_400)
    with pytest.raises(TextTooShort) as short:
        await letters.submit(person, uuid4(), uuid4(), " ", True)
    assert short.value.field == "resume"
    assert await house.sql("SELECT FROM letters") == []


async def test_letters_are_listed_newest_first_page_by_page_without_drafts_and_texts(house: House) -> None:
    process = await house.process(run=False)
    person = uuid4()
    made = []
    for _ in range(5):
        made.append((await process.submitted(person)).letter_id)
        house.clock.pass_by(minutes=1)
    await process.letters.create(person, uuid4(), VACANCY)
    found, token = [], ""
    while True:
        page, token = await process.letters.list(person, 2, token)
        found += page
        if not token:
            break
        assert len(page) == 2
    assert [letter.letter_id for letter in found] == made[::-1]
    assert {letter.text for letter in found} == {""}
    _, token = await process.letters.list(person, 2, "")
    stranger = uuid4()
    await process.submitted(stranger)
    for wrong in (token, "nonsense", "0"):
        with pytest.raises(InvalidFields):
            await process.letters.list(stranger, 2, wrong)


async def test_three_revisions_improve_the_newest_text_and_cost_nothing(house: House) -> None:
    process = await house.process()
    person = uuid4()
    letter = await completed(process, person)
    for number in (1, 2, 3):
        house.model.pieces = [LETTER.replace("Здравствуйте!", f"Здравствуйте! Пишу в раз {number}.")]
        revised = await process.letters.revise(person, uuid4(), letter.letter_id, f"Поправь, раз {number}", True)
        assert (revised.version, revised.text_version, revised.revisions_left) == (number, number - 1, 3 - number)
        look = await process.last_look(person, letter.letter_id, number)
        assert isinstance(look, Completed)
        assert look.revisions_left == 3 - number
    orders = house.model.orders
    assert [order.wish for order in orders] == [None, "Поправь, раз 1", "Поправь, раз 2", "Поправь, раз 3"]
    assert orders[1].letter == LETTER
    assert "Пишу в раз 2." in (orders[3].letter or "")
    assert "Пишу в раз 3." in (await process.letters.get(person, letter.letter_id)).text
    with pytest.raises(RevisionsExhausted) as refused:
        await process.letters.revise(person, uuid4(), letter.letter_id, "Ещё раз", True)
    assert refused.value.limit == 3
    await house.until_settled()
    assert house.billing.calls == {"reserve": 1, "commit": 1}


async def test_a_revision_that_failed_or_was_stopped_uses_up_none_of_the_three(house: House) -> None:
    process = await house.process()
    person = uuid4()
    letter_id = (await completed(process, person)).letter_id
    house.model.go.clear()
    await process.letters.revise(person, uuid4(), letter_id, "Первая правка", True)
    stopped = await process.letters.cancel(person, uuid4(), letter_id)
    assert (stopped.state, stopped.revisions_left, stopped.text) == (State.CANCELLED, 3, LETTER)
    assert await process.last_look(person, letter_id, 1) == Cancelled()

    again = await process.letters.revise(person, uuid4(), letter_id, "Вторая правка", True)
    assert again.version == 1
    with pytest.raises(LetterNotCompleted):
        await process.letters.revise(person, uuid4(), letter_id, "Третья правка", True)
    house.clock.pass_by(minutes=16)
    assert await process.last_look(person, letter_id, 1) == Failed(Failure.TIMED_OUT)

    house.model.go.set()
    third = await process.letters.revise(person, uuid4(), letter_id, "Третья правка", True)
    assert third.version == 1
    assert isinstance(await process.last_look(person, letter_id, 1), Completed)
    assert house.model.orders[-1].wish == "Третья правка"


async def test_the_last_rating_counts_and_only_of_a_completed_version(house: House) -> None:
    process = await house.process()
    person = uuid4()
    house.model.go.clear()
    letter_id = (await process.submitted(person)).letter_id
    with pytest.raises(LetterNotCompleted):
        await process.letters.rate(person, uuid4(), letter_id, 0, True)
    with pytest.raises(LetterNotFound):
        await process.letters.rate(person, uuid4(), letter_id, 1, True)
    with pytest.raises(LetterNotCompleted):
        await process.letters.revise(person, uuid4(), letter_id, "Покороче, пожалуйста", True)
    house.model.go.set()
    await process.last_look(person, letter_id)
    for liked in (True, False, False):
        assert (await process.letters.rate(person, uuid4(), letter_id, 0, liked)).liked is liked
    rated = [each.feedback.liked for each in await house.events() if each.HasField("feedback")]
    assert rated == [True, False]


async def test_stop_closes_the_models_stream_within_a_second_and_costs_nothing(house: House) -> None:
    writing, watched = await house.process("one"), await house.process("two", run=False)
    watched.run(writing=False)
    person = uuid4()
    house.model.go.clear()
    letter = await writing.submitted(person)
    await house.until_state(letter, State.WRITING)
    await until(house.streams_open, seconds=2)
    stopped = await watched.letters.cancel(person, uuid4(), letter.letter_id)
    assert stopped.state is State.CANCELLED
    await until(house.stream_closed, seconds=1)
    assert house.model.open == 0
    assert await watched.last_look(person, letter.letter_id) == Cancelled()
    await house.until_settled()
    assert house.billing.states() == {"released": 1}
    facts = await house.facts()
    assert (facts["letter_cancelled"], facts["letter_generated"], facts["ai_request"]) == (1, 0, 1)


async def test_a_letter_that_ended_stays_as_it_is_when_stopped(house: House) -> None:
    process = await house.process()
    person = uuid4()
    letter = await completed(process, person)
    stopped = await process.letters.cancel(person, uuid4(), letter.letter_id)
    assert (stopped.state, stopped.text) == (State.COMPLETED, LETTER)
    await house.until_settled()
    assert house.billing.states() == {"committed": 1}


async def test_no_word_of_a_person_is_found_in_a_table_or_in_redis(house: House, redis_url: str) -> None:
    canaries = ("КанарейкаВакансии", "КанарейкаРезюме", "КанарейкаПисьма", "КанарейкаПравки")
    process = await house.process()
    person = uuid4()
    house.model.pieces = [f"Здравствуйте! Это {canaries[2]}, она поёт.\n\n", *house.model.pieces[1:]]
    house.model.go.clear()
    draft = await process.letters.create(person, uuid4(), f"{canaries[0]}: ищем того, кто поёт. {VACANCY}")
    await process.letters.submit(person, uuid4(), draft.letter_id, f"{canaries[1]}. {RESUME}", True)

    async for look in process.look(person, draft.letter_id):
        if canaries[2] in getattr(look, "text", ""):
            break
    async with redis.connect(redis_url) as client:
        values = [await client.get(key) async for key in client.scan_iter("generation:live:*")]
    house.model.go.set()
    await process.last_look(person, draft.letter_id)
    house.model.faults = [ModelUnavailable("away")]
    await process.letters.revise(person, uuid4(), draft.letter_id, f"Добавь слово {canaries[3]}", True)
    await house.until_failures(1)

    tables = await house.sql("SELECT tablename AS name FROM pg_tables WHERE schemaname = 'generation'")
    rows = [str(row) for table in tables for row in await house.sql(f"SELECT t::text FROM {table['name']} t")]  # noqa: S608
    assert values
    assert len(rows) > 6
    for canary in canaries:
        # bytea is shown in hexadecimal.
        shown = (canary, canary.encode().hex())
        assert not any(each in row for row in rows for each in shown)
        assert not any(canary.encode() in value for value in values if value)
