"""Every button: what it says, and what it carries back (64 bytes at most)."""

from collections.abc import Sequence
from datetime import UTC
from uuid import UUID

from aiogram.filters.callback_data import CallbackData
from aiogram.types import InlineKeyboardButton, InlineKeyboardMarkup
from pismo.generation.v1.generation_pb2 import Letter

from gateway.conversation import LANGUAGES, Consent, Person
from gateway.texts import Phrases

TITLE_CHARACTERS = 40
LIST_TIME_ZONE = "Europe/Moscow"
"""Telegram gives no time zone; this one is the default of the plan catalogue."""


class ChooseLanguage(CallbackData, prefix="language"):
    language: str


class AnswerConsent(CallbackData, prefix="consent"):
    kind: Consent
    given: bool


class ChangeConsent(CallbackData, prefix="change"):
    kind: Consent
    given: bool


class StopLetter(CallbackData, prefix="stop"):
    letter_id: UUID


class RateLetter(CallbackData, prefix="rate"):
    letter_id: UUID
    version: int
    liked: bool


class ReviseLetter(CallbackData, prefix="revise"):
    letter_id: UUID


class NewLetter(CallbackData, prefix="new"):
    pass


class HistoryPage(CallbackData, prefix="page"):
    number: int


class OpenLetter(CallbackData, prefix="open"):
    letter_id: UUID


def _button(text: str, data: CallbackData) -> InlineKeyboardButton:
    return InlineKeyboardButton(text=text, callback_data=data.pack())


def _rows(*rows: Sequence[InlineKeyboardButton]) -> InlineKeyboardMarkup:
    return InlineKeyboardMarkup(inline_keyboard=[list(row) for row in rows])


def languages(say: Phrases, first: str) -> InlineKeyboardMarkup:
    """Every language in its own words, the likely one first."""
    ordered = sorted(LANGUAGES, key=lambda language: language != first)
    return _rows([_button(say(f"language-{each}"), ChooseLanguage(language=each)) for each in ordered])


def text_part(kind: Consent) -> str:
    return kind.value.replace("_", "-")


def consent_question(say: Phrases, kind: Consent) -> InlineKeyboardMarkup:
    name = text_part(kind)
    return _rows(
        [_button(say(f"consent-{name}-agree"), AnswerConsent(kind=kind, given=True))],
        [_button(say(f"consent-{name}-refuse"), AnswerConsent(kind=kind, given=False))],
    )


def only_agree(say: Phrases) -> InlineKeyboardMarkup:
    return _rows([_button(say("consent-processing-agree"), AnswerConsent(kind=Consent.PROCESSING, given=True))])


def consent_changes(say: Phrases, person: Person) -> InlineKeyboardMarkup:
    rows = []
    for kind in Consent:
        change = "withdraw" if person.agreed(kind) else "give"
        data = ChangeConsent(kind=kind, given=change == "give")
        rows.append([_button(say(f"privacy-{change}-{text_part(kind)}"), data)])
    return _rows(*rows)


def stop(say: Phrases, letter_id: UUID) -> InlineKeyboardMarkup:
    return _rows([_button(say("button-stop"), StopLetter(letter_id=letter_id))])


def new_letter(say: Phrases) -> InlineKeyboardMarkup:
    return _rows([_button(say("button-new-letter"), NewLetter())])


def revise(say: Phrases, text: str, letter_id: UUID) -> InlineKeyboardMarkup:
    """`text` names what the button says."""
    return _rows([_button(say(text), ReviseLetter(letter_id=letter_id))])


def rating(say: Phrases, letter_id: UUID, version: int) -> InlineKeyboardMarkup:
    return _rows(
        [
            _button(say("button-like"), RateLetter(letter_id=letter_id, version=version, liked=True)),
            _button(say("button-dislike"), RateLetter(letter_id=letter_id, version=version, liked=False)),
        ]
    )


def history(say: Phrases, letters: Sequence[Letter], number: int, *, older: bool) -> InlineKeyboardMarkup:
    """One button a letter, and those that turn the page."""
    rows = []
    for letter in letters:
        day = say.day(letter.created_at.ToDatetime(tzinfo=UTC), LIST_TIME_ZONE)
        title = letter.title or say("history-untitled")
        if len(title) > TITLE_CHARACTERS:
            title = title[: TITLE_CHARACTERS - 1].rstrip() + "…"
        rows.append([_button(say("history-item", day=day, title=title), OpenLetter(letter_id=UUID(letter.letter_id)))])
    turns = []
    if number > 0:
        turns.append(_button(say("history-newer"), HistoryPage(number=number - 1)))
    if older:
        turns.append(_button(say("history-older"), HistoryPage(number=number + 1)))
    return _rows(*rows, *([turns] if turns else []))
