"""From a vacancy to the last revision. What follows is a delivery's: the leader writes the letter into the chat."""

from uuid import UUID

from aiogram import F, Router
from aiogram.filters import Command
from aiogram.types import CallbackQuery, Message
from pismo.generation.v1.generation_pb2 import (
    LETTER_STATE_CANCELLED,
    LETTER_STATE_COMPLETED,
    LETTER_STATE_FAILED,
    RATING_DISLIKE,
    RATING_LIKE,
    Letter,
)

from gateway import buttons
from gateway.buttons import NewLetter, RateLetter, ReviseLetter, StopLetter
from gateway.conversation import Consent, Stage
from gateway.errors import RateLimited, Refused, is_passing
from gateway.handlers.filters import WORDS, At
from gateway.handlers.screen import Screen
from gateway.peers import Allowances, Letters, check_left
from gateway.rate_limits import AI_REQUESTS, PersonLimits
from gateway.unit_of_work import UnitOfWork

REVISIONS = 3
_ENDED = (LETTER_STATE_COMPLETED, LETTER_STATE_FAILED, LETTER_STATE_CANCELLED)


def stop_router() -> Router:
    """Apart from the others: Stop works whatever else does not."""
    found = Router(name="stop")
    found.callback_query.register(stop, StopLetter.filter())
    return found


def router() -> Router:
    found = Router(name="letters")
    found.message.register(begin, Command("new", ignore_mention=True))
    found.callback_query.register(begin, NewLetter.filter())
    found.message.register(take_vacancy, At(Stage.VACANCY, Stage.READY), WORDS)
    found.message.register(take_resume, At(Stage.RESUME), WORDS)
    found.message.register(take_wish, At(Stage.WISH), WORDS)
    found.message.register(wait, At(Stage.WRITING), F.text.is_(None) | WORDS)
    found.callback_query.register(rate, RateLetter.filter())
    found.callback_query.register(ask_wish, ReviseLetter.filter())
    return found


async def begin(_: Message | CallbackQuery, work: UnitOfWork, screen: Screen) -> None:
    if work.chat.stage is Stage.WRITING:
        await screen.note(work.say("busy"))
        return
    work.chat.wait_for(Stage.VACANCY)
    await screen.send(work.say("ask-vacancy"))


async def wait(_: Message, work: UnitOfWork, screen: Screen) -> None:
    await screen.send(work.say("busy"))


async def take_vacancy(message: Message, work: UnitOfWork, screen: Screen, letters: Letters) -> None:
    try:
        letter = await letters.create(work.request_id("letter"), work.person.person_id, message.text or "")
    except Refused as refused:
        if refused.refusal.reason == "TEXT_TOO_SHORT" and work.chat.stage is Stage.READY:
            # "Thank you" is no bad vacancy.
            await screen.send(work.say("small-talk"))
            return
        raise
    work.chat.wait_for(Stage.RESUME, UUID(letter.letter_id))
    await screen.send(work.say("ask-resume", title=letter.title or "none"))


async def take_resume(
    message: Message, work: UnitOfWork, screen: Screen, letters: Letters, limits: PersonLimits, allowances: Allowances
) -> None:
    letter_id = work.chat.letter_id
    if letter_id is None:
        work.chat.wait_for(Stage.VACANCY)
        await screen.send(work.say("draft-lost"))
        return
    request_id = work.request_id("submit")
    try:
        await limits.take(AI_REQUESTS, request_id)
    except RateLimited:
        # Waiting some minutes helps nobody whose letters are used up: what will last is said first.
        check_left(await allowances.get(work.person.person_id))
        raise
    try:
        await letters.submit(
            request_id,
            work.person.person_id,
            letter_id,
            message.text or "",
            allow_foreign_models=work.person.agreed(Consent.FOREIGN_AI),
        )
    except Refused as refused:
        await _settle(refused, work, limits, request_id, letter_id, 0)
        if refused.refusal.reason == "LETTER_NOT_FOUND":
            work.chat.wait_for(Stage.VACANCY)
            await screen.send(work.say("draft-lost"))
            return
        if refused.refusal.reason != "LETTER_ALREADY_SUBMITTED":
            raise
    work.conversion = "submitted"
    work.chat.wait_for(Stage.WRITING, letter_id)
    work.deliver(letter_id, 0)


async def take_wish(message: Message, work: UnitOfWork, screen: Screen, letters: Letters, limits: PersonLimits) -> None:
    letter_id = work.chat.letter_id
    if letter_id is None:
        work.chat.wait_for(Stage.READY)
        await screen.send(work.say("error-letter-not-found"))
        return
    request_id = work.request_id("revise")
    await limits.take(AI_REQUESTS, request_id)
    try:
        letter = await letters.revise(
            request_id,
            work.person.person_id,
            letter_id,
            message.text or "",
            allow_foreign_models=work.person.agreed(Consent.FOREIGN_AI),
        )
    except Refused as refused:
        await _settle(refused, work, limits, request_id, letter_id, work.chat.version + 1)
        if refused.refusal.reason == "REVISIONS_EXHAUSTED":
            work.chat.wait_for(Stage.READY, letter_id)
            await screen.send(work.say("no-revisions-left", limit=REVISIONS), buttons.new_letter(work.say))
            return
        raise
    work.chat.wait_for(Stage.WRITING, letter_id, letter.version)
    work.deliver(letter_id, letter.version)


async def _settle(
    refused: Refused, work: UnitOfWork, limits: PersonLimits, request_id: UUID, letter_id: UUID, version: int
) -> None:
    """What was refused does not count as a request. What was perhaps accepted, its answer lost, is still delivered."""
    passing = is_passing(refused.refusal)
    if not passing or work.last_try:
        await limits.give_back(AI_REQUESTS, request_id)
    if passing and work.last_try:
        refused.unsure = (letter_id, version)


async def stop(_: CallbackQuery, callback_data: StopLetter, work: UnitOfWork, screen: Screen, letters: Letters) -> None:
    letter = await letters.cancel(work.request_id("stop"), work.person.person_id, callback_data.letter_id)
    if letter.state in _ENDED and work.chat.stage is Stage.WRITING and work.chat.letter_id == callback_data.letter_id:
        work.chat.wait_for(Stage.READY, callback_data.letter_id, work.chat.version)
    await screen.note(work.say("stopped" if letter.state == LETTER_STATE_CANCELLED else "stop-too-late"))


async def rate(_: CallbackQuery, callback_data: RateLetter, work: UnitOfWork, screen: Screen, letters: Letters) -> None:
    letter_id = callback_data.letter_id
    rating = RATING_LIKE if callback_data.liked else RATING_DISLIKE
    if work.chat.stage is Stage.WRITING and not callback_data.liked:
        # The wish would have nowhere to go while another text is being waited for.
        await screen.note(work.say("rate-later"))
        return
    letter = await letters.rate(
        work.request_id("rate"), work.person.person_id, letter_id, callback_data.version, rating
    )
    if callback_data.liked:
        await screen.change(work.say("rated-like"), buttons.new_letter(work.say))
        return
    await screen.change(work.say("rated-dislike"))
    await _ask_wish(work, screen, letter)


async def ask_wish(
    _: CallbackQuery, callback_data: ReviseLetter, work: UnitOfWork, screen: Screen, letters: Letters
) -> None:
    if work.chat.stage is Stage.WRITING:
        await screen.note(work.say("busy"))
        return
    await _ask_wish(work, screen, await letters.get(work.person.person_id, callback_data.letter_id))


async def _ask_wish(work: UnitOfWork, screen: Screen, letter: Letter) -> None:
    if letter.revisions_left == 0:
        await screen.send(work.say("no-revisions-left", limit=REVISIONS), buttons.new_letter(work.say))
        return
    work.chat.wait_for(Stage.WISH, UUID(letter.letter_id), letter.text_version)
    await screen.send(work.say("ask-wish"))
