"""With AI keys set, the vendors write: streamed, stopped, failed over, traced; and no secret leaks anywhere."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio
import redis.asyncio
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from person import RESUME, VACANCY
from vendors import Vendor, ending, opening, serving_vendors, words
from whole_system import System, running

pytestmark = pytest.mark.asyncio(loop_scope="module")

OPENAI, ANTHROPIC = "/chat/completions", "/v1/messages"
LETTER = (
    "Здравствуйте! Меня заинтересовала вакансия Python-разработчика в «Ромашке». "
    "Пять лет я пишу платёжные сервисы и сократила время ответа на 40 %. Буду рада поговорить.\n\n"
    "С уважением,\nАнна Смирнова, написано моделью {model}."
)
CANARIES = ("kanareika.resume@example.org", "+7 916 123-45-67", "КАНАРЕЙКАВАКАНСИИ", "КАНАРЕЙКАПОЖЕЛАНИЯ")

Script = Callable[[web.StreamResponse], Awaitable[None]]


@dataclass
class Collector:
    """An OpenTelemetry collector that keeps what it gets."""

    url: str = ""
    raw: list[bytes] = field(default_factory=list)
    spans: list[tuple[str, Span]] = field(default_factory=list)
    """Each with its service's name."""

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.raw.append(body)
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            attributes = {each.key: each.value.string_value for each in resource.resource.attributes}
            for scope in resource.scope_spans:
                self.spans += [(attributes["service.name"], span) for span in scope.spans]
        return web.Response()

    def services_of(self, trace: bytes) -> set[str]:
        return {service for service, span in self.spans if span.trace_id == trace}


@asynccontextmanager
async def collecting() -> AsyncIterator[Collector]:
    collector = Collector()
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_post("/v1/traces", collector.take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    collector.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield collector
    finally:
        await runner.cleanup()


@dataclass
class World:
    system: System
    vendors: Vendor
    collector: Collector
    scripts: dict[str, Script]
    """What each vendor does, by its path."""

    def calls(self, path: str) -> int:
        return sum(each["path"] == path for each in self.vendors.requests)

    @contextmanager
    def doing(self, **scripts: Script) -> Iterator[None]:
        """The vendors behave so for a while."""
        before = dict(self.scripts)
        self.scripts.update({OPENAI if name == "openai" else ANTHROPIC: script for name, script in scripts.items()})
        try:
            yield
        finally:
            self.scripts.update(before)


def writes(vendor: str, model: str, pause_seconds: float = 0.05) -> Script:
    async def script(response: web.StreamResponse) -> None:
        await response.write(opening(vendor))
        for word in LETTER.format(model=model).split(" "):
            await response.write(words(vendor, word + " "))
            await asyncio.sleep(pause_seconds)
        await response.write(ending(vendor))

    return script


def breaks_off(vendor: str, how: str) -> Script:
    async def script(response: web.StreamResponse) -> None:
        await response.write(opening(vendor))
        await response.write(words(vendor, "Уважаемые коллеги! Это начало никто не должен получить вместо письма. И"))
        if how == "drops":
            assert response._req is not None and response._req.transport is not None  # noqa: PT018
            response._req.transport.abort()
        if how == "is cut at the limit":
            await response.write(ending(vendor, "length" if vendor == "openai" else "max_tokens"))
        # Otherwise the stream just ends, as if that were all.

    return script


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(home: Path) -> AsyncIterator[World]:
    async with serving_vendors() as vendors, collecting() as collector:
        scripts = {OPENAI: writes("openai", "O"), ANTHROPIC: writes("anthropic", "A")}
        routed: dict[int, str] = {}

        async def script(response: web.StreamResponse) -> None:
            assert response._req is not None
            await scripts[response._req.path](response)

        vendors.script = script
        assert routed == {}
        async with running(
            home,
            OPENAI_API_KEY="sk-canary-openai-0123456789abcdef",
            OPENAI_BASE_URL=vendors.url,
            ANTHROPIC_API_KEY="sk-ant-canary-0123456789abcdef",
            ANTHROPIC_BASE_URL=vendors.url,
            OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
            OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
            OTEL_BSP_SCHEDULE_DELAY="500",
            GATEWAY="2",
        ) as system:
            yield World(system, vendors, collector, scripts)


async def test_the_vendor_s_words_grow_in_the_chat(world: World) -> None:
    anna = world.system.person()
    await anna.gets_ready()
    await anna.asks_for_a_letter()
    await anna.read("how is it?")
    letter = await anna.read("написано моделью O")
    assert letter.text == LETTER.format(model="O")
    assert any("Ромашке" in text for text in letter.texts), "it was seen growing"


@pytest.mark.parametrize("how", ["drops", "just ends", "is cut at the limit"])
async def test_a_letter_that_breaks_off_is_written_whole_by_the_other_vendor(world: World, how: str) -> None:
    anna = world.system.person()
    await anna.gets_ready()
    with world.doing(openai=breaks_off("openai", how)):
        await anna.asks_for_a_letter()
        letter = await anna.read("написано моделью A", 30)
        await anna.read("how is it?")
    assert letter.text == LETTER.format(model="A")
    assert sum("написано моделью" in each.text for each in await anna.messages()) == 1


async def test_stop_closes_the_vendor_s_stream_within_a_second(world: World) -> None:
    anna = world.system.person()
    await anna.gets_ready()
    slow = writes("openai", "O", pause_seconds=1.0)
    with world.doing(openai=slow):
        await anna.asks_for_a_letter()
        await anna.read("Пишу", 20)
        world.vendors.hung_up.clear()
        await anna.press("stop")
        # One second for the stream, and what a busy machine needs to bring the press to generation.
        await asyncio.wait_for(world.vendors.hung_up.wait(), 3)
    await anna.read("stopped")
    await anna.say("/plan")
    assert "0 из 3" in (await anna.read("Тариф")).text


async def test_without_consent_nothing_goes_abroad(world: World) -> None:
    anna = world.system.person()
    await anna.gets_ready(foreign_models=False)
    before = len(world.vendors.requests)
    await anna.asks_for_a_letter()
    await anna.read("без участия ИИ")
    assert len(world.vendors.requests) == before


async def test_one_trace_leads_from_the_chat_to_the_model_and_no_secret_leaks(world: World) -> None:
    anna = world.system.person()
    await anna.gets_ready()
    await anna.asks_for_a_letter(
        vacancy=f"{VACANCY}\nКодовое слово: {CANARIES[2]}", resume=f"{RESUME}\n{CANARIES[0]}, тел. {CANARIES[1]}"
    )
    await anna.read("how is it?")
    await anna.press("👎")
    await anna.read("what to change?")
    await anna.say(f"короче, и упомяни {CANARIES[3]}")
    await anna.read("better?", 30)
    sent = json.dumps(world.vendors.requests, ensure_ascii=False)
    assert CANARIES[2] in sent, "the canaries were on their way"

    for _ in range(50):
        chats = [span.trace_id for service, span in world.collector.spans if span.name.startswith("chat ")]
        wanted = {"pismo-gateway", "pismo-generation", "pismo-billing"}
        if any(wanted <= world.collector.services_of(trace) for trace in chats):
            break
        await asyncio.sleep(0.2)
    else:
        raise AssertionError("no trace holds the gateway, generation, billing and a model's call")

    secrets = (*CANARIES, "sk-canary-openai", "sk-ant-canary", world.system.env["TELEGRAM_BOT_TOKEN"])
    for name, text in world.system.logs():
        assert not [secret for secret in secrets if secret in text], f"a secret is in the log {name}"
    spans = b"".join(world.collector.raw)
    assert not [secret for secret in secrets if secret.encode() in spans], "a secret is in a span"

    client = redis.asyncio.Redis.from_url(world.system.env["REDIS_URL"])
    async for key in client.scan_iter():
        value = await client.dump(key)
        assert not [secret for secret in CANARIES if secret.encode() in key + (value or b"")], "a secret is in Redis"
    await client.aclose()

    for service in ("GATEWAY", "GENERATION", "BILLING", "ANALYTICS"):
        connection = await asyncpg.connect(world.system.env[f"{service}_MIGRATION_DATABASE_URL"])
        tables = await connection.fetch(
            "SELECT tablename FROM pg_tables WHERE schemaname = $1 AND tableowner = current_user", service.lower()
        )
        for (table,) in tables:
            rows = await connection.fetch(f'SELECT t::text FROM {service.lower()}."{table}" t')  # noqa: S608
            text = "\n".join(row[0] for row in rows)
            sealed = [secret for secret in CANARIES if secret in text or secret.encode().hex() in text]
            assert not sealed, f"a secret is in {service.lower()}.{table}"
        await connection.close()
