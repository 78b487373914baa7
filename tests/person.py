"""A person at the sandbox: types, presses buttons, reads. What a test knows here, a person could know."""

import asyncio
import itertools
import time
from dataclasses import dataclass
from typing import Any

import aiohttp

VACANCY = """Python-разработчик в компанию «Ромашка», Москва.
Делаем платёжный сервис для малого бизнеса.
Требования:
- Python от 3 лет, PostgreSQL, Redis
- опыт с gRPC и Kubernetes
Обязанности: разработка микросервисов, участие в код-ревью."""

RESUME = """Анна Смирнова
Python-разработчик, опыт 5 лет
2021–2026, «Вектор», старший разработчик: вела сервис платежей на Python и PostgreSQL,
сократила время ответа на 40 %, перевела 12 сервисов на gRPC.
2019–2021, «Альфа», разработчик: Django, Redis.
Навыки: Python, PostgreSQL, Redis, gRPC, Kubernetes, Docker."""

WORDS = {
    "ru": {
        "agree": "Согласиться",
        "allow": "Разрешить",
        "forbid": "Не разрешать",
        "no news": "Не присылать",
        "language": "Русский",
        "vacancy?": "Пришлите текст вакансии",
        "resume?": "пришлите резюме",
        "stop": "Остановить",
        "stopped": "Остановлено",
        "how is it?": "Как вам письмо",
        "better?": "Стало лучше",
        "what to change?": "Что изменить",
    },
    "en": {
        "agree": "I agree",
        "allow": "Allow",
        "forbid": "Do not allow",
        "no news": "Do not send",
        "language": "English",
        "vacancy?": "Send me the text of the vacancy",
        "resume?": "Now send me your résumé",
        "stop": "Stop",
        "stopped": "Stopped",
        "how is it?": "How do you like",
        "better?": "Is it better now",
        "what to change?": "What should change",
    },
}

_ids = itertools.count(time.time_ns() // 1_000 % 10**12 + 10**12)


@dataclass(frozen=True)
class Message:
    id: int
    mine: bool
    text: str
    buttons: dict[str, str]
    texts: tuple[str, ...]
    """What it said before, oldest first: the texts it was edited from."""

    def button(self, words: str) -> str | None:
        """What the first button that says `words` carries."""
        return next((data for text, data in self.buttons.items() if words.lower() in text.lower()), None)

    def says(self, words: str) -> bool:
        return words.lower() in self.text.lower() or self.button(words) is not None


class Person:
    """One chat with the bot."""

    def __init__(self, session: aiohttp.ClientSession, sandbox_url: str, language: str = "ru") -> None:
        self.id = next(_ids)
        self.language = language
        self.words = WORDS[language]
        self._session = session
        self._url = sandbox_url

    async def _post(self, what: str, body: dict[str, Any]) -> dict[str, Any]:
        return await self._ask("POST", f"people/{self.id}/{what}", json=body)

    async def _ask(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        """Asks the sandbox; while it is being restarted, a person waits."""
        deadline = time.monotonic() + 30
        while True:
            try:
                async with self._session.request(method, f"{self._url}/sandbox/{path}", **request) as response:
                    answer: dict[str, Any] = await response.json()
                    assert response.status == 200, answer
                    return answer
            except aiohttp.ClientConnectionError:
                if time.monotonic() > deadline:
                    raise
            await asyncio.sleep(0.2)

    async def say(self, text: str) -> dict[str, Any]:
        return await self._post("messages", {"text": text, "language_code": self.language, "first_name": "Анна"})

    async def press(self, words: str, seconds: float = 20) -> Message:
        """Waits for a button that says `words` (or stands for them in this language) and presses it."""
        words = self.words.get(words, words)
        message = await self._wait(lambda each: each.button(words) is not None, f"a button {words!r}", seconds)
        await self._post("callbacks", {"message_id": message.id, "data": message.button(words)})
        return message

    async def read(self, words: str, seconds: float = 20, times: int = 1) -> Message:
        """Waits until `times` messages of the bot say `words`, and gives the newest."""
        words = self.words.get(words, words)
        return await self._wait(lambda each: each.says(words), f"{words!r} × {times}", seconds, times)

    async def messages(self) -> list[Message]:
        chat = await self._ask("GET", f"chats/{self.id}")
        return [
            Message(
                id=each["message_id"],
                mine=each["from"] == "person",
                text=each.get("text") or "",
                buttons={
                    button["text"]: button["callback_data"]
                    for row in each.get("buttons") or []
                    for button in row
                    if button.get("callback_data")
                },
                texts=tuple(edit["text"] or "" for edit in each.get("edits") or []),
            )
            for each in chat["messages"]
            if not each.get("deleted")
        ]

    async def letters(self) -> list[Message]:
        """The bot's messages in which a letter stands: the offline writer signs each."""
        return [each for each in await self.messages() if not each.mine and "без участия ИИ" in each.text]

    async def gets_ready(self, *, foreign_models: bool = True) -> None:
        """From /start to the question for the vacancy."""
        await self.say("/start")
        await self.press("language")
        await self.press("agree")
        await self.press("allow" if foreign_models else "forbid")
        await self.press("no news")
        await self.read("vacancy?")

    async def asks_for_a_letter(self, vacancy: str = VACANCY, resume: str = RESUME) -> None:
        """From the vacancy to a letter on its way."""
        asked = sum(each.says(self.words["resume?"]) for each in await self.messages())
        await self.say(vacancy)
        await self.read("resume?", times=asked + 1)
        await self.say(resume)

    async def _wait(self, fits: Any, wanted: str, seconds: float, times: int = 1) -> Message:
        deadline = time.monotonic() + seconds
        while True:
            messages = await self.messages()
            found = [each for each in messages if not each.mine and fits(each)]
            if len(found) >= times:
                return found[-1]
            if time.monotonic() > deadline:
                said = "\n".join(f"{'>' if m.mine else '<'} {m.text!r} {list(m.buttons)}" for m in messages)
                raise AssertionError(f"waited {seconds} s for {wanted}; the chat says:\n{said}")
            await asyncio.sleep(0.1)
