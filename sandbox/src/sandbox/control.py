"""The HTTP interface for tests and for the page: what people do, what happened, what shall go wrong."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import orjson
from aiogram import types
from aiohttp import web
from aiohttp.typedefs import Handler as HttpHandler
from pydantic import ValidationError

from sandbox.errors import ControlError
from sandbox.faults import Faults
from sandbox.formatting import CAPTION_LIMIT, split, spoken, units
from sandbox.journal import Journal
from sandbox.live import Live, Subscription
from sandbox.live import encode as encode_event
from sandbox.messages import UPLOAD_BYTES, CallbackQuery, Messages, document, image_size, mime_type, photo_size
from sandbox.payments import Payments
from sandbox.registry import KNOWN
from sandbox.store import Store
from sandbox.telegram import Bot, Chat, Person, Post, Telegram, encode, moment
from sandbox.updates import Updates

PERSON_ID_AT_MOST = 2**52 - 1
TEXT_AT_MOST = 1_000_000  # characters a person can paste at once
_DEFAULT_LANGUAGE = "ru"
_JOURNAL_PAGE = 1_000
_PAGE_MESSAGES = 300
_KEEP_ALIVE_SECONDS = 15.0
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})?")
_USERNAME = re.compile(r"[A-Za-z]\w{2,31}", re.ASCII)
# What else a person can send; enough of each to be a message of that kind.
_SAMPLES: dict[str, dict[str, Any]] = {
    "sticker": {"width": 512, "height": 512, "is_animated": False, "is_video": False, "type": "regular", "emoji": "👍"},
    "voice": {"duration": 3, "mime_type": "audio/ogg", "file_size": 9_000},
    "video_note": {"length": 240, "duration": 3, "file_size": 90_000},
    "location": {"latitude": 55.7558, "longitude": 37.6173},
    "contact": {"phone_number": "+10000000000", "first_name": "Sample"},
}


class Control:
    """Serves `/sandbox/…`."""

    def __init__(
        self,
        telegram: Telegram,
        updates: Updates,
        messages: Messages,
        payments: Payments,
        faults: Faults,
        journal: Journal,
        live: Live,
        store: Store,
        clock: Callable[[], float],
    ) -> None:
        self._telegram = telegram
        self._updates = updates
        self._messages = messages
        self._payments = payments
        self._faults = faults
        self._journal = journal
        self._live = live
        self._store = store
        self._clock = clock

    def routes(self) -> list[web.RouteDef]:
        person = "/sandbox/people/{id}"
        return [
            web.get("/sandbox/ready", self.ready),
            web.get("/sandbox/bots", self.list_bots),
            web.get("/sandbox/people", self.list_people),
            web.get(person, self.get_person),
            web.put(person, self.put_person),
            web.post(f"{person}/messages", self.post_message),
            web.post(f"{person}/documents", self.post_document),
            web.post(f"{person}/callbacks", self.post_callback),
            web.post(f"{person}/payments", self.post_payment),
            web.post(f"{person}/block", self.block),
            web.post(f"{person}/unblock", self.unblock),
            web.get("/sandbox/chats/{id}", self.get_chat),
            web.get("/sandbox/events", self.events),
            web.get("/sandbox/files/{file_id}", self.get_file),
            web.get("/sandbox/journal", self.get_journal),
            web.get("/sandbox/faults", self.list_faults),
            web.post("/sandbox/faults", self.post_fault),
            web.delete("/sandbox/faults", self.delete_faults),
            web.post("/sandbox/updates/{id}/redeliver", self.redeliver),
        ]

    # Bots and people

    async def ready(self, request: web.Request) -> web.Response:
        """200 once there is a bot to chat with: what a cluster asks before it sends people here."""
        return _json({"bot": self._telegram.bot_view(self._bot(request))})

    async def list_bots(self, request: web.Request) -> web.Response:
        bots = sorted(self._telegram.bots.values(), key=lambda bot: -bot.active_at)
        return _json({"bots": [self._telegram.bot_view(bot) for bot in bots]})

    async def list_people(self, request: web.Request) -> web.Response:
        return _json({"people": [encode(person.user()) for person in self._telegram.people.values()]})

    async def get_person(self, request: web.Request) -> web.Response:
        person = self._telegram.people.get(_number(request.match_info["id"], "id", 1, PERSON_ID_AT_MOST))
        if person is None:
            raise ControlError("no such person", field="id", status=404)
        return _json(encode(person.user()))

    async def put_person(self, request: web.Request) -> web.Response:
        return _json(encode(self._person(request, await _object(request)).user()))

    def _person(self, request: web.Request, fields: dict[str, Any]) -> Person:
        """The person in the path, made when new, with the profile fields given."""
        person_id = _number(request.match_info["id"], "id", 1, PERSON_ID_AT_MOST)
        known = self._telegram.people.get(person_id)
        person = known or Person(person_id, f"Person {person_id}", language_code=_DEFAULT_LANGUAGE)
        changes = {
            "first_name": _name(fields, "first_name"),
            "last_name": _name(fields, "last_name"),
            "username": _matching(fields, "username", _USERNAME, 32),
            "language_code": _matching(fields, "language_code", _LANGUAGE, 12),
        }
        changed = known is None
        for name, value in changes.items():
            if name in fields and (value is not None or name != "first_name") and getattr(person, name) != value:
                setattr(person, name, value)
                changed = True
        if changed:
            self._telegram.keep_person(person)
        return person

    def _bot(self, request: web.Request) -> Bot:
        given = request.query.get("bot")
        bot = self._telegram.choose_bot(_number(given, "bot", 1, PERSON_ID_AT_MOST) if given else None)
        if bot is None:
            message = "this bot has not called the Bot API yet" if given else "no bot has called the Bot API yet"
            raise ControlError(message, field="bot", status=409)
        return bot

    def _begin(self, request: web.Request, fields: dict[str, Any]) -> tuple[Bot, Person, Chat]:
        bot = self._bot(request)
        person = self._person(request, fields)
        chat = self._telegram.open_chat(bot, person)
        if chat.blocked:
            raise ControlError("this person has blocked the bot: unblock it first", field="id", status=409)
        return bot, person, chat

    # What people do

    async def post_message(self, request: web.Request) -> web.Response:
        body = await _object(request)
        kind = body.get("kind", "text")
        if kind != "text" and kind not in _SAMPLES:
            raise ControlError(f"kind must be text or one of {', '.join(_SAMPLES)}", field="kind")
        parts: list[str] = []
        if kind == "text":
            text = body.get("text")
            if not isinstance(text, str):
                raise ControlError("text must be a string", field="text")
            if len(text) > TEXT_AT_MOST:
                raise ControlError(f"text must be at most {TEXT_AT_MOST} characters", field="text", limit=TEXT_AT_MOST)
            parts = split(text.replace("\r\n", "\n"))
            if not parts:
                raise ControlError("text must have at least 1 character that is not a space", field="text", limit=1)
        bot, person, chat = self._begin(request, body)
        if kind == "text":
            posts = [self._telegram.post(chat, person, text=part, entities=spoken(part) or None) for part in parts]
        else:
            content: dict[str, Any] = {kind: self._sample(kind)}
            posts = [self._telegram.post(chat, person, **content)]
        return self._sent(bot, person, posts)

    @staticmethod
    def _sample(kind: str) -> dict[str, Any]:
        if kind in ("location", "contact"):
            return _SAMPLES[kind]
        return {**_SAMPLES[kind], "file_id": secrets.token_urlsafe(24), "file_unique_id": secrets.token_urlsafe(9)}

    def _sent(self, bot: Bot, person: Person, posts: list[Post]) -> web.Response:
        updates = [self._updates.push(bot, person.id, "message", post.body) for post in posts]
        return _json(
            {
                "message_id": posts[0].id,
                "update_id": updates[0],
                "message_ids": [post.id for post in posts],
                "update_ids": updates,
            }
        )

    async def post_document(self, request: web.Request) -> web.Response:
        if not request.content_type.startswith("multipart/"):
            raise ControlError("the body must be multipart/form-data with a file", field="document")
        try:
            form = await request.post()
        except web.HTTPRequestEntityTooLarge:
            raise ControlError(
                f"the file must be at most {UPLOAD_BYTES} bytes", field="document", limit=UPLOAD_BYTES, status=413
            ) from None
        upload = next((value for value in form.values() if isinstance(value, web.FileField)), None)
        if upload is None:
            raise ControlError("there is no file in the form", field="document")
        data = await asyncio.to_thread(upload.file.read)
        if not 1 <= len(data) <= UPLOAD_BYTES:
            status = 413 if data else 400
            raise ControlError(
                f"the file must have 1 to {UPLOAD_BYTES} bytes", field="document", limit=UPLOAD_BYTES, status=status
            )
        fields = {name: value for name, value in form.items() if isinstance(value, str)}
        caption = fields.get("caption", "").strip()
        if units(caption) > CAPTION_LIMIT:
            raise ControlError(
                f"caption must be at most {CAPTION_LIMIT} characters", field="caption", limit=CAPTION_LIMIT
            )
        photo = fields.get("kind") == "photo"
        if photo and image_size(data) is None:
            raise ControlError("a photo must be a PNG or a JPEG", field="document")
        bot, person, chat = self._begin(request, fields)
        name = unquote(upload.filename) or "file"  # browsers and HTTP clients percent-encode at least the quotes
        given_type = upload.content_type
        kind = given_type if given_type != "application/octet-stream" else mime_type(name)
        file = self._telegram.add_file(name, kind, data, "AgAC" if photo else "BQAC")
        content: dict[str, Any] = {"photo": [photo_size(file, data)]} if photo else {"document": document(file)}
        if caption:
            content |= {"caption": caption, "caption_entities": spoken(caption) or None}
        return self._sent(bot, person, [self._telegram.post(chat, person, **content)])

    async def post_callback(self, request: web.Request) -> web.Response:
        body = await _object(request)
        message_id = _number(body.get("message_id"), "message_id", 1, PERSON_ID_AT_MOST)
        data = body.get("data")
        if not isinstance(data, str):
            raise ControlError("data must be a string", field="data")
        bot, person, chat = self._begin(request, body)
        post = chat.posts.get(message_id)
        if post is None or post.deleted:
            raise ControlError("message_id names no message of this chat", field="message_id", status=404)
        buttons = [button for row in self._telegram.view(post)["buttons"] for button in row]
        if not any(button.get("callback_data") == data for button in buttons):
            raise ControlError("the message has no button with this data", field="data")
        query = CallbackQuery(str(secrets.randbits(62)), bot.key, chat, message_id, data, self._clock())
        self._messages.expect_answer(query)
        update = types.CallbackQuery(
            id=query.id,
            from_user=person.user(),
            chat_instance=str(person.id * 7919),
            message=post.message(),
            data=data,
        )
        update_id = self._updates.push(bot, person.id, "callback_query", encode(update))
        return _json({"callback_query_id": query.id, "update_id": update_id})

    async def post_payment(self, request: web.Request) -> web.Response:
        body = await _object(request)
        link, renewed = body.get("link"), body.get("renew")
        message_id = None
        if not isinstance(link, str) and not isinstance(renewed, str):
            link = None
            message_id = _number(body.get("message_id"), "message_id", 1, PERSON_ID_AT_MOST)
        bot, person, chat = self._begin(request, body)
        if isinstance(renewed, str):
            return _json(self._payments.renew(bot, person, chat, renewed))
        invoice = self._payments.invoice_of(bot, chat, message_id, link)
        # Money does not stop moving because whoever asked has hung up.
        return _json(await asyncio.shield(self._payments.pay(bot, person, chat, invoice)))

    async def block(self, request: web.Request) -> web.Response:
        return self._set_blocked(request, True)

    async def unblock(self, request: web.Request) -> web.Response:
        return self._set_blocked(request, False)

    def _set_blocked(self, request: web.Request, blocked: bool) -> web.Response:
        bot = self._bot(request)
        person = self._person(request, {})
        chat = self._telegram.open_chat(bot, person)
        update_id = None
        if chat.blocked != blocked:
            self._telegram.set_blocked(chat, blocked)
            member = types.ChatMemberMember(user=bot.user())
            kicked = types.ChatMemberBanned(user=bot.user(), until_date=moment(0))
            change = types.ChatMemberUpdated(
                chat=person.chat(),
                from_user=person.user(),
                date=moment(self._clock()),
                old_chat_member=member if blocked else kicked,
                new_chat_member=kicked if blocked else member,
            )
            update_id = self._updates.push(bot, person.id, "my_chat_member", encode(change))
        return _json({"blocked": blocked, "update_id": update_id})

    # What happened

    async def get_chat(self, request: web.Request) -> web.Response:
        person_id = _number(request.match_info["id"], "id", 1, PERSON_ID_AT_MOST)
        bot = self._bot(request) if "bot" in request.query else self._telegram.choose_bot()
        return _json(self._telegram.chat_view(bot, person_id, edits=True))

    async def events(self, request: web.Request) -> web.StreamResponse:
        """Server-sent events for the page: a snapshot of the chats, then every change of them."""
        people = [_number(part, "people", 1, PERSON_ID_AT_MOST) for part in request.query.get("people", "").split(",")]
        try:
            bot = self._bot(request)
        except ControlError:
            bot = None
        subscription = Subscription(bot.key if bot else None, frozenset(people))
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        await response.prepare(request)
        self._live.subscribe(subscription)
        try:
            snapshot = {
                "bot": self._telegram.bot_view(bot) if bot else None,
                "bots": [self._telegram.bot_view(b) for b in self._telegram.bots.values()],
                "chats": [self._telegram.chat_view(bot, person_id, last=_PAGE_MESSAGES) for person_id in people]
                if bot
                else [],
            }
            await response.write(encode_event("snapshot", snapshot))
            while True:
                try:
                    async with asyncio.timeout(_KEEP_ALIVE_SECONDS):
                        frame = await subscription.queue.get()
                except TimeoutError:
                    frame = b": still here\n\n"
                if frame is None:
                    break
                await response.write(frame)
        except ConnectionResetError:
            pass
        finally:
            self._live.unsubscribe(subscription)
        return response

    async def get_file(self, request: web.Request) -> web.Response:
        file = self._store.file(request.match_info["file_id"])
        if file is None:
            raise ControlError("no such file", field="file_id", status=404)
        data = self._store.data(file.file_id)
        picture = image_size(data) is not None
        shown = "inline" if picture else "attachment"
        content_type = ("image/png" if data.startswith(b"\x89PNG") else "image/jpeg") if picture else file.mime_type
        return web.Response(
            body=data,
            headers={
                "Content-Type": content_type,
                "Content-Disposition": f"{shown}; filename*=UTF-8''{quote(file.name, safe='')}",
                "Content-Security-Policy": "default-src 'none'; sandbox",
                "X-Content-Type-Options": "nosniff",
            },
        )

    async def get_journal(self, request: web.Request) -> web.Response:
        after = _number(request.query.get("after", "0"), "after", 0, PERSON_ID_AT_MOST)
        limit = _number(request.query.get("limit", str(_JOURNAL_PAGE)), "limit", 1, 10_000)
        return _json(self._journal.after(after, limit))

    # What shall go wrong

    async def list_faults(self, request: web.Request) -> web.Response:
        return _json({"faults": self._faults.listed()})

    async def post_fault(self, request: web.Request) -> web.Response:
        self._faults.plan(await _object(request), frozenset(KNOWN))
        return await self.list_faults(request)

    async def delete_faults(self, request: web.Request) -> web.Response:
        self._faults.clear()
        return await self.list_faults(request)

    async def redeliver(self, request: web.Request) -> web.Response:
        update_id = _number(request.match_info["id"], "id", 1, PERSON_ID_AT_MOST)
        body = await _object(request)
        times = _number(body.get("times", 1), "times", 1, 100)
        if not self._updates.redeliver(update_id, times):
            raise ControlError("no such update, or it was forgotten", field="id", status=404)
        return _json({"update_id": update_id, "times": times})


@web.middleware
async def answer_errors(request: web.Request, handler: HttpHandler) -> web.StreamResponse:
    """Turns ControlError into JSON, and keeps pages of other sites from playing with this one."""
    if not request.path.startswith("/sandbox/"):
        return await handler(request)
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc != request.host:
        return _json({"error": "requests from other sites are refused", "field": "Origin"}, 403)
    try:
        return await handler(request)
    except ControlError as error:
        body: dict[str, Any] = {"error": error.message}
        if error.field:
            body["field"] = error.field
        if error.limit is not None:
            body["limit"] = error.limit
        return _json(body, error.status)
    except ValidationError as error:
        return _json({"error": "Telegram has no such message", "details": error.errors(include_url=False)}, 400)
    except web.HTTPRequestEntityTooLarge:
        return _json({"error": f"the body must be at most {UPLOAD_BYTES} bytes", "limit": UPLOAD_BYTES}, 413)


async def _object(request: web.Request) -> dict[str, Any]:
    raw = await request.read()
    try:
        body = orjson.loads(raw) if raw.strip() else {}
    except orjson.JSONDecodeError:
        body = None
    if not isinstance(body, dict):
        raise ControlError("the body must be a JSON object")
    return body


def _number(value: object, field: str, low: int, high: int) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 16:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ControlError(f"{field} must be a whole number from {low} to {high}", field=field, limit=high)
    return value


def _name(fields: dict[str, Any], name: str) -> str | None:
    value = fields.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or len(value.strip()) > 64 or (name == "first_name" and not value.strip()):
        raise ControlError(f"{name} must be text of 1 to 64 characters", field=name, limit=64)
    return value.strip() or None


def _matching(fields: dict[str, Any], name: str, pattern: re.Pattern[str], limit: int) -> str | None:
    value = fields.get(name)
    if value is None or value == "":
        return None
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise ControlError(f"{name} must be like {pattern.pattern}", field=name, limit=limit)
    return value


def _json(body: dict[str, Any], status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(body), status=status, content_type="application/json")
