"""What a handler shows the person: new messages, the message whose button was pressed, the note over a button."""

from datetime import UTC, datetime

from aiogram import Bot
from aiogram.types import CallbackQuery, InlineKeyboardMarkup, LinkPreviewOptions
from google.protobuf.timestamp_pb2 import Timestamp

from gateway.unit_of_work import UnitOfWork

NOTE_CHARACTERS = 200


class Screen:
    """Of one update. Nothing is shown before the unit of work is committed."""

    def __init__(self, bot: Bot, work: UnitOfWork, query: CallbackQuery | None) -> None:
        self._bot = bot
        self._chat_id = work.chat.chat_id
        self._query = query

    async def send(self, text: str, keyboard: InlineKeyboardMarkup | None = None) -> None:
        await self._bot.send_message(
            self._chat_id, text, reply_markup=keyboard, link_preview_options=LinkPreviewOptions(is_disabled=True)
        )

    async def change(self, text: str, keyboard: InlineKeyboardMarkup | None = None) -> None:
        """Rewrites the message whose button was pressed; without a keyboard its buttons go."""
        if self._query and self._query.message:
            await self._bot.edit_message_text(
                text, chat_id=self._chat_id, message_id=self._query.message.message_id, reply_markup=keyboard
            )
        else:
            await self.send(text, keyboard)

    async def note(self, text: str) -> None:
        """Answers the press with a few words; they are a message where nothing was pressed."""
        if self._query:
            await self._bot.answer_callback_query(self._query.id, text[:NOTE_CHARACTERS])
        else:
            await self.send(text)


def moment(timestamp: Timestamp) -> datetime:
    return timestamp.ToDatetime(tzinfo=UTC)
