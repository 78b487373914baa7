"""The queue and its workers over a real database: nothing lost, nothing twice, whoever dies."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any
from uuid import UUID, uuid4

import pytest
from generation import store
from generation.letters import Completed, Failed, Failure, Letter, Queued, State
from generation.ports import Draft, ModelRateLimited, ModelUnavailable, Order
from generation_house import LETTER, RESUME, SENTENCES, VACANCY, House, Process, ScriptedModel, open_house, until
from servicekit.postgres import STORE_ERRORS
from stores import ServiceDatabaseFactory

LETTERS = 12


@pytest.fixture
async def house(service_database: ServiceDatabaseFactory, redis_url: str) -> AsyncIterator[House]:
    async with open_house(await service_database("generation"), redis_url) as opened:
        yield opened


async def hurry(house: House) -> None:
    """Has everything that waits for another try wait no more."""
    await house.sql("UPDATE letter_versions SET available_at = clock_timestamp() WHERE state = 'queued'")
    await house.sql("UPDATE letter_versions SET settle_after = clock_timestamp() WHERE settle_after IS NOT NULL")


async def expire_leases(house: House, owner: str) -> None:
    await house.sql(
        "UPDATE letter_versions SET lease_expires_at = clock_timestamp() - interval '1 s' WHERE lease_owner = $1", owner
    )


async def leased(process: Process, limit: int = 1) -> list[store.Job]:
    async with process.worker.connection() as connection:
        return await store.lease(connection, process.instance, limit, process.clock.now())


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_every_accepted_letter_ends_once_however_workers_die(house: House, seed: int) -> None:
    chance = random.Random(seed)
    house.model.pace_seconds = 0.02
    house.model.faults = [ModelUnavailable("http_500") for _ in range(3)]
    front = await house.process("front", run=False)
    front.run(writing=False)
    people = [uuid4() for _ in range(LETTERS)]
    submitted: list[tuple[UUID, Letter]] = []
    cancelled: set[UUID] = set()
    generation = 0
    workers: list[Process] = []
    for person in people:
        submitted.append((person, await front.submitted(person)))
        if len(workers) < 3:
            generation += 1
            workers.append(await house.process(f"worker-{generation}", slots=4))
        fate = chance.random()
        if fate < 0.35:
            dead = workers.pop(chance.randrange(len(workers)))
            await dead.kill()
            await expire_leases(house, dead.instance)
        elif fate < 0.5:
            await workers.pop(chance.randrange(len(workers))).stop(drain_seconds=0)
        elif fate < 0.6:
            who, letter = chance.choice(submitted)
            stopped = await front.letters.cancel(who, uuid4(), letter.letter_id)
            if stopped.state is State.CANCELLED:
                cancelled.add(letter.letter_id)
        await asyncio.sleep(chance.uniform(0, 0.15))
    await house.process("last")

    async def all_ended() -> bool:
        await hurry(house)
        return not {"queued", "writing"} & set(await house.states())

    await until(all_ended, seconds=20)
    await house.until_settled()
    assert await house.states() == Counter(completed=LETTERS - len(cancelled), cancelled=len(cancelled))
    facts = await house.facts()
    ends = {"letter_generated": LETTERS - len(cancelled), "letter_cancelled": len(cancelled), "letter_failed": 0}
    assert {name: facts[name] for name in ends} == ends
    for person, letter in submitted:
        found = await front.letters.get(person, letter.letter_id)
        assert found.text == ("" if letter.letter_id in cancelled else LETTER)
        wanted = "released" if letter.letter_id in cancelled else "committed"
        assert [each.state for each in house.billing.reservations.values() if each.person_id == str(person)] == [wanted]


async def test_what_a_worker_writes_after_it_lost_its_lease_changes_nothing(house: House) -> None:
    zombie, other = await house.process("zombie", run=False), await house.process("other", run=False)
    person = uuid4()
    letter = await zombie.submitted(person)
    (old,) = await leased(zombie)
    await expire_leases(house, "zombie")
    await other.upkeep.sweep()
    (new,) = await leased(other)
    assert new.lease_number == old.lease_number + 1

    before = await house.sql("SELECT * FROM letter_versions")
    fact = (await house.events())[0]
    now = house.clock.now()
    async with zombie.worker.connection() as connection:
        assert not await store.complete(connection, old.lease, b"text", "model", 1, now, fact, [])
        assert not await store.fail(connection, old.lease, Failure.MODELS_FAILED, now, fact, [])
        assert not await store.try_again_later(connection, old.lease, 1.0, failed=True, facts=[])
        assert await store.still_held(connection, [old.lease]) == set()
        assert await store.renew(connection, [old.lease]) == set()
        await store.hand_back(connection, [old.lease])
        await store.keep_live(connection, [(old.lease, b"live")])
        assert await store.renew(connection, [new.lease, old.lease]) == {new.lease}
    after = await house.sql("SELECT * FROM letter_versions")
    renewed = {name for name, value in before[0].items() if value != after[0][name]}
    assert renewed == {"lease_expires_at"}
    assert (await other.letters.get(person, letter.letter_id)).state is State.WRITING


async def test_a_worker_stops_writing_what_another_has_taken(house: House) -> None:
    process = await house.process("frozen")
    house.model.go.clear()
    await process.submitted()
    await until(house.streams_open)
    await expire_leases(house, "frozen")
    other = await house.process("other", run=False)
    await other.upkeep.sweep()
    assert len(await leased(other)) == 1
    await until(house.stream_closed, seconds=2)


async def test_a_draining_worker_finishes_what_it_can_and_hands_over_the_rest_at_once(house: House) -> None:
    first = await house.process("first", slots=2)
    quick, slow = ScriptedModel(), ScriptedModel()
    slow.go.clear()

    async def write(order: Order, draft: Draft) -> None:
        await (slow if "медленно" in order.vacancy else quick).write(order, draft)

    house.model.write = write  # type: ignore[method-assign]
    quick.pace_seconds = 0.1
    person = uuid4()
    held = await first.letters.create(person, uuid4(), f"{VACANCY} Пишите медленно.")
    await first.letters.submit(person, uuid4(), held.letter_id, RESUME, True)
    finishing = await first.submitted(person)

    async def both_open() -> bool:
        return bool(quick.open and slow.open)

    await until(both_open)
    stop = asyncio.create_task(first.stop(drain_seconds=1.2))
    await asyncio.sleep(0.1)
    waiting = await first.submitted(person)
    await stop
    assert (await first.letters.get(person, finishing.letter_id)).state is State.COMPLETED
    rows = await house.sql("SELECT letter_id, state, failures, lease_owner FROM letter_versions WHERE state = 'queued'")
    assert {(row["letter_id"], row["failures"], row["lease_owner"]) for row in rows} == {
        (held.letter_id, 0, None),
        (waiting.letter_id, 0, None),
    }
    slow.go.set()
    second = await house.process("second")
    assert isinstance(await second.last_look(person, held.letter_id), Completed)
    assert isinstance(await second.last_look(person, waiting.letter_id), Completed)


async def test_a_restarted_process_takes_back_what_it_held(house: House) -> None:
    first = await house.process("generation-1")
    house.model.go.clear()
    person = uuid4()
    letter = await first.submitted(person)
    await until(house.streams_open)
    await first.kill()
    house.model.go.set()
    second = await house.process("generation-1")
    assert isinstance(await second.last_look(person, letter.letter_id), Completed)


async def test_higher_priority_goes_first_then_age(house: House) -> None:
    process = await house.process(run=False)
    premium = uuid4()
    house.billing.priorities[str(premium)] = 10
    free = []
    for _ in range(3):
        free.append((await process.submitted()).letter_id)
        house.clock.pass_by(seconds=1)
    paid = (await process.submitted(premium)).letter_id
    assert [(await leased(process))[0].letter_id for _ in range(4)] == [paid, *free]
    assert await leased(process) == []


async def test_four_failures_of_the_models_end_a_letter_and_it_costs_nothing(house: House) -> None:
    process = await house.process()
    house.model.faults = [ModelUnavailable("http_500") for _ in range(4)]
    person = uuid4()
    letter = await process.submitted(person)
    for failures in (1, 2, 3):
        await house.until_failures(failures)
        if failures == 1:
            looks = process.look(person, letter.letter_id)
            look = await anext(looks)
            await looks.aclose()
            assert look == Queued(1, 0, models_unavailable=True)
        await hurry(house)
    assert await process.last_look(person, letter.letter_id) == Failed(Failure.MODELS_FAILED)
    await house.until_settled()
    assert house.billing.states() == {"released": 1}
    failed = [each.letter_failed.reason for each in await house.events() if each.HasField("letter_failed")]
    assert failed == ["models_failed"]
    requests = [each.ai_request for each in await house.events() if each.HasField("ai_request")]
    assert [(each.success, each.error) for each in requests] == [(False, "http_500")] * 4


async def test_a_text_that_may_not_be_delivered_goes_to_the_next_model(house: House) -> None:
    second = ScriptedModel()
    entry = house.entry.model_copy(update={"name": "second", "model": "scripted-2"})
    house.models.append((entry, second))
    house.model.pieces = ["Здравствуйте! Меня зовут [Имя], и я ваш кандидат.", *SENTENCES[1:]]
    process = await house.process()
    person = uuid4()
    letter = await process.submitted(person)
    assert await process.last_look(person, letter.letter_id) == Completed(LETTER, "scripted-2", 3)
    requests = [each.ai_request for each in await house.events() if each.HasField("ai_request")]
    assert [(each.model, each.success, each.error) for each in requests] == [
        ("scripted-1", False, "placeholder"),
        ("scripted-2", True, ""),
    ]


async def test_while_models_only_say_not_now_a_letter_waits_uncounted_until_its_time_is_over(house: House) -> None:
    process = await house.process()
    house.model.faults = [ModelRateLimited("rate_limited", retry_after_seconds=600.0)]
    people = [uuid4(), uuid4()]
    first = await process.submitted(people[0])
    await house.until_failures(1)
    second = await process.submitted(people[1])

    async def waits() -> bool:
        rows = await house.sql(
            "SELECT models_unavailable FROM letter_versions WHERE letter_id = $1 AND state = 'queued'", second.letter_id
        )
        return bool(rows and rows[0]["models_unavailable"])

    for _ in range(3):
        await until(waits)
        await hurry(house)
    assert (await house.sql("SELECT failures FROM letter_versions WHERE letter_id = $1", second.letter_id))[0][0] == 0
    assert len(house.model.orders) == 1
    house.clock.pass_by(minutes=15)
    for person, letter in zip(people, (first, second), strict=True):
        assert await process.last_look(person, letter.letter_id) == Failed(Failure.TIMED_OUT)
    await house.until_settled()
    assert house.billing.states() == {"released": 2}


async def test_a_letter_whose_time_is_over_while_it_is_written_fails_and_its_stream_is_closed(house: House) -> None:
    process = await house.process()
    house.model.go.clear()
    person = uuid4()
    letter = await process.submitted(person)
    await until(house.streams_open)
    house.clock.pass_by(minutes=16)
    assert await process.last_look(person, letter.letter_id) == Failed(Failure.TIMED_OUT)
    await until(house.stream_closed, seconds=2)


async def test_settling_goes_on_until_billing_is_back(house: House) -> None:
    process = await house.process()
    house.model.go.clear()
    person = uuid4()
    kept, stopped = await process.submitted(person), await process.submitted(person)
    await house.close_billing()
    await process.letters.cancel(person, uuid4(), stopped.letter_id)
    house.model.go.set()
    assert isinstance(await process.last_look(person, kept.letter_id), Completed)
    assert house.billing.states() == {"held": 2}
    await house.open_billing()

    async def settled() -> bool:
        await hurry(house)
        return house.billing.states() == {"committed": 1, "released": 1}

    await until(settled)
    await house.until_settled()
    assert await house.settlements() == {"committed": 1, "released": 1}


async def test_what_a_dead_process_did_not_settle_another_does(house: House) -> None:
    dead = await house.process("dead", run=False)
    await dead.submitted()
    (job,) = await leased(dead)
    fact = (await house.events())[0]
    async with dead.worker.connection() as connection:
        assert await store.complete(connection, job.lease, b"sealed", "model", 1, house.clock.now(), fact, [])
    assert house.billing.states() == {"held": 1}
    await house.process("other")
    await hurry(house)
    await house.until_settled()
    assert house.billing.states() == {"committed": 1}


async def test_a_letter_survives_every_connection_to_the_database_being_cut(house: House) -> None:
    process = await house.process()
    house.model.pace_seconds = 0.25
    person = uuid4()
    letter = await process.submitted(person)

    async def cut() -> None:
        while True:
            with suppress(*STORE_ERRORS):
                await house.sql(
                    """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                       WHERE datname = current_database() AND pid <> pg_backend_pid()"""
                )
            await asyncio.sleep(0.4)

    cutting = asyncio.create_task(cut())
    await asyncio.sleep(2.5)
    cutting.cancel()
    assert await process.last_look(person, letter.letter_id) == Completed(LETTER, "scripted-1", 3)
    await hurry(house)
    await house.until_settled()
    assert house.billing.states() == {"committed": 1}
    assert (await house.facts())["letter_generated"] == 1


async def test_a_letter_that_cannot_be_decrypted_fails_and_costs_nothing(house: House) -> None:
    process = await house.process(run=False)
    person = uuid4()
    letter = await process.submitted(person)
    await house.sql("UPDATE letters SET vacancy = resume")
    process.run()
    assert await process.last_look(person, letter.letter_id) == Failed(Failure.INTERNAL)
    await house.until_settled()
    assert house.billing.states() == {"released": 1}


async def test_leasing_reads_the_queues_index_and_no_more_than_it_takes(house: House) -> None:
    await house.sql("""INSERT INTO person_keys SELECT gen_random_uuid(), '', now() FROM generate_series(1, 10)""")
    await house.sql(
        """INSERT INTO letters
               (letter_id, person_id, vacancy, title, created_at, submitted_at, resume, plan_id, priority)
           SELECT gen_random_uuid(), p.person_id, '', '', now(), now(), '', 'free', 0
           FROM person_keys p, generate_series(1, 2000)"""
    )
    await house.sql(
        """INSERT INTO letter_versions (letter_id, number, person_id, state, text, priority, allow_foreign_models,
               queued_at, deadline_at, traceparent, reservation_id)
           SELECT letter_id, 0, person_id, CASE WHEN n <= 2000 THEN 'queued' ELSE 'completed' END,
               CASE WHEN n <= 2000 THEN NULL ELSE ''::bytea END, n % 3, true, now(), now() + interval '1 day', '',
               gen_random_uuid()
           FROM (SELECT *, row_number() OVER () AS n FROM letters) l"""
    )
    await house.sql("ANALYZE letter_versions")
    process = await house.process(run=False)
    async with process.worker.connection() as connection:
        lines = await connection.fetch(f"EXPLAIN (ANALYZE, FORMAT TEXT) {store.LEASE}", "one", 16, house.clock.now())
    plan = "\n".join(line[0] for line in lines)
    assert "letter_versions_queue" in plan, plan
    assert "Seq Scan on letter_versions" not in plan
    assert "Sort" not in plan


async def test_old_drafts_and_letters_are_forgotten_and_nothing_else(house: House) -> None:
    process = await house.process()
    person = uuid4()
    old_draft = await process.letters.create(person, uuid4(), VACANCY)
    old = await process.submitted(person)
    await process.last_look(person, old.letter_id)
    await process.letters.rate(person, uuid4(), old.letter_id, 0, True)
    await house.until_settled()
    house.clock.pass_by(days=8)
    draft = await process.letters.create(person, uuid4(), VACANCY)
    await forget(process)
    assert await ids(house) == {old.letter_id, draft.letter_id}
    assert old_draft.letter_id not in await ids(house)
    house.clock.pass_by(days=83)
    fresh = await process.submitted(person)
    await forget(process)
    assert await ids(house) == {fresh.letter_id}
    assert await house.sql("SELECT FROM feedback") == []


async def forget(process: Process) -> None:
    async with process.worker.transaction() as connection:
        await process.upkeep.forget(connection)


async def ids(house: House) -> set[Any]:
    return {row["letter_id"] for row in await house.sql("SELECT letter_id FROM letters")}
