"""Walks the fallback chain until one model has written a whole text that its reader accepts."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from opentelemetry.trace import Span, SpanKind
from prometheus_client import Counter
from servicekit import telemetry

from generation.breaker import Breaker, SharedBreaker
from generation.chain_file import Entry, Vendor
from generation.model_limits import ModelLimits
from generation.ports import (
    Draft,
    Held,
    Model,
    ModelFailure,
    ModelRateLimited,
    NoModelAvailable,
    Order,
    TextRejected,
    Usage,
    estimated_tokens,
)
from generation.shared import Shared

INSTRUCTIONS_CHARACTERS = 6000
"""About how much a prompt says beside the order's texts, for estimates."""
RETRY_SECONDS = 5.0
"""After a failure that closed no door, and after a 429 that does not say how long."""
LONGEST_BLOCK_SECONDS = 900.0
"""A vendor may ask for more, but not be forgotten for more."""

_calls = Counter("pismo_generation_model_calls", "Calls of models, by how they ended", ["model", "outcome"])
_cost = Counter("pismo_generation_model_cost_micro_usd", "What the calls cost, in millionths of a dollar", ["model"])


@dataclass(frozen=True, slots=True)
class Attempt:
    """One call of one model, for the AI-request log. It holds nothing of the texts."""

    name: str
    vendor: Vendor
    model: str
    error: str | None
    """None if the text was whole and accepted; else one word: a ModelFailure's reason, or `cancelled`."""
    prompt_tokens: int
    completion_tokens: int
    tokens_estimated: bool
    """The vendor did not come to report them."""
    response_time_ms: int
    first_text_ms: int | None
    cost_micro_usd: int

    @property
    def success(self) -> bool:
        return self.error is None


@dataclass(frozen=True, slots=True)
class Written:
    """A whole, accepted text and the attempt that made it."""

    text: str = field(repr=False)
    attempt: Attempt


def permitted(entries: Sequence[Entry], *, allow_foreign_models: bool) -> list[Entry]:
    """The entries that may serve a person, in order.

    Without the person's consent only models at home may. The offline writer is for where no other model may serve: no
    vendor has a key, or none with a key is at home. It never stands in for vendors that failed: then the letter waits,
    and ends in an honest apology rather than in something the person did not come for.
    """
    allowed = [entry for entry in entries if allow_foreign_models or entry.region == "home"]
    vendors = [entry for entry in allowed if entry.vendor != "offline"]
    return vendors or allowed


class Chain:
    """The models of a process, their breakers and their limits."""

    def __init__(
        self,
        models: Sequence[tuple[Entry, Model]],
        shared: Shared,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`models` as `providers.open_models` gives them. `clock` counts seconds, for breakers and limits."""
        self._entries = [entry for entry, _ in models]
        self._models = {entry.name: model for entry, model in models}
        self._limits = ModelLimits(shared, clock)
        self._breakers = {
            entry.name: SharedBreaker(
                entry.name, shared, Breaker(clock), longest_call_seconds=entry.timeouts.whole_seconds + RETRY_SECONDS
            )
            for entry in self._entries
        }
        for entry in self._entries:
            _cost.labels(entry.name)  # counted from 0: Prometheus sees no increase in a series that begins later

    async def write(
        self,
        order: Order,
        *,
        allow_foreign_models: bool,
        on_start: Callable[[Entry], None],
        on_text: Callable[[str], None],
        judge: Callable[[str], str | None],
        on_attempt: Callable[[Attempt], None],
    ) -> Written:
        """Writes the order with the first permitted model that can; each is called at most once.

        All four are called in the event loop and must neither block nor raise:
        `on_start(entry)` when a model begins; whatever `on_text` gave before is void then, for every model writes
        from scratch. `on_text(piece)` as the text grows. `judge(text)` for the whole text: None accepts it, the name
        of the rule it breaks sends the order to the next model. `on_attempt(attempt)` after each call, however it ends.

        Raises NoModelAvailable when every permitted model failed or is held back. Cancelling closes the vendor's
        connection at once; that attempt is reported as `cancelled`.
        """
        waits: list[float] = []
        attempted = False
        prompt_tokens = estimated_tokens(order.characters + INSTRUCTIONS_CHARACTERS)
        for entry in permitted(self._entries, allow_foreign_models=allow_foreign_models):
            try:
                async with (
                    self._breakers[entry.name].passage(),
                    self._limits.slot(entry, prompt_tokens + entry.max_output_tokens),
                ):
                    attempted = True
                    on_start(entry)
                    return await self._call(entry, order, Draft(on_text), judge, on_attempt)
            except Held as held:
                waits.append(held.seconds)
            except ModelFailure as failure:
                wait = failure.retry_after_seconds
                if wait is None and isinstance(failure, ModelRateLimited):
                    wait = RETRY_SECONDS
                if wait:
                    await self._limits.block(entry, min(wait, LONGEST_BLOCK_SECONDS))
                waits.append(max(wait or RETRY_SECONDS, self._breakers[entry.name].wait_seconds))
        raise NoModelAvailable(min(waits, default=RETRY_SECONDS), attempted=attempted)

    async def _call(
        self,
        entry: Entry,
        order: Order,
        draft: Draft,
        judge: Callable[[str], str | None],
        on_attempt: Callable[[Attempt], None],
    ) -> Written:
        error: str | None = "cancelled"
        with telemetry.span(f"chat {entry.model}", kind=SpanKind.CLIENT) as span:
            try:
                await self._models[entry.name].write(order, draft)
                if (fault := judge(draft.text)) is not None:
                    raise TextRejected(fault)
                error = None
            except ModelFailure as failure:
                error = failure.reason
                raise
            finally:
                attempt = _attempt(entry, order, draft, error)
                _describe(span, attempt)
                _calls.labels(entry.name, error or "ok").inc()
                _cost.labels(entry.name).inc(attempt.cost_micro_usd)
                on_attempt(attempt)
        return Written(draft.text, attempt)


def _attempt(entry: Entry, order: Order, draft: Draft, error: str | None) -> Attempt:
    if (usage := draft.usage) is None:
        # A call that said anything was read and is billed, though a broken or stopped one does not report it.
        read = order.characters + INSTRUCTIONS_CHARACTERS if draft.first_text_at is not None else 0
        usage = Usage(estimated_tokens(read), estimated_tokens(len(draft.text)), estimated=True)
    return Attempt(
        name=entry.name,
        vendor=entry.vendor,
        model=entry.model,
        error=error,
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        tokens_estimated=usage.estimated,
        response_time_ms=round(draft.seconds * 1000),
        first_text_ms=None if draft.first_text_at is None else round((draft.first_text_at - draft.started_at) * 1000),
        cost_micro_usd=entry.cost_micro_usd(usage.prompt_tokens, usage.completion_tokens),
    )


def _describe(span: Span, attempt: Attempt) -> None:
    """The GenAI semantic conventions' attributes: never a text, and the vendor learns nothing of the trace."""
    if not span.is_recording():
        return
    span.set_attributes(
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.system": attempt.vendor,
            "gen_ai.provider.name": attempt.vendor,
            "gen_ai.request.model": attempt.model,
            "gen_ai.usage.input_tokens": attempt.prompt_tokens,
            "gen_ai.usage.output_tokens": attempt.completion_tokens,
        }
    )
    if attempt.error is not None:
        span.set_attribute("error.type", attempt.error)
