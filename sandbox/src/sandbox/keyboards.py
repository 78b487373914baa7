"""What Telegram checks of a keyboard. Pure."""

from __future__ import annotations

from aiogram.types import InlineKeyboardButton, InlineKeyboardMarkup

from sandbox.errors import bad_request

CALLBACK_DATA_BYTES = 64
COPY_TEXT_UNITS = 256
_BUTTONS = 100
_ACTIONS = (
    "url",
    "callback_data",
    "web_app",
    "login_url",
    "switch_inline_query",
    "switch_inline_query_current_chat",
    "switch_inline_query_chosen_chat",
    "copy_text",
    "callback_game",
    "pay",
    "disabled",
)


def check_inline(markup: InlineKeyboardMarkup | None, *, invoice: bool = False) -> InlineKeyboardMarkup | None:
    """The keyboard without empty rows, None when nothing is left; raises ApiError as Telegram words it."""
    if markup is None:
        return None
    rows = [row for row in markup.inline_keyboard if row]
    if sum(map(len, rows)) > _BUTTONS:
        raise bad_request("reply markup is too long")
    for number, row in enumerate(rows):
        for place, button in enumerate(row):
            _check(button)
            if button.pay and not (invoice and number == place == 0):
                raise bad_request("BUTTON_TYPE_INVALID")
    if invoice and rows and not rows[0][0].pay:
        raise bad_request("the first button of an invoice must be a pay button")
    return InlineKeyboardMarkup(inline_keyboard=rows) if rows else None


def _check(button: InlineKeyboardButton) -> None:
    given = [name for name in _ACTIONS if getattr(button, name) is not None]
    if not button.text.strip():
        raise bad_request('can\'t parse inline keyboard button: Field "text" must be non-empty')
    if not given:
        raise bad_request("can't parse inline keyboard button: Text buttons are unallowed in the inline keyboard")
    if len(given) > 1:
        raise bad_request(f"can't parse inline keyboard button: only one of {', '.join(given)} may be used")
    if button.callback_data is not None and not 1 <= len(button.callback_data.encode()) <= CALLBACK_DATA_BYTES:
        raise bad_request("BUTTON_DATA_INVALID")
    if button.copy_text is not None and not 1 <= len(button.copy_text.text) <= COPY_TEXT_UNITS:
        raise bad_request("BUTTON_COPY_TEXT_INVALID")
    if button.url is not None and not button.url.startswith(("http://", "https://", "tg://")):
        raise bad_request(f"inline keyboard button URL '{button.url}' is invalid: Wrong HTTP URL")
