"""Generation as its tests meet it: real operations, worker, database and Redis; a model and a billing that obey.

A `Process` is one generation process. Several may stand over one database; one may be killed, as by kill -9, or told to
stop, as by SIGTERM.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID, uuid4

from billing.allowance import ReservationState
from billing.errors import TABLE as BILLING_ERRORS
from billing.errors import AllowanceExhausted, IdempotencyMismatch, ReservationNotFound, ReservationResolved
from generation.allowance import Allowance
from generation.chain import Chain
from generation.chain_file import Entry
from generation.letters import Letter, Look, State
from generation.operations import Letters
from generation.person_keys import PersonKeys
from generation.ports import Draft, Model, Order
from generation.progress import Hub, LiveTexts
from generation.queue import Queue
from generation.settlement import Settler
from generation.shared import Shared
from generation.upkeep import Upkeep
from generation.worker import Worker
from google.protobuf.timestamp_pb2 import Timestamp
from pismo.analytics.v1.analytics_pb2 import Event
from pismo.billing.v1 import billing_pb2, billing_service_pb2
from pismo.billing.v1.billing_service_pb2_grpc import (
    AllowanceServiceServicer,
    AllowanceServiceStub,
    add_AllowanceServiceServicer_to_server,
)
from servicekit import redis
from servicekit.channel import open_channel
from servicekit.errors import CallContext
from servicekit.keys import KeyRing
from servicekit.postgres import STORE_ERRORS, Database, open_database
from servicekit.server import Server
from stores import ServiceDatabase

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
RING = KeyRing([("test", b"k" * 32)])

VACANCY = """Python-разработчик, компания «Ромашка»
Мы делаем сервис доставки цветов. Нужен опыт с Python и PostgreSQL от трёх лет, знание asyncio и очередей."""
RESUME = """Анна Смирнова. Python-разработчик, 5 лет.
В «Васильке» сократила время ответа сервиса заказов с 900 до 120 мс,
перевела очередь на PostgreSQL, вела команду из трёх человек."""
SENTENCES = (
    "Здравствуйте!\n\n",
    "Откликаюсь на вакансию Python-разработчика в «Ромашке». ",
    "В «Васильке» я сократила время ответа сервиса заказов с 900 до 120 мс. ",
    "Очередь заказов я перевела на PostgreSQL и вела команду из трёх человек. ",
    "Буду рада рассказать подробнее на встрече.\n\n",
    "С уважением,\nАнна Смирнова",
)
LETTER = "".join(SENTENCES)

T = TypeVar("T")


async def until(found: Callable[[], Awaitable[T]], seconds: float = 10) -> T:
    """Waits until something that happens elsewhere is true, and gives it."""
    async with asyncio.timeout(seconds):
        while not (value := await found()):  # noqa: ASYNC110  # another process brings it about
            await asyncio.sleep(0.02)
        return value


@dataclass
class Hands:
    """A clock that is set."""

    time: datetime = NOON

    def now(self) -> datetime:
        return self.time

    def pass_by(self, **time: float) -> None:
        self.time += timedelta(**time)


@dataclass
class ScriptedModel(Model):
    """A model that writes `pieces`, waiting for `go` before each; `faults` are raised first, one a call."""

    pieces: Sequence[str] = SENTENCES
    faults: list[Exception] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)
    open: int = 0
    closed_early: int = 0
    go: asyncio.Event = field(default_factory=asyncio.Event)
    pace_seconds: float = 0.0

    def __post_init__(self) -> None:
        self.go.set()

    async def write(self, order: Order, draft: Draft) -> None:
        self.orders.append(order)
        self.open += 1
        try:
            if self.faults:
                raise self.faults.pop(0)
            for piece in self.pieces:
                await asyncio.sleep(self.pace_seconds)
                draft.add(piece)
                await self.go.wait()
            draft.finish = "stop"
        except asyncio.CancelledError:
            self.closed_early += 1
            raise
        finally:
            self.open -= 1


@dataclass
class _Reservation:
    reservation_id: UUID
    person_id: str
    letter_id: str
    state: ReservationState = ReservationState.HELD


class FakeBilling(AllowanceServiceServicer):
    """AllowanceService in memory, with the real one's answers. What no test expects is an error, not a default."""

    def __init__(self, limit: int = 1_000, priorities: dict[str, int] | None = None) -> None:
        self.limit = limit
        self.priorities = priorities or {}
        self.reservations: dict[UUID, _Reservation] = {}
        self.requests: dict[str, tuple[str, str, UUID]] = {}
        self.calls: Counter[str] = Counter()

    def count(self, person_id: str | UUID, state: ReservationState) -> int:
        return sum(each.person_id == str(person_id) and each.state is state for each in self.reservations.values())

    def states(self) -> Counter[str]:
        return Counter(each.state.value for each in self.reservations.values())

    async def GetAllowance(
        self, request: billing_service_pb2.GetAllowanceRequest, context: CallContext
    ) -> billing_service_pb2.GetAllowanceResponse:
        used, reserved = (
            self.count(request.person_id, state) for state in (ReservationState.COMMITTED, ReservationState.HELD)
        )
        return billing_service_pb2.GetAllowanceResponse(
            allowance=billing_pb2.Allowance(plan_id="free", limit=self.limit, used=used, reserved=reserved)
        )

    async def Reserve(
        self, request: billing_service_pb2.ReserveRequest, context: CallContext
    ) -> billing_service_pb2.ReserveResponse:
        self.calls["reserve"] += 1
        if (known := self.requests.get(request.request_id)) is not None:
            operation, letter_id, reservation_id = known
            if (operation, letter_id) != ("reserve", request.letter_id):
                raise IdempotencyMismatch(UUID(request.request_id))
            found = self.reservations[reservation_id]
        else:
            held = (ReservationState.HELD, ReservationState.COMMITTED)
            mine = [each for each in self.reservations.values() if each.person_id == request.person_id]
            same = [each for each in mine if each.letter_id == request.letter_id and each.state in held]
            if same:
                found = same[0]
            else:
                used, reserved = (self.count(request.person_id, state) for state in reversed(held))
                if used + reserved >= self.limit:
                    raise AllowanceExhausted("free", self.limit, used, reserved, NOON, "Europe/Moscow")
                found = _Reservation(uuid4(), request.person_id, request.letter_id)
                self.reservations[found.reservation_id] = found
            self.requests[request.request_id] = ("reserve", request.letter_id, found.reservation_id)
        return billing_service_pb2.ReserveResponse(reservation=self._proto(found))

    async def Commit(
        self, request: billing_service_pb2.CommitRequest, context: CallContext
    ) -> billing_service_pb2.CommitResponse:
        found = self._resolve("commit", request, ReservationState.COMMITTED)
        return billing_service_pb2.CommitResponse(reservation=self._proto(found))

    async def Release(
        self, request: billing_service_pb2.ReleaseRequest, context: CallContext
    ) -> billing_service_pb2.ReleaseResponse:
        found = self._resolve("release", request, ReservationState.RELEASED)
        return billing_service_pb2.ReleaseResponse(reservation=self._proto(found))

    def _resolve(self, operation: str, request: Any, wanted: ReservationState) -> _Reservation:
        self.calls[operation] += 1
        reservation_id = UUID(request.reservation_id)
        known = self.requests.get(request.request_id)
        if known is not None and known != (operation, request.reservation_id, reservation_id):
            raise IdempotencyMismatch(UUID(request.request_id))
        found = self.reservations.get(reservation_id)
        if found is None or found.person_id != request.person_id:
            raise ReservationNotFound(reservation_id)
        if known is None:
            if found.state not in (ReservationState.HELD, ReservationState.EXPIRED, wanted):
                raise ReservationResolved(reservation_id, found.state)
            self.requests[request.request_id] = (operation, request.reservation_id, reservation_id)
            if (found.state, wanted) != (ReservationState.EXPIRED, ReservationState.RELEASED):
                found.state = wanted
        return found

    def _proto(self, found: _Reservation) -> billing_pb2.Reservation:
        state = getattr(billing_pb2, f"RESERVATION_STATE_{found.state.name}")
        expires_at = Timestamp()
        expires_at.FromDatetime(NOON + timedelta(minutes=30))
        return billing_pb2.Reservation(
            reservation_id=str(found.reservation_id),
            letter_id=found.letter_id,
            state=state,
            expires_at=expires_at,
            plan_id="premium" if found.person_id in self.priorities else "free",
            priority=self.priorities.get(found.person_id, 0),
        )


def unforeseen(error_type: str, message: str, stack: str, handler: str) -> None:
    raise AssertionError(f"{handler}: {error_type}: {message}\n{stack}")


@asynccontextmanager
async def serve_billing(servicer: AllowanceServiceServicer, port: int = 0) -> AsyncIterator[int]:
    """The servicer behind a real gRPC server; gives its port."""
    name = "pismo.billing.v1.AllowanceService"
    adders = [(name, lambda server: add_AllowanceServiceServicer_to_server(servicer, server))]
    server = Server("127.0.0.1", port, BILLING_ERRORS, adders, unforeseen)
    await server.start()
    try:
        yield server.port
    finally:
        await server.stop(0)


class Process:
    """One generation process: its parts, and its background work when it runs."""

    def __init__(
        self,
        requests: Database,
        worker: Database,
        shared: Shared,
        allowance: Allowance,
        clock: Hands,
        models: Sequence[tuple[Entry, Model]],
        instance: str,
        slots: int,
        queue_limit: int,
    ) -> None:
        self.instance = instance
        self.worker = worker
        self.allowance = allowance
        self.clock = clock
        self.stopping = asyncio.Event()
        keys = PersonKeys(RING, clock)
        self.queue = Queue(worker, clock, queue_limit)
        self.settler = Settler(worker, allowance)
        self.hub = Hub(worker, shared, self.queue, self.stopping)
        self.letters = Letters(requests, keys, allowance, self.queue, self.settler, self.hub, clock)
        self.upkeep = Upkeep(worker, clock, self.queue, self.settler, self.hub)
        self.live = LiveTexts(shared, worker)
        self.writing = Worker(
            instance=instance,
            slots=slots,
            database=worker,
            keys=keys,
            chain=Chain(models, shared),
            live=self.live,
            hub=self.hub,
            queue=self.queue,
            settler=self.settler,
            clock=clock,
            stopping=self.stopping,
            report=unforeseen,
        )
        self._tasks: list[asyncio.Task[None]] = []

    def run(self, *, writing: bool = True) -> None:
        """Starts the background work, as app.serve does."""
        works: list[Callable[[], Awaitable[None]]] = [
            self.hub.run,
            lambda: self._repeat(self.settler.run_once, self.settler.due),
            lambda: self._repeat(self.upkeep.sweep),
            lambda: self._repeat(self.queue.measure),
        ]
        if writing:
            works.append(self.writing.run)
        self._tasks += [asyncio.create_task(self._supervise(work)) for work in works]

    async def _supervise(self, work: Callable[[], Awaitable[None]]) -> None:
        while not self.stopping.is_set():
            try:
                await work()
                return
            except STORE_ERRORS:
                await asyncio.sleep(0.05)

    async def _repeat(self, step: Callable[[], Awaitable[Any]], wake: asyncio.Event | None = None) -> None:
        wake = wake or asyncio.Event()
        while not self.stopping.is_set():
            await step()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.2):
                    await wake.wait()
            wake.clear()

    async def stop(self, drain_seconds: float) -> None:
        """As after SIGTERM: time to finish, then cancellation."""
        self.stopping.set()
        if self._tasks:
            _, unfinished = await asyncio.wait(self._tasks, timeout=drain_seconds)
            for task in unfinished:
                task.cancel()
            ends = await asyncio.gather(*self._tasks, return_exceptions=True)
            self._tasks.clear()
            for end in ends:
                if isinstance(end, Exception):
                    raise end

    async def kill(self) -> None:
        """As after kill -9: the connections are gone before anything can be put in order."""
        self.worker.pool.terminate()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()

    async def look(self, person_id: UUID, letter_id: UUID, version: int = 0) -> AsyncGenerator[Look, None]:
        async with asyncio.timeout(20):
            async for look in self.letters.watch(person_id, letter_id, version):
                yield look

    async def last_look(self, person_id: UUID, letter_id: UUID, version: int = 0) -> Look:
        """Watches to the end."""
        looks = [look async for look in self.look(person_id, letter_id, version)]
        return looks[-1]

    async def submitted(self, person_id: UUID | None = None) -> Letter:
        """A letter submitted by somebody new, or by the person."""
        person_id = person_id or uuid4()
        draft = await self.letters.create(person_id, uuid4(), VACANCY)
        return await self.letters.submit(person_id, uuid4(), draft.letter_id, RESUME, True)


class House:
    """Generation over one database."""

    def __init__(self, database: ServiceDatabase, redis_url: str, stack: AsyncExitStack) -> None:
        self.database = database
        self.redis_url = redis_url
        self.clock = Hands()
        self.billing = FakeBilling()
        self.billing_port = 0
        self.model = ScriptedModel()
        self.entry = Entry(name="scripted", vendor="openai", model="scripted-1", region="home")
        self.models: list[tuple[Entry, Model]] = [(self.entry, self.model)]
        self._stack = stack
        self._billing = AsyncExitStack()

    async def open_billing(self) -> None:
        self.billing_port = await self._billing.enter_async_context(serve_billing(self.billing, self.billing_port))

    async def close_billing(self) -> None:
        await self._billing.aclose()

    async def process(
        self,
        instance: str = "one",
        *,
        slots: int = 8,
        queue_limit: int = 100,
        run: bool = True,
        redis_url: str = "",
    ) -> Process:
        """A process, running unless told otherwise; it is stopped at the end of the test."""
        requests = await self._stack.enter_async_context(open_database(self.database.requests_url, "generation", 6))
        worker = await self._stack.enter_async_context(open_database(self.database.worker_url, "generation", 6))
        client = redis.connect(redis_url or self.redis_url)
        self._stack.push_async_callback(client.aclose)
        channel = open_channel(f"127.0.0.1:{self.billing_port}")
        self._stack.push_async_callback(channel.close)
        allowance = Allowance(AllowanceServiceStub(channel))
        made = Process(
            requests, worker, Shared(client), allowance, self.clock, self.models, instance, slots, queue_limit
        )
        self._stack.push_async_callback(made.stop, 0)
        if run:
            made.run()
        return made

    async def sql(self, statement: str, *arguments: Any) -> list[Any]:
        """Asks the database past every role and policy."""
        async with (
            open_database(self.database.superuser_url, "generation", 1) as database,
            database.connection() as connection,
        ):
            return list(await connection.fetch(statement, *arguments))

    async def states(self) -> Counter[str]:
        return Counter(row["state"] for row in await self.sql("SELECT state FROM letter_versions"))

    async def settlements(self) -> Counter[str]:
        return Counter(row["settlement"] for row in await self.sql("SELECT settlement FROM letter_versions"))

    async def events(self) -> list[Event]:
        rows = await self.sql("SELECT payload FROM outbox ORDER BY created_at")
        return [Event.FromString(row["payload"]) for row in rows]

    async def facts(self) -> Counter[str]:
        return Counter(each.WhichOneof("fact") or "" for each in await self.events())

    async def streams_open(self) -> bool:
        return self.model.open > 0

    async def stream_closed(self) -> bool:
        """Whether a model was stopped before its text was whole."""
        return self.model.closed_early > 0

    async def until_state(self, letter: Letter, state: State, version: int = 0) -> None:
        async def reached() -> bool:
            rows = await self.sql(
                "SELECT state FROM letter_versions WHERE letter_id = $1 AND number = $2", letter.letter_id, version
            )
            return bool(rows) and rows[0]["state"] == state

        await until(reached)

    async def until_failures(self, number: int) -> None:
        """Waits until the newest version has failed so often."""

        async def failed() -> bool:
            rows = await self.sql("SELECT failures FROM letter_versions ORDER BY queued_at DESC, number DESC LIMIT 1")
            return bool(rows[0]["failures"] >= number)

        await until(failed)

    async def until_settled(self) -> None:
        async def settled() -> bool:
            return not {"held", "commit", "release"} & set(await self.settlements())

        await until(settled)


@asynccontextmanager
async def open_house(database: ServiceDatabase, redis_url: str) -> AsyncIterator[House]:
    async with AsyncExitStack() as stack:
        house = House(database, redis_url, stack)
        await house.open_billing()
        stack.push_async_callback(house.close_billing)
        yield house
