"""The Bot API, as those who act for the bot call it: paced, bounded in time, its errors sorted by what to do next."""

from collections.abc import Callable
from typing import Any

import structlog
from aiogram import Bot
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.exceptions import (
    ClientDecodeError,
    TelegramAPIError,
    TelegramBadRequest,
    TelegramForbiddenError,
    TelegramNetworkError,
    TelegramRetryAfter,
    TelegramServerError,
)
from aiogram.methods import TelegramMethod
from aiohttp import ClientConnectorError
from prometheus_client import Counter

from gateway.errors import LeadershipLost
from gateway.pacer import Pacer, Priority
from gateway.settings import Settings

CALL_SECONDS = 10

_calls = Counter("pismo_gateway_telegram_calls", "Calls to the Bot API", ["method", "outcome"])

log = structlog.get_logger()


class Blocked(Exception):
    """The person does not want to hear from the bot."""


class Rejected(Exception):
    """Telegram will never accept the call as it is. Its description names no text of a person's."""


class MessageGone(Rejected):
    """The message to change is not there any more."""


class Unreachable(Exception):
    """No answer, or none that says what became of the call."""

    def __init__(self, what: str, *, maybe_done: bool) -> None:
        super().__init__(what)
        self.maybe_done = maybe_done


class GetRawUpdates(TelegramMethod[list[dict[str, Any]]]):
    """getUpdates whose updates stay as they came: one that this program does not know must not hide the others."""

    __returning__ = list[dict[str, Any]]
    __api_method__ = "getUpdates"

    offset: int | None = None
    limit: int
    timeout: int
    allowed_updates: list[str]


def open_bot(settings: Settings) -> Bot:
    """The bot that really calls. Close its session at the end."""
    api = TelegramAPIServer.from_base(settings.telegram_api_url.rstrip("/"))
    return Bot(settings.telegram_bot_token.get_secret_value(), session=AiohttpSession(api=api, timeout=CALL_SECONDS))


async def call(bot: Bot, method: TelegramMethod[Any], timeout_seconds: int = CALL_SECONDS) -> Any:
    """Makes one call. Raises Blocked, Rejected, MessageGone, Unreachable, and TelegramRetryAfter as it is.

    Only these: what aiogram raises can hold the token, or texts of people.
    """
    name = method.__api_method__
    try:
        result = await bot(method, request_timeout=timeout_seconds)
    except TelegramRetryAfter:
        _calls.labels(name, "retry_after").inc()
        raise
    except TelegramForbiddenError:
        _calls.labels(name, "blocked").inc()
        raise Blocked from None
    except TelegramBadRequest as error:
        if "message is not modified" in error.message:
            _calls.labels(name, "ok").inc()
            return None
        _calls.labels(name, "rejected").inc()
        raise (MessageGone if _is_gone(error.message) else Rejected)(error.message[:200]) from None
    except TelegramServerError:
        _calls.labels(name, "server_error").inc()
        # The Bot API itself says that it failed; a proxy in front of it would not say so in JSON.
        raise Unreachable("server error", maybe_done=False) from None
    except TelegramNetworkError as error:
        _calls.labels(name, "network_error").inc()
        refused = isinstance(error.__cause__, ClientConnectorError)
        raise Unreachable("refused" if refused else "no answer", maybe_done=not refused) from None
    except ClientDecodeError:
        _calls.labels(name, "unreadable").inc()
        raise Unreachable("unreadable answer", maybe_done=True) from None
    except TelegramAPIError as error:
        _calls.labels(name, "refused").inc()
        raise Unreachable(type(error).__name__, maybe_done=False) from None
    _calls.labels(name, "ok").inc()
    return result


def _is_gone(description: str) -> bool:
    return any(
        words in description
        for words in ("message to edit not found", "message can't be edited", "MESSAGE_ID_INVALID", "message not found")
    )


class Voice:
    """What the leader speaks with: calls wait for their turn, and are made only while the bot is ours."""

    def __init__(self, bot: Bot, pacer: Pacer, leads: Callable[[], bool]) -> None:
        self._bot = bot
        self._pacer = pacer
        self._leads = leads

    async def turn(self, priority: Priority, chat_id: int | None = None) -> None:
        """Returns when a call may be made; with a chat, that chat's pace of new messages is kept too."""
        await self._pacer.turn(priority, chat_id)

    async def make(self, method: TelegramMethod[Any], priority: Priority) -> Any:
        """Makes a call whose turn has come, as `call` does; what Telegram asks to repeat later is repeated.

        Raises LeadershipLost too.
        """
        while True:
            if not self._leads():
                raise LeadershipLost
            try:
                return await call(self._bot, method)
            except TelegramRetryAfter as error:
                log.warning("Telegram asks all calls to wait", seconds=error.retry_after)
                self._pacer.hold(error.retry_after)
                await self._pacer.turn(priority)
