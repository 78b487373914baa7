"""The person's letters: a page at a time, and each of them again."""

from aiogram import Router
from aiogram.filters import Command
from aiogram.types import CallbackQuery, Message

from gateway import buttons
from gateway.buttons import HistoryPage, OpenLetter
from gateway.handlers.screen import Screen
from gateway.peers import Letters
from gateway.unit_of_work import UnitOfWork


def router() -> Router:
    found = Router(name="history")
    found.message.register(history, Command("history", ignore_mention=True))
    found.callback_query.register(turn_page, HistoryPage.filter())
    found.callback_query.register(open_letter, OpenLetter.filter())
    return found


async def history(_: Message, work: UnitOfWork, screen: Screen, letters: Letters) -> None:
    work.chat.history_pages = [""]
    page = await letters.page(work.person.person_id, "")
    if not page.letters:
        await screen.send(work.say("history-empty"))
        return
    if page.next_page_token:
        work.chat.history_pages.append(page.next_page_token)
    keyboard = buttons.history(work.say, page.letters, 0, older=bool(page.next_page_token))
    await screen.send(work.say("history-title"), keyboard)


async def turn_page(
    _: CallbackQuery, callback_data: HistoryPage, work: UnitOfWork, screen: Screen, letters: Letters
) -> None:
    """Pages are remembered by the list that was shown last: a page token is longer than a button can carry."""
    number, pages = callback_data.number, work.chat.history_pages
    if not 0 <= number < len(pages):
        await screen.note(work.say("old-button"))
        return
    page = await letters.page(work.person.person_id, pages[number])
    del pages[number + 1 :]
    if page.next_page_token:
        pages.append(page.next_page_token)
    keyboard = buttons.history(work.say, page.letters, number, older=bool(page.next_page_token))
    await screen.change(work.say("history-title"), keyboard)


async def open_letter(
    _: CallbackQuery, callback_data: OpenLetter, work: UnitOfWork, screen: Screen, letters: Letters
) -> None:
    letter = await letters.get(work.person.person_id, callback_data.letter_id)
    if not letter.text:
        await screen.send(work.say("history-unfinished"))
        return
    keyboard = buttons.revise(work.say, "button-revise", callback_data.letter_id) if letter.revisions_left else None
    await screen.send(letter.text, keyboard)
