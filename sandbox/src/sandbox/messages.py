"""The Bot API's methods about messages and files."""

from __future__ import annotations

import mimetypes
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aiogram import methods, types
from aiogram.types import InlineKeyboardMarkup, ReplyKeyboardMarkup, ReplyKeyboardRemove

from sandbox.errors import ApiError, bad_request
from sandbox.formatting import CAPTION_LIMIT, compose
from sandbox.keyboards import check_inline
from sandbox.registry import plays
from sandbox.store import Store, StoredFile
from sandbox.telegram import Bot, Chat, Post, Telegram, encode

UPLOAD_BYTES = 50 * 1024 * 1024
PHOTO_BYTES = 10 * 1024 * 1024
DOWNLOAD_BYTES = 20 * 1024 * 1024
QUERY_SECONDS = 600.0
_QUERIES_KEPT = 10_000
_ANSWER_UNITS = 200


@dataclass
class CallbackQuery:
    """A button press that waits for its answer."""

    id: str
    bot_key: str
    chat: Chat
    message_id: int
    data: str
    at: float


class Messages:
    """Sending, editing, deleting, answering; people's button presses wait here for `answerCallbackQuery`."""

    def __init__(self, telegram: Telegram, store: Store, clock: Callable[[], float]) -> None:
        self._telegram = telegram
        self._store = store
        self._clock = clock
        self._queries: dict[str, CallbackQuery] = {}

    def expect_answer(self, query: CallbackQuery) -> None:
        self._queries[query.id] = query
        if len(self._queries) > _QUERIES_KEPT:
            del self._queries[next(iter(self._queries))]

    # Sending

    @plays(methods.SendMessage)
    async def send_message(self, bot: Bot, call: methods.SendMessage) -> Any:
        chat = self._telegram.reach(bot, call.chat_id)
        formatted = compose(call.text, call.parse_mode, call.entities)
        reply = self._replied(chat, call)
        return self._send(bot, chat, call.reply_markup, reply, text=formatted.text, entities=formatted.entities or None)

    @plays(methods.SendDocument)
    async def send_document(self, bot: Bot, call: methods.SendDocument) -> Any:
        chat = self._telegram.reach(bot, call.chat_id)
        caption = compose(call.caption, call.parse_mode, call.caption_entities, limit=CAPTION_LIMIT)
        reply = self._replied(chat, call)
        check_markup(call.reply_markup)
        file = await self._file(call.document)
        return self._send(
            bot,
            chat,
            call.reply_markup,
            reply,
            document=document(file),
            caption=caption.text or None,
            caption_entities=caption.entities or None,
        )

    @plays(methods.SendPhoto)
    async def send_photo(self, bot: Bot, call: methods.SendPhoto) -> Any:
        chat = self._telegram.reach(bot, call.chat_id)
        caption = compose(call.caption, call.parse_mode, call.caption_entities, limit=CAPTION_LIMIT)
        reply = self._replied(chat, call)
        check_markup(call.reply_markup)
        file = await self._file(call.photo, photo=True)
        return self._send(
            bot,
            chat,
            call.reply_markup,
            reply,
            photo=[photo_size(file, self._store.data(file.file_id))],
            caption=caption.text or None,
            caption_entities=caption.entities or None,
        )

    def _replied(self, chat: Chat, call: Any) -> types.Message | None:
        parameters = call.reply_parameters
        message_id = parameters.message_id if parameters else call.reply_to_message_id
        if message_id is None:
            return None
        post = chat.posts.get(message_id)
        if post is None or post.deleted:
            if call.allow_sending_without_reply or (parameters and parameters.allow_sending_without_reply is True):
                return None
            raise bad_request("message to be replied not found")
        return post.message().model_copy(update={"reply_to_message": None})

    def _send(self, bot: Bot, chat: Chat, markup: Any, reply: types.Message | None, **content: Any) -> dict[str, Any]:
        inline = check_markup(markup)
        post = self._telegram.post(
            chat,
            bot,
            reply_keyboard=markup is not None and not isinstance(markup, InlineKeyboardMarkup),
            reply_markup=inline,
            reply_to_message=reply,
            **content,
        )
        if isinstance(markup, ReplyKeyboardMarkup):
            self._telegram.set_keyboard(chat, encode(markup))
        elif isinstance(markup, ReplyKeyboardRemove):
            self._telegram.set_keyboard(chat, None)
        return post.body

    async def _file(self, given: types.InputFile | str, *, photo: bool = False) -> StoredFile:
        if isinstance(given, str):
            file = self._store.file(given)
            if file is None:
                raise bad_request("wrong file identifier/HTTP URL specified")
            return file
        if not isinstance(given, types.BufferedInputFile):
            raise bad_request("there is no file in the request")
        data = given.data
        if not data:
            raise bad_request("file must be non-empty")
        if len(data) > UPLOAD_BYTES:
            raise ApiError(413, "Request Entity Too Large")
        if photo:
            if len(data) > PHOTO_BYTES:
                raise bad_request("too big for a photo")
            if image_size(data) is None:
                raise bad_request("IMAGE_PROCESS_FAILED")
        name = given.filename or ("photo.jpg" if photo else "file")
        return self._telegram.add_file(name, mime_type(name), data, "AgAC" if photo else "BQAC")

    @plays(methods.SendChatAction)
    async def send_chat_action(self, bot: Bot, call: methods.SendChatAction) -> bool:
        self._telegram.set_typing(self._telegram.reach(bot, call.chat_id))
        return True

    # Editing

    def _to_edit(self, bot: Bot, call: Any) -> tuple[Chat, Post]:
        if call.inline_message_id is not None:
            raise bad_request("MESSAGE_ID_INVALID")
        if call.chat_id is None:
            raise bad_request("chat_id is empty")
        if call.message_id is None:
            raise bad_request("message identifier is not specified")
        chat = self._telegram.reach(bot, call.chat_id)
        post = chat.posts.get(call.message_id)
        if post is None or post.deleted:
            raise bad_request("message to edit not found")
        if not post.from_bot or post.reply_keyboard:
            raise bad_request("message can't be edited")
        return chat, post

    def _edit(self, chat: Chat, post: Post, **changes: Any) -> dict[str, Any]:
        new = {name: encode(value) for name, value in changes.items()}
        if all(post.body.get(name) == value for name, value in new.items()):
            raise bad_request(
                "message is not modified: specified new message content and reply markup are exactly the same "
                "as a current content and reply markup of the message"
            )
        self._telegram.edit(chat, post, **changes)
        return post.body

    @plays(methods.EditMessageText)
    async def edit_message_text(self, bot: Bot, call: methods.EditMessageText) -> Any:
        chat, post = self._to_edit(bot, call)
        if "text" not in post.body:
            raise bad_request("there is no text in the message to edit")
        formatted = compose(call.text, call.parse_mode, call.entities)
        markup = check_inline(call.reply_markup)
        return self._edit(chat, post, text=formatted.text, entities=formatted.entities or None, reply_markup=markup)

    @plays(methods.EditMessageCaption)
    async def edit_message_caption(self, bot: Bot, call: methods.EditMessageCaption) -> Any:
        chat, post = self._to_edit(bot, call)
        if "document" not in post.body and "photo" not in post.body:
            raise bad_request("there is no caption in the message to edit")
        caption = compose(call.caption, call.parse_mode, call.caption_entities, limit=CAPTION_LIMIT)
        return self._edit(
            chat,
            post,
            caption=caption.text or None,
            caption_entities=caption.entities or None,
            reply_markup=check_inline(call.reply_markup),
        )

    @plays(methods.EditMessageReplyMarkup)
    async def edit_message_reply_markup(self, bot: Bot, call: methods.EditMessageReplyMarkup) -> Any:
        chat, post = self._to_edit(bot, call)
        return self._edit(chat, post, reply_markup=check_inline(call.reply_markup, invoice="invoice" in post.body))

    @plays(methods.DeleteMessage)
    async def delete_message(self, bot: Bot, call: methods.DeleteMessage) -> bool:
        chat = self._telegram.reach(bot, call.chat_id)
        post = chat.posts.get(call.message_id)
        if post is None or post.deleted:
            raise bad_request("message to delete not found")
        self._telegram.delete(chat, post)
        return True

    @plays(methods.DeleteMessages)
    async def delete_messages(self, bot: Bot, call: methods.DeleteMessages) -> bool:
        chat = self._telegram.reach(bot, call.chat_id)
        for message_id in call.message_ids:
            post = chat.posts.get(message_id)
            if post is not None and not post.deleted:
                self._telegram.delete(chat, post)
        return True

    @plays(methods.AnswerCallbackQuery)
    async def answer_callback_query(self, bot: Bot, call: methods.AnswerCallbackQuery) -> bool:
        query = self._queries.get(call.callback_query_id)
        if query is None or query.bot_key != bot.key or query.at < self._clock() - QUERY_SECONDS:
            raise bad_request("query is too old and response timeout expired or query ID is invalid")
        if len(call.text or "") > _ANSWER_UNITS:
            raise bad_request("MESSAGE_TOO_LONG")
        del self._queries[query.id]
        self._telegram.note_answer(
            query.chat,
            {
                "callback_query_id": query.id,
                "message_id": query.message_id,
                "data": query.data,
                "text": call.text or "",
                "show_alert": bool(call.show_alert),
                "url": call.url,
                "at": self._telegram.now(),
            },
        )
        return True

    # Files and chats

    @plays(methods.GetFile)
    async def get_file(self, bot: Bot, call: methods.GetFile) -> Any:
        file = self._store.file(call.file_id)
        if file is None:
            raise bad_request("wrong file_id or the file is temporarily unavailable")
        if file.size > DOWNLOAD_BYTES:
            raise bad_request("file is too big")
        return types.File(file_id=file.file_id, file_unique_id=file.unique_id, file_size=file.size, file_path=file.path)

    async def download(self, path: str) -> bytes:
        """The bytes of the file at a Bot API `file_path`; raises ApiError 404."""
        number = path.removeprefix("documents/file_").split(".", 1)[0]
        file = self._store.file_by_number(int(number)) if number.isascii() and number.isdigit() else None
        if file is None or file.path != path or file.size > DOWNLOAD_BYTES:
            raise ApiError(404, "Not Found")
        return self._store.data(file.file_id)

    @plays(methods.GetChat)
    async def get_chat(self, bot: Bot, call: methods.GetChat) -> Any:
        chat = self._telegram.reach(bot, call.chat_id)
        return types.ChatFullInfo(
            **encode(self._telegram.people[chat.person_id].chat()),
            accent_color_id=0,
            max_reaction_count=11,
            accepted_gift_types=types.AcceptedGiftTypes(
                unlimited_gifts=True,
                limited_gifts=True,
                unique_gifts=True,
                premium_subscription=True,
                gifts_from_channels=True,
            ),
        )


def check_markup(markup: Any) -> InlineKeyboardMarkup | None:
    """The inline keyboard to put under a message; other keyboards are checked and give None."""
    if isinstance(markup, InlineKeyboardMarkup):
        return check_inline(markup)
    if isinstance(markup, ReplyKeyboardMarkup) and not any(markup.keyboard):
        raise bad_request("reply keyboard must have at least one button")
    return None


def mime_type(name: str) -> str:
    return mimetypes.guess_type(name)[0] or "application/octet-stream"


def document(file: StoredFile) -> types.Document:
    return types.Document(
        file_id=file.file_id,
        file_unique_id=file.unique_id,
        file_name=file.name,
        mime_type=file.mime_type,
        file_size=file.size,
    )


def photo_size(file: StoredFile, data: bytes) -> types.PhotoSize:
    width, height = image_size(data) or (0, 0)
    return types.PhotoSize(
        file_id=file.file_id, file_unique_id=file.unique_id, width=width, height=height, file_size=file.size
    )


def image_size(data: bytes) -> tuple[int, int] | None:
    """Width and height of a PNG or JPEG, None for anything else."""
    if data.startswith(b"\x89PNG\r\n\x1a\n") and len(data) >= 24:
        return int.from_bytes(data[16:20]), int.from_bytes(data[20:24])
    if not data.startswith(b"\xff\xd8"):
        return None
    at = 2
    while at + 9 < len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # a start of frame
            return int.from_bytes(data[at + 7 : at + 9]), int.from_bytes(data[at + 5 : at + 7])
        at += 2 + int.from_bytes(data[at + 2 : at + 4])
    return None
