"""Watching a letter grow: through Redis, without it, from another process, over a failover and a drain."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from uuid import UUID, uuid4

import pytest
from generation.letters import Completed, Letter, Look, Queued, State, Writing
from generation.ports import ModelUnavailable
from generation_house import LETTER, SENTENCES, House, Process, ScriptedModel, open_house, until
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from servicekit import redis, telemetry
from stores import ServiceDatabaseFactory

NOWHERE = "redis://127.0.0.1:1/0"
SEEN = "".join(SENTENCES[:3]).strip()
HALVES = (f"{SEEN} Очередь", LETTER[len(f"{SEEN} Очередь") :])
"""A letter cut in the middle of a sentence, and what may be shown of its first half."""


@pytest.fixture
async def house(service_database: ServiceDatabaseFactory, redis_url: str) -> AsyncIterator[House]:
    async with open_house(await service_database("generation"), redis_url) as opened:
        yield opened


async def growing(process: Process, person: UUID, letter: Letter, model: ScriptedModel) -> list[Look]:
    """All looks; the model goes on when the text it has written so far has been seen."""
    looks: list[Look] = []
    async for look in process.look(person, letter.letter_id):
        looks.append(look)
        if isinstance(look, Writing) and look.text:
            model.go.set()
    return looks


@pytest.mark.parametrize(("writer_redis", "watcher_redis"), [("", ""), (NOWHERE, NOWHERE), (NOWHERE, "")])
async def test_a_text_is_seen_growing_in_another_process_with_or_without_redis(
    house: House, writer_redis: str, watcher_redis: str
) -> None:
    await house.process("writer", redis_url=writer_redis)
    watcher = await house.process("watcher", run=False, redis_url=watcher_redis)
    watcher.run(writing=False)
    house.model.pieces = HALVES
    house.model.go.clear()
    person = uuid4()
    letter = await watcher.submitted(person)
    looks = await growing(watcher, person, letter, house.model)
    texts = [look.text for look in looks if isinstance(look, Writing) and look.text]
    assert texts[0] == SEEN, "whole checked sentences only"
    assert looks[-1] == Completed(LETTER, "scripted-1", 3)
    kept = [key async for key in live_keys(house)]
    assert bool(kept) is not bool(writer_redis)


async def live_keys(house: House) -> AsyncIterator[bytes]:
    async with redis.connect(house.redis_url) as client:
        async for key in client.scan_iter("generation:live:*"):
            yield key


async def test_redis_flushed_in_mid_letter_takes_nothing_from_the_screen(house: House) -> None:
    process = await house.process()
    house.model.pieces = HALVES
    house.model.go.clear()
    person = uuid4()
    letter = await process.submitted(person)
    looks: list[Look] = []
    async for look in process.look(person, letter.letter_id):
        looks.append(look)
        if isinstance(look, Writing) and look.text and not house.model.go.is_set():
            async with redis.connect(house.redis_url) as client:
                await client.flushdb()
            await asyncio.sleep(1.2)
            house.model.go.set()
    lengths = [len(look.text) for look in looks if isinstance(look, Writing)]
    assert lengths == sorted(lengths)
    assert looks[-1] == Completed(LETTER, "scripted-1", 3)


async def test_a_failover_replaces_the_text_instead_of_appending(house: House) -> None:
    second = ScriptedModel()
    second.go.clear()
    house.models.append((house.entry.model_copy(update={"name": "second", "model": "scripted-2"}), second))

    class Breaking(ScriptedModel):
        async def write(self, order, draft):  # type: ignore[no-untyped-def]
            draft.add("Здравствуйте! Эту фразу никто больше не увидит. Она была лишь в начале. ")
            await self.go.wait()
            raise ModelUnavailable("connection_lost")

    first = Breaking()
    first.go.clear()
    house.models[0] = (house.entry, first)
    second.pieces = HALVES
    process = await house.process()
    person = uuid4()
    letter = await process.submitted(person)
    texts: list[str] = []
    async for look in process.look(person, letter.letter_id):
        text = getattr(look, "text", "")
        if text:
            texts.append(text)
            (first.go if len(texts) == 1 else second.go).set()
    assert "никто больше не увидит" in texts[0]
    assert texts[1] == SEEN
    assert texts[-1] == LETTER


async def test_place_in_the_queue_and_wait_are_told_and_change(house: House) -> None:
    process = await house.process(slots=1)
    house.model.go.clear()
    people = [uuid4() for _ in range(4)]
    letters = []
    for person in people:
        letters.append(await process.submitted(person))
        house.clock.pass_by(seconds=1)
    await house.until_state(letters[0], State.WRITING)
    process.queue.note_written(20.0)
    await process.queue.measure()
    looks = process.look(people[3], letters[3].letter_id)
    assert await anext(looks) == Queued(3, 60, models_unavailable=False)
    await process.letters.cancel(people[1], uuid4(), letters[1].letter_id)
    assert await anext(looks) == Queued(2, 40, models_unavailable=False)
    house.model.go.set()
    rest = [look async for look in looks]
    assert rest[-1] == Completed(LETTER, "scripted-1", 3)


async def test_a_wait_nobody_can_guess_is_told_as_none(house: House) -> None:
    process = await house.process(run=False)
    process.run(writing=False)
    person = uuid4()
    letter = await process.submitted(person)
    looks = process.look(person, letter.letter_id)
    assert await anext(looks) == Queued(1, 0, models_unavailable=False)
    await looks.aclose()


async def test_the_end_is_told_again_to_whoever_comes_later(house: House) -> None:
    process = await house.process()
    person = uuid4()
    letter = await process.submitted(person)
    await process.last_look(person, letter.letter_id)
    again = [look async for look in process.look(person, letter.letter_id)]
    assert again == [Completed(LETTER, "scripted-1", 3)]


async def test_many_watchers_cost_one_read_and_each_gets_the_end(house: House) -> None:
    process = await house.process()
    house.model.go.clear()
    person = uuid4()
    letter = await process.submitted(person)
    watchers = [asyncio.create_task(process.last_look(person, letter.letter_id)) for _ in range(50)]
    await asyncio.sleep(0.3)
    house.model.go.set()
    assert set(await asyncio.gather(*watchers)) == {Completed(LETTER, "scripted-1", 3)}


async def test_a_stopping_process_tells_its_watchers_once_more_so_that_they_go_elsewhere(house: House) -> None:
    process = await house.process()
    house.model.go.clear()
    person = uuid4()
    letter = await process.submitted(person)
    await house.until_state(letter, State.WRITING)
    looks = process.look(person, letter.letter_id)
    while not getattr(await anext(looks), "text", ""):
        pass
    stop = asyncio.create_task(process.stop(drain_seconds=2))
    repeated = [await anext(looks) for _ in range(2)]
    assert repeated[0] == repeated[1]
    await looks.aclose()
    house.model.go.set()
    await stop


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(telemetry, "tracer", provider.get_tracer("test"))
    yield exporter
    provider.shutdown()


async def test_one_trace_goes_through_the_queue_to_the_model_and_to_billing(
    house: House, spans: InMemorySpanExporter
) -> None:
    process = await house.process()
    person = uuid4()
    with telemetry.span("submit") as submit:
        letter = await process.submitted(person)
    await process.last_look(person, letter.letter_id)
    await house.until_settled()

    async def written() -> bool:
        return any(span.name == "write letter" for span in spans.get_finished_spans())

    await until(written)
    trace_id = submit.get_span_context().trace_id
    mine = {span.name: span for span in spans.get_finished_spans() if span.context.trace_id == trace_id}
    assert {"submit", "write letter", "chat scripted-1"} <= set(mine)
    writing = mine["write letter"]
    assert writing.parent is not None
    assert writing.parent.span_id == submit.get_span_context().span_id
    assert mine["chat scripted-1"].parent == trace.SpanContext(
        trace_id, writing.context.span_id, False, writing.context.trace_flags, writing.context.trace_state
    )
    words = ("Анна", "Ромашк", "Васильк")
    told = "".join(span.to_json(indent=None) for span in spans.get_finished_spans())
    assert not any(word in told or word.encode("unicode_escape").decode() in told for word in words)
