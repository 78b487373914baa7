"""What Telegram knows: bots, people, chats and their messages. Every change is kept and told to open pages here."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from aiogram import types
from pydantic import BaseModel

from sandbox.clock import first_message_id
from sandbox.errors import ApiError, bad_request
from sandbox.live import Live
from sandbox.store import Store, StoredFile

MESSAGES_KEPT = 2_000  # a chat forgets its oldest beyond this
_EDITS_KEPT = 200
_ANSWERS_KEPT = 50
_TYPING_SECONDS = 5.0  # as Telegram shows a chat action


def encode(value: Any) -> Any:
    """A Bot API object as Telegram puts it into JSON."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", by_alias=True, exclude_none=True)
    if isinstance(value, list):
        return [encode(item) for item in value]
    return value


def moment(unix_seconds: float) -> datetime:
    return datetime.fromtimestamp(int(unix_seconds), UTC)


@dataclass
class Webhook:
    url: str
    secret_token: str | None = None
    max_connections: int = 40
    ip_address: str | None = None


@dataclass
class Bot:
    """`key` is a digest of the token, so that a real token put here by mistake is not kept."""

    key: str
    id: int
    name: str
    active_at: float = 0.0
    webhook: Webhook | None = None
    allowed_updates: list[str] | None = None
    commands: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    menu_button: dict[str, Any] | None = None

    @property
    def username(self) -> str:
        return f"sandbox_{self.id}_bot"

    def user(self) -> types.User:
        return types.User(id=self.id, is_bot=True, first_name=self.name, username=self.username)


@dataclass
class Person:
    id: int
    first_name: str
    last_name: str | None = None
    username: str | None = None
    language_code: str | None = None

    def user(self) -> types.User:
        return types.User(is_bot=False, **asdict(self))

    def chat(self) -> types.Chat:
        return types.Chat(
            id=self.id, type="private", first_name=self.first_name, last_name=self.last_name, username=self.username
        )


@dataclass
class Post:
    """One message of a chat: `body` is the Bot API's Message, times are unix milliseconds."""

    id: int
    at: int
    from_bot: bool
    body: dict[str, Any]
    reply_keyboard: bool = False
    edits: list[dict[str, Any]] = field(default_factory=list)
    edit_count: int = 0
    deleted: bool = False
    seen: bool = False

    def message(self) -> types.Message:
        return types.Message.model_validate(self.body)


@dataclass
class Chat:
    bot_key: str
    person_id: int
    last_message_id: int
    blocked: bool = False
    keyboard: dict[str, Any] | None = None
    posts: dict[int, Post] = field(default_factory=dict)
    typing_until: float = 0.0
    answers: list[dict[str, Any]] = field(default_factory=list)

    @property
    def key(self) -> str:
        return f"{self.bot_key}/{self.person_id}"


class Telegram:
    """The state, read from `store` at start; `clock` gives unix seconds."""

    def __init__(self, store: Store, live: Live, clock: Callable[[], float], bot_name: str) -> None:
        self._store = store
        self._live = live
        self._clock = clock
        self._bot_name = bot_name
        self.bots: dict[str, Bot] = {}
        self.people: dict[int, Person] = {p["id"]: Person(**p) for p in store.all("person")}
        self._chats: dict[tuple[str, int], Chat] = {}
        for record in store.all("bot"):
            webhook = record.pop("webhook")
            self.bots[record["key"]] = Bot(**record, webhook=Webhook(**webhook) if webhook else None)
        for record in store.all("chat"):
            chat = Chat(**record)
            self._chats[chat.bot_key, chat.person_id] = chat
        for record in sorted(store.all("message"), key=lambda r: int(r["post"]["id"])):
            self._chats[record["bot_key"], record["person_id"]].posts[record["post"]["id"]] = Post(**record["post"])

    def now(self) -> int:
        """Unix milliseconds."""
        return int(self._clock() * 1000)

    # Bots

    def bot(self, token: str) -> Bot:
        """The bot of a token, made at its first call."""
        key = hashlib.sha256(token.encode()).hexdigest()[:20]
        bot = self.bots.get(key)
        if bot is None:
            bot = self.bots[key] = Bot(key, int(token.split(":", 1)[0]), self._bot_name, self._clock())
            self.keep_bot(bot)
        bot.active_at = self._clock()
        return bot

    def keep_bot(self, bot: Bot) -> None:
        self._store.put("bot", bot.key, asdict(bot))
        self._live.tell("bot", self.bot_view(bot))

    def choose_bot(self, bot_id: int | None = None) -> Bot | None:
        """The bot with this id, or the most recently active one; None when there is none."""
        candidates = [bot for bot in self.bots.values() if bot_id in (None, bot.id)]
        return max(candidates, key=lambda bot: bot.active_at, default=None)

    @staticmethod
    def bot_view(bot: Bot) -> dict[str, Any]:
        return {"id": bot.id, "name": bot.name, "username": bot.username, "texts": bot.texts}

    # People and their chats

    def keep_person(self, person: Person) -> None:
        self.people[person.id] = person
        self._store.put("person", person.id, asdict(person))
        self._live.tell("person", asdict(person), person_id=person.id)

    def chat(self, bot: Bot, person_id: int) -> Chat | None:
        return self._chats.get((bot.key, person_id))

    def open_chat(self, bot: Bot, person: Person) -> Chat:
        """The chat of a person with a bot, begun by the person if it was not there."""
        chat = self._chats.get((bot.key, person.id))
        if chat is None:
            chat = self._chats[bot.key, person.id] = Chat(bot.key, person.id, first_message_id())
            self._keep_chat(chat)
        return chat

    def reach(self, bot: Bot, chat_id: int | str) -> Chat:
        """The chat a bot may write to; raises ApiError where Telegram would not let it."""
        text = str(chat_id).strip()
        if not text:
            raise bad_request("chat_id is empty")
        person_id = int(text) if text.lstrip("-").isascii() and text.lstrip("-").isdigit() else None
        if person_id is None or person_id not in self.people:
            raise bad_request("chat not found")
        chat = self._chats.get((bot.key, person_id))
        if chat is None:
            raise ApiError(403, "Forbidden: bot can't initiate conversation with a user")
        if chat.blocked:
            raise ApiError(403, "Forbidden: bot was blocked by the user")
        return chat

    def _keep_chat(self, chat: Chat) -> None:
        self._store.put(
            "chat",
            chat.key,
            {
                "bot_key": chat.bot_key,
                "person_id": chat.person_id,
                "last_message_id": chat.last_message_id,
                "blocked": chat.blocked,
                "keyboard": chat.keyboard,
            },
        )

    def set_blocked(self, chat: Chat, blocked: bool) -> None:
        chat.blocked = blocked
        self._keep_chat(chat)
        self._tell(chat, "state", self._state(chat))

    def set_keyboard(self, chat: Chat, keyboard: dict[str, Any] | None) -> None:
        """The reply keyboard under the composer; None takes it away."""
        chat.keyboard = keyboard
        self._keep_chat(chat)
        self._tell(chat, "state", self._state(chat))

    def set_typing(self, chat: Chat) -> None:
        chat.typing_until = self._clock() + _TYPING_SECONDS
        self._tell(chat, "typing", {"seconds": _TYPING_SECONDS})

    # Messages

    def post(self, chat: Chat, sender: Bot | Person, *, reply_keyboard: bool = False, **content: Any) -> Post:
        """Adds a message with these Message fields; from the bot it ends "typing"."""
        chat.last_message_id += 1
        message = types.Message(
            message_id=chat.last_message_id,
            date=moment(self._clock()),
            chat=self.people[chat.person_id].chat(),
            from_user=sender.user(),
            **content,
        )
        from_bot = isinstance(sender, Bot)
        post = Post(message.message_id, self.now(), from_bot, encode(message), reply_keyboard)
        chat.posts[post.id] = post
        if from_bot:
            chat.typing_until = 0.0
        if len(chat.posts) > MESSAGES_KEPT:
            oldest = next(iter(chat.posts))
            del chat.posts[oldest]
            self._store.remove("message", f"{chat.key}/{oldest}")
        self._keep_chat(chat)
        self._keep_post(chat, post)
        return post

    def edit(self, chat: Chat, post: Post, **changes: Any) -> None:
        """Changes Message fields (None removes one); a change of words is noted among the edits."""
        body = {**post.body, **encode(changes), "edit_date": self.now() // 1000}
        words = body.get("text", body.get("caption"))
        changed = words != post.body.get("text", post.body.get("caption"))
        post.body = encode(types.Message.model_validate(body))
        if changed:
            post.edit_count += 1
            post.edits = [*post.edits, {"at": self.now(), "text": words or ""}][-_EDITS_KEPT:]
        self._keep_post(chat, post)

    def delete(self, chat: Chat, post: Post) -> None:
        """The chat forgets what the message said to bots; the test interface still shows it as deleted."""
        post.deleted = True
        self._keep_post(chat, post)

    def mark_seen(self, bot_key: str, person_id: int, message_id: int) -> None:
        """Notes that the bot has received what the person wrote."""
        chat = self._chats.get((bot_key, person_id))
        post = chat.posts.get(message_id) if chat else None
        if chat and post and not post.seen:
            post.seen = True
            self._keep_post(chat, post)

    def _keep_post(self, chat: Chat, post: Post) -> None:
        # What an edit replaced is for whoever watches; written each time, it would grow with the square of the edits.
        record = {**vars(post), "edits": []}
        self._store.put(
            "message",
            f"{chat.key}/{post.id}",
            {"bot_key": chat.bot_key, "person_id": chat.person_id, "post": record},
        )
        self._tell(chat, "message", self.view(post))

    def note_answer(self, chat: Chat, answer: dict[str, Any]) -> None:
        """The bot's answer to a button press, for the page to show."""
        chat.answers = [*chat.answers, answer][-_ANSWERS_KEPT:]
        self._tell(chat, "answer", answer)

    # Files

    def add_file(self, name: str, mime_type: str, data: bytes, prefix: str = "BQAC") -> StoredFile:
        return self._store.add_file(prefix + secrets.token_urlsafe(24), secrets.token_urlsafe(9), name, mime_type, data)

    # Views

    def _tell(self, chat: Chat, event: str, data: dict[str, Any]) -> None:
        self._live.tell(event, {"chat_id": chat.person_id, **data}, chat.bot_key, chat.person_id)

    @staticmethod
    def view(post: Post, *, edits: bool = False) -> dict[str, Any]:
        """One message for the page and for tests."""
        body = post.body
        view: dict[str, Any] = {
            "message_id": post.id,
            "from": "bot" if post.from_bot else "person",
            "date": body["date"],
            "at": post.at,
            "text": body.get("text", body.get("caption", "")),
            "entities": body.get("entities", body.get("caption_entities", [])),
            "buttons": [] if post.deleted else body.get("reply_markup", {}).get("inline_keyboard", []),
            "edit_count": post.edit_count,
            "deleted": post.deleted,
            "seen": post.seen or post.from_bot,
        }
        if edits:
            view["edits"] = post.edits
        if reply := body.get("reply_to_message"):
            view["reply_to_message_id"] = reply["message_id"]
        for kind in (
            "document",
            "photo",
            "sticker",
            "voice",
            "video_note",
            "location",
            "contact",
            "invoice",
            "successful_payment",
            "refunded_payment",
        ):
            if kind in body:
                view[kind] = body[kind]
        return view

    def _state(self, chat: Chat) -> dict[str, Any]:
        return {"blocked": chat.blocked, "keyboard": chat.keyboard, "typing": chat.typing_until > self._clock()}

    def chat_view(
        self, bot: Bot | None, person_id: int, *, edits: bool = False, last: int | None = None
    ) -> dict[str, Any]:
        """A chat, or its `last` messages, for the page and for tests; one that has not begun is empty."""
        chat = (bot and self.chat(bot, person_id)) or Chat("", person_id, 0)
        person = self.people.get(person_id)
        return {
            "chat_id": person_id,
            "bot": self.bot_view(bot) if bot else None,
            "person": asdict(person) if person else None,
            "messages": [self.view(post, edits=edits) for post in list(chat.posts.values())[-last if last else None :]],
            "answers": chat.answers,
            "commands": self.commands(bot, person) if bot else [],
            **self._state(chat),
        }

    @staticmethod
    def commands(bot: Bot, person: Person | None) -> list[dict[str, str]]:
        """The menu this person sees: their own chat's before private chats' before everybody's, language first."""
        language = (person.language_code or "")[:2] if person else ""
        scopes = [f"chat:{person.id}"] if person else []
        for scope in [*scopes, "all_private_chats", "default"]:
            for wanted in (language, ""):
                if commands := bot.commands.get(f"{scope}|{wanted}"):
                    return commands
        return []
