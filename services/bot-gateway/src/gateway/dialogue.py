"""An update becomes effects: limits first, then the handler that is for it, then the answers nobody must miss."""

from collections.abc import Sequence
from typing import Any

import structlog
from aiogram import Bot, Dispatcher
from aiogram.types import Update
from pismo.analytics.v1.analytics_pb2 import LimitReached
from pismo.analytics.v1.analytics_pb2 import RateLimited as RateLimitedEvent

from gateway import refusals
from gateway.buttons import AnswerConsent, ChooseLanguage, StopLetter
from gateway.conversation import CONSENT_OF_STAGE, Stage
from gateway.errors import RateLimited, Refused
from gateway.handlers import consents, fallback, history, letters, plan, start
from gateway.handlers.screen import Screen
from gateway.peers import Allowances, Letters
from gateway.rate_limits import AI_REQUESTS, COMMANDS, PersonLimits, RateLimits
from gateway.unit_of_work import GatheringSession, UnitOfWork

log = structlog.get_logger()


class Dialogue:
    """The conversation's rules. It keeps nothing: what there is to know comes and goes in the unit of work."""

    def __init__(
        self, token: str, letter_service: Letters, allowances: Allowances, limits: RateLimits, admins: Sequence[int]
    ) -> None:
        self._bot = Bot(token, session=GatheringSession())
        self._limits = limits
        self._admins = frozenset(admins)
        self._dispatcher = Dispatcher(disable_fsm=True, letters=letter_service, allowances=allowances)
        self._dispatcher.include_routers(
            fallback.elsewhere_router(),
            letters.stop_router(),
            start.router(),
            consents.router(),
            fallback.undecided_router(),
            letters.router(),
            plan.router(),
            history.router(),
            fallback.router(),
        )

    async def handle(self, raw: dict[str, Any], work: UnitOfWork) -> None:
        """Gathers what the update leads to. Raises Refused where a service refused, and what handlers raise."""
        update = Update.model_validate(raw, context={"bot": self._bot})
        screen = Screen(self._bot, work, update.callback_query)
        limits = PersonLimits(self._limits, work.person.person_id, exempt=work.person.telegram_id in self._admins)
        try:
            if _counts(update, work):
                await limits.take(COMMANDS, work.request_id("command"))
            await self._dispatcher.feed_update(self._bot, update, work=work, screen=screen, limits=limits)
        except RateLimited as limited:
            work.emit(RateLimitedEvent(limit=limited.limit))
            await screen.note(_slow_down(work, limited))
        await self._answer_button(raw, work)

    async def explain(self, raw: dict[str, Any], work: UnitOfWork, refused: Refused) -> None:
        """Tells the person why a service refused; the chat stays where it was."""
        refusal = refused.refusal
        log.info("a service refused", reason=str(refused))
        if refusal.reason == "ALLOWANCE_EXHAUSTED":
            work.emit(LimitReached(plan_id=refusal.metadata.get("plan", "")))
        if refused.unsure is not None:
            work.deliver(*refused.unsure, unsure=True)
        await Screen(self._bot, work, None).send(refusals.explain(work.say, refusal))
        await self._answer_button(raw, work)

    async def apologise(self, raw: dict[str, Any], work: UnitOfWork) -> None:
        """The update is given up."""
        await Screen(self._bot, work, None).send(work.say("apology"))
        await self._answer_button(raw, work)

    async def _answer_button(self, raw: dict[str, Any], work: UnitOfWork) -> None:
        """A press that nobody answered would leave the button waiting."""
        if (query := raw.get("callback_query")) and not work.answers_callback():
            await self._bot.answer_callback_query(query["id"])


def _counts(update: Update, work: UnitOfWork) -> bool:
    """Whether an update is a command as far as limits go: a command, or a press of a button.

    Stop is always free. So is the answer to a question that the bot itself has just put to a new person: it can be
    given once only, and to be told to slow down for answering would be absurd.
    """
    if update.message:
        return bool(update.message.text and update.message.text.startswith("/"))
    if not update.callback_query:
        return False
    kind, _, _ = (update.callback_query.data or "").partition(":")
    if kind == ChooseLanguage.__prefix__:
        return work.chat.stage not in (Stage.NEW, Stage.LANGUAGE)
    if kind == AnswerConsent.__prefix__:
        return work.chat.stage not in CONSENT_OF_STAGE
    return kind != StopLetter.__prefix__


def _slow_down(work: UnitOfWork, limited: RateLimited) -> str:
    if limited.limit == AI_REQUESTS.name:
        return work.say("slow-down-writing", limit=AI_REQUESTS.most, seconds=limited.retry_after_seconds)
    return work.say("slow-down", seconds=limited.retry_after_seconds)
