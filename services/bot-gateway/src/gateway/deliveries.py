"""Puts letters into chats, each into one message, whatever dies on the way.

A delivery owns a placeholder message. The letter grows in it, and stands in it at the end: an edit that is repeated
changes nothing, so that a letter is there once. Only then, and at most once, a short message asks for a rating, which
is what notifies. Every step is noted before the next begins.
"""

import asyncio
from functools import partial
from typing import TypeAlias
from uuid import UUID

import structlog
from aiogram.methods import EditMessageReplyMarkup, EditMessageText, SendMessage
from aiogram.types import InlineKeyboardMarkup, LinkPreviewOptions, Message
from opentelemetry.trace import SpanKind
from pismo.analytics.v1.analytics_pb2 import LetterDelivered
from pismo.generation.v1.generation_pb2 import (
    LETTER_STATE_CANCELLED,
    LETTER_STATE_DRAFT,
    LETTER_STATE_FAILED,
    FailureReason,
    Progress,
)
from prometheus_client import Counter, Gauge, Histogram
from servicekit import telemetry
from servicekit.clock import Clock
from servicekit.events import add_events, event
from servicekit.postgres import STORE_ERRORS, Database

from gateway import buttons, store
from gateway.errors import LeadershipLost, Overtaken, Refused
from gateway.pacer import Priority
from gateway.patience import backoff_seconds, keep_at_last, wait_any
from gateway.peers import Letters
from gateway.store import Delivery
from gateway.telegram import Blocked, MessageGone, Rejected, Unreachable, Voice
from gateway.texts import Phrases, phrases, text_name
from gateway.unit_of_work import derived_id

IDLE_SECONDS = 0.2
FIRST_LOOK_SECONDS = 0.5
"""How long the placeholder waits to say something better than that the letter was accepted."""
EDIT_SECONDS = 1.0
LETTERS_AN_EDIT_SECOND = 20
"""With more letters live than this, each is edited less often: a bot has about 30 calls a second for all."""
LONGEST_BACKOFF_SECONDS = 5.0
UNSURE_SECONDS = 60.0
"""After so long a request whose answer was lost has either come through or never will."""
LIVE_CHARACTERS = 3_900
PLACEMENTS = 3

_PASSING_ERRORS: tuple[type[BaseException], ...] = (Unreachable, Refused, *STORE_ERRORS)
_NO_PREVIEW = LinkPreviewOptions(is_disabled=True)

_live = Gauge("pismo_gateway_deliveries_live", "Letters on their way into a chat")
_ended = Counter("pismo_gateway_deliveries", "Deliveries that ended", ["outcome"])
for _outcome in ("completed", "failed", "cancelled", "undeliverable", "withdrawn"):
    _ended.labels(_outcome)  # counted from 0: Prometheus sees no increase in a series that begins at 1
_seconds = Histogram(
    "pismo_gateway_delivery_seconds",
    "From asking for a letter to the whole of it in the chat",
    buckets=(2, 5, 10, 15, 20, 30, 45, 60, 120, 300, 900),
)

log = structlog.get_logger()

Key: TypeAlias = tuple[UUID, int]
Shown: TypeAlias = tuple[str, InlineKeyboardMarkup | None]


class View:
    """The newest look at a version being written."""

    def __init__(self) -> None:
        self.progress: Progress | None = None
        self.gone = False
        self.changed = asyncio.Event()
        self.ended = asyncio.Event()

    def put(self, progress: Progress) -> None:
        self.progress = progress
        self.changed.set()
        if progress.WhichOneof("state") in ("completed", "failed", "cancelled"):
            self.ended.set()

    def lose(self) -> None:
        """There is no such version any more."""
        self.gone = True
        self.ended.set()
        self.changed.set()


class Deliveries:
    """A leader's duty. The next leader goes on from the steps that were noted."""

    def __init__(self, bot_id: int, database: Database, letters: Letters, voice: Voice, clock: Clock) -> None:
        self._bot_id = bot_id
        self._database = database
        self._letters = letters
        self._voice = voice
        self._clock = clock
        self.arrived = asyncio.Event()
        """Set when there is a new delivery."""
        self._tasks: dict[Key, asyncio.Task[None]] = {}
        self._tries: dict[Key, int] = {}

    async def run(self, stopping: asyncio.Event) -> None:
        """Delivers until the service stops; then every delivery stops between two steps."""
        try:
            while not stopping.is_set():
                self.arrived.clear()
                try:
                    await self._take_up(stopping)
                except STORE_ERRORS as error:
                    # What is in hand goes on: a call that was broken off might have been made.
                    log.warning("no delivery begins just now", exc_info=error)
                await wait_any(IDLE_SECONDS, self.arrived, stopping)
            if self._tasks:
                await asyncio.wait(self._tasks.values())
        finally:
            tasks = list(self._tasks.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _take_up(self, stopping: asyncio.Event) -> None:
        async with self._database.connection() as connection:
            found = await store.open_deliveries(connection, self._bot_id, list(self._tasks))
        for each in found:
            key = (each.letter_id, each.version)
            self._tasks[key] = asyncio.create_task(self._deliver(each, stopping))
            self._tasks[key].add_done_callback(partial(self._finished, key))
        _live.set(len(self._tasks))

    def _finished(self, key: Key, task: asyncio.Task[None]) -> None:
        del self._tasks[key]
        if not task.cancelled() and (error := task.exception()) and not isinstance(error, LeadershipLost):
            log.error("a delivery failed and begins again", letter_id=str(key[0]), exc_info=error)

    async def _deliver(self, delivery: Delivery, stopping: asyncio.Event) -> None:
        """Takes a delivery as far as it goes; one that did not end is opened again from its row."""
        key = (delivery.letter_id, delivery.version)
        with telemetry.span("deliver letter", SpanKind.CONSUMER, parent=telemetry.parent(delivery.traceparent)):
            try:
                await self._advance(delivery, stopping)
                self._tries.pop(key, None)
            except Blocked:
                await self._give_up(delivery)
            except Overtaken as overtaken:
                log.info("a delivery goes on from its row", letter_id=str(delivery.letter_id), reason=str(overtaken))
            except _PASSING_ERRORS as error:
                tries = self._tries[key] = self._tries.get(key, 0) + 1
                log.warning("a delivery waits", letter_id=str(delivery.letter_id), reason=str(error)[:80], tries=tries)
                await wait_any(backoff_seconds(tries, LONGEST_BACKOFF_SECONDS), stopping)

    async def _advance(self, delivery: Delivery, stopping: asyncio.Event) -> None:
        if delivery.step == "unsure":
            await self._make_sure(delivery, stopping)
        if delivery.step == "following":
            await self._follow(delivery, stopping)
        if delivery.step == "asking":
            await self._attach_rating(delivery)
        if delivery.step == "shown":
            await self._ask_rating(delivery)

    # --- unsure -------------------------------------------------------------------------------------------------------

    async def _make_sure(self, delivery: Delivery, stopping: asyncio.Event) -> None:
        """Finds out whether generation accepted a request whose answer was lost."""
        letter = await self._letters.get(delivery.person_id, delivery.letter_id)
        # A revision that was stopped or failed before leaves its number to this one.
        not_it = (LETTER_STATE_FAILED, LETTER_STATE_CANCELLED) if delivery.version else (LETTER_STATE_DRAFT,)
        if letter.version >= delivery.version and letter.state not in not_it:
            async with self._database.transaction() as connection:
                await store.keep_step(connection, delivery, "following", self._clock.now())
                await store.hold_chat(connection, self._bot_id, delivery, self._clock.now())
            delivery.step = "following"
        elif (self._clock.now() - delivery.created_at).total_seconds() > UNSURE_SECONDS:
            await self._end(delivery, "withdrawn")
        else:
            await wait_any(1.0, stopping)

    # --- following ----------------------------------------------------------------------------------------------------

    async def _follow(self, delivery: Delivery, stopping: asyncio.Event) -> None:
        view = View()
        watching = asyncio.create_task(self._watch(delivery, view, stopping))
        try:
            if delivery.message_id is None:
                await wait_any(FIRST_LOOK_SECONDS, view.changed, stopping)
                await self._place(delivery, view, stopping)
            await self._show_growing(delivery, view, stopping)
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
        if view.ended.is_set():
            await self._show_end(delivery, view, stopping)

    async def _watch(self, delivery: Delivery, view: View, stopping: asyncio.Event) -> None:
        """Looks until the version ends, again after every break."""
        tries = 0
        while not stopping.is_set():
            try:
                async for progress in self._letters.watch(delivery.person_id, delivery.letter_id, delivery.version):
                    view.put(progress)
                    tries = 0
                if view.ended.is_set():
                    return
            except Refused as refused:
                if refused.refusal.reason == "LETTER_NOT_FOUND":
                    view.lose()
                    return
                log.info("a letter is watched again", reason=str(refused), tries=tries)
            await wait_any(backoff_seconds(tries, LONGEST_BACKOFF_SECONDS), stopping)
            tries += 1

    async def _show_growing(self, delivery: Delivery, view: View, stopping: asyncio.Event) -> None:
        """Edits the growing text into the placeholder until the version ends."""
        shown: Shown | None = None
        while not view.ended.is_set() and not stopping.is_set():
            view.changed.clear()
            if view.progress is not None and self._live(delivery, view) != shown:
                await self._voice.turn(Priority.LIVE)
                if view.ended.is_set():
                    return
                newest = self._live(delivery, view)
                try:
                    await self._edit(delivery, newest, Priority.LIVE)
                    shown = newest
                except MessageGone:
                    await self._place(delivery, view, stopping)
                except Unreachable as error:
                    # The next look is tried instead: only the end has to be shown.
                    log.info("a live edit is left out", reason=str(error))
                await wait_any(self._edit_seconds(), view.ended, stopping)
            await wait_any(EDIT_SECONDS, view.changed, view.ended, stopping)

    def _edit_seconds(self) -> float:
        return max(EDIT_SECONDS, len(self._tasks) / LETTERS_AN_EDIT_SECOND)

    async def _place(self, delivery: Delivery, view: View, stopping: asyncio.Event) -> None:
        """Sends the placeholder. It never holds a letter as it is sent: a message that was sent twice has none."""
        await self._voice.turn(Priority.ANSWER, delivery.chat_id)
        waits = view.progress is None or view.progress.HasField("queued")
        text, keyboard = self._live(delivery, view) if waits else self._accepted(delivery)
        sent: Message = await self._voice.make(
            SendMessage(chat_id=delivery.chat_id, text=text, reply_markup=keyboard, disable_notification=True),
            Priority.ANSWER,
        )
        delivery.message_id = sent.message_id
        await keep_at_last(self._database, partial(store.keep_placeholder, delivery=delivery), stopping)

    async def _edit(self, delivery: Delivery, shown: Shown, priority: Priority) -> None:
        text, keyboard = shown
        await self._voice.make(
            EditMessageText(
                chat_id=delivery.chat_id,
                message_id=delivery.message_id,
                text=text,
                reply_markup=keyboard,
                link_preview_options=_NO_PREVIEW,
            ),
            priority,
        )

    async def _show_end(self, delivery: Delivery, view: View, stopping: asyncio.Event) -> None:
        outcome, shown = _end_of(delivery, view)
        for _ in range(PLACEMENTS):
            await self._voice.turn(Priority.LETTER)
            try:
                await self._edit(delivery, shown, Priority.LETTER)
                break
            except MessageGone:
                await self._place(delivery, view, stopping)
            except Rejected as error:
                log.error("a letter cannot be shown", letter_id=str(delivery.letter_id), reason=str(error))
                outcome = "undeliverable"
                await self._say_unshown(delivery)
                break
        else:
            raise Unreachable("the placeholder goes as soon as it comes", maybe_done=False)
        if outcome == "completed":
            await self._note_shown(delivery)
        else:
            await self._end(delivery, outcome)

    async def _say_unshown(self, delivery: Delivery) -> None:
        await self._voice.turn(Priority.ANSWER, delivery.chat_id)
        text = phrases(delivery.language)("letter-unshown")
        try:
            await self._voice.make(SendMessage(chat_id=delivery.chat_id, text=text), Priority.ANSWER)
        except Rejected as error:
            log.error("nor can that be said", reason=str(error))

    async def _note_shown(self, delivery: Delivery) -> None:
        now = self._clock.now()
        took = now - delivery.created_at
        fact = LetterDelivered(version=delivery.version, delivery_ms=max(0, round(took.total_seconds() * 1000)))
        made = event(
            "gateway",
            now,
            fact,
            person_id=delivery.person_id,
            letter_id=delivery.letter_id,
            event_id=derived_id(delivery.letter_id, delivery.version, "delivered"),
        )
        async with self._database.transaction() as connection:
            await store.keep_step(connection, delivery, "shown", now, "completed")
            await store.release_chat(connection, self._bot_id, delivery, now)
            await add_events(connection, [made])
        _seconds.observe(max(0.0, took.total_seconds()))
        delivery.step = "shown"

    # --- rating -------------------------------------------------------------------------------------------------------

    async def _ask_rating(self, delivery: Delivery) -> None:
        """Sends the rating message, never twice: if nobody knows what became of it, the letter gets the buttons."""
        say = phrases(delivery.language)
        method = SendMessage(
            chat_id=delivery.chat_id,
            text=say("rating-question", kind=_kind(delivery)),
            reply_markup=buttons.rating(say, delivery.letter_id, delivery.version),
        )
        await self._voice.turn(Priority.LETTER, delivery.chat_id)
        await self._note_step(delivery, "asking")
        try:
            await self._voice.make(method, Priority.LETTER)
        except Unreachable as error:
            if not error.maybe_done:
                await self._note_step(delivery, "shown")
            raise
        except Rejected as error:
            log.error("a rating cannot be asked for", reason=str(error))
        await self._end(delivery, "completed")

    async def _attach_rating(self, delivery: Delivery) -> None:
        """The rating message may be there or not. Buttons under the letter can be put there as often as one likes."""
        await self._voice.turn(Priority.LETTER)
        try:
            await self._voice.make(
                EditMessageReplyMarkup(
                    chat_id=delivery.chat_id,
                    message_id=delivery.message_id,
                    reply_markup=buttons.rating(phrases(delivery.language), delivery.letter_id, delivery.version),
                ),
                Priority.LETTER,
            )
        except Rejected as error:
            log.info("a letter goes without rating buttons", reason=str(error))
        await self._end(delivery, "completed")

    # --- ends ---------------------------------------------------------------------------------------------------------

    async def _note_step(self, delivery: Delivery, step: str) -> None:
        async with self._database.connection() as connection:
            await store.keep_step(connection, delivery, step, self._clock.now())
        delivery.step = step

    async def _end(self, delivery: Delivery, outcome: str) -> None:
        now = self._clock.now()
        async with self._database.transaction() as connection:
            await store.keep_step(connection, delivery, "ended", now, outcome)
            await store.release_chat(connection, self._bot_id, delivery, now)
        delivery.step = "ended"
        _ended.labels(outcome).inc()

    async def _give_up(self, delivery: Delivery) -> None:
        """The person blocked the bot: the letter waits in their history."""
        now = self._clock.now()
        async with self._database.transaction() as connection:
            await store.block_person(connection, self._bot_id, delivery.chat_id, delivery.person_id, now)
        await self._end(delivery, "completed" if delivery.step in ("shown", "asking") else "undeliverable")

    # --- what is shown ------------------------------------------------------------------------------------------------

    def _accepted(self, delivery: Delivery) -> Shown:
        say = phrases(delivery.language)
        return say("delivery-accepted"), buttons.stop(say, delivery.letter_id)

    def _live(self, delivery: Delivery, view: View) -> Shown:
        say = phrases(delivery.language)
        if view.progress is None:
            return self._accepted(delivery)
        return _live_text(say, view.progress), buttons.stop(say, delivery.letter_id)


def _kind(delivery: Delivery) -> str:
    return "revision" if delivery.version else "letter"


def _live_text(say: Phrases, progress: Progress) -> str:
    if progress.HasField("writing"):
        return f"{progress.writing.text[:LIVE_CHARACTERS]}\n\n{say('delivery-writing')}".strip()
    queued = progress.queued
    if queued.models_unavailable:
        return say("delivery-resting")
    seconds = queued.eta_seconds
    unit = "none" if seconds == 0 else "seconds" if seconds < 90 else "minutes"
    wait = round(seconds / 60) if unit == "minutes" else seconds
    return say("delivery-queued", position=max(1, queued.position), unit=unit, wait=wait)


def _end_of(delivery: Delivery, view: View) -> tuple[str, Shown]:
    """How the version ended, and what stands in the chat then."""
    say, kind = phrases(delivery.language), _kind(delivery)
    again = (
        buttons.revise(say, "button-wish-again", delivery.letter_id) if delivery.version else buttons.new_letter(say)
    )
    if view.gone or view.progress is None:
        return "failed", (say("letter-gone"), buttons.new_letter(say))
    if view.progress.HasField("completed"):
        return "completed", (view.progress.completed.text, None)
    if view.progress.HasField("cancelled"):
        return "cancelled", (say("delivery-cancelled", kind=kind), again)
    reason = FailureReason.Name(view.progress.failed.reason).removeprefix("FAILURE_REASON_")
    name = text_name("failure", reason)
    return "failed", (say(name if say.has(name) else "failure-internal", kind=kind), again)
