"""Everything that handling one update leads to, gathered until it is committed in one transaction."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, NoReturn, cast
from uuid import UUID, uuid5

from aiogram.client.session.base import BaseSession
from aiogram.methods import AnswerCallbackQuery, TelegramMethod
from google.protobuf.message import Message
from pismo.analytics.v1.analytics_pb2 import ConsentGiven, ConsentWithdrawn, Event
from servicekit.events import event

from gateway.conversation import CONSENT_VERSION, Chat, Consent, Person
from gateway.texts import Phrases, phrases

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from aiogram import Bot
    from aiogram.methods.base import TelegramType

_NAMESPACE = UUID("6f9c1d1e-3d3b-5a52-9a0c-70a3c5f1b7de")
_current: ContextVar["UnitOfWork"] = ContextVar("unit_of_work")


def derived_id(*parts: object) -> UUID:
    """The id that these parts always give: a second run asks with the same ids as the first."""
    return uuid5(_NAMESPACE, " ".join(map(str, parts)))


@dataclass(frozen=True)
class Call:
    """A call to make at Telegram, as it is kept."""

    method: str
    body: bytes


@dataclass(frozen=True)
class NewDelivery:
    """A version of a letter that is to be put into the chat; unsure when nobody knows whether it was accepted."""

    letter_id: UUID
    version: int
    unsure: bool = False


@dataclass(frozen=True)
class Origin:
    """Where a person came from: the payload of the deep link."""

    payload: str
    referral: str | None


@dataclass
class UnitOfWork:
    """One update of one person. Handlers change `person` and `chat` and gather effects; all happens at the commit."""

    bot_id: int
    update_id: int
    person: Person
    chat: Chat
    now: datetime
    private: bool = True
    remembers: bool = True
    """Keeps the person and the chat; outside a private chat nothing is remembered about anyone."""
    last_try: bool = False
    """Another service that is away now will not be asked again for this update."""
    calls: list[Call] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    consents: list[tuple[Consent, bool]] = field(default_factory=list)
    deliveries: list[NewDelivery] = field(default_factory=list)
    origin: Origin | None = None
    conversion: str | None = None
    blocked: bool = False

    @property
    def say(self) -> Phrases:
        """The texts in the person's language."""
        return phrases(self.person.language)

    def request_id(self, purpose: str) -> UUID:
        return derived_id(self.bot_id, self.update_id, purpose)

    def emit(self, fact: Message, letter_id: UUID | None = None) -> None:
        """States a fact for analytics."""
        self.events.append(
            event(
                "gateway",
                self.now,
                fact,
                person_id=self.person.person_id,
                letter_id=letter_id,
                event_id=self.request_id(f"event {len(self.events)}"),
            )
        )

    def answer_consent(self, kind: Consent, given: bool) -> None:
        self.person.consents[kind.value] = given
        self.consents.append((kind, given))
        fact = ConsentGiven if given else ConsentWithdrawn
        self.emit(fact(kind=kind.value, version=CONSENT_VERSION))

    def deliver(self, letter_id: UUID, version: int, *, unsure: bool = False) -> None:
        self.deliveries.append(NewDelivery(letter_id, version, unsure))

    def answers_callback(self) -> bool:
        return any(call.method == AnswerCallbackQuery.__api_method__ for call in self.calls)

    @contextmanager
    def gathering(self) -> Iterator[None]:
        """Calls made through a bot with a GatheringSession come here while this lasts."""
        token = _current.set(self)
        try:
            yield
        finally:
            _current.reset(token)


def as_call(method: TelegramMethod[Any]) -> Call:
    # aiogram marks what the bot's defaults decide by objects that cannot be written down; this bot has no defaults.
    body = method.model_dump_json(exclude_none=True, warnings=False, fallback=lambda _: None)
    return Call(method.__api_method__, body.encode())


class GatheringSession(BaseSession):
    """What a handler's bot calls with: the call joins the unit of work, and Telegram hears of it after the commit."""

    async def make_request(
        self, bot: "Bot", method: "TelegramMethod[TelegramType]", timeout: int | None = None
    ) -> "TelegramType":
        _current.get().calls.append(as_call(method))
        return cast("TelegramType", None)

    async def close(self) -> None:
        """Nothing is open."""

    def stream_content(self, *_: Any, **__: Any) -> "AsyncGenerator[bytes, None]":
        return self._refuse()

    def _refuse(self) -> NoReturn:
        raise NotImplementedError("handlers do not download")
