"""What generation asks of a model, and the ways in which a model can fail.

Two vendors and the offline writer stand behind `Model`; nothing above this file knows which one writes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol

Finish = Literal["stop", "length", "content_filter"]
"""Why a model ended its text. Only `stop` means that the text is whole."""


def estimated_tokens(characters: int) -> int:
    """Tokens in so many characters: 3 characters a token lies between Russian (about 2.5) and English (about 4)."""
    return (characters + 2) // 3


@dataclass(frozen=True, slots=True)
class Order:
    """One text to write: a letter for a vacancy, or, when `letter` and `wish` are given, that letter improved.

    `language`, `tone` and `length` are the values the prompts know; `nonce` fences the texts as data inside the prompt.
    The texts stay out of `repr`, so that no traceback or log shows them.
    """

    vacancy: str = field(repr=False)
    resume: str = field(repr=False)
    nonce: str = field(repr=False)
    language: str = ""
    tone: str = ""
    length: str = ""
    letter: str | None = field(default=None, repr=False)
    wish: str | None = field(default=None, repr=False)

    @property
    def characters(self) -> int:
        """How much a model has to read of it, instructions not counted."""
        return len(self.vacancy) + len(self.resume) + len(self.letter or "") + len(self.wish or "")


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens that a call used; `estimated` when the vendor did not come to say."""

    prompt_tokens: int
    completion_tokens: int
    estimated: bool = False


class Draft:
    """A text growing under one model's hands, read along by `on_text`.

    `on_text` gets every piece as it comes; it runs between two network reads, so it must neither block nor raise.
    Times are the event loop's, in seconds.
    """

    __slots__ = ("_on_text", "_pieces", "_time", "finish", "first_text_at", "last_text_at", "started_at", "usage")

    def __init__(self, on_text: Callable[[str], None]) -> None:
        self._time = asyncio.get_running_loop().time
        self._on_text = on_text
        self._pieces: list[str] = []
        self.started_at = self._time()
        self.first_text_at: float | None = None
        self.last_text_at: float | None = None
        self.usage: Usage | None = None
        self.finish: Finish | None = None

    def add(self, piece: str) -> None:
        self.last_text_at = self._time()
        if self.first_text_at is None:
            self.first_text_at = self.last_text_at
        self._pieces.append(piece)
        self._on_text(piece)

    @property
    def text(self) -> str:
        return "".join(self._pieces)

    @property
    def seconds(self) -> float:
        """Since the call began."""
        return self._time() - self.started_at


class Model(Protocol):
    """A model that writes letters."""

    async def write(self, order: Order, draft: Draft) -> None:
        """Writes the whole text into `draft` and returns when the model has said that it is whole.

        Sets `draft.usage` when the vendor reports it. Cancelling closes the vendor's connection at once.
        Raises a `ModelFailure`; what `draft` holds by then is to be thrown away.
        """
        ...


class ModelFailure(Exception):
    """A model did not write the whole text.

    `reason` is one word for logs, counters and spans. No failure carries a text, an address or a key.
    `counts` says whether it is the model's fault, and so brings its breaker nearer to opening.
    `retry_after_seconds` is what the vendor asked for, if it did: nobody calls the model before.
    """

    counts = True

    def __init__(self, reason: str, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after_seconds = retry_after_seconds


class ModelUnavailable(ModelFailure):
    """No connection, a 5xx, a connection lost on the way, or an answer that makes no sense."""


class ModelStalled(ModelFailure):
    """The model went silent: before its first words, between words, or it took too long altogether."""


class ModelTruncated(ModelFailure):
    """The text is not whole. Its end without a finish reason is the model's fault; a limit or a filter need not be."""

    def __init__(self, reason: str, *, counts: bool) -> None:
        super().__init__(reason)
        self.counts = counts


class ModelRateLimited(ModelFailure):
    """We called more often than the vendor allows. The model is well, so no breaker counts it."""

    counts = False


class ModelRejected(ModelFailure):
    """The vendor will not serve us at all (401, 403, 404, no money left): somebody has to change the configuration."""


class OrderRejected(ModelFailure):
    """The vendor refuses this order (400, 413, 422). The next order may be fine, so no breaker counts it:
    otherwise one strange text, sent five times, would take the model away from everyone."""

    counts = False


class TextRejected(ModelFailure):
    """We refuse what the model wrote; `reason` names the rule it broke."""

    counts = False


class Held(Exception):
    """A model may not be called now: its breaker is open, or a limit is used up. Try it in `seconds`."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"held for {seconds:.3f} s")
        self.seconds = seconds


class NoModelAvailable(Exception):
    """No model that may serve this person wrote the text. Worth another try in `retry_after_seconds`.

    `attempted` says whether any model was called at all: if not, nothing was spent and nothing failed but the waiting.
    """

    def __init__(self, retry_after_seconds: float, *, attempted: bool) -> None:
        super().__init__(f"no model available, try again in {retry_after_seconds:.1f} s")
        self.retry_after_seconds = retry_after_seconds
        self.attempted = attempted
