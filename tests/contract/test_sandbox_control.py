"""The interface that tests and the page rely on: its shapes, its refusals, and what the page may load."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
from sandbox.app import serving
from sandbox.settings import Settings

import sandbox

TOKEN = "4242:" + "T" * 35
PAGE = Path(sandbox.__file__).with_name("page")


class Client:
    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self.url = url
        self.http = http

    async def call(self, method: str, path: str, expect: int = 200, **options: Any) -> Any:
        async with self.http.request(method, self.url + path, **options) as response:
            assert response.status == expect, await response.text()
            return await response.json()

    async def bot(self, method: str, **params: Any) -> Any:
        return (await self.call("POST", f"/bot{TOKEN}/{method}", json=params))["result"]


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with serving(Settings(port=0)) as url, aiohttp.ClientSession() as http:
        yield Client(url, http)


async def test_a_chat_has_the_documented_shape(client: Client) -> None:
    await client.bot("getMe")
    await client.call("POST", "/sandbox/people/7/messages", json={"text": "/start", "first_name": "Анна"})
    markup = {"inline_keyboard": [[{"text": "👍 Нравится", "callback_data": "like"}]]}
    await client.bot("sendMessage", chat_id=7, text="one", reply_markup=markup)
    await client.bot("sendChatAction", chat_id=7, action="typing")
    chat = await client.call("GET", "/sandbox/chats/7")
    assert chat.keys() == {
        "chat_id", "bot", "person", "messages", "answers", "commands", "blocked", "keyboard", "typing",
    }  # fmt: skip
    assert (chat["chat_id"], chat["person"]["first_name"], chat["typing"]) == (7, "Анна", True)
    theirs, ours = chat["messages"]
    assert (theirs["from"], ours["from"]) == ("person", "bot")
    assert theirs["entities"] == [{"type": "bot_command", "offset": 0, "length": 6}]
    assert ours["buttons"] == markup["inline_keyboard"]
    assert (ours["edits"], ours["edit_count"], ours["deleted"]) == ([], 0, False)
    assert ours["message_id"] > theirs["message_id"]
    assert abs(ours["at"] / 1000 - ours["date"]) < 2


async def test_the_journal_tells_calls_updates_and_attempts_and_hides_secrets(client: Client) -> None:
    await client.bot("getMe")
    said = await client.call("POST", "/sandbox/people/7/messages", json={"text": "hi"})
    await client.bot("getUpdates")
    await client.call("POST", f"/bot{TOKEN}/sendMessage", expect=400, json={"chat_id": 9, "text": "x"})
    hook = {"url": "http://127.0.0.1:9/", "secret_token": "hush-hush"}
    await client.call("POST", f"/bot{TOKEN}/setWebhook", data=hook)
    journal = await client.call("GET", "/sandbox/journal")
    entries = journal["entries"]
    assert [entry["n"] for entry in entries] == list(range(1, len(entries) + 1))
    update = next(entry for entry in entries if entry["kind"] == "update")
    assert (update["update_id"], update["update"]["message"]["text"]) == (said["update_id"], "hi")
    assert update["attempts"][0]["via"] == "polling"
    refused = next(entry for entry in entries if entry["kind"] == "call" and entry["status"] == 400)
    assert (refused["method"], refused["params"]) == ("sendMessage", {"chat_id": 9, "text": "x"})
    assert refused["description"] == "Bad Request: chat not found"
    raw = orjson.dumps(journal).decode()
    assert TOKEN not in raw
    assert "hush-hush" not in raw
    later = await client.call("GET", f"/sandbox/journal?after={entries[1]['n']}&limit=1")
    assert ([e["n"] for e in later["entries"]], later["next"]) == ([entries[2]["n"]], entries[2]["n"])


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "field"),
    [
        ("POST", "/people/0/messages", {"text": "x"}, 400, "id"),
        ("POST", "/people/abc/messages", {"text": "x"}, 400, "id"),
        ("POST", "/people/7/messages", {}, 400, "text"),
        ("POST", "/people/7/messages", {"text": " \n"}, 400, "text"),
        ("POST", "/people/7/messages", {"text": "x" * 1_000_001}, 400, "text"),
        ("POST", "/people/7/messages", {"text": "x", "first_name": "n" * 65}, 400, "first_name"),
        ("POST", "/people/7/messages", {"text": "x", "username": "a b"}, 400, "username"),
        ("POST", "/people/7/messages", {"text": "x", "language_code": "Russian"}, 400, "language_code"),
        ("POST", "/people/7/messages", {"kind": "poem"}, 400, "kind"),
        ("POST", "/people/7/messages?bot=5", {"text": "x"}, 409, "bot"),
        ("POST", "/people/7/documents", {}, 400, "document"),
        ("POST", "/people/7/callbacks", {"data": "x"}, 400, "message_id"),
        ("POST", "/people/7/callbacks", {"message_id": 1}, 400, "data"),
        ("POST", "/people/7/callbacks", {"message_id": 1, "data": "x"}, 404, "message_id"),
        ("POST", "/people/7/payments", {}, 400, "message_id"),
        ("POST", "/people/7/payments", {"link": "https://t.me/$no"}, 400, "link"),
        ("POST", "/faults", {"method": "fly", "kind": 500}, 400, "method"),
        ("POST", "/faults", {"method": "getMe", "kind": 200}, 400, "kind"),
        ("POST", "/faults", {"method": "getMe", "kind": 500, "times": 0}, 400, "times"),
        ("POST", "/faults", {"method": "getMe", "kind": 429, "retry_after": "soon"}, 400, "retry_after"),
        ("POST", "/updates/5/redeliver", {}, 404, "id"),
        ("GET", "/journal?after=x", None, 400, "after"),
        ("GET", "/people/99", None, 404, "id"),
        ("GET", "/files/none", None, 404, "file_id"),
    ],
)
async def test_bad_input_is_refused_by_its_field(
    client: Client, method: str, path: str, body: Any, status: int, field: str
) -> None:
    await client.bot("getMe")
    answer = await client.call(method, f"/sandbox{path}", expect=status, json=body)
    assert answer["field"] == field
    assert isinstance(answer["error"], str)
    people = await client.call("GET", "/sandbox/people")
    assert all(len(person["first_name"]) <= 64 for person in people["people"])


async def test_a_body_that_is_no_object_is_refused(client: Client) -> None:
    for data in (b"[1]", b"{", b"\xff"):
        await client.call("POST", "/sandbox/people/7/messages", expect=400, data=data)


async def test_people_can_only_press_buttons_that_are_there(client: Client) -> None:
    await client.bot("getMe")
    await client.call("POST", "/sandbox/people/7/messages", json={"text": "hi"})
    markup = {"inline_keyboard": [[{"text": "A", "callback_data": "a"}]]}
    sent = await client.bot("sendMessage", chat_id=7, text="?", reply_markup=markup)
    press = {"message_id": sent["message_id"], "data": "b"}
    refused = await client.call("POST", "/sandbox/people/7/callbacks", expect=400, json=press)
    assert refused["field"] == "data"
    pressed = await client.call("POST", "/sandbox/people/7/callbacks", json=press | {"data": "a"})
    assert pressed["update_id"]


async def test_nobody_can_speak_before_a_bot_has_called(client: Client) -> None:
    answer = await client.call("POST", "/sandbox/people/7/messages", expect=409, json={"text": "hi"})
    assert answer == {"error": "no bot has called the Bot API yet", "field": "bot"}
    assert await client.call("GET", "/sandbox/ready", expect=409) == answer
    assert (await client.call("GET", "/sandbox/chats/7"))["messages"] == []
    await client.bot("getMe")
    assert (await client.call("GET", "/sandbox/ready"))["bot"]["id"] == 4242


async def test_every_kind_of_message_reaches_the_bot_as_telegram_sends_it(client: Client) -> None:
    await client.bot("getMe")
    for kind in ("sticker", "voice", "video_note", "location", "contact"):
        await client.call("POST", "/sandbox/people/7/messages", json={"kind": kind})
    updates = await client.bot("getUpdates")
    kinds = [set(update["message"]) - {"message_id", "date", "chat", "from"} for update in updates]
    assert kinds == [{"sticker"}, {"voice"}, {"video_note"}, {"location"}, {"contact"}]


async def test_faults_are_listed_narrowed_and_forgotten(client: Client) -> None:
    await client.bot("getMe")
    await client.call("POST", "/sandbox/faults", json={"method": "getMe", "kind": "5xx", "bot": 77})
    listed = await client.call("GET", "/sandbox/faults")
    assert [(f["method"], f["kind"], f["times"]) for f in listed["faults"]] == [("getme", "500", 1)]
    assert (await client.bot("getMe"))["id"] == 4242
    assert await client.call("DELETE", "/sandbox/faults") == {"faults": []}


async def test_other_sites_pages_cannot_play(client: Client) -> None:
    await client.bot("getMe")
    foreign = {"Origin": "https://evil.example"}
    await client.call("POST", "/sandbox/people/7/messages", expect=403, json={"text": "x"}, headers=foreign)
    own = {"Origin": client.url}
    await client.call("POST", "/sandbox/people/7/messages", json={"text": "x"}, headers=own)


# The page


async def test_open_pages_hear_what_happens(client: Client) -> None:
    await client.bot("getMe")
    async with client.http.get(f"{client.url}/sandbox/events?people=7,8") as stream:
        assert stream.content_type == "text/event-stream"

        async def event() -> tuple[str, Any]:
            async with asyncio.timeout(5):
                name = (await stream.content.readline()).decode().removeprefix("event: ").strip()
                data = orjson.loads((await stream.content.readline()).removeprefix(b"data: "))
                await stream.content.readline()
                return name, data

        name, snapshot = await event()
        assert name == "snapshot"
        assert [chat["chat_id"] for chat in snapshot["chats"]] == [7, 8]
        await client.call("POST", "/sandbox/people/9/messages", json={"text": "not on this page"})
        await client.call("POST", "/sandbox/people/7/messages", json={"text": "hi"})
        assert (await event())[0] == "person"
        name, message = await event()
        assert (name, message["chat_id"], message["text"]) == ("message", 7, "hi")
        await client.bot("sendChatAction", chat_id=7, action="typing")
        assert await event() == ("typing", {"chat_id": 7, "seconds": 5.0})


async def test_the_page_is_served_with_a_strict_policy(client: Client) -> None:
    async with client.http.get(client.url) as response:
        policy = response.headers["Content-Security-Policy"]
        html = await response.text()
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert re.findall(r"<script(?![^>]*src=)|<style|\son\w+=|\sstyle=", html) == []
    for path in re.findall(r'(?:src|href)="([^"]+)"', html):
        async with client.http.get(client.url + path) as response:
            assert response.status == 200
            assert response.headers["X-Content-Type-Options"] == "nosniff"


def test_the_page_asks_nothing_from_outside() -> None:
    files = {file.name: file.read_text() for file in PAGE.iterdir()}
    assert {"index.html", "style.css", "app.js", "icon.svg"} <= files.keys()
    for name, text in files.items():
        addresses = set(re.findall(r"(?:https?:)?//[a-z0-9-]+\.[a-z0-9.-]+[^\s\"'`)]*", text, re.I))
        assert addresses - {"http://www.w3.org/2000/svg", "https://t.me/$"} == set(), name


def test_the_page_never_turns_a_text_into_markup() -> None:
    script = (PAGE / "app.js").read_text()
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", script)
    html = (PAGE / "index.html").read_text()
    assert 'role: "log"' in script
    assert "htmlFor: this.field.id" in script
    assert re.search(r"<dialog[^>]*aria-labelledby", html)
