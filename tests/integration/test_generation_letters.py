"""A letter from its vacancy to its last revision, over a real database, Redis and gRPC."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from generation.letters import Completed, State
from generation_house import LETTER, RESUME, VACANCY, House, open_house
from stores import ServiceDatabaseFactory


@pytest.fixture
async def house(service_database: ServiceDatabaseFactory, redis_url: str) -> AsyncIterator[House]:
    async with open_house(await service_database("generation"), redis_url) as opened:
        yield opened


async def test_a_vacancy_and_a_resume_become_a_letter(house: House) -> None:
    process = await house.process()
    person = uuid4()
    draft = await process.letters.create(person, uuid4(), VACANCY)
    assert (draft.state, draft.title) == (State.DRAFT, "Python-разработчик в «Ромашку»")

    submitted = await process.letters.submit(person, uuid4(), draft.letter_id, RESUME, False)
    assert submitted.state in (State.QUEUED, State.WRITING)
    assert await process.last_look(person, draft.letter_id) == Completed(LETTER, "scripted-1", 3)

    letter = await process.letters.get(person, draft.letter_id)
    assert (letter.state, letter.text, letter.model, letter.revisions_left) == (
        State.COMPLETED,
        LETTER,
        "scripted-1",
        3,
    )
    assert (house.model.orders[0].vacancy, house.model.orders[0].resume) == (VACANCY, RESUME)
    await house.until_settled()
    assert house.billing.states() == {"committed": 1}
    assert await house.facts() == {
        "vacancy_sent": 1, "resume_sent": 1, "letter_submitted": 1, "ai_request": 1, "letter_generated": 1
    }  # fmt: skip
