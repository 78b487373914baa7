"""Who talks with the bot and where the conversation stands: values only."""

import dataclasses
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from uuid import UUID

LANGUAGES = ("ru", "en")
CONSENT_VERSION = "1"
"""Of the texts that people agree to; a change of their meaning is a new version."""

# Telegrams in these languages are mostly of people who read Russian better than English.
_READ_RUSSIAN = frozenset({"ru", "be", "kk", "ky", "tg", "uz", "hy", "az"})


def guess_language(language_code: str | None) -> str:
    """What to speak before the person has chosen; Russian where Telegram says nothing."""
    return "ru" if not language_code or language_code.split("-")[0].lower() in _READ_RUSSIAN else "en"


class Stage(StrEnum):
    """What the chat waits for."""

    NEW = "new"
    LANGUAGE = "language"
    CONSENT_PROCESSING = "consent_processing"
    CONSENT_FOREIGN_AI = "consent_foreign_ai"
    CONSENT_MARKETING = "consent_marketing"
    VACANCY = "vacancy"
    RESUME = "resume"
    WRITING = "writing"
    READY = "ready"
    WISH = "wish"


class Consent(StrEnum):
    """What is asked, in this order. Only the first is needed for anything to go on."""

    PROCESSING = "processing"
    FOREIGN_AI = "foreign_ai"
    MARKETING = "marketing"

    @property
    def stage(self) -> Stage:
        return Stage(f"consent_{self.value}")


CONSENT_OF_STAGE = {kind.stage: kind for kind in Consent}


@dataclass
class Person:
    person_id: UUID
    telegram_id: int
    username: str | None
    first_name: str
    last_name: str | None
    language_code: str | None
    language: str
    consents: dict[str, bool] = field(default_factory=dict)
    new: bool = False
    """Not in the store yet."""

    def agreed(self, kind: Consent) -> bool:
        return self.consents.get(kind, False)

    def open_question(self) -> Consent | None:
        """The next consent to ask for: one never answered, or the one that nothing goes on without."""
        if not self.agreed(Consent.PROCESSING):
            return Consent.PROCESSING
        return next((kind for kind in Consent if kind not in self.consents), None)


@dataclass
class Chat:
    chat_id: int
    stage: Stage = Stage.NEW
    letter_id: UUID | None = None
    """The draft, the letter being written, or the last one."""
    version: int = 0
    history_pages: list[str] = field(default_factory=list)
    """Page tokens of the list of letters that was shown last; the first page's is empty."""
    revision: int | None = None
    """None while it is not in the store."""

    def wait_for(self, stage: Stage, letter_id: UUID | None = None, version: int = 0) -> None:
        """Moves on; whatever letter the chat was about is forgotten unless it is named."""
        self.stage, self.letter_id, self.version = stage, letter_id, version

    def details(self) -> dict[str, Any]:
        found: dict[str, Any] = {"version": self.version} if self.letter_id else {}
        if self.letter_id:
            found["letter_id"] = str(self.letter_id)
        if self.history_pages:
            found["history_pages"] = self.history_pages
        return found

    @classmethod
    def restored(cls, chat_id: int, stage: str, details: dict[str, Any], revision: int) -> "Chat":
        letter_id = details.get("letter_id")
        return cls(
            chat_id=chat_id,
            stage=Stage(stage),
            letter_id=UUID(letter_id) if letter_id else None,
            version=details.get("version", 0),
            history_pages=details.get("history_pages", []),
            revision=revision,
        )

    def copy(self) -> "Chat":
        return dataclasses.replace(self, history_pages=list(self.history_pages))
