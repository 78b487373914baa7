"""Updates: taken in before anyone says so to Telegram, then handled one at a time for each person, in order."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import orjson
import structlog
from opentelemetry.trace import SpanKind
from prometheus_client import Counter, Histogram
from servicekit import deadlines, telemetry
from servicekit.clock import Clock
from servicekit.keys import CannotDecrypt, KeyRing
from servicekit.logs import describe
from servicekit.postgres import STORE_ERRORS, Database

from gateway import store
from gateway.conversation import Chat, Person, guess_language
from gateway.dialogue import Dialogue
from gateway.errors import Overtaken, Refused, is_passing
from gateway.patience import backoff_seconds, wait_any
from gateway.store import Arrival, Leased
from gateway.unit_of_work import UnitOfWork, derived_id
from gateway.updates import (
    MOST_PARTS,
    QUIET_TIME,
    Receipt,
    Waiting,
    chat_of,
    find_parts,
    join_texts,
    read_receipt,
    sender_of,
)

HANDLER_SECONDS = 15.0
LEASE_SECONDS = 25.0
HANDLED_AT_ONCE = 16
IDLE_SECONDS = 0.2
STORE_RETRY_SECONDS = 0.5
FAILURES = 3
"""After so many an update is parked and the person gets an apology."""
POSTPONEMENTS = 2
"""How often an update waits for a service that is away before the person is asked to try again."""
LEASES = 12
"""An update that was leased so often has taken its processes down with it."""
COMMIT_TRIES = 6

_handled = Counter("pismo_gateway_updates", "Updates that are done", ["outcome"])
for _outcome in ("done", "parked"):
    _handled.labels(_outcome)  # counted from 0: Prometheus sees no increase in a series that begins at 1
_seconds = Histogram("pismo_gateway_update_seconds", "From leasing an update to its commit")

log = structlog.get_logger()

Report = Callable[[str, str, str, str], None]


class HandlerFailed(Exception):
    """Stands for an exception of a handler without what it said, which may be a person's words."""


class Inbox:
    """The way in."""

    def __init__(self, bot_id: int, requests: Database, keys: KeyRing, clock: Clock) -> None:
        self._bot_id = bot_id
        self._requests = requests
        self._keys = keys
        self._clock = clock
        self.arrived = asyncio.Event()
        """Set when there is something new to handle."""

    async def receive(self, updates: Sequence[Any]) -> None:
        """Keeps updates; when it returns they are durable. Raises NotAnUpdate and store errors, keeping none."""
        arrivals = [self._arrival(update, read_receipt(update)) for update in updates]
        async with self._requests.connection() as connection:
            await store.add_updates(connection, self._bot_id, self._clock.now(), arrivals)
        self.arrived.set()

    def _arrival(self, update: Any, receipt: Receipt) -> Arrival:
        with telemetry.span("update received", SpanKind.CONSUMER, parent=telemetry.detached()):
            return Arrival(
                receipt=receipt,
                body=self._keys.seal(orjson.dumps(update), inbox_place(self._bot_id, receipt.update_id)),
                traceparent=telemetry.traceparent(),
                quiet=QUIET_TIME * receipt.waits_for_more,
            )


def inbox_place(bot_id: int, update_id: int) -> str:
    return f"inbox.body:{bot_id}:{update_id}"


def outgoing_place(bot_id: int, chat_id: int) -> str:
    return f"outgoing.body:{bot_id}:{chat_id}"


class Workers:
    """Handle what the inbox holds. Any number of processes may: the database says whose turn it is."""

    def __init__(
        self,
        bot_id: int,
        holder: str,
        inbox: Inbox,
        worker: Database,
        requests: Database,
        keys: KeyRing,
        clock: Clock,
        dialogue: Dialogue,
        committed: Callable[[], None],
        report: Report,
    ) -> None:
        """`committed` is called when there may be something to send."""
        self._bot_id = bot_id
        self._holder = holder
        self._inbox = inbox
        self._worker = worker
        self._requests = requests
        self._keys = keys
        self._clock = clock
        self._dialogue = dialogue
        self._committed = committed
        self._report = report
        self._running: set[asyncio.Task[None]] = set()

    async def run(self, stopping: asyncio.Event) -> None:
        """Handles updates until the service stops, and finishes those that it has begun."""
        async with self._worker.connection() as connection:
            # What a process of this name held when it died need not wait for its lease to end.
            await store.reclaim_updates(connection, self._bot_id, self._holder)
        try:
            while not stopping.is_set():
                self._inbox.arrived.clear()
                try:
                    begun = await self.lease_and_start()
                except STORE_ERRORS as error:
                    log.warning("no update is handled just now", exc_info=error)
                    await wait_any(STORE_RETRY_SECONDS, stopping)
                    continue
                if not begun:
                    await wait_any(IDLE_SECONDS, self._inbox.arrived, stopping)
        finally:
            await self.finish()

    async def lease_and_start(self) -> int:
        """Begins to handle what may be handled now, and says how many updates that is."""
        room = HANDLED_AT_ONCE - len(self._running)
        if room == 0:
            return 0
        async with self._worker.connection() as connection:
            leased = await store.lease_updates(connection, self._bot_id, self._holder, room, LEASE_SECONDS)
        for each in leased:
            task = asyncio.create_task(self._handle_leased(each))
            self._running.add(task)
            task.add_done_callback(self._finished)
        return len(leased)

    async def finish(self) -> bool:
        """Waits for what is being handled, and says whether anything was."""
        if not self._running:
            return False
        await asyncio.wait(self._running)
        return True

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        # The person's next update may be waiting for this one.
        self._inbox.arrived.set()
        if not task.cancelled() and (error := task.exception()):
            log.warning("an update waits until its lease ends", exc_info=error)

    async def _handle_leased(self, leased: Leased) -> None:
        with telemetry.span("update", SpanKind.CONSUMER, parent=telemetry.parent(leased.traceparent)):
            deadlines.begin(HANDLER_SECONDS)
            with _seconds.time():
                try:
                    await self._conclude(leased)
                except Overtaken as overtaken:
                    log.info("an update is handled again", reason=str(overtaken))
                    await self._give_back(leased, 0, failed=False, counted=False)

    async def _conclude(self, leased: Leased) -> None:
        parked = leased.failures >= FAILURES or leased.lease_number > LEASES
        try:
            update_ids, raw = await self._collect(leased)
        except (CannotDecrypt, orjson.JSONDecodeError) as error:
            # Nobody will ever read it; its person is told so.
            self._report_failure(error)
            update_ids, raw, parked = [leased.update_id], {}, True
        if not update_ids:
            return
        work = self._begin(leased, raw)
        try:
            with work.gathering():
                async with asyncio.timeout(HANDLER_SECONDS):
                    await (self._dialogue.apologise if parked else self._dialogue.handle)(raw, work)
        except Refused as refused:
            if is_passing(refused.refusal) and not work.last_try:
                log.info("an update waits for a service", reason=str(refused), tries=leased.postponements + 1)
                await self._give_back(leased, 1 + 2 * leased.postponements, failed=False, counted=True)
                return
            work = self._begin(leased, raw)
            with work.gathering():
                await self._dialogue.explain(raw, work, refused)
        except Exception as error:
            self._report_failure(error)
            if not parked:
                await self._give_back(leased, backoff_seconds(leased.failures), failed=True, counted=False)
                return
            work = self._begin(leased, raw)
        await self._commit(work, leased, update_ids, parked=parked)
        _handled.labels("parked" if parked else "done").inc()

    def _report_failure(self, error: Exception) -> None:
        failure = HandlerFailed(type(error).__qualname__).with_traceback(error.__traceback__)
        log.error("handling an update failed", exc_info=failure)
        self._report(*describe(failure), "update")

    async def _collect(self, leased: Leased) -> tuple[list[int], Any]:
        """The updates to handle as one, and what they say together; none while more of them is to be waited for."""
        own = orjson.loads(self._keys.open(leased.body, inbox_place(self._bot_id, leased.update_id)))
        first = Waiting(leased.update_id, leased.part_characters, settled=True)
        if find_parts([first, Waiting(0, 1, settled=False)]).update_ids == (leased.update_id,):
            return [leased.update_id], own
        async with self._worker.connection() as connection:
            waiting = await store.waiting_updates(connection, self._bot_id, leased.telegram_id, MOST_PARTS)
            joined = find_parts([first, *(each for each in waiting if each.update_id > leased.update_id)])
            if not joined.complete:
                await self._give_back(leased, QUIET_TIME.total_seconds(), failed=False, counted=False)
                return [], None
            rows = await store.update_bodies(connection, self._bot_id, joined.update_ids)
        parts = [orjson.loads(self._keys.open(body, inbox_place(self._bot_id, each))) for each, body in rows]
        return [update_id for update_id, _ in rows], join_texts(parts)

    def _begin(self, leased: Leased, raw: Any) -> UnitOfWork:
        """A fresh unit of work: what an earlier try gathered is forgotten."""
        person, chat = self._whose(leased, sender_of(raw)), chat_of(raw)
        private = chat.get("type", "private") == "private"
        chat_id = leased.telegram_id if private else chat.get("id", leased.telegram_id)
        return UnitOfWork(
            bot_id=self._bot_id,
            update_id=leased.update_id,
            person=person,
            chat=leased.chat.copy() if private and leased.chat else Chat(chat_id),
            now=self._clock.now(),
            # Being blocked and unblocked is no reason to remember somebody who never wrote.
            remembers=private and (leased.person is not None or "my_chat_member" not in raw),
            private=private,
            last_try=leased.postponements >= POSTPONEMENTS,
        )

    def _whose(self, leased: Leased, sender: dict[str, Any]) -> Person:
        """The person, called as they call themselves now."""
        known = leased.person
        person_id = known.person_id if known else derived_id(self._bot_id, leased.update_id, "person")
        code = sender.get("language_code")
        return Person(
            person_id=person_id,
            telegram_id=leased.telegram_id,
            username=sender.get("username"),
            first_name=sender.get("first_name") or (known.first_name if known else ""),
            last_name=sender.get("last_name"),
            language_code=code,
            language=known.language if known else guess_language(code),
            consents=dict(known.consents) if known else {},
            new=known is None,
        )

    async def _commit(self, work: UnitOfWork, leased: Leased, update_ids: Sequence[int], *, parked: bool) -> None:
        """Commits, again if the database went away meanwhile: the lease tells whether the last try came through."""
        place = outgoing_place(self._bot_id, work.chat.chat_id)
        calls = [store.SealedCall(each.method, self._keys.seal(each.body, place)) for each in work.calls]
        for tries in range(COMMIT_TRIES):
            try:
                async with self._requests.transaction(work.person.person_id) as connection:
                    await store.commit_work(
                        connection, work, leased, update_ids, calls, telemetry.traceparent(), parked=parked
                    )
                break
            except STORE_ERRORS as error:
                if tries + 1 == COMMIT_TRIES:
                    raise
                log.warning("a commit is tried again", exc_info=error)
                await asyncio.sleep(backoff_seconds(tries))
        if calls or work.deliveries:
            self._committed()

    async def _give_back(self, leased: Leased, seconds: float, *, failed: bool, counted: bool) -> None:
        async with self._worker.connection() as connection:
            await store.postpone_update(connection, self._bot_id, leased, seconds, failed=failed, counted=counted)
