"""aiogram's own Bot and Dispatcher against the sandbox: it must not be able to tell."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiogram import Bot, Dispatcher, F, Router
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.exceptions import (
    TelegramBadRequest,
    TelegramConflictError,
    TelegramEntityTooLarge,
    TelegramForbiddenError,
    TelegramNetworkError,
    TelegramRetryAfter,
    TelegramServerError,
    TelegramUnauthorizedError,
)
from aiogram.filters import Command, CommandObject, CommandStart
from aiogram.methods import AnswerCallbackQuery, SendMessage
from aiogram.types import (
    BotCommand,
    BotCommandScopeAllPrivateChats,
    BufferedInputFile,
    CallbackQuery,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    KeyboardButton,
    LabeledPrice,
    Message,
    PreCheckoutQuery,
    ReplyKeyboardMarkup,
    ReplyKeyboardRemove,
)
from aiogram.webhook.aiohttp_server import SimpleRequestHandler
from aiohttp import web
from sandbox.app import serving
from sandbox.settings import Settings

TOKEN = "4242:" + "T" * 35
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000002000000030802000000368819e7"
    "0000000c49444154789c63606060000000040001f61738550000000049454e44ae426082"
)


class Sandbox:
    """A running sandbox, a bot that talks to it and an HTTP client that plays people."""

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self.url = url
        self.http = http
        self.bots: list[Bot] = []
        self.bot = self.new_bot(TOKEN)

    def new_bot(self, token: str) -> Bot:
        bot = Bot(token, session=AiohttpSession(api=TelegramAPIServer.from_base(self.url)))
        self.bots.append(bot)
        return bot

    async def post(self, path: str, status: int = 200, **body: Any) -> Any:
        async with self.http.post(f"{self.url}/sandbox/{path}", json=body) as response:
            assert response.status == status, await response.text()
            return await response.json()

    async def get(self, path: str, status: int = 200) -> Any:
        async with self.http.get(f"{self.url}/sandbox/{path}") as response:
            assert response.status == status, await response.text()
            return await response.json()

    async def say(self, text: str, person: int = 7, **fields: Any) -> Any:
        return await self.post(f"people/{person}/messages", text=text, **fields)

    async def begin(self, person: int = 7) -> None:
        """A chat with nothing waiting."""
        await self.bot.get_me()
        await self.say("/start", person)
        updates = await self.bot.get_updates()
        await self.bot.get_updates(offset=updates[-1].update_id + 1)

    async def messages(self, person: int = 7) -> list[dict[str, Any]]:
        messages: list[dict[str, Any]] = (await self.get(f"chats/{person}"))["messages"]
        return messages

    async def until(self, ready: Callable[[], Awaitable[Any]]) -> Any:
        """The first true answer; the test's own timeout bounds the wait."""
        async with asyncio.timeout(10):
            while not (answer := await ready()):  # noqa: ASYNC110 (what is awaited is behind HTTP)
                await asyncio.sleep(0.02)
            return answer


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Sandbox]:
    async with serving(settings) as url, aiohttp.ClientSession() as http:
        sandbox = Sandbox(url, http)
        try:
            yield sandbox
        finally:
            for bot in sandbox.bots:
                await bot.session.close()


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with running(Settings(port=0)) as sandbox:
        yield sandbox


def keyboard(*data: str) -> InlineKeyboardMarkup:
    return InlineKeyboardMarkup(inline_keyboard=[[InlineKeyboardButton(text=d, callback_data=d) for d in data]])


def echo_router() -> Router:
    router = Router()

    @router.message(CommandStart(deep_link=True))
    async def start(message: Message, command: CommandObject) -> None:
        await message.answer(f"Hello <b>{command.args}</b>", parse_mode="HTML", reply_markup=keyboard("more"))

    @router.callback_query(F.data == "more")
    async def more(query: CallbackQuery) -> None:
        assert isinstance(query.message, Message)
        await query.message.edit_text("more")
        await query.answer("done")

    @router.message(F.document)
    async def weigh(message: Message, bot: Bot) -> None:
        assert message.document
        content = await bot.download(message.document)
        assert content
        await message.reply(f"{message.document.file_name}: {len(content.read())} bytes")

    @router.message(F.text)
    async def echo(message: Message) -> None:
        await message.answer(message.text or "")

    return router


@asynccontextmanager
async def polling(sandbox: Sandbox) -> AsyncIterator[None]:
    dispatcher = Dispatcher()
    dispatcher.include_router(echo_router())
    task = asyncio.create_task(dispatcher.start_polling(sandbox.bot, handle_signals=False, polling_timeout=5))
    await sandbox.until(lambda: sandbox_knows_a_bot(sandbox))
    try:
        yield
    finally:
        with suppress(RuntimeError):
            await dispatcher.stop_polling()
        await task


async def sandbox_knows_a_bot(sandbox: Sandbox) -> bool:
    return bool((await sandbox.get("bots"))["bots"])


async def test_a_polling_dispatcher_holds_a_whole_conversation(sandbox: Sandbox) -> None:
    async with polling(sandbox):
        await sandbox.say("/start ref_1", first_name="Анна", language_code="ru")

        async def greeted() -> Any:
            return [m for m in await sandbox.messages() if m["from"] == "bot"]

        (greeting,) = await sandbox.until(greeted)
        assert greeting["text"] == "Hello ref_1"
        assert greeting["entities"] == [{"type": "bold", "offset": 6, "length": 5}]
        assert greeting["buttons"] == [[{"text": "more", "callback_data": "more"}]]

        await sandbox.post("people/7/callbacks", message_id=greeting["message_id"], data="more")

        async def answered() -> Any:
            chat = await sandbox.get("chats/7")
            return chat if chat["answers"] else None

        chat = await sandbox.until(answered)
        assert chat["answers"][0]["text"] == "done"
        edited = chat["messages"][1]
        assert (edited["text"], edited["buttons"], edited["edit_count"]) == ("more", [], 1)
        assert [edit["text"] for edit in edited["edits"]] == ["more"]


async def test_documents_travel_both_ways(sandbox: Sandbox) -> None:
    async with polling(sandbox):
        form = aiohttp.FormData()
        form.add_field("document", b"x" * 1000, filename="резюме.pdf", content_type="application/pdf")
        form.add_field("caption", "моё резюме")
        async with sandbox.http.post(f"{sandbox.url}/sandbox/people/7/documents", data=form) as response:
            assert response.status == 200

        async def replied() -> Any:
            return next((m for m in await sandbox.messages() if m["from"] == "bot"), None)

        reply = await sandbox.until(replied)
        assert reply["text"] == "резюме.pdf: 1000 bytes"
        assert reply["reply_to_message_id"] == (await sandbox.messages())[0]["message_id"]

    sent = await sandbox.bot.send_document(7, BufferedInputFile(b"letter", "письмо.docx"), caption="<i>готово</i>")
    assert sent.document
    assert sent.document.file_size == 6
    again = await sandbox.bot.send_document(7, sent.document.file_id)
    assert again.document == sent.document
    async with sandbox.http.get(f"{sandbox.url}/sandbox/files/{sent.document.file_id}") as response:
        assert await response.read() == b"letter"
        assert "attachment" in response.headers["Content-Disposition"]


async def test_files_keep_to_telegrams_limits(sandbox: Sandbox) -> None:
    await sandbox.begin()
    big = await sandbox.bot.send_document(7, BufferedInputFile(bytes(20 * 1024 * 1024 + 1), "big.bin"))
    assert big.document
    with pytest.raises(TelegramBadRequest, match="file is too big"):
        await sandbox.bot.get_file(big.document.file_id)
    with pytest.raises(TelegramEntityTooLarge):
        await sandbox.bot.send_document(7, BufferedInputFile(bytes(50 * 1024 * 1024 + 1), "huge.bin"))
    with pytest.raises(TelegramBadRequest, match="wrong file_id"):
        await sandbox.bot.get_file("nothing")
    with pytest.raises(TelegramBadRequest, match="IMAGE_PROCESS_FAILED"):
        await sandbox.bot.send_photo(7, BufferedInputFile(b"not a picture", "a.png"))
    photo = await sandbox.bot.send_photo(7, BufferedInputFile(PNG, "chart.png"))
    assert photo.photo
    assert (photo.photo[0].width, photo.photo[0].height) == (2, 3)


async def test_text_limits_are_counted_in_utf16_after_parsing(sandbox: Sandbox) -> None:
    await sandbox.begin()
    fits = await sandbox.bot.send_message(7, "<b>" + "ы" * 4096 + "</b>", parse_mode="HTML")
    assert fits.text == "ы" * 4096
    await sandbox.bot.send_message(7, "😀" * 2048)
    with pytest.raises(TelegramBadRequest, match="message is too long"):
        await sandbox.bot.send_message(7, "😀" * 2048 + "!")
    for empty in ("", "  \n ", "<b></b>"):
        with pytest.raises(TelegramBadRequest, match="message text is empty"):
            await sandbox.bot.send_message(7, empty, parse_mode="HTML")
    with pytest.raises(TelegramBadRequest, match="caption is too long"):
        await sandbox.bot.send_document(7, BufferedInputFile(b"x", "x"), caption="x" * 1025)
    with pytest.raises(TelegramBadRequest, match="can't parse entities: Can't find end tag"):
        await sandbox.bot.send_message(7, "<b>open", parse_mode="HTML")


async def test_keyboards_are_checked_as_telegram_checks_them(sandbox: Sandbox) -> None:
    await sandbox.begin()
    await sandbox.bot.send_message(7, "fits", reply_markup=keyboard("д" * 32))
    with pytest.raises(TelegramBadRequest, match="BUTTON_DATA_INVALID"):
        await sandbox.bot.send_message(7, "64 bytes, not characters", reply_markup=keyboard("д" * 32 + "!"))
    bare = InlineKeyboardMarkup(inline_keyboard=[[InlineKeyboardButton(text="no action")]])
    with pytest.raises(TelegramBadRequest, match="Text buttons are unallowed"):
        await sandbox.bot.send_message(7, "x", reply_markup=bare)
    assert len((await sandbox.messages())[1:]) == 1, "a refused message must not appear"


async def test_a_reply_keyboard_shows_and_goes(sandbox: Sandbox) -> None:
    await sandbox.begin()
    shown = await sandbox.bot.send_message(
        7, "choose", reply_markup=ReplyKeyboardMarkup(keyboard=[[KeyboardButton(text="A")]], resize_keyboard=True)
    )
    assert (await sandbox.get("chats/7"))["keyboard"]["keyboard"] == [[{"text": "A"}]]
    with pytest.raises(TelegramBadRequest, match="message can't be edited"):
        await sandbox.bot.edit_message_text("other", chat_id=7, message_id=shown.message_id)
    await sandbox.bot.send_message(7, "thanks", reply_markup=ReplyKeyboardRemove())
    assert (await sandbox.get("chats/7"))["keyboard"] is None


async def test_edits_answer_as_telegram_does(sandbox: Sandbox) -> None:
    await sandbox.begin()
    bot = sandbox.bot
    sent = await bot.send_message(7, "one", reply_markup=keyboard("a"))
    with pytest.raises(TelegramBadRequest, match="message is not modified"):
        await sent.edit_text("one", reply_markup=keyboard("a"))
    same_words = await sent.edit_text("one")
    assert isinstance(same_words, Message)
    assert same_words.reply_markup is None, "an edit without a keyboard takes it away"
    with pytest.raises(TelegramBadRequest, match="message is not modified"):
        await sent.edit_reply_markup()
    back = await sent.edit_reply_markup(reply_markup=keyboard("b"))
    assert isinstance(back, Message)
    assert back.edit_date
    with pytest.raises(TelegramBadRequest, match="message to edit not found"):
        await bot.edit_message_text("x", chat_id=7, message_id=1)
    theirs = (await sandbox.messages())[0]["message_id"]
    with pytest.raises(TelegramBadRequest, match="message can't be edited"):
        await bot.edit_message_text("x", chat_id=7, message_id=theirs)
    assert await sent.delete()
    with pytest.raises(TelegramBadRequest, match="message to delete not found"):
        await sent.delete()
    with pytest.raises(TelegramBadRequest, match="message to edit not found"):
        await sent.edit_text("gone")
    last = (await sandbox.messages())[-1]
    assert (last["deleted"], last["buttons"]) == (True, [])


async def test_a_button_press_is_answered_once_and_in_time(sandbox: Sandbox) -> None:
    await sandbox.begin()
    sent = await sandbox.bot.send_message(7, "?", reply_markup=keyboard("a"))
    await sandbox.post("people/7/callbacks", message_id=sent.message_id, data="a")
    (update,) = await sandbox.bot.get_updates()
    assert update.callback_query
    assert update.callback_query.message
    assert await sandbox.bot(AnswerCallbackQuery(callback_query_id=update.callback_query.id))
    for stale in (update.callback_query.id, "123"):
        with pytest.raises(TelegramBadRequest, match="query is too old"):
            await sandbox.bot(AnswerCallbackQuery(callback_query_id=stale))


async def test_people_who_never_came_or_blocked_cannot_be_written_to(sandbox: Sandbox) -> None:
    await sandbox.begin()
    with pytest.raises(TelegramBadRequest, match="chat not found"):
        await sandbox.bot.send_message(999, "x")
    stranger = sandbox.new_bot("77:" + "S" * 35)
    with pytest.raises(TelegramForbiddenError, match="can't initiate conversation"):
        await stranger.send_message(7, "x")
    await sandbox.post("people/7/block?bot=4242")
    with pytest.raises(TelegramForbiddenError, match="bot was blocked by the user"):
        await sandbox.bot.send_message(7, "x")
    await sandbox.post("people/7/messages?bot=4242", status=409, text="x")
    await sandbox.post("people/7/unblock?bot=4242")
    await sandbox.bot.send_message(7, "welcome back")
    statuses = [u.my_chat_member.new_chat_member.status for u in await sandbox.bot.get_updates() if u.my_chat_member]
    assert statuses == ["kicked", "member"]


async def test_each_token_is_a_bot_of_its_own(sandbox: Sandbox) -> None:
    other = sandbox.new_bot("77:" + "S" * 35)
    mine, theirs = await sandbox.bot.get_me(), await other.get_me()
    assert (mine.id, theirs.id) == (4242, 77)
    await sandbox.post("people/7/messages?bot=4242", text="to the first")
    await sandbox.post("people/7/messages", text="to the last active")
    (first,), (second,) = await sandbox.bot.get_updates(), await other.get_updates()
    assert first.message
    assert second.message
    assert (first.message.text, second.message.text) == ("to the first", "to the last active")


async def test_malformed_tokens_methods_and_bodies_are_refused(sandbox: Sandbox) -> None:
    async with sandbox.http.get(f"{sandbox.url}/bot123:short/getMe") as response:
        assert response.status == 401
        assert (await response.json())["description"] == "Unauthorized"
    base = f"{sandbox.url}/bot{TOKEN}"
    cases = {
        "nosuchmethod": (404, {}),
        "sendMessage": (400, {"text": "no chat"}),
        "sendPoll": (400, {"chat_id": 1, "question": "?", "options": []}),
        "setMyCommands": (400, {"commands": "not json"}),
    }
    for method, (status, body) in cases.items():
        async with sandbox.http.post(f"{base}/{method}", json=body) as response:
            answer = await response.json()
            assert response.status == answer["error_code"] == status
            assert answer["ok"] is False
    async with sandbox.http.post(f"{base}/sendMessage", data=b"[", headers={"Content-Type": "application/json"}) as r:
        assert r.status == 400


async def test_forms_queries_and_json_are_the_same_call(sandbox: Sandbox) -> None:
    await sandbox.begin()
    base = f"{sandbox.url}/bot{TOKEN}"
    markup = keyboard("a").model_dump_json(exclude_none=True)
    requests = [
        sandbox.http.get(f"{base}/sendmessage", params={"chat_id": "7", "text": "hi", "reply_markup": markup}),
        sandbox.http.post(f"{base}/SENDMESSAGE", data={"chat_id": "7", "text": "hi", "reply_markup": markup}),
        sandbox.http.post(
            f"{base}/sendMessage",
            json={"chat_id": 7, "text": "hi", "reply_markup": keyboard("a").model_dump(exclude_none=True)},
        ),
    ]
    for request in requests:
        async with request as response:
            result = (await response.json())["result"]
            assert result["text"] == "hi"
            assert result["from"]["is_bot"] is True
            assert result["reply_markup"]["inline_keyboard"][0][0]["callback_data"] == "a"


async def test_commands_are_kept_by_language_and_scope(sandbox: Sandbox) -> None:
    bot, scope = sandbox.bot, BotCommandScopeAllPrivateChats()
    await bot.set_my_commands([BotCommand(command="new", description="New letter")])
    await bot.set_my_commands([BotCommand(command="new", description="Новое письмо")], scope=scope, language_code="ru")
    assert [c.description for c in await bot.get_my_commands()] == ["New letter"]
    assert [c.description for c in await bot.get_my_commands(scope=scope, language_code="ru")] == ["Новое письмо"]
    assert await bot.get_my_commands(scope=scope) == []
    await sandbox.say("hi", language_code="ru")
    assert (await sandbox.get("chats/7"))["commands"] == [{"command": "new", "description": "Новое письмо"}]
    with pytest.raises(TelegramBadRequest, match="BOT_COMMAND_INVALID"):
        await bot.set_my_commands([BotCommand(command="Новое", description="x")])


# Getting updates


async def test_a_long_poll_ends_with_the_first_update(sandbox: Sandbox) -> None:
    await sandbox.bot.get_me()
    poll = asyncio.create_task(sandbox.bot.get_updates(timeout=30))
    await asyncio.sleep(0.1)
    assert not poll.done()
    before = time.monotonic()
    await sandbox.say("hi")
    (update,) = await poll
    assert update.message
    assert time.monotonic() - before < 2
    (same,) = await sandbox.bot.get_updates()
    assert same.update_id == update.update_id, "an update waits until it is confirmed"
    assert await sandbox.bot.get_updates(offset=update.update_id + 1) == []
    assert await sandbox.bot.get_updates() == []


async def test_a_second_poll_ends_the_first_with_conflict(sandbox: Sandbox) -> None:
    await sandbox.bot.get_me()
    first = asyncio.create_task(sandbox.bot.get_updates(timeout=30))
    await asyncio.sleep(0.1)
    second = asyncio.create_task(sandbox.bot.get_updates(timeout=30))
    with pytest.raises(TelegramConflictError, match="terminated by other getUpdates"):
        await first
    await sandbox.say("hi")
    assert len(await second) == 1


async def test_only_wanted_kinds_become_updates(sandbox: Sandbox) -> None:
    await sandbox.begin()
    await sandbox.bot.get_updates(allowed_updates=["callback_query"])
    answer = await sandbox.say("not wanted")
    assert answer["update_id"] is None
    await sandbox.bot.get_updates(allowed_updates=[])
    await sandbox.say("wanted")
    assert [u.message.text for u in await sandbox.bot.get_updates() if u.message] == ["wanted"]


async def test_a_long_text_comes_in_pieces_that_lose_nothing(sandbox: Sandbox) -> None:
    await sandbox.bot.get_me()
    text = "\n".join(f"строка {n} с эмодзи 😀" for n in range(600))
    answer = await sandbox.say(text)
    updates = await sandbox.bot.get_updates()
    pieces = [u.message.text or "" for u in updates if u.message]
    assert len(pieces) == len(answer["message_ids"]) > 2
    assert "\n".join(pieces) == text
    assert all(3800 <= len(piece.encode("utf-16-le")) // 2 <= 4096 for piece in pieces[:-1])


async def test_an_update_can_be_delivered_again(sandbox: Sandbox) -> None:
    await sandbox.begin()
    update_id = (await sandbox.say("once"))["update_id"]
    await sandbox.bot.get_updates(offset=update_id + 1)
    await sandbox.post(f"updates/{update_id}/redeliver", times=2)
    again = await sandbox.bot.get_updates(offset=update_id + 1)
    assert [u.update_id for u in again] == [update_id, update_id]
    assert await sandbox.bot.get_updates(offset=update_id + 1) == []
    await sandbox.post("updates/1/redeliver", status=404)


async def test_a_poll_whose_client_died_takes_nothing_along(sandbox: Sandbox) -> None:
    await sandbox.begin()
    update_id = (await sandbox.say("once"))["update_id"]
    dead = asyncio.create_task(sandbox.bot.get_updates(offset=update_id + 1, timeout=30))
    await asyncio.sleep(0.1)
    dead.cancel()
    await asyncio.sleep(0.1)
    await sandbox.post(f"updates/{update_id}/redeliver")
    assert [u.update_id for u in await sandbox.bot.get_updates(offset=update_id + 1)] == [update_id]


@asynccontextmanager
async def webhook(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/hook", handler)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    finally:
        await runner.cleanup()


async def test_a_webhook_gets_its_secret_and_refused_updates_again_in_order(sandbox: Sandbox) -> None:
    got: list[tuple[str, str]] = []
    done = asyncio.Event()

    async def handler(request: web.Request) -> web.Response:
        body = await request.json()
        got.append((body["message"]["text"], request.headers["X-Telegram-Bot-Api-Secret-Token"]))
        if len(got) == 1:
            return web.Response(status=503)
        if len(got) == 3:
            done.set()
        return web.Response()

    async with webhook(handler) as url:
        await sandbox.bot.set_webhook(url, secret_token="s3cret", max_connections=3, allowed_updates=["message"])
        with pytest.raises(TelegramConflictError, match="while webhook is active"):
            await sandbox.bot.get_updates()
        await sandbox.say("first")
        await sandbox.say("second")
        async with asyncio.timeout(10):
            await done.wait()
        assert got == [("first", "s3cret"), ("first", "s3cret"), ("second", "s3cret")]

        async def nothing_waits() -> bool:
            return (await sandbox.bot.get_webhook_info()).pending_update_count == 0

        await sandbox.until(nothing_waits)
        info = await sandbox.bot.get_webhook_info()
        assert (info.url, info.max_connections, info.allowed_updates) == (url, 3, ["message"])
        assert info.last_error_message
        assert "503" in info.last_error_message
    entries = (await sandbox.get("journal"))["entries"]
    attempts = [[a["outcome"] for a in e["attempts"]] for e in entries if e["kind"] == "update"]
    assert attempts == [["503 Service Unavailable", "200 OK"], ["200 OK"]]
    assert "s3cret" not in str(entries)


async def test_a_webhook_is_held_to_its_connections(sandbox: Sandbox) -> None:
    at_once = most = seen = 0
    done = asyncio.Event()

    async def handler(request: web.Request) -> web.Response:
        nonlocal at_once, most, seen
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0.05)
        at_once -= 1
        seen += 1
        if seen == 6:
            done.set()
        return web.Response()

    async with webhook(handler) as url:
        await sandbox.bot.set_webhook(url, max_connections=2)
        for person in range(1, 7):
            await sandbox.say("hi", person)
        async with asyncio.timeout(10):
            await done.wait()
    assert most == 2


async def test_updates_wait_for_a_webhook_and_go_back_to_polling(sandbox: Sandbox) -> None:
    await sandbox.bot.set_webhook("http://127.0.0.1:9/hook")
    await sandbox.say("nobody listens")

    async def failed() -> Any:
        return (await sandbox.bot.get_webhook_info()).last_error_message

    await sandbox.until(failed)
    await sandbox.bot.delete_webhook()
    assert [u.message.text for u in await sandbox.bot.get_updates() if u.message] == ["nobody listens"]


async def test_a_call_in_the_webhooks_reply_is_performed(sandbox: Sandbox) -> None:
    dispatcher = Dispatcher()

    @dispatcher.message(Command("ping"))
    async def ping(message: Message) -> SendMessage:
        return SendMessage(chat_id=message.chat.id, text="pong", reply_markup=keyboard("again"))

    handler = SimpleRequestHandler(dispatcher, sandbox.bot, handle_in_background=False)
    async with webhook(handler.handle) as url:
        await sandbox.bot.set_webhook(url)
        await sandbox.say("/ping")

        async def replied() -> Any:
            return next((m for m in await sandbox.messages() if m["from"] == "bot"), None)

        reply = await sandbox.until(replied)
    assert (reply["text"], reply["buttons"][0][0]["callback_data"]) == ("pong", "again")


# Faults


async def test_faults_meet_the_next_calls_and_no_more(sandbox: Sandbox) -> None:
    await sandbox.begin()
    bot = sandbox.bot
    await sandbox.post("faults", method="sendMessage", kind=429, retry_after=7)
    with pytest.raises(TelegramRetryAfter) as limited:
        await bot.send_message(7, "x")
    assert limited.value.retry_after == 7
    await sandbox.post("faults", method="sendmessage", kind="500", times=2)
    for _ in range(2):
        with pytest.raises(TelegramServerError):
            await bot.send_message(7, "x")
    await sandbox.post("faults", method="*", kind="403")
    with pytest.raises(TelegramForbiddenError):
        await bot.send_message(7, "x")
    await sandbox.post("faults", kind="401")
    with pytest.raises(TelegramUnauthorizedError):
        await bot.get_me()
    await bot.send_message(7, "through")
    assert [m["text"] for m in await sandbox.messages() if m["from"] == "bot"] == ["through"]


async def test_a_dropped_call_did_nothing_and_a_lost_reply_did(sandbox: Sandbox) -> None:
    await sandbox.begin()
    await sandbox.post("faults", method="sendMessage", kind="drop")
    with pytest.raises(TelegramNetworkError):
        await sandbox.bot.send_message(7, "dropped")
    await sandbox.post("faults", method="sendMessage", kind="reply_lost")
    with pytest.raises(TelegramNetworkError):
        await sandbox.bot.send_message(7, "arrived")
    assert [m["text"] for m in await sandbox.messages() if m["from"] == "bot"] == ["arrived"]


async def test_a_stalled_call_outlasts_the_clients_patience(sandbox: Sandbox) -> None:
    await sandbox.begin()
    await sandbox.post("faults", method="sendMessage", kind="stall", chat_id=7)
    with pytest.raises(TelegramNetworkError, match="timeout"):
        await sandbox.bot.send_message(7, "x", request_timeout=1)
    await sandbox.bot.send_message(7, "through")


# Stars


async def invoice(sandbox: Sandbox) -> Message:
    return await sandbox.bot.send_invoice(
        7, "Premium", "A month", payload="order-1", currency="XTR", prices=[LabeledPrice(label="Month", amount=500)]
    )


async def answer_checkout(sandbox: Sandbox, ok: bool) -> PreCheckoutQuery:
    (update,) = await sandbox.bot.get_updates(timeout=5)
    assert update.pre_checkout_query
    await sandbox.bot.answer_pre_checkout_query(
        update.pre_checkout_query.id, ok=ok, error_message=None if ok else "Sold out"
    )
    await sandbox.bot.get_updates(offset=update.update_id + 1)
    return update.pre_checkout_query


async def test_stars_are_paid_granted_and_refunded_once(sandbox: Sandbox) -> None:
    await sandbox.begin()
    offer = await invoice(sandbox)
    payment = asyncio.create_task(sandbox.post("people/7/payments", message_id=offer.message_id))
    query = await answer_checkout(sandbox, ok=True)
    assert (query.invoice_payload, query.total_amount) == ("order-1", 500)
    paid = await payment
    assert paid["status"] == "paid"
    (update,) = await sandbox.bot.get_updates()
    assert update.message
    assert update.message.successful_payment
    charge = update.message.successful_payment.telegram_payment_charge_id
    assert charge == paid["telegram_payment_charge_id"]
    assert await sandbox.bot.refund_star_payment(7, charge)
    with pytest.raises(TelegramBadRequest, match="CHARGE_ALREADY_REFUNDED"):
        await sandbox.bot.refund_star_payment(7, charge)
    with pytest.raises(TelegramBadRequest, match="CHARGE_NOT_FOUND"):
        await sandbox.bot.refund_star_payment(8, charge)
    moved = (await sandbox.bot.get_star_transactions()).transactions
    assert [(t.id, t.amount, t.source is not None) for t in moved] == [(charge, 500, True), (charge, 500, False)]


async def test_a_declined_checkout_moves_nothing(sandbox: Sandbox) -> None:
    await sandbox.begin()
    offer = await invoice(sandbox)
    payment = asyncio.create_task(sandbox.post("people/7/payments", message_id=offer.message_id))
    await answer_checkout(sandbox, ok=False)
    assert await payment == {"status": "declined", "error_message": "Sold out"}
    assert (await sandbox.bot.get_star_transactions()).transactions == []
    await sandbox.post("people/7/payments", status=400, message_id=1)


async def test_a_subscription_renews_until_it_is_cancelled(sandbox: Sandbox) -> None:
    await sandbox.begin()
    prices = [LabeledPrice(label="Month", amount=500)]
    link = await sandbox.bot.create_invoice_link(
        "Premium", "A month", payload="sub", currency="XTR", prices=prices, subscription_period=2_592_000
    )
    payment = asyncio.create_task(sandbox.post("people/7/payments", link=link))
    await answer_checkout(sandbox, ok=True)
    charge = (await payment)["telegram_payment_charge_id"]
    assert (await sandbox.post("people/7/payments", renew=charge))["status"] == "paid"
    first, second = [u.message.successful_payment for u in await sandbox.bot.get_updates() if u.message]
    assert first
    assert second
    assert (first.is_first_recurring, second.is_first_recurring, second.is_recurring) == (True, None, True)
    await sandbox.bot.edit_user_star_subscription(7, charge, is_canceled=True)
    assert (await sandbox.post("people/7/payments", renew=charge))["status"] == "declined"


# Restarts


async def test_ids_never_repeat_across_a_restart_without_memory() -> None:
    seen: list[tuple[int, int]] = []
    for _ in range(2):
        async with running(Settings(port=0)) as sandbox:
            await sandbox.bot.get_me()
            for _ in range(5):
                answer = await sandbox.say("hi")
                seen.append((answer["update_id"], answer["message_id"]))
        await asyncio.sleep(0.7)  # a process takes longer to start than this
    updates, messages = zip(*seen, strict=True)
    assert sorted(set(updates)) == list(updates)
    assert sorted(set(messages)) == list(messages)


async def test_a_state_file_keeps_everything_across_a_restart(tmp_path: Path) -> None:
    settings = Settings(port=0, state_file=tmp_path / "state.db")
    async with running(settings) as sandbox:
        await sandbox.begin()
        sent = await sandbox.bot.send_document(
            7, BufferedInputFile(b"letter", "letter.txt"), caption="here", reply_markup=keyboard("a")
        )
        first = await sandbox.say("waiting")
    async with running(settings) as sandbox:
        assert (await sandbox.bot.get_me()).id == 4242
        second = await sandbox.say("after")
        assert second["message_id"] == first["message_id"] + 1
        assert [u.update_id for u in await sandbox.bot.get_updates()] == [first["update_id"], second["update_id"]]
        assert [m["text"] for m in await sandbox.messages()] == ["/start", "here", "waiting", "after"]
        assert sent.document
        content = await sandbox.bot.download(sent.document.file_id)
        assert content
        assert content.read() == b"letter"
        await sandbox.bot.edit_message_caption(chat_id=7, message_id=sent.message_id, caption="still mine")
