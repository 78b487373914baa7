"""How the bot presents itself to Telegram: where updates go, and which commands its menu offers."""

import asyncio
from collections.abc import Sequence

import structlog
from aiogram import Bot
from aiogram.exceptions import TelegramRetryAfter
from aiogram.methods import DeleteWebhook, SetMyCommands, SetWebhook, TelegramMethod
from aiogram.types import BotCommand
from pydantic import SecretStr

from gateway.conversation import LANGUAGES
from gateway.patience import backoff_seconds, wait_any
from gateway.telegram import Blocked, Rejected, Unreachable, call
from gateway.texts import phrases
from gateway.updates import ALLOWED_UPDATES

COMMANDS = ("start", "new", "plan", "history", "help", "language", "privacy", "terms")
WEBHOOK_CONNECTIONS = 40

log = structlog.get_logger()


class Profile:
    """A leader's duty, done once when it begins to lead."""

    def __init__(self, bot: Bot, webhook_url: str | None, secrets: Sequence[SecretStr]) -> None:
        self._bot = bot
        self._webhook_url = webhook_url
        self._secrets = secrets

    async def run(self, stopping: asyncio.Event) -> None:
        """Tells Telegram, until it has heard everything."""
        methods: list[TelegramMethod[bool]] = [self._intake()]
        for language in LANGUAGES:
            methods.append(SetMyCommands(commands=_menu(language), language_code=language))
        # For people whose Telegram speaks none of these.
        methods.append(SetMyCommands(commands=_menu("en")))
        for method in methods:
            await self._tell(method, stopping)

    def _intake(self) -> TelegramMethod[bool]:
        # Never drop_pending_updates: what people wrote while nobody listened is answered.
        if self._webhook_url is None:
            return DeleteWebhook()
        return SetWebhook(
            url=self._webhook_url,
            secret_token=self._secrets[0].get_secret_value(),
            allowed_updates=list(ALLOWED_UPDATES),
            max_connections=WEBHOOK_CONNECTIONS,
        )

    async def _tell(self, method: TelegramMethod[bool], stopping: asyncio.Event) -> None:
        tries = 0
        while not stopping.is_set():
            try:
                await call(self._bot, method)
                return
            except TelegramRetryAfter as error:
                await wait_any(error.retry_after, stopping)
            except (Rejected, Blocked) as error:
                log.error("Telegram refuses", method=method.__api_method__, reason=str(error))
                return
            except Unreachable as error:
                log.warning("Telegram cannot be reached", method=method.__api_method__, reason=str(error), tries=tries)
                await wait_any(backoff_seconds(tries), stopping)
                tries += 1


def _menu(language: str) -> list[BotCommand]:
    say = phrases(language)
    return [BotCommand(command=each, description=say(f"command-{each}")) for each in COMMANDS]
