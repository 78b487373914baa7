"""The gateway as its tests meet it: its real parts over a real database, a Telegram in memory, services that obey.

A `Process` is one gateway process. Several may stand over one database; one may be killed, as by kill -9, at any of the
points where it meets the database or Telegram.
"""

import asyncio
import contextlib
import itertools
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar, cast
from uuid import UUID

import asyncpg
import grpc
from aiogram import Bot
from aiogram.client.session.base import BaseSession
from aiogram.exceptions import TelegramBadRequest
from aiogram.methods import (
    AnswerCallbackQuery,
    EditMessageReplyMarkup,
    EditMessageText,
    SendMessage,
    TelegramMethod,
)
from aiogram.types import Chat, InlineKeyboardMarkup, Message
from gateway.deliveries import Deliveries
from gateway.dialogue import Dialogue
from gateway.errors import Refused
from gateway.inbox import Inbox, Workers
from gateway.leader import Leader
from gateway.pacer import Pacer
from gateway.peers import Allowances, Letters
from gateway.rate_limits import RateLimits
from gateway.sender import Sender
from gateway.telegram import Voice
from pismo.billing.v1.billing_pb2 import WINDOW_CALENDAR_MONTH, Allowance
from pismo.generation.v1 import generation_pb2 as pb
from pismo.generation.v1.generation_service_pb2 import ListLettersResponse
from servicekit import logs, redis
from servicekit.errors import Refusal
from servicekit.keys import KeyRing
from servicekit.postgres import Connection, Database, open_database
from stores import ServiceDatabase

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
RING = KeyRing([("test", b"k" * 32)])
TOKEN = "4242:AAtesttesttesttesttesttesttesttest"
BOT_ID = 4242
ANNA = 1001
VACANCY = "Python-разработчик в «Ромашку». Нужен опыт с Python и PostgreSQL от трёх лет."
RESUME = "Анна Смирнова. Python-разработчик, 5 лет. Перевела очередь на PostgreSQL."
LETTER = "Здравствуйте!\n\nОткликаюсь на вашу вакансию. Пять лет пишу на Python.\n\nАнна Смирнова"

T = TypeVar("T")


@dataclass
class StillClock:
    """Time that only tests move."""

    at: datetime = NOON

    def now(self) -> datetime:
        return self.at

    def pass_by(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


class Killed(BaseException):
    """The process is gone: nothing after this point happens in it."""


@dataclass
class Fuse:
    """Kills a process at the n-th point where it meets the outside."""

    point: int | None = None
    met: int = 0
    blown: asyncio.Event = field(default_factory=asyncio.Event)

    async def meet(self) -> None:
        if self.blown.is_set():
            await asyncio.Event().wait()
        self.met += 1
        if self.met == self.point:
            self.blown.set()
            # The process hangs here until the test takes it away.
            await asyncio.Event().wait()


class FragileDatabase(Database):
    """A database whose user can die before and after everything that it commits."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]", fuse: Fuse) -> None:
        super().__init__(pool)
        self._fuse = fuse

    @asynccontextmanager
    async def transaction(self, person_id: UUID | None = None) -> AsyncIterator[Connection]:
        async with super().transaction(person_id) as connection:
            yield connection
            await self._fuse.meet()
        await self._fuse.meet()


@dataclass
class Shown:
    """A message as it stands in a chat."""

    message_id: int
    text: str
    keyboard: InlineKeyboardMarkup | None
    edits: list[str] = field(default_factory=list)

    @property
    def buttons(self) -> dict[str, str]:
        rows = self.keyboard.inline_keyboard if self.keyboard else []
        return {button.text: button.callback_data or "" for row in rows for button in row}


class Telegram(BaseSession):
    """Telegram in memory: what stands in each chat, and faults on demand."""

    def __init__(self) -> None:
        super().__init__()
        self.chats: dict[int, dict[int, Shown]] = defaultdict(dict)
        self.notes: list[str] = []
        self.calls: list[TelegramMethod[Any]] = []
        self.fuse = Fuse()
        self.faults: list[tuple[Callable[[TelegramMethod[Any]], bool], Exception, bool]] = []
        self._ids = itertools.count(1)

    def fail(self, when: Callable[[TelegramMethod[Any]], bool], error: Exception, *, done: bool = False) -> None:
        """The next call that fits fails; with `done` only its answer is lost."""
        self.faults.append((when, error, done))

    async def make_request(self, bot: Bot, method: TelegramMethod[T], timeout: int | None = None) -> T:
        await self.fuse.meet()
        fault = next((each for each in self.faults if each[0](method)), None)
        if fault:
            self.faults.remove(fault)
            if not fault[2]:
                raise fault[1]
        self.calls.append(method)
        answer = self._make(method)
        if fault:
            raise fault[1]
        await self.fuse.meet()
        return cast("T", answer)

    def _make(self, method: TelegramMethod[Any]) -> Any:
        match method:
            case SendMessage(chat_id=int(chat_id)):
                shown = Shown(next(self._ids), method.text, cast("InlineKeyboardMarkup | None", method.reply_markup))
                self.chats[chat_id][shown.message_id] = shown
                return Message(message_id=shown.message_id, date=NOON, chat=Chat(id=chat_id, type="private"))
            case EditMessageText(chat_id=int(chat_id), message_id=int(message_id)):
                shown = self._find(method, chat_id, message_id)
                text = method.text or ""
                if (shown.text, shown.keyboard) == (text, method.reply_markup):
                    raise TelegramBadRequest(method, "Bad Request: message is not modified: …")
                shown.text, shown.keyboard = text, method.reply_markup
                shown.edits.append(text)
            case EditMessageReplyMarkup(chat_id=int(chat_id), message_id=int(message_id)):
                self._find(method, chat_id, message_id).keyboard = method.reply_markup
            case AnswerCallbackQuery():
                self.notes.append(method.text or "")
            case _:
                raise AssertionError(f"nobody expected {method.__api_method__}")
        return True

    def _find(self, method: TelegramMethod[Any], chat_id: int, message_id: int) -> Shown:
        if message_id not in self.chats[chat_id]:
            raise TelegramBadRequest(method, "Bad Request: message to edit not found")
        return self.chats[chat_id][message_id]

    def shown(self, chat_id: int = ANNA) -> list[Shown]:
        return list(self.chats[chat_id].values())

    async def close(self) -> None:
        """Nothing is open."""

    async def stream_content(self, *_: Any, **__: Any) -> AsyncGenerator[bytes, None]:
        yield b""
        raise AssertionError("nobody expected a download")


def refused(reason: str, code: grpc.StatusCode = grpc.StatusCode.FAILED_PRECONDITION, **metadata: str) -> Refused:
    return Refused(Refusal(code, reason, metadata))


AWAY = Refusal(grpc.StatusCode.UNAVAILABLE)


class ObedientLetters(Letters):
    """A generation that remembers requests by their ids, and writes when it is told to."""

    def __init__(self) -> None:
        self.letters: dict[UUID, pb.Letter] = {}
        self.texts: dict[UUID, list[str]] = defaultdict(list)
        self.requests: dict[UUID, tuple[Any, ...]] = {}
        self.refusals: dict[str, list[Refused]] = defaultdict(list)
        self.foreign: list[bool] = []
        self.looks: dict[tuple[UUID, int], list[pb.Progress]] = defaultdict(list)
        self.told = asyncio.Condition()

    def refuse(self, method: str, error: Refused, times: int = 1) -> None:
        self.refusals[method] += [error] * times

    def calls(self, method: str) -> int:
        """How many different requests there were."""
        return sum(1 for request in self.requests.values() if request[0] == method)

    def _once(self, request_id: UUID, *request: Any) -> bool:
        """Whether the request is new; a repeated one must be the same."""
        if self.refusals[request[0]]:
            raise self.refusals[request[0]].pop(0)
        known = self.requests.setdefault(request_id, request)
        assert known == request, "an id that was used for another request"
        return known is request

    def _owned(self, letter_id: UUID) -> pb.Letter:
        if letter_id not in self.letters:
            raise refused("LETTER_NOT_FOUND", grpc.StatusCode.NOT_FOUND)
        return self.letters[letter_id]

    async def create(self, request_id: UUID, person_id: UUID, vacancy: str) -> pb.Letter:
        if self._once(request_id, "create", person_id, vacancy):
            made = pb.Letter(
                letter_id=str(request_id), state=pb.LETTER_STATE_DRAFT, title=f"Вакансия {len(self.letters)}"
            )
            made.created_at.FromDatetime(NOON)
            made.revisions_left = 3
            self.letters[request_id] = made
            self.texts[request_id].append(vacancy)
        return self.letters[request_id]

    async def submit(
        self, request_id: UUID, person_id: UUID, letter_id: UUID, resume: str, *, allow_foreign_models: bool
    ) -> pb.Letter:
        if self._once(request_id, "submit", person_id, letter_id, resume):
            letter = self._owned(letter_id)
            if letter.state != pb.LETTER_STATE_DRAFT:
                raise refused("LETTER_ALREADY_SUBMITTED")
            self.foreign.append(allow_foreign_models)
            letter.state = pb.LETTER_STATE_QUEUED
            self.texts[letter_id].append(resume)
        return self.letters[letter_id]

    async def revise(
        self, request_id: UUID, person_id: UUID, letter_id: UUID, wish: str, *, allow_foreign_models: bool
    ) -> pb.Letter:
        if self._once(request_id, "revise", person_id, letter_id, wish):
            letter = self._owned(letter_id)
            if letter.state == pb.LETTER_STATE_COMPLETED:
                letter.version += 1
                letter.revisions_left -= 1
            else:
                self.looks.pop((letter_id, letter.version), None)
            letter.state = pb.LETTER_STATE_QUEUED
        return self.letters[letter_id]

    async def get(self, person_id: UUID, letter_id: UUID) -> pb.Letter:
        return self._owned(letter_id)

    async def page(self, person_id: UUID, page_token: str) -> ListLettersResponse:
        found = [each for each in self.letters.values() if each.state != pb.LETTER_STATE_DRAFT][::-1]
        start = int(page_token or 0)
        token = str(start + 2) if len(found) > start + 2 else ""
        return ListLettersResponse(letters=found[start : start + 2], next_page_token=token)

    async def cancel(self, request_id: UUID, person_id: UUID, letter_id: UUID) -> pb.Letter:
        if self._once(request_id, "cancel", person_id, letter_id):
            letter = self._owned(letter_id)
            if letter.state in (pb.LETTER_STATE_QUEUED, pb.LETTER_STATE_WRITING):
                letter.state = pb.LETTER_STATE_CANCELLED
                await self.look(letter_id, pb.Progress(cancelled=pb.Progress.Cancelled()))
        return self.letters[letter_id]

    async def rate(
        self, request_id: UUID, person_id: UUID, letter_id: UUID, version: int, rating: "pb.Rating.ValueType"
    ) -> pb.Letter:
        if self._once(request_id, "rate", person_id, letter_id, version, rating):
            self._owned(letter_id).rating = rating
        return self.letters[letter_id]

    async def watch(self, person_id: UUID, letter_id: UUID, version: int) -> AsyncIterator[pb.Progress]:
        if self.refusals["watch"]:
            raise self.refusals["watch"].pop(0)
        looks, seen = self.looks[letter_id, version], 0
        while True:
            async with self.told:
                while len(looks) <= seen:
                    await self.told.wait()
            seen = len(looks)
            yield looks[-1]
            if looks[-1].WhichOneof("state") not in ("queued", "writing"):
                return

    # What tests tell it to do.

    async def look(self, letter_id: UUID, progress: pb.Progress) -> None:
        version = self.letters[letter_id].version
        async with self.told:
            self.looks[letter_id, version].append(progress)
            self.told.notify_all()

    async def write(self, letter_id: UUID, text: str) -> None:
        await self.look(letter_id, pb.Progress(writing=pb.Progress.Writing(text=text)))

    async def complete(self, letter_id: UUID, text: str = LETTER) -> None:
        letter = self.letters[letter_id]
        letter.state, letter.text, letter.text_version = pb.LETTER_STATE_COMPLETED, text, letter.version
        left = letter.revisions_left
        await self.look(letter_id, pb.Progress(completed=pb.Progress.Completed(text=text, revisions_left=left)))

    async def fail(self, letter_id: UUID, reason: "pb.FailureReason.ValueType") -> None:
        self.letters[letter_id].state = pb.LETTER_STATE_FAILED
        await self.look(letter_id, pb.Progress(failed=pb.Progress.Failed(reason=reason)))


class ObedientAllowances(Allowances):
    """A billing that answers what it is told to."""

    def __init__(self) -> None:
        self.answer = Allowance(plan_id="free", window=WINDOW_CALENDAR_MONTH, limit=3, time_zone="Europe/Moscow")
        self.answer.resets_at.FromDatetime(datetime(2026, 11, 30, 21, tzinfo=UTC))
        self.refusal: Refused | None = None

    async def get(self, person_id: UUID, timeout_seconds: float = 1.0) -> Allowance:
        if self.refusal:
            raise self.refusal
        return self.answer


@dataclass
class Process:
    """One gateway process: it handles updates when told to, and leads when told to."""

    house: "House"
    fuse: Fuse
    inbox: Inbox
    workers: Workers
    leader: Leader
    sender: Sender
    deliveries: Deliveries
    databases: tuple[Database, ...]
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    async def drain(self) -> None:
        """Handles everything that may be handled now."""
        while await self.workers.lease_and_start() or await self.workers.finish():
            pass

    def die(self) -> None:
        """As by kill -9: what it had not committed is rolled back."""
        self.fuse.blown.set()
        for task in self.workers._running:
            task.cancel()
        for database in self.databases:
            database.pool.terminate()

    @asynccontextmanager
    async def leading(self) -> AsyncIterator[None]:
        """Leads inside the block, then stops as by SIGTERM."""
        task = asyncio.create_task(self.leader.run(self.stopping))
        try:
            yield
            self.stopping.set()
            await asyncio.wait_for(task, 10)
        finally:
            await _take_away(task)

    @asynccontextmanager
    async def living(self) -> AsyncIterator[None]:
        """Lives inside the block, handling and leading; then it is gone without a word."""
        tasks = [
            asyncio.create_task(self.leader.run(self.stopping)),
            asyncio.create_task(self.workers.run(self.stopping)),
        ]
        try:
            yield
        finally:
            self.die()
            for task in tasks:
                await _take_away(task)


async def _take_away(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError, Exception):
        await task


@dataclass
class House:
    """What outlives processes: the database, Telegram, the other services, and the people."""

    database: ServiceDatabase
    superuser: "asyncpg.Connection[asyncpg.Record]"
    limits: RateLimits
    clock: StillClock
    stack: AsyncExitStack
    telegram: Telegram = field(default_factory=Telegram)
    letters: ObedientLetters = field(default_factory=ObedientLetters)
    allowances: ObedientAllowances = field(default_factory=ObedientAllowances)
    admins: tuple[int, ...] = ()
    reports: list[tuple[str, str, str, str]] = field(default_factory=list)
    update_ids: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    async def process(self, name: str = "gateway-1", fuse: Fuse | None = None) -> Process:
        fuse = fuse or Fuse()
        requests = await self.stack.enter_async_context(open_database(self.database.requests_url, "gateway", 8))
        worker = await self.stack.enter_async_context(open_database(self.database.worker_url, "gateway", 8))
        requests, worker = FragileDatabase(requests.pool, fuse), FragileDatabase(worker.pool, fuse)
        self.telegram.fuse = fuse
        inbox = Inbox(BOT_ID, requests, RING, self.clock)
        dialogue = Dialogue(TOKEN, self.letters, self.allowances, self.limits, self.admins)
        leader = Leader(worker, BOT_ID, name)
        voice = Voice(Bot(TOKEN, session=self.telegram), Pacer(10_000, 10_000), leader.leads)
        sender = Sender(BOT_ID, worker, RING, voice, self.clock)
        deliveries = Deliveries(BOT_ID, worker, self.letters, voice, self.clock)
        leader.add_duty("sender", sender.run)
        leader.add_duty("deliveries", deliveries.run)

        def committed() -> None:
            sender.arrived.set()
            deliveries.arrived.set()

        def report(*said: str) -> None:
            self.reports.append(cast("tuple[str, str, str, str]", said))

        workers = Workers(
            bot_id=BOT_ID,
            holder=name,
            inbox=inbox,
            worker=worker,
            requests=requests,
            keys=RING,
            clock=self.clock,
            dialogue=dialogue,
            committed=committed,
            report=report,
        )
        return Process(self, fuse, inbox, workers, leader, sender, deliveries, (requests, worker))

    def update(self, person: int = ANNA, **content: Any) -> dict[str, Any]:
        """An update of the person's, for instance `message={"text": …}`."""
        (kind, body), *_ = content.items()
        sender = {"id": person, "is_bot": False, "first_name": "Анна", "language_code": "ru"}
        body = {"from": sender, **body}
        if kind in ("message", "edited_message"):
            chat = {"id": person, "type": "private", "first_name": "Анна"}
            body = {"message_id": 1, "date": int(NOON.timestamp()), "chat": chat, **body}
        return {"update_id": next(self.update_ids), kind: body}

    def text(self, text: str, person: int = ANNA) -> dict[str, Any]:
        return self.update(person, message={"text": text})

    def press(self, data: str, person: int = ANNA, message_id: int = 1) -> dict[str, Any]:
        chat = {"id": person, "type": "private", "first_name": "Анна"}
        message = {"message_id": message_id, "date": int(NOON.timestamp()), "chat": chat, "text": "…"}
        body = {"id": f"q{person}", "chat_instance": "1", "data": data, "message": message}
        return self.update(person, callback_query=body)

    async def fetch(self, statement: str, *values: Any) -> list["asyncpg.Record"]:
        return list(await self.superuser.fetch(statement, *values))

    async def value(self, statement: str, *values: Any) -> Any:
        return await self.superuser.fetchval(statement, *values)

    async def hurry(self) -> None:
        """What waits for its time has waited."""
        await self.superuser.execute("UPDATE inbox SET available_at = now() - interval '1 s' WHERE done_at IS NULL")

    async def stage(self, person: int = ANNA) -> str | None:
        stage: str | None = await self.value("SELECT stage FROM chats WHERE chat_id = $1", person)
        return stage


class Visitor:
    """A person in front of one process, answered before the next word."""

    def __init__(self, house: House, process: Process, telegram_id: int = ANNA) -> None:
        self.house = house
        self.process = process
        self.telegram_id = telegram_id

    async def sends(self, update: dict[str, Any]) -> list[str]:
        """What new messages there are once the update is handled, oldest first; rewritten ones too."""
        before = len(self.house.telegram.calls)
        await self.process.inbox.receive([update])
        await self.process.drain()
        await until(self._all_sent)
        said = self.house.telegram.calls[before:]
        return [call.text or "" for call in said if isinstance(call, SendMessage | EditMessageText)]

    async def _all_sent(self) -> bool:
        return not await self.house.value("SELECT count(*) FROM outgoing")

    async def says(self, text: str) -> list[str]:
        return await self.sends(self.house.text(text, self.telegram_id))

    async def presses(self, label: str) -> list[str]:
        """Presses the newest button that begins so."""
        for shown in reversed(self.house.telegram.shown(self.telegram_id)):
            for words, data in shown.buttons.items():
                if words.startswith(label):
                    return await self.sends(self.house.press(data, self.telegram_id, shown.message_id))
        raise AssertionError(f"no button says {label}")

    async def settles_in(self) -> None:
        """From /start through all questions."""
        await self.says("/start")
        for label in ("Русский", "Согласиться", "Разрешить", "Присылать"):
            await self.presses(label)

    async def asks_for_letter(self) -> UUID:
        """Vacancy and résumé; the letter waits to be written."""
        await self.says(VACANCY)
        await self.says(RESUME)
        letter_id: UUID = await self.house.value(
            "SELECT letter_id FROM deliveries ORDER BY created_at DESC, letter_id LIMIT 1"
        )
        return letter_id

    async def gets_letter(self, text: str = LETTER) -> UUID:
        letter_id = await self.asks_for_letter()
        await self.house.letters.complete(letter_id, text)
        await until(self.has_rating)
        return letter_id

    async def has_rating(self) -> bool:
        return await self.house.value("SELECT bool_and(step = 'ended') FROM deliveries") is True


async def until(holds: Callable[[], Any], seconds: float = 10.0) -> None:
    """Waits until something holds."""
    async with asyncio.timeout(seconds):
        while not await holds():  # noqa: ASYNC110  # what holds is in a database
            await asyncio.sleep(0.01)


@asynccontextmanager
async def open_house(database: ServiceDatabase, redis_url: str) -> AsyncIterator[House]:
    logs.configure("gateway", "test")
    async with AsyncExitStack() as stack:
        superuser = await asyncpg.connect(database.superuser_url, server_settings={"search_path": "gateway"})
        stack.push_async_callback(superuser.close)
        client = redis.connect(redis_url)
        stack.push_async_callback(client.aclose)
        clock = StillClock()
        yield House(database, superuser, RateLimits(client, clock), clock, stack)
