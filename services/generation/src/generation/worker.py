"""Takes versions from the queue and has them written.

A version is held by a lease, renewed while the process lives. The lease's number is a fencing token: whatever a worker
writes about a version it no longer holds changes nothing. So a letter is written by one worker at a time in effect, and
by the next one whenever a worker dies, without anybody being asked.
"""

import asyncio
import contextlib
import functools
import random
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog
from pismo.analytics.v1.analytics_pb2 import AiRequest, Event, LetterFailed, LetterGenerated
from prometheus_client import Counter, Gauge, Histogram
from servicekit import telemetry
from servicekit.clock import Clock
from servicekit.events import add_events, event
from servicekit.keys import CannotDecrypt, Cipher
from servicekit.logs import describe
from servicekit.postgres import STORE_ERRORS, Connection, Database
from servicekit.server import ErrorReport

from generation import places, store
from generation.attempts import GivenUp, Later, Outcome, Text, after_failure, after_waiting
from generation.chain import Attempt, Chain
from generation.chain_file import Entry
from generation.guard import OutputGuard
from generation.letters import Failure
from generation.person_keys import PersonKeys
from generation.ports import NoModelAvailable, Order
from generation.progress import Hub, LiveTexts
from generation.prompts import prompt_for
from generation.queue import Queue
from generation.settlement import Settler
from generation.store import Due, Job, Lease

LOOK_SECONDS = 0.5
"""From one look for new work, and for leases that were lost, to the next."""
RENEW_SECONDS = 3.0
"""Three renewals may fail before a lease runs out."""
HAND_OVER_SECONDS = 3.0
_BATCH = 32

_in_flight = Gauge("pismo_generation_in_flight", "Versions that this process writes")
_ended = Counter("pismo_generation_attempts", "Attempts to write a version", ["outcome"])
_seconds = Histogram(
    "pismo_generation_seconds", "From leasing a version to its text", buckets=(1, 2, 5, 10, 15, 20, 30, 45, 60, 90, 120)
)

log = structlog.get_logger()


@dataclass(eq=False)
class _Held:
    task: "asyncio.Task[None]"
    concluding: bool = False
    """Its outcome is being stored: a lease that seems lost now may have ended by that."""


class Worker:
    """Writes up to `slots` versions at once."""

    def __init__(
        self,
        *,
        instance: str,
        slots: int,
        database: Database,
        keys: PersonKeys,
        chain: Chain,
        live: LiveTexts,
        hub: Hub,
        queue: Queue,
        settler: Settler,
        clock: Clock,
        stopping: asyncio.Event,
        report: ErrorReport,
    ) -> None:
        """`instance` names the leases: what a process of that name held before it died is free at once."""
        self._instance = instance
        self._slots = slots
        self._database = database
        self._keys = keys
        self._chain = chain
        self._live = live
        self._hub = hub
        self._queue = queue
        self._settler = settler
        self._clock = clock
        self._stopping = stopping
        self._report = report
        self._held: dict[Lease, _Held] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Works until the process stops and what it holds is written. Cancelled, it hands the rest over."""
        async with self._database.connection() as connection:
            if freed := await store.free_leases(connection, self._instance):
                log.info("took back what this process held before", versions=freed)
        try:
            async with asyncio.TaskGroup() as group:
                beside = [group.create_task(self._keep_leases()), group.create_task(self._live.run())]
                while not self._stopping.is_set():
                    await self._take()
                while self._tasks:
                    await asyncio.wait(self._tasks)
                for task in beside:
                    task.cancel()
        finally:
            await self._hand_over()

    async def _take(self) -> None:
        """Leases what there is room for; then waits for room, for news, or for a moment."""
        leased: list[Job] = []
        if wanted := min(_BATCH, self._slots - len(self._held)):
            try:
                async with self._database.connection() as connection:
                    leased = await store.lease(connection, self._instance, wanted, self._clock.now())
            except STORE_ERRORS as error:
                log.warning("cannot lease just now", exc_info=error)
        for job in leased:
            task = asyncio.create_task(self._write(job))
            self._held[job.lease] = _Held(task)
            self._tasks.add(task)
            task.add_done_callback(functools.partial(self._done, job.lease))
        _in_flight.set(len(self._held))
        if not wanted or len(leased) < wanted:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._queue.grown.wait()
            self._queue.grown.clear()

    def _done(self, lease: Lease, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        self._release(lease)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("writing a letter failed", exc_info=error)
            self._report(*describe(error), "write letter")

    def _release(self, lease: Lease) -> None:
        """Gives the slot back."""
        self._live.forget(lease)
        if self._held.pop(lease, None) is not None:
            _in_flight.set(len(self._held))
            self._queue.grown.set()

    async def _keep_leases(self) -> None:
        """Renews what is held, and stops writing what was cancelled or lost: that closes the model's stream."""
        loop = asyncio.get_running_loop()
        renew_at = loop.time() + RENEW_SECONDS
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            held = list(self._held)
            if not held:
                continue
            look = store.still_held
            if loop.time() >= renew_at:
                renew_at = loop.time() + RENEW_SECONDS
                look = store.renew
            try:
                async with self._database.connection() as connection:
                    alive = await look(connection, held)
            except STORE_ERRORS as error:
                log.warning("cannot look after leases just now", exc_info=error)
                continue
            for lease in held:
                if lease not in alive and (entry := self._held.get(lease)) and not entry.concluding:
                    entry.task.cancel()

    async def _hand_over(self) -> None:
        held = list(self._held)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if not held:
            return
        try:
            async with asyncio.timeout(HAND_OVER_SECONDS), self._database.connection() as connection:
                await store.hand_back(connection, held)
            log.info("handed over", versions=len(held))
        except STORE_ERRORS as error:
            log.warning("cannot hand over; the leases will run out", exc_info=error)

    async def _write(self, job: Job) -> None:
        """One attempt at one version, from its lease to its settled outcome."""
        with telemetry.span("write letter", parent=telemetry.parent(job.traceparent)) as span:
            span.set_attribute("pismo.letter_id", str(job.letter_id))
            span.set_attribute("pismo.version", job.number)
            loop = asyncio.get_running_loop()
            began = loop.time()
            calls: list[Attempt] = []
            try:
                if job.deadline_at <= job.started_at:
                    outcome: Outcome = GivenUp(Failure.TIMED_OUT)
                else:
                    cipher = self._keys.unwrap(job.person_id, job.wrapped_key)
                    outcome = await self._attempt(job, cipher, calls)
            except CannotDecrypt as error:
                log.error("a letter cannot be read", letter_id=str(job.letter_id), exc_info=error)
                outcome = GivenUp(Failure.INTERNAL)
            except asyncio.CancelledError:
                _ended.labels("interrupted").inc()
                await self._keep_calls(job, calls)
                raise
            except Exception as error:
                log.error("an attempt failed in an unforeseen way", letter_id=str(job.letter_id), exc_info=error)
                self._report(*describe(error), "write letter")
                outcome = after_failure(job.failures, Failure.INTERNAL)
            span.set_attribute("pismo.outcome", type(outcome).__name__.lower())
            await self._conclude(job, outcome, calls, loop.time() - began)

    async def _attempt(self, job: Job, cipher: Cipher, calls: list[Attempt]) -> Outcome:
        order = _order(job, cipher)
        instructions = prompt_for(order).system

        def new_guard() -> OutputGuard:
            return OutputGuard(nonce=order.nonce, instructions=instructions)

        guard = new_guard()
        shown = ""

        def on_start(_: Entry) -> None:
            nonlocal guard
            guard = new_guard()

        def on_text(piece: str) -> None:
            nonlocal shown
            text = guard.feed(piece)
            if text != shown:
                shown = text
                self._live.put(job.lease, cipher, text)

        def judge(_: str) -> str | None:
            # The guard has read the whole text along with `on_text`; what it lets pass is the letter.
            return guard.finish().fault

        try:
            written = await self._chain.write(
                order,
                allow_foreign_models=job.allow_foreign_models,
                on_start=on_start,
                on_text=on_text,
                judge=judge,
                on_attempt=calls.append,
            )
        except NoModelAvailable as unavailable:
            if unavailable.attempted:
                return after_failure(job.failures)
            return after_waiting(unavailable.retry_after_seconds, random.random())  # noqa: S311
        return Text(guard.text, written.attempt.model)

    async def _conclude(self, job: Job, outcome: Outcome, calls: list[Attempt], seconds: float) -> None:
        """Stores the outcome, once; then settles with billing inside the letter's trace."""
        now = self._clock.now()
        facts = [_ai_request(job, call, self._clock) for call in calls]
        write: Callable[[Connection], Awaitable[bool]]
        match outcome:
            case Text(text, model):
                sealed = self._keys.unwrap(job.person_id, job.wrapped_key).seal_text(
                    text, places.text(job.letter_id, job.number)
                )
                generated = LetterGenerated(
                    version=job.number,
                    model=model,
                    generation_ms=round(seconds * 1000),
                    queued_ms=max(0, round((job.started_at - job.queued_at).total_seconds() * 1000)),
                    characters=len(text),
                )
                fact = self._event(job, generated)

                async def write(connection: Connection) -> bool:
                    return await store.complete(
                        connection, job.lease, sealed, model, generated.generation_ms, now, fact, facts
                    )
            case GivenUp(reason):
                fact = self._event(job, LetterFailed(version=job.number, reason=reason))

                async def write(connection: Connection) -> bool:
                    return await store.fail(connection, job.lease, reason, now, fact, facts)
            case Later(pause, failed):

                async def write(connection: Connection) -> bool:
                    return await store.try_again_later(connection, job.lease, pause, failed=failed, facts=facts)

        if entry := self._held.get(job.lease):
            entry.concluding = True
        kept = await self._store(write)
        self._release(job.lease)
        self._hub.nudge(job.letter_id, job.number)
        _ended.labels(type(outcome).__name__.lower() if kept else "fenced").inc()
        if not kept or isinstance(outcome, Later):
            return
        if isinstance(outcome, Text):
            self._queue.note_written(seconds)
            _seconds.observe(seconds)
        if job.reservation_id is not None:
            settlement = "commit" if isinstance(outcome, Text) else "release"
            await self._settler.settle(
                Due(job.letter_id, job.person_id, job.reservation_id, settlement, job.traceparent)
            )

    async def _store(self, write: Callable[[Connection], Awaitable[bool]]) -> bool:
        """Tries until the database has answered: a text that was paid for is not thrown away for a restart of it.

        An answer that got lost may have been a yes; the repeat then says no, and whoever settles what is due goes on.
        """
        pause = LOOK_SECONDS / 2
        while True:
            try:
                async with self._database.connection() as connection:
                    return await write(connection)
            except STORE_ERRORS as error:
                log.warning("cannot store an outcome just now", exc_info=error)
                await asyncio.sleep(pause)
                pause = min(2.0, pause * 2)

    async def _keep_calls(self, job: Job, calls: list[Attempt]) -> None:
        """An interrupted call was made and is billed all the same."""
        if not calls:
            return
        with contextlib.suppress(*STORE_ERRORS):
            async with asyncio.timeout(HAND_OVER_SECONDS), self._database.connection() as connection:
                await add_events(connection, [_ai_request(job, call, self._clock) for call in calls])

    def _event(self, job: Job, fact: LetterGenerated | LetterFailed) -> Event:
        return event("generation", self._clock.now(), fact, person_id=job.person_id, letter_id=job.letter_id)


def _order(job: Job, cipher: Cipher) -> Order:
    """The texts in the clear; they live as long as the attempt. Raises CannotDecrypt."""
    letter = wish = None
    if job.wish is not None and job.previous_text is not None and job.previous_number is not None:
        wish = cipher.open_text(job.wish, places.wish(job.letter_id, job.number))
        letter = cipher.open_text(job.previous_text, places.text(job.letter_id, job.previous_number))
    return Order(
        vacancy=cipher.open_text(job.vacancy, places.vacancy(job.letter_id)),
        resume=cipher.open_text(job.resume, places.resume(job.letter_id)),
        nonce=secrets.token_hex(8),
        letter=letter,
        wish=wish,
    )


def _ai_request(job: Job, call: Attempt, clock: Clock) -> Event:
    fact = AiRequest(
        model=call.model,
        vendor=call.vendor,
        request_type="revision" if job.number else "letter",
        prompt_tokens=call.prompt_tokens,
        completion_tokens=call.completion_tokens,
        response_time_ms=call.response_time_ms,
        cost_micro_usd=call.cost_micro_usd,
        success=call.success,
        error=call.error or "",
        first_token_ms=call.first_text_ms or 0,
    )
    return event("generation", clock.now(), fact, person_id=job.person_id, letter_id=job.letter_id)
