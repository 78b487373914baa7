"""The first words, and the language they are in."""

import re

import structlog
from aiogram import Router
from aiogram.filters import Command, CommandObject, CommandStart
from aiogram.types import CallbackQuery, Message
from pismo.analytics.v1.analytics_pb2 import StartCommand

from gateway import buttons
from gateway.buttons import ChooseLanguage
from gateway.conversation import CONSENT_OF_STAGE, LANGUAGES, Stage
from gateway.errors import Refused
from gateway.handlers.consents import ask_consent
from gateway.handlers.filters import At
from gateway.handlers.plan import describe_left
from gateway.handlers.screen import Screen
from gateway.peers import GREETING_SECONDS, Allowances
from gateway.unit_of_work import Origin, UnitOfWork

_PAYLOAD = re.compile(r"[A-Za-z0-9_-]{1,64}")
_REFERRAL = "ref_"
_BEFORE_LANGUAGE = (Stage.NEW, Stage.LANGUAGE)

log = structlog.get_logger()


def router() -> Router:
    found = Router(name="start")
    found.message.register(start, CommandStart(ignore_mention=True))
    found.message.register(ask_language, Command("language", ignore_mention=True))
    found.callback_query.register(choose_language, ChooseLanguage.filter())
    found.message.register(greet, At(Stage.NEW))
    return found


async def start(_: Message, command: CommandObject, work: UnitOfWork, screen: Screen, allowances: Allowances) -> None:
    payload = command.args if command.args and _PAYLOAD.fullmatch(command.args) else ""
    first = work.chat.stage is Stage.NEW
    work.emit(StartCommand(payload=payload, first=first, language=work.person.language))
    if first and payload:
        referral = payload.removeprefix(_REFERRAL) if payload.startswith(_REFERRAL) else None
        work.origin = Origin(payload, referral)
    await greet(_, work, screen, allowances)


async def greet(_: Message, work: UnitOfWork, screen: Screen, allowances: Allowances) -> None:
    """Whatever somebody sends first, they are greeted."""
    say = work.say
    first_time = work.chat.stage in _BEFORE_LANGUAGE
    greeting = say("greeting" if first_time else "greeting-again")
    if left := await _what_is_left(work, allowances):
        greeting += f"\n\n{left}"
    if first_time:
        await screen.send(greeting)
        await ask_language(_, work, screen)
    elif kind := CONSENT_OF_STAGE.get(work.chat.stage):
        await screen.send(greeting)
        await ask_consent(work, screen, kind)
    elif work.chat.stage is Stage.WRITING:
        await screen.send(f"{greeting}\n\n{say('busy')}")
    else:
        work.chat.wait_for(Stage.VACANCY)
        await screen.send(f"{greeting}\n\n{say('ask-vacancy')}")


async def _what_is_left(work: UnitOfWork, allowances: Allowances) -> str:
    try:
        return describe_left(work.say, await allowances.get(work.person.person_id, GREETING_SECONDS))
    except Refused as refused:
        # Nobody is kept from a greeting because billing is away.
        log.info("a greeting does not say what is left", reason=str(refused))
        return ""


async def ask_language(_: Message | CallbackQuery, work: UnitOfWork, screen: Screen) -> None:
    if work.chat.stage in _BEFORE_LANGUAGE:
        work.chat.wait_for(Stage.LANGUAGE)
    await screen.send(work.say("language-question"), buttons.languages(work.say, work.person.language))


async def choose_language(_: CallbackQuery, callback_data: ChooseLanguage, work: UnitOfWork, screen: Screen) -> None:
    if callback_data.language not in LANGUAGES:
        await screen.note(work.say("old-button"))
        return
    work.person.language = callback_data.language
    await screen.change(work.say("language-chosen"))
    if work.chat.stage not in _BEFORE_LANGUAGE:
        await screen.send(work.say("language-set"))
    elif kind := work.person.open_question():
        await ask_consent(work, screen, kind)
    else:
        work.chat.wait_for(Stage.VACANCY)
        await screen.send(work.say("ask-vacancy"))
