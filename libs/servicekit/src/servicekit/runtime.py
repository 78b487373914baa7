"""How a service lives: it opens what it needs, answers when it is ready, and goes away without losing work.

On SIGTERM: NOT_SERVING, a moment for balancers to look elsewhere, no new work, up to `drain_seconds` for what is in
progress, then cancellation (upon which work hands itself over), then telemetry is flushed.
"""

import asyncio
import signal
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import grpc
import structlog
from pismo.analytics.v1.analytics_pb2 import Error, Event
from pismo.analytics.v1.analytics_service_pb2_grpc import EventServiceStub
from prometheus_client import Counter, Gauge
from redis.asyncio import Redis

from servicekit import logs, ops, redis, telemetry
from servicekit.channel import open_channel
from servicekit.clock import SystemClock
from servicekit.errors import ErrorTable
from servicekit.events import OutboxRelay, add_events, event
from servicekit.migrations import MigrationFault, check_schema, read_migrations
from servicekit.postgres import STORE_ERRORS, Connection, Database, open_database
from servicekit.server import Server
from servicekit.settings import ServiceSettings
from servicekit.tls import CallTable

READINESS_SECONDS = 1.0
RELAY_SECONDS = 1.0
GRACE_SECONDS = 5.0
_LONGEST_PAUSE_SECONDS = 5.0
_PASSING_ERRORS: tuple[type[BaseException], ...] = (*STORE_ERRORS, grpc.aio.AioRpcError)

_ready = Gauge("pismo_service_ready", "1 in a process that answers calls", ["service"])
_unforeseen = Counter("pismo_service_errors", "Errors that no table foresees, as in the error log", ["service"])

log = structlog.get_logger()

Step = Callable[[], Awaitable[bool | None]]
"""One turn of a background loop. True asks for the next turn at once."""


class Runtime:
    """What a composition root builds a service on. Use as an async context manager; `serve` returns after SIGTERM."""

    def __init__(self, settings: ServiceSettings) -> None:
        self.settings = settings
        self.clock = SystemClock(settings.clock_offset_file)
        self.stopping = asyncio.Event()
        """Set on SIGTERM: take nothing new."""
        self._resources = AsyncExitStack()
        self._background: list[asyncio.Task[None]] = []
        self._errors: deque[Event] = deque(maxlen=1_000)
        self._prepare: Callable[[], Awaitable[None]] | None = None
        self._begun = asyncio.Event()
        self._not_ready: str | None = "starting"
        self._ready = _ready.labels(settings.service)
        self._unforeseen = _unforeseen.labels(settings.service)

    async def __aenter__(self) -> Self:
        settings = self.settings
        logs.configure(settings.service, settings.instance, settings.log_level)
        provider = telemetry.configure(settings.service, settings.instance)
        self._resources.callback(provider.shutdown)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        await self._resources.aclose()

    async def database(self, dsn: str, max_connections: int = 16) -> Database:
        """A pool in the service's schema; `dsn` chooses the role."""
        return await self._resources.enter_async_context(open_database(dsn, self.settings.service, max_connections))

    def channel(self, target: str) -> grpc.aio.Channel:
        channel = open_channel(target, self.settings.tls)
        self._resources.push_async_callback(channel.close)
        return channel

    def redis(self, url: str) -> Redis:
        client = redis.connect(url)
        self._resources.push_async_callback(client.aclose)
        return client

    def on_exit(self, close: Callable[[], Awaitable[None]]) -> None:
        """Has `close` awaited at the end, after all work has stopped."""
        self._resources.push_async_callback(close)

    def background(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Runs `work` beside the server, from when the service is ready for the first time.

        It returns soon after `stopping` is set; past the drain it is cancelled.
        """
        self._background.append(asyncio.create_task(self._supervise(name, work), name=name))

    def repeat(self, name: str, step: Step, every_seconds: float, wake: asyncio.Event | None = None) -> None:
        """Takes `step` again and again, pausing `every_seconds` (or until `wake`) when it did not ask for more."""

        async def loop() -> None:
            while not self.stopping.is_set():
                if not await step():
                    await self._pause(every_seconds, wake)

        self.background(name, loop)

    def repeat_alone(
        self, name: str, job: Callable[[Connection], Awaitable[None]], database: Database, every_seconds: float
    ) -> None:
        """Runs `job` in a transaction, on one replica at a time: an advisory lock lets the others pass by."""

        async def step() -> None:
            async with database.transaction() as connection:
                lock = f"{self.settings.service} {name}"
                if await connection.fetchval("SELECT pg_try_advisory_xact_lock(hashtextextended($1, 0))", lock):
                    await job(connection)

        self.repeat(name, step, every_seconds)

    def relay_events(self, worker: Database) -> None:
        """Sends the service's outbox to analytics, and its unforeseen errors with it."""
        relay = OutboxRelay(
            worker, EventServiceStub(self.channel(self.settings.analytics_target)), self.settings.service
        )

        async def step() -> bool:
            if self._errors:
                errors = list(self._errors)
                async with worker.transaction() as connection:
                    await add_events(connection, errors)
                for _ in errors:
                    self._errors.popleft()
            return await relay.run_once()

        self.repeat("outbox relay", step, RELAY_SECONDS)

    def report_error(self, error_type: str, message: str, stack: str, handler: str) -> None:
        """Keeps an unforeseen error for the error log of analytics."""
        fact = Error(error_type=error_type[:200], message=message, stack_trace=stack[-4_000:], handler_name=handler)
        self._unforeseen.inc()
        self._errors.append(event(self.settings.service, self.clock.now(), fact))

    async def serve(
        self,
        table: ErrorTable,
        servicers: Iterable[tuple[str, Callable[[grpc.aio.Server], None]]],
        requests: Database,
        migrations: Path,
        prepare: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Serves until SIGTERM or SIGINT. SERVING while the schema is at the program's version or later.

        `prepare` is awaited when the schema is there for the first time, before SERVING; until it has ended without an
        error of the store's it is tried again.
        """
        self._prepare = prepare
        settings = self.settings
        wanted = read_migrations(migrations)[-1].version
        call_table = CallTable.read(settings.call_table_file, settings.service) if settings.call_table_file else None
        server = Server(
            settings.listen_address,
            settings.grpc_port,
            table,
            servicers,
            self.report_error,
            settings.tls,
            call_table,
        )
        runner = await ops.start_ops(settings.listen_address, settings.ops_port, lambda: self._not_ready)
        self._resources.push_async_callback(runner.cleanup)
        await server.start()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stopping.set)
        log.info("listening", grpc_port=server.port, ops_port=settings.ops_port)

        while not self.stopping.is_set():
            await self._check(server, requests, wanted)
            await self._pause(READINESS_SECONDS if self._not_ready is None else READINESS_SECONDS / 4)

        self._begun.set()  # what has never begun has nothing to finish
        log.info("stopping", drain_seconds=settings.drain_seconds)
        self._not_ready = "stopping"
        self._ready.set(0)
        await server.set_serving(False)
        await asyncio.sleep(settings.drain_notice_seconds)
        server.draining.set()
        stop = asyncio.create_task(server.stop(max(GRACE_SECONDS, settings.drain_seconds)))
        if self._background:
            _, unfinished = await asyncio.wait(self._background, timeout=settings.drain_seconds)
            for task in unfinished:
                task.cancel()
            await asyncio.gather(*unfinished, return_exceptions=True)
        await server.stop(min(GRACE_SECONDS, settings.drain_seconds))
        await stop
        log.info("stopped")

    async def _check(self, server: Server, requests: Database, wanted: int) -> None:
        before = self._not_ready
        try:
            await check_schema(requests, wanted)
            if self._prepare is not None:
                await self._prepare()
                self._prepare = None
            self._begun.set()
            self._not_ready = None
        except MigrationFault as fault:
            self._not_ready = str(fault)
        except STORE_ERRORS as error:
            self._not_ready = f"the database cannot be reached ({type(error).__name__})"
        self._ready.set(self._not_ready is None)
        if self._not_ready != before:
            await server.set_serving(self._not_ready is None)
            log.info("ready" if self._not_ready is None else "not ready", reason=self._not_ready)

    async def _pause(self, seconds: float, wake: asyncio.Event | None = None) -> None:
        """Sleeps until `seconds` have passed, the service stops, or `wake` is set (it is cleared)."""
        waits = [asyncio.ensure_future(self.stopping.wait())]
        if wake is not None:
            waits.append(asyncio.ensure_future(wake.wait()))
        try:
            await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()
        if wake is not None:
            wake.clear()

    async def _supervise(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        await self._begun.wait()
        pause = 0.25
        while not self.stopping.is_set():
            began = asyncio.get_running_loop().time()
            try:
                await work()
                return
            except _PASSING_ERRORS as error:
                log.warning("background work cannot go on just now", work=name, exc_info=error)
            except Exception as error:
                log.error("background work failed", work=name, exc_info=error)
                self.report_error(*logs.describe(error), name)
            if asyncio.get_running_loop().time() - began > 60:
                pause = 0.25
            await self._pause(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
