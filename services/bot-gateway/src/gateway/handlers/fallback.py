"""Everything else: help, the wrong kind of message, places where the bot does not work."""

from aiogram import F, Router
from aiogram.filters import Command
from aiogram.types import CallbackQuery, ChatMemberUpdated, Message

from gateway.conversation import Stage
from gateway.handlers.consents import ask_consent
from gateway.handlers.filters import Elsewhere, Undecided
from gateway.handlers.screen import Screen
from gateway.handlers.start import ask_language
from gateway.unit_of_work import UnitOfWork


def elsewhere_router() -> Router:
    """Groups: the bot says where it works, and only when it is spoken to."""
    found = Router(name="elsewhere")
    found.my_chat_member.register(joined, Elsewhere(), F.new_chat_member.status.in_({"member", "administrator"}))
    found.message.register(called, Elsewhere(), F.text.startswith("/"))
    found.callback_query.register(called, Elsewhere())
    found.message.register(pass_by, Elsewhere())
    found.edited_message.register(pass_by, Elsewhere())
    found.my_chat_member.register(blocked, F.new_chat_member.status == "kicked")
    return found


def undecided_router() -> Router:
    """Nothing goes on before the first questions are answered."""
    found = Router(name="undecided")
    found.message.register(help_, Command("help", ignore_mention=True))
    found.message.register(ask_again, Undecided())
    found.callback_query.register(ask_again, Undecided())
    return found


def router() -> Router:
    found = Router(name="fallback")
    found.message.register(unknown_command, F.text.startswith("/"))
    found.message.register(no_files, F.document)
    found.message.register(only_text)
    found.edited_message.register(edited)
    found.callback_query.register(old_button)
    return found


async def joined(_: ChatMemberUpdated, work: UnitOfWork, screen: Screen) -> None:
    await screen.send(work.say("private-only"))


async def called(_: Message | CallbackQuery, work: UnitOfWork, screen: Screen) -> None:
    await screen.note(work.say("private-only"))


async def pass_by(_: Message) -> None:
    """People talk among themselves."""


async def blocked(_: ChatMemberUpdated, work: UnitOfWork) -> None:
    work.blocked = True


async def ask_again(event: Message | CallbackQuery, work: UnitOfWork, screen: Screen) -> None:
    kind = work.person.open_question()
    if kind is None or work.chat.stage in (Stage.NEW, Stage.LANGUAGE):
        await ask_language(event, work, screen)
    else:
        await ask_consent(work, screen, kind)


async def help_(_: Message, work: UnitOfWork, screen: Screen) -> None:
    await screen.send(work.say("help"))


async def unknown_command(_: Message, work: UnitOfWork, screen: Screen) -> None:
    await screen.send(work.say("unknown-command"))


async def no_files(_: Message, work: UnitOfWork, screen: Screen) -> None:
    await screen.send(work.say("no-files", stage=work.chat.stage.value))


async def only_text(_: Message, work: UnitOfWork, screen: Screen) -> None:
    await screen.send(work.say("only-text", stage=work.chat.stage.value))


async def edited(_: Message, work: UnitOfWork, screen: Screen) -> None:
    await screen.send(work.say("edited"))


async def old_button(_: CallbackQuery, work: UnitOfWork, screen: Screen) -> None:
    await screen.note(work.say("old-button"))
