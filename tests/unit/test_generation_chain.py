"""Walking the fallback chain, with scripted models in place of vendors."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from generation.chain import Attempt, Chain, Written, permitted
from generation.chain_file import ChainFileError, Entry, parse_chain, read_chain
from generation.ports import (
    Draft,
    Model,
    ModelFailure,
    ModelRateLimited,
    ModelRejected,
    ModelUnavailable,
    NoModelAvailable,
    Order,
    Usage,
)
from generation.shared import Shared
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

ORDER = Order(vacancy="vacancy of canary", resume="resume of canary", nonce="n")


class Scripted:
    """A model that writes `pieces` and then fails, or finishes."""

    def __init__(self, *pieces: str, failure: ModelFailure | None = None, usage: Usage | None = None) -> None:
        self.pieces = pieces
        self.failure = failure
        self.usage = usage
        self.calls = 0

    async def write(self, order: Order, draft: Draft) -> None:
        self.calls += 1
        for piece in self.pieces:
            draft.add(piece)
            await asyncio.sleep(0)
        draft.usage = self.usage
        if self.failure is not None:
            raise self.failure
        draft.finish = "stop"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Letter:
    """Someone who reads along."""

    def __init__(self, judge: Callable[[str], str | None] = lambda _: None) -> None:
        self.judge = judge
        self.started: list[str] = []
        self.text = ""
        self.attempts: list[Attempt] = []

    def start(self, entry: Entry) -> None:
        self.started.append(entry.name)
        self.text = ""

    def add(self, piece: str) -> None:
        self.text += piece

    async def from_chain(self, chain: Chain, *, allow_foreign_models: bool = True) -> Written:
        return await chain.write(
            ORDER,
            allow_foreign_models=allow_foreign_models,
            on_start=self.start,
            on_text=self.add,
            judge=self.judge,
            on_attempt=self.attempts.append,
        )


def entry(name: str, vendor: str = "openai", region: str = "abroad", **fields: Any) -> Entry:
    return Entry.model_validate({"name": name, "vendor": vendor, "model": f"{name}-1", "region": region, **fields})


OFFLINE = entry("offline", "offline", "home")


def chain_of(*models: tuple[Entry, Model], clock: Callable[[], float] | None = None) -> Chain:
    clock = clock or Clock()
    return Chain(models, Shared(None, clock), clock=clock)


async def test_the_first_model_that_can_writes() -> None:
    second = Scripted("second")
    letter = Letter()
    written = await letter.from_chain(chain_of((entry("a"), Scripted("Dear ", "all")), (entry("b"), second)))
    assert written.text == letter.text == "Dear all"
    assert (written.attempt.name, written.attempt.model, written.attempt.success) == ("a", "a-1", True)
    assert second.calls == 0


async def test_a_failure_half_way_starts_the_next_model_from_scratch() -> None:
    broken = Scripted("Dear ", failure=ModelUnavailable("connection_lost"))
    letter = Letter()
    written = await letter.from_chain(chain_of((entry("a"), broken), (entry("b"), Scripted("Hello ", "all"))))
    assert letter.started == ["a", "b"]
    assert written.text == letter.text == "Hello all"


async def test_a_text_the_reader_refuses_goes_to_the_next_model() -> None:
    letter = Letter(judge=lambda text: "placeholder" if "[Name]" in text else None)
    written = await letter.from_chain(
        chain_of((entry("a"), Scripted("I am [Name]")), (entry("b"), Scripted("I am Ann")))
    )
    assert written.text == "I am Ann"
    assert [attempt.error for attempt in letter.attempts] == ["placeholder", None]


async def test_refused_texts_and_orders_never_open_a_breaker() -> None:
    model = Scripted("I am [Name]")
    chain = chain_of((entry("a"), model))
    for _ in range(10):
        with pytest.raises(NoModelAvailable):
            await Letter(judge=lambda _: "placeholder").from_chain(chain)
    assert model.calls == 10


async def test_a_model_that_keeps_failing_is_left_alone_until_one_probe() -> None:
    clock = Clock()
    down, up = Scripted(failure=ModelUnavailable("http_500")), Scripted("text")
    chain = chain_of((entry("a"), down), (entry("b"), up), clock=clock)
    for _ in range(10):
        await Letter().from_chain(chain)
    assert down.calls == 5
    clock.now += 15
    for _ in range(10):
        await Letter().from_chain(chain)
    assert down.calls == 6
    assert up.calls == 20


async def test_a_rejected_key_is_tried_once_in_minutes() -> None:
    clock = Clock()
    rejecting = Scripted(failure=ModelRejected("http_401"))
    chain = chain_of((entry("a"), rejecting), (entry("b"), Scripted("text")), clock=clock)
    for _ in range(10):
        await Letter().from_chain(chain)
        clock.now += 20
    assert rejecting.calls == 1


async def test_retry_after_is_kept_without_blaming_the_model() -> None:
    clock = Clock()
    limited = Scripted(failure=ModelRateLimited("rate_limited", retry_after_seconds=7))
    chain = chain_of((entry("a"), limited), clock=clock)
    for wait in (7, 5):
        with pytest.raises(NoModelAvailable) as none:
            await Letter().from_chain(chain)
        assert none.value.retry_after_seconds == pytest.approx(wait)
        clock.now += 2
    assert limited.calls == 1
    clock.now += 3
    limited.failure = None
    limited.pieces = ("text",)
    assert (await Letter().from_chain(chain)).text == "text"


async def test_requests_a_minute_are_exact_and_the_wait_is_told() -> None:
    clock = Clock()
    model = Scripted("text")
    # Without Redis a process allows itself a quarter.
    chain = chain_of((entry("a", requests_per_minute=12), model), clock=clock)
    for _ in range(3):
        await Letter().from_chain(chain)
        clock.now += 10
    with pytest.raises(NoModelAvailable) as none:
        await Letter().from_chain(chain)
    assert none.value.attempted is False
    assert none.value.retry_after_seconds == pytest.approx(30)
    clock.now += 30
    await Letter().from_chain(chain)
    assert model.calls == 4


async def test_tokens_a_minute_hold_calls_back_too() -> None:
    model = Scripted("text")
    chain = chain_of((entry("a", tokens_per_minute=40_000, max_output_tokens=4_000), model))
    await Letter().from_chain(chain)
    with pytest.raises(NoModelAvailable):
        await Letter().from_chain(chain)
    assert model.calls == 1


async def test_no_more_calls_at_once_than_the_entry_says() -> None:
    class Slow(Scripted):
        running = most = 0

        async def write(self, order: Order, draft: Draft) -> None:
            Slow.running += 1
            Slow.most = max(Slow.most, Slow.running)
            await asyncio.sleep(0.01)
            Slow.running -= 1
            await super().write(order, draft)

    chain = chain_of((entry("a", concurrency=3), Slow("text")))
    results = await asyncio.gather(*(Letter().from_chain(chain) for _ in range(8)), return_exceptions=True)
    assert Slow.most == 3
    assert sum(isinstance(result, NoModelAvailable) for result in results) == 5
    await Letter().from_chain(chain)


async def test_when_all_fail_it_says_that_they_were_tried_and_when_to_try_again() -> None:
    down = ModelUnavailable("http_503")
    chain = chain_of((entry("a"), Scripted(failure=down)), (entry("b"), Scripted(failure=down)))
    with pytest.raises(NoModelAvailable) as none:
        await Letter().from_chain(chain)
    assert none.value.attempted is True
    assert 0 < none.value.retry_after_seconds <= 60


async def test_without_consent_no_model_abroad_is_called() -> None:
    abroad = Scripted("from abroad")
    chain = chain_of((entry("a"), abroad), (OFFLINE, Scripted("from home")))
    written = await Letter().from_chain(chain, allow_foreign_models=False)
    assert (written.text, abroad.calls) == ("from home", 0)


async def test_the_offline_writer_never_stands_in_for_vendors_that_failed() -> None:
    offline = Scripted("offline")
    chain = chain_of((entry("a"), Scripted(failure=ModelUnavailable("http_500"))), (OFFLINE, offline))
    with pytest.raises(NoModelAvailable):
        await Letter().from_chain(chain)
    assert offline.calls == 0


@pytest.mark.parametrize(
    ("regions", "consent", "expected"),
    [
        (["abroad"], True, ["vendor-0"]),
        (["abroad"], False, ["offline"]),
        (["abroad", "home"], True, ["vendor-0", "vendor-1"]),
        (["abroad", "home"], False, ["vendor-1"]),
        ([], True, ["offline"]),
        ([], False, ["offline"]),
    ],
)
def test_who_may_write_for_whom(regions: list[str], consent: bool, expected: list[str]) -> None:
    vendors = [entry(f"vendor-{number}", region=region) for number, region in enumerate(regions)]
    assert [e.name for e in permitted([*vendors, OFFLINE], allow_foreign_models=consent)] == expected


async def test_every_call_is_reported_with_its_tokens_time_and_cost() -> None:
    priced = entry("a", prompt_micro_usd_per_million=2_500_000, completion_micro_usd_per_million=10_000_000)
    letter = Letter()
    await letter.from_chain(chain_of((priced, Scripted("Dear", usage=Usage(1000, 301)))))
    (attempt,) = letter.attempts
    assert (attempt.prompt_tokens, attempt.completion_tokens, attempt.tokens_estimated) == (1000, 301, False)
    assert attempt.cost_micro_usd == 2500 + 3010
    assert attempt.first_text_ms is not None
    assert 0 <= attempt.first_text_ms <= attempt.response_time_ms < 5000


async def test_what_a_broken_call_used_is_estimated_and_a_refused_connection_costs_nothing() -> None:
    priced: dict[str, Any] = {"prompt_micro_usd_per_million": 1_000_000, "completion_micro_usd_per_million": 1_000_000}
    lost = ModelUnavailable("connection_lost")
    letter = Letter()
    with pytest.raises(NoModelAvailable):
        await letter.from_chain(
            chain_of(
                (entry("a", **priced), Scripted("x" * 300, failure=lost)),
                (entry("b", **priced), Scripted(failure=lost)),
            )
        )
    said, refused = letter.attempts
    assert said.tokens_estimated
    assert said.completion_tokens == 100
    assert said.cost_micro_usd > 100
    assert refused.cost_micro_usd == 0


async def test_a_stopped_letter_is_reported_as_cancelled() -> None:
    writing = asyncio.Event()

    class Endless:
        async def write(self, order: Order, draft: Draft) -> None:
            draft.add("Dear")
            writing.set()
            await asyncio.sleep(60)

    letter = Letter()
    task = asyncio.create_task(letter.from_chain(chain_of((entry("a"), Endless()))))
    await writing.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [attempt.error for attempt in letter.attempts] == ["cancelled"]


async def test_a_span_names_the_model_and_the_tokens_and_holds_no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr("servicekit.telemetry.tracer", provider.get_tracer("test"))
    broken = Scripted("canary", failure=ModelUnavailable("http_500"))
    await Letter().from_chain(chain_of((entry("a"), broken), (entry("b"), Scripted("canary", usage=Usage(7, 8)))))
    first, second = exporter.get_finished_spans()
    assert (first.name, second.name) == ("chat a-1", "chat b-1")
    assert first.attributes is not None
    assert first.attributes["error.type"] == "http_500"
    assert not first.status.is_ok
    assert second.attributes is not None
    assert second.attributes["gen_ai.request.model"] == "b-1"
    assert second.attributes["gen_ai.usage.input_tokens"] == 7
    assert second.attributes["gen_ai.usage.output_tokens"] == 8
    assert "canary" not in first.to_json() + second.to_json()


def test_an_order_and_what_was_written_do_not_show_their_texts() -> None:
    order = Order(vacancy="canary", resume="canary", nonce="canary", letter="canary", wish="canary")
    assert "canary" not in repr(order)


def test_the_chain_that_ships_tries_both_vendors_before_either_fallback() -> None:
    entries = read_chain()
    assert [(e.vendor, e.name.rpartition("-")[2]) for e in entries] == [
        ("openai", "main"),
        ("anthropic", "main"),
        ("openai", "fallback"),
        ("anthropic", "fallback"),
        ("offline", "offline"),
    ]
    assert {e.vendor: e.requests_per_minute for e in entries} == {"openai": 500, "anthropic": 1000, "offline": None}
    assert entries[0].temperature == 0.8
    assert all(e.region == "abroad" for e in entries if e.vendor != "offline")


def test_every_fault_of_a_chain_file_is_told_at_once_by_entry_and_field() -> None:
    text = """
        [[models]]
        name = "one"
        vendor = "openai"
        region = "moon"
        model = "gpt"
        concurency = 3
        [[models]]
        name = "one"
        vendor = "anthropic"
        region = "abroad"
        timeouts = { pause_seconds = -1 }
    """
    with pytest.raises(ChainFileError) as error:
        parse_chain(text, "chain.toml")
    told = "\n".join(error.value.faults)
    for expected in (
        'models[0] "one" region',
        'models[0] "one" concurency',
        'models[1] "one" model',
        'models[1] "one" timeouts.pause_seconds',
        "two models are named 'one'",
    ):
        assert expected in told
    assert len(error.value.faults) == 5


@pytest.mark.parametrize("text", ["models = 3", "models = []", "", "[[models]\n", '[[models]]\nvendor = "offline"'])
def test_a_chain_file_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(ChainFileError, match=r"chain\.toml"):
        parse_chain(text, "chain.toml")


def test_a_chain_file_without_the_offline_writer_gets_it_at_its_end() -> None:
    text = '[[models]]\nname = "x"\nvendor = "openai"\nmodel = "gpt"\nregion = "abroad"\n'
    assert [e.vendor for e in parse_chain(text, "chain.toml")] == ["openai", "offline"]
