"""What people agree to: asked one by one at first, changed at any time in /privacy."""

from aiogram import Router
from aiogram.filters import Command
from aiogram.types import CallbackQuery, Message

from gateway import buttons
from gateway.buttons import AnswerConsent, ChangeConsent, text_part
from gateway.conversation import Consent, Stage
from gateway.handlers.screen import Screen
from gateway.peers import Letters
from gateway.unit_of_work import UnitOfWork


def router() -> Router:
    found = Router(name="consents")
    found.message.register(privacy, Command("privacy", ignore_mention=True))
    found.message.register(terms, Command("terms", ignore_mention=True))
    found.callback_query.register(answer, AnswerConsent.filter())
    found.callback_query.register(change, ChangeConsent.filter())
    return found


async def ask_consent(work: UnitOfWork, screen: Screen, kind: Consent) -> None:
    """Puts one question, and waits for its answer."""
    work.chat.wait_for(kind.stage)
    question = work.say(f"consent-{text_part(kind)}-question")
    await screen.send(question, buttons.consent_question(work.say, kind))


async def answer(_: CallbackQuery, callback_data: AnswerConsent, work: UnitOfWork, screen: Screen) -> None:
    kind, given = callback_data.kind, callback_data.given
    if work.chat.stage is not kind.stage:
        await screen.note(work.say("consent-answered"))
        return
    work.answer_consent(kind, given)
    await screen.change(_record(work, kind))
    if kind is Consent.PROCESSING and not given:
        await screen.send(work.say("consent-processing-needed"), buttons.only_agree(work.say))
    elif following := work.person.open_question():
        await ask_consent(work, screen, following)
    else:
        work.conversion = "consented"
        work.chat.wait_for(Stage.VACANCY)
        await screen.send(work.say("ask-vacancy"))


def _record(work: UnitOfWork, kind: Consent) -> str:
    return work.say(f"consent-{text_part(kind)}-{'given' if work.person.agreed(kind) else 'refused'}")


async def privacy(_: Message, work: UnitOfWork, screen: Screen) -> None:
    await screen.send(work.say("privacy"), buttons.consent_changes(work.say, work.person))


async def terms(_: Message, work: UnitOfWork, screen: Screen) -> None:
    await screen.send(work.say("terms"))


async def change(
    _: CallbackQuery, callback_data: ChangeConsent, work: UnitOfWork, screen: Screen, letters: Letters
) -> None:
    kind, given = callback_data.kind, callback_data.given
    if work.person.agreed(kind) is not given:
        work.answer_consent(kind, given)
    await screen.change(work.say("privacy"), buttons.consent_changes(work.say, work.person))
    await screen.note(_record(work, kind))
    if kind is not Consent.PROCESSING:
        return
    if not given and work.chat.stage is not Consent.PROCESSING.stage:
        if work.chat.stage is Stage.WRITING and work.chat.letter_id:
            await letters.cancel(work.request_id("cancel"), work.person.person_id, work.chat.letter_id)
        work.chat.wait_for(Consent.PROCESSING.stage)
        await screen.send(work.say("processing-withdrawn"), buttons.only_agree(work.say))
    elif given and work.chat.stage is Consent.PROCESSING.stage:
        if following := work.person.open_question():
            await ask_consent(work, screen, following)
        else:
            work.chat.wait_for(Stage.VACANCY)
            await screen.send(work.say("ask-vacancy"))
