"""What every model behind the port promises, against vendors that misbehave in every way we know.

llmock plays the vendors; `Vendor`, a server of our own, plays what llmock cannot: bytes cut anywhere, finish reasons,
and a look at when the client hangs up.
"""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from aiohttp import web
from generation.breaker import Breaker, SharedBreaker
from generation.chain import Attempt, Chain, Written
from generation.chain_file import Entry, Timeouts
from generation.chain_file import Vendor as VendorName
from generation.model_limits import ModelLimits
from generation.ports import (
    Draft,
    Held,
    Model,
    ModelFailure,
    ModelRateLimited,
    ModelRejected,
    ModelStalled,
    ModelTruncated,
    ModelUnavailable,
    NoModelAvailable,
    Order,
    OrderRejected,
)
from generation.providers import Account, open_models
from generation.providers.stream import retry_after_seconds
from generation.shared import Shared
from llmock.pytest_plugin import LLMock
from redis.asyncio import Redis
from vendors import Vendor, ending, event, opening, serving_vendors, whole, words

VENDORS: list[VendorName] = ["openai", "anthropic"]
HURRIED = Timeouts(first_text_seconds=0.4)
RESTLESS = Timeouts(pause_seconds=0.4)
LETTER = "Уважаемая команда! Я писал на Python семь лет — и хочу продолжать 🚀 у вас."
ORDER = Order(
    vacancy="Ищем инженера на Python, PostgreSQL и gRPC.",
    resume="Анна. Семь лет Python, PostgreSQL, gRPC. Сбербанк, 2019–2026.",
    nonce="b2f1",
    language="ru",
)
REVISION = Order(
    **{f: getattr(ORDER, f) for f in ("vacancy", "resume", "nonce", "language")}, letter=LETTER, wish="Короче"
)


def entry(vendor: VendorName, **fields: Any) -> Entry:
    region = "home" if vendor == "offline" else "abroad"
    return Entry.model_validate({"name": vendor, "vendor": vendor, "model": f"{vendor}-1", "region": region} | fields)


@asynccontextmanager
async def open_model(vendor: VendorName, base_url: str, **fields: Any) -> AsyncIterator[Model]:
    async with open_models(
        [entry(vendor, **fields)], {vendor: Account("test-key", base_url)}, offline_seconds=0.05
    ) as ((_, model),):
        yield model


async def write(model: Model, order: Order = ORDER) -> tuple[Draft, list[str]]:
    heard: list[str] = []
    draft = Draft(heard.append)
    await model.write(order, draft)
    return draft, heard


# ---- a vendor that does exactly what a test says ---------------------------------------------------------------------


@pytest.fixture
async def vendor_server() -> AsyncIterator[Vendor]:
    async with serving_vendors() as server:
        yield server


# ---- what all three promise ------------------------------------------------------------------------------------------


@pytest.fixture(params=["openai", "anthropic", "offline"])
async def any_model(request: pytest.FixtureRequest, vendor_server: Vendor) -> AsyncIterator[Model]:
    vendor: VendorName = request.param
    if vendor != "offline":
        vendor_server.send(whole(vendor, LETTER))
    async with open_model(vendor, vendor_server.url) as model:
        yield model


@pytest.mark.parametrize("order", [ORDER, REVISION], ids=["letter", "revision"])
async def test_a_whole_text_arrives_in_pieces_that_join_to_it(any_model: Model, order: Order) -> None:
    draft, heard = await write(any_model, order)
    assert draft.text == "".join(heard)
    assert draft.text.strip()
    assert draft.finish == "stop"
    assert draft.usage is not None
    assert draft.first_text_at is not None


async def test_a_model_serves_many_letters_at_once(any_model: Model) -> None:
    drafts = await asyncio.gather(*(write(any_model) for _ in range(20)))
    assert len({draft.text for draft, _ in drafts}) == 1


async def test_nothing_is_heard_after_a_cancel(any_model: Model) -> None:
    heard: list[str] = []
    first = asyncio.Event()

    def hear(piece: str) -> None:
        heard.append(piece)
        first.set()

    task = asyncio.create_task(any_model.write(ORDER, Draft(hear)))
    await asyncio.wait_for(first.wait(), 5)
    task.cancel()
    with suppress(asyncio.CancelledError):  # a vendor's whole text may have come in one piece
        await task
    so_far = len(heard)
    await asyncio.sleep(0.1)
    assert len(heard) == so_far


# ---- what both vendors promise ---------------------------------------------------------------------------------------

both_vendors = pytest.mark.parametrize("vendor", VENDORS)


@both_vendors
async def test_letters_survive_any_cut_of_the_stream(vendor: VendorName, vendor_server: Vendor) -> None:
    body = opening(vendor) + b": ping\n\n" + words(vendor, LETTER) + ending(vendor)
    vendor_server.send(*(body[start : start + 7] for start in range(0, len(body), 7)))
    async with open_model(vendor, vendor_server.url) as model:
        draft, _ = await write(model)
    assert draft.text == LETTER


@both_vendors
async def test_the_vendor_s_count_of_tokens_is_reported(vendor: VendorName, vendor_server: Vendor) -> None:
    vendor_server.send(whole(vendor, LETTER))
    async with open_model(vendor, vendor_server.url) as model:
        draft, _ = await write(model)
    assert draft.usage is not None
    assert (draft.usage.prompt_tokens, draft.usage.completion_tokens, draft.usage.estimated) == (12, 34, False)


@both_vendors
async def test_the_call_is_streamed_bounded_and_tells_the_vendor_no_trace(
    vendor: VendorName, vendor_server: Vendor
) -> None:
    vendor_server.send(whole(vendor, LETTER))
    async with open_model(vendor, vendor_server.url, max_output_tokens=77) as model:
        await write(model)
    (request,), (headers,) = vendor_server.requests, vendor_server.headers
    assert request["path"] == ("/chat/completions" if vendor == "openai" else "/v1/messages")
    assert request["stream"] is True
    assert request["model"] == f"{vendor}-1"
    assert request["max_completion_tokens" if vendor == "openai" else "max_tokens"] == 77
    assert "temperature" not in request
    assert ORDER.vacancy in json.dumps(request, ensure_ascii=False)
    assert not {"traceparent", "tracestate", "baggage"} & {name.lower() for name in headers}
    assert "test-key" in (headers.get("Authorization", "") + headers.get("X-Api-Key", ""))


@both_vendors
async def test_a_temperature_is_sent_where_the_chain_gives_one(vendor: VendorName, vendor_server: Vendor) -> None:
    vendor_server.send(whole(vendor, LETTER))
    async with open_model(vendor, vendor_server.url, temperature=0.8) as model:
        await write(model)
    assert vendor_server.requests[0]["temperature"] == 0.8


@both_vendors
async def test_the_connection_of_a_whole_answer_serves_the_next_call(vendor: VendorName, vendor_server: Vendor) -> None:
    vendor_server.send(whole(vendor, LETTER))
    async with open_model(vendor, vendor_server.url) as model:
        for _ in range(5):
            await write(model)
    assert len(vendor_server.connections) == 1


@both_vendors
async def test_a_text_that_has_ended_does_not_wait_for_the_connection_to_end(
    vendor: VendorName, vendor_server: Vendor
) -> None:
    vendor_server.send(whole(vendor, LETTER), then_wait=True)
    async with open_model(vendor, vendor_server.url) as model:
        draft, _ = await asyncio.wait_for(write(model), 5)
    assert draft.finish == "stop"
    assert draft.usage is not None


@both_vendors
async def test_stop_closes_the_vendor_s_stream_within_a_second(vendor: VendorName, vendor_server: Vendor) -> None:
    vendor_server.send(opening(vendor), words(vendor, "Dear"), then_wait=True)
    first = asyncio.Event()
    async with open_model(vendor, vendor_server.url, timeouts=Timeouts()) as model:
        task = asyncio.create_task(model.write(ORDER, Draft(lambda _: first.set())))
        await asyncio.wait_for(first.wait(), 5)
        task.cancel()
        await asyncio.wait_for(vendor_server.hung_up.wait(), 1)
        with pytest.raises(asyncio.CancelledError):
            await task


@both_vendors
async def test_stop_before_the_first_word_closes_it_too(vendor: VendorName, vendor_server: Vendor) -> None:
    vendor_server.send(then_wait=True)
    async with open_model(vendor, vendor_server.url, timeouts=Timeouts()) as model:
        task = asyncio.create_task(write(model))
        while not vendor_server.requests:  # noqa: ASYNC110 - the server has no event for it
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait_for(vendor_server.hung_up.wait(), 1)
        with pytest.raises(asyncio.CancelledError):
            await task


@both_vendors
@pytest.mark.parametrize(
    ("openai_reason", "anthropic_reason", "reason"),
    [
        ("length", "max_tokens", "length"),
        ("content_filter", "refusal", "content_filter"),
        ("tool_calls", "tool_use", "unknown_finish_reason"),
    ],
)
async def test_a_text_that_ends_for_another_reason_than_its_end_is_not_whole(
    vendor: VendorName, openai_reason: str, anthropic_reason: str, reason: str, vendor_server: Vendor
) -> None:
    finish = openai_reason if vendor == "openai" else anthropic_reason
    vendor_server.send(opening(vendor), words(vendor, "Dear"), ending(vendor, finish))
    async with open_model(vendor, vendor_server.url) as model:
        with pytest.raises(ModelTruncated, match=reason):
            await write(model)


@both_vendors
async def test_an_empty_text_is_not_whole(vendor: VendorName, vendor_server: Vendor) -> None:
    vendor_server.send(opening(vendor), words(vendor, " \n"), ending(vendor))
    async with open_model(vendor, vendor_server.url) as model:
        with pytest.raises(ModelTruncated, match="empty"):
            await write(model)


@both_vendors
async def test_pings_are_no_words(vendor: VendorName, vendor_server: Vendor) -> None:
    async def script(response: web.StreamResponse) -> None:
        await response.write(opening(vendor))
        while True:
            await response.write(b": ping\n\n" if vendor == "openai" else event("ping"))
            await asyncio.sleep(0.02)

    vendor_server.script = script
    async with open_model(vendor, vendor_server.url, timeouts=HURRIED) as model:
        with pytest.raises(ModelStalled, match="first_text_late"):
            await write(model)


@both_vendors
async def test_a_call_that_writes_forever_is_ended(vendor: VendorName, vendor_server: Vendor) -> None:
    async def script(response: web.StreamResponse) -> None:
        await response.write(opening(vendor))
        while True:
            await response.write(words(vendor, "and "))
            await asyncio.sleep(0.02)

    vendor_server.script = script
    timeouts = Timeouts(whole_seconds=0.5)
    async with open_model(vendor, vendor_server.url, timeouts=timeouts) as model:
        with pytest.raises(ModelStalled, match="too_long"):
            await write(model)
        await asyncio.wait_for(vendor_server.hung_up.wait(), 1)


@pytest.mark.parametrize(
    ("vendor", "error", "expected"),
    [
        ("openai", {"error": {"type": "server_error", "message": "canary"}}, ModelUnavailable),
        ("openai", {"error": {"type": "tokens", "code": "rate_limit_exceeded", "message": "canary"}}, ModelRateLimited),
        ("openai", {"error": {"type": "x", "code": "insufficient_quota", "message": "canary"}}, ModelRejected),
        ("anthropic", {"type": "error", "error": {"type": "overloaded_error", "message": "canary"}}, ModelUnavailable),
        ("anthropic", {"type": "error", "error": {"type": "rate_limit_error", "message": "canary"}}, ModelRateLimited),
        ("anthropic", {"type": "error", "error": {"type": "permission_error", "message": "canary"}}, ModelRejected),
    ],
)
async def test_an_error_inside_the_stream_is_the_failure_it_names(
    vendor: VendorName, error: dict[str, Any], expected: type[ModelFailure], vendor_server: Vendor
) -> None:
    vendor_server.send(opening(vendor), words(vendor, "Dear"), b"data: " + json.dumps(error).encode() + b"\n\n")
    async with open_model(vendor, vendor_server.url) as model:
        with pytest.raises(expected) as failure:
            await write(model)
    assert "canary" not in str(failure.value)


@both_vendors
async def test_a_refused_connection_is_an_unavailable_model(vendor: VendorName) -> None:
    async with open_model(vendor, f"http://127.0.0.1:{closed_port()}") as model:
        with pytest.raises(ModelUnavailable):
            await write(model)


@both_vendors
async def test_a_connection_that_does_not_come_about_is_given_up_before_the_first_word_is_due(
    vendor: VendorName,
) -> None:
    with contextlib.ExitStack() as sockets:
        full = sockets.enter_context(socket.socket())
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(3):  # a full backlog drops what comes next, as a black hole does
            waiting = sockets.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        timeouts = Timeouts(connect_seconds=0.3, first_text_seconds=30)
        async with open_model(vendor, f"http://127.0.0.1:{full.getsockname()[1]}", timeouts=timeouts) as model:
            with pytest.raises(ModelUnavailable, match="no_connection"):
                await asyncio.wait_for(write(model), 5)


@both_vendors
async def test_a_server_that_never_answers_is_given_up_in_time(vendor: VendorName) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        async with open_model(vendor, url, timeouts=HURRIED) as model:
            with pytest.raises(ModelStalled):
                await asyncio.wait_for(write(model), 5)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "-3"}, 0),
        ({"retry-after": "Mon, 23 Nov 2026 05:01:30 GMT", "date": "Mon, 23 Nov 2026 05:00:00 GMT"}, 90),
        ({"retry-after": "Mon, 23 Nov 2026 04:00:00 GMT", "date": "Mon, 23 Nov 2026 05:00:00 GMT"}, 0),
        ({"retry-after": "Mon, 23 Nov 2026 05:01:30 GMT"}, None),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_understood_in_seconds_and_by_the_vendor_s_own_clock(
    headers: dict[str, str], seconds: float | None
) -> None:
    assert retry_after_seconds(headers) == seconds


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


# ---- llmock's faults: at the port, and as a failover to the other vendor ---------------------------------------------

FAULTS: dict[str, tuple[Callable[[LLMock, VendorName], object], type[ModelFailure], str]] = {
    "429": (lambda mock, v: mock.rate_limit(retry_after=30, provider=v), ModelRateLimited, "rate_limited"),
    "500": (lambda mock, v: mock.fail(500, provider=v), ModelUnavailable, "http_500"),
    "503": (lambda mock, v: mock.fail(503, provider=v), ModelUnavailable, "http_503"),
    "529": (lambda mock, v: mock.fail(529, provider=v), ModelUnavailable, "http_529"),
    "401": (lambda mock, v: mock.fail(401, provider=v), ModelRejected, "http_401"),
    "404": (lambda mock, v: mock.fail(404, provider=v), ModelRejected, "http_404"),
    "400": (lambda mock, v: mock.context_overflow(provider=v), OrderRejected, "http_400"),
    "slow first token": (lambda mock, v: mock.slow_first_token(30, provider=v), ModelStalled, "first_text_late"),
    "stall": (lambda mock, v: mock.stall(after_chunks=6, seconds=30, provider=v), ModelStalled, "stalled"),
    "drop": (lambda mock, v: mock.disconnect(after_chunks=6, provider=v), ModelUnavailable, "connection_lost"),
    "truncation": (lambda mock, v: mock.truncate(after_chunks=6, provider=v), ModelTruncated, "no_finish_reason"),
    "bad JSON": (lambda mock, v: mock.corrupt(after_chunks=6, provider=v), ModelUnavailable, "malformed_event"),
}
PATIENCE = {"slow first token": HURRIED, "stall": RESTLESS}
every_fault = pytest.mark.parametrize("fault", FAULTS)


@both_vendors
@every_fault
async def test_each_fault_is_the_failure_it_should_be(vendor: VendorName, fault: str, llmock: LLMock) -> None:
    inject, expected, reason = FAULTS[fault]
    inject(llmock.reply(LETTER), vendor)
    timeouts = PATIENCE.get(fault, Timeouts())
    async with open_model(vendor, llmock.base_url(vendor), timeouts=timeouts) as model:
        with pytest.raises(expected) as failure:
            await asyncio.wait_for(write(model), 5)
    assert type(failure.value) is expected
    assert failure.value.reason == reason
    if isinstance(failure.value, ModelRateLimited):
        assert failure.value.retry_after_seconds == 30
    llmock.reset()


class Letter:
    """Someone who reads along: keeps only what the model now writing has said."""

    def __init__(self) -> None:
        self.text = ""
        self.attempts: list[Attempt] = []

    async def from_chain(self, chain: Chain) -> Written:
        def start(_: Entry) -> None:
            self.text = ""

        def add(piece: str) -> None:
            self.text += piece

        return await chain.write(
            ORDER,
            allow_foreign_models=True,
            on_start=start,
            on_text=add,
            judge=lambda _: None,
            on_attempt=self.attempts.append,
        )


@asynccontextmanager
async def open_chain(first: VendorName, llmock: LLMock, patience: Timeouts | None = None) -> AsyncIterator[Chain]:
    accounts = {vendor: Account("test-key", llmock.base_url(vendor)) for vendor in VENDORS}
    entries = [entry(first, timeouts=patience or Timeouts()), *(entry(other) for other in VENDORS if other != first)]
    async with open_models(entries, accounts, offline_seconds=0) as models:
        yield Chain(models, Shared(None))


@both_vendors
@every_fault
async def test_after_each_fault_the_other_vendor_writes_the_whole_letter(
    vendor: VendorName, fault: str, llmock: LLMock
) -> None:
    other = next(name for name in VENDORS if name != vendor)
    inject, _, reason = FAULTS[fault]
    llmock.reply("Начало, которого в письме потом быть не должно.", provider=vendor).reply(LETTER, provider=other)
    inject(llmock, vendor)
    letter = Letter()
    async with open_chain(vendor, llmock, PATIENCE.get(fault)) as chain:
        written = await letter.from_chain(chain)
    assert [(attempt.vendor, attempt.error) for attempt in letter.attempts] == [(vendor, reason), (other, None)]
    assert written.text == letter.text
    assert written.text == LETTER
    if fault != "truncation":  # llmock looks for the retry at the same vendor, ours went to the other one
        llmock.assert_resilient()
    llmock.reset()


@both_vendors
@pytest.mark.parametrize("status", [429, 503])
async def test_a_vendor_that_asks_to_wait_is_left_alone(vendor: VendorName, status: int, llmock: LLMock) -> None:
    llmock.fail(status, retry_after=1, times=None, provider=vendor)
    async with open_chain(vendor, llmock) as chain:
        for _ in range(10):
            await Letter().from_chain(chain)
    assert [record.status for record in llmock.requests].count(status) == 1
    llmock.assert_resilient()


async def test_all_vendors_down_is_an_honest_no(llmock: LLMock) -> None:
    llmock.outage()
    async with open_chain("openai", llmock) as chain:
        with pytest.raises(NoModelAvailable) as none:
            await Letter().from_chain(chain)
    assert none.value.attempted
    assert none.value.retry_after_seconds > 0


# ---- what pods share through Redis -----------------------------------------------------------------------------------


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = Redis.from_url(redis_url)
    yield client
    await client.aclose()


async def admitted(limits: ModelLimits, limited: Entry, tokens: int = 1) -> bool:
    try:
        async with limits.slot(limited, tokens):
            return True
    except Held:
        return False


async def test_two_pods_share_a_models_requests_a_minute(redis: Redis) -> None:
    pods = [ModelLimits(Shared(redis)) for _ in range(2)]
    limited = entry("openai", requests_per_minute=10)

    async def letters(pod: ModelLimits) -> int:
        return sum([await admitted(pod, limited) for _ in range(20)])

    assert sum(await asyncio.gather(*(letters(pod) for pod in pods))) == 10
    with pytest.raises(Held) as held:
        async with pods[0].slot(limited, 1):
            pass
    assert 50 < held.value.seconds <= 60


async def test_two_pods_share_a_models_tokens_a_minute(redis: Redis) -> None:
    pods = [ModelLimits(Shared(redis)) for _ in range(2)]
    limited = entry("openai", tokens_per_minute=1000)
    results = [await admitted(pods[number % 2], limited, tokens=300) for number in range(6)]
    assert results == [True, True, True, False, False, False]
    assert await admitted(pods[0], limited, tokens=100)


async def test_an_order_larger_than_the_limit_goes_alone_rather_than_never(redis: Redis) -> None:
    limits, limited = ModelLimits(Shared(redis)), entry("openai", tokens_per_minute=1000)
    assert await admitted(limits, limited, tokens=5000)
    assert not await admitted(limits, limited, tokens=5000)


async def test_one_models_limit_is_not_anothers(redis: Redis) -> None:
    limits = ModelLimits(Shared(redis))
    assert await admitted(limits, entry("openai", requests_per_minute=1))
    assert await admitted(limits, entry("anthropic", requests_per_minute=1))


async def test_retry_after_told_to_one_pod_holds_in_all(redis: Redis) -> None:
    told, other = ModelLimits(Shared(redis)), ModelLimits(Shared(redis))
    limited = entry("openai", requests_per_minute=10)
    await told.block(limited, 0.3)
    assert not await admitted(told, limited)
    assert not await admitted(other, limited)
    await asyncio.sleep(0.35)
    assert await admitted(told, limited)
    assert await admitted(other, limited)


async def test_of_twenty_racers_on_two_pods_one_probes(redis: Redis) -> None:
    clock = Clock()
    pods = [SharedBreaker("m", Shared(redis), Breaker(clock, failures=1), longest_call_seconds=120) for _ in range(2)]
    for pod in pods:
        await fail(pod)
    clock.now += 15
    assert await race(pods * 10) == 1


async def test_a_failed_probe_lets_no_pod_probe_until_the_next_is_due(redis: Redis) -> None:
    clock = Clock()
    pods = [SharedBreaker("m", Shared(redis), Breaker(clock, failures=1), longest_call_seconds=120) for _ in range(2)]
    for pod in pods:
        await fail(pod)
    clock.now += 15
    await fail(pods[0])
    assert await race([pods[1]]) == 0
    assert 10_000 < await redis.pttl("generation:model:{m}:probe") <= 15_000


async def test_after_a_good_probe_the_next_pod_may_probe_at_once(redis: Redis) -> None:
    clock = Clock()
    pods = [SharedBreaker("m", Shared(redis), Breaker(clock, failures=1), longest_call_seconds=120) for _ in range(2)]
    for pod in pods:
        await fail(pod)
    clock.now += 15
    assert await race([pods[0]]) == 1
    assert await race([pods[1]]) == 1
    assert await race(pods * 10) == 20


async def test_a_frozen_redis_costs_a_call_less_than_half_a_second_and_the_next_nothing() -> None:
    with socket.socket() as frozen:
        frozen.bind(("127.0.0.1", 0))
        frozen.listen()
        client = Redis.from_url(f"redis://127.0.0.1:{frozen.getsockname()[1]}")
        limits, limited = ModelLimits(Shared(client)), entry("openai", requests_per_minute=40)
        loop = asyncio.get_running_loop()
        started = loop.time()
        assert await admitted(limits, limited)
        assert loop.time() - started < 0.5
        started = loop.time()
        assert [await admitted(limits, limited) for _ in range(12)] == [True] * 9 + [False] * 3
        assert loop.time() - started < 0.2
        await client.aclose()


async def test_a_flushed_redis_only_forgets(redis: Redis) -> None:
    limits, limited = ModelLimits(Shared(redis)), entry("openai", requests_per_minute=1)
    assert await admitted(limits, limited)
    await redis.flushall()
    await redis.script_flush()
    assert await admitted(limits, limited)
    assert not await admitted(limits, limited)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def fail(pod: SharedBreaker) -> None:
    with pytest.raises(ModelUnavailable):
        async with pod.passage():
            raise ModelUnavailable("http_500")


async def race(pods: list[SharedBreaker]) -> int:
    """How many of the racers got through while the first was still on its way."""
    through = 0

    async def run(pod: SharedBreaker) -> None:
        nonlocal through
        with suppress(Held):
            async with pod.passage():
                through += 1
                await asyncio.sleep(0.05)

    await asyncio.gather(*(run(pod) for pod in pods))
    return through
