"""The services that handlers ask. Every answer is a value; every refusal is Refused."""

from collections.abc import AsyncIterator, Awaitable
from datetime import UTC
from typing import TYPE_CHECKING, TypeVar
from uuid import UUID

import grpc
from pismo.billing.v1.billing_pb2 import Allowance
from pismo.billing.v1.billing_service_pb2 import GetAllowanceRequest
from pismo.billing.v1.billing_service_pb2_grpc import AllowanceServiceStub
from pismo.generation.v1.generation_pb2 import Letter, Progress, Rating
from pismo.generation.v1.generation_service_pb2 import (
    CancelLetterRequest,
    CreateLetterRequest,
    GetLetterRequest,
    ListLettersRequest,
    ListLettersResponse,
    RateLetterRequest,
    ReviseLetterRequest,
    SubmitLetterRequest,
    WatchLetterRequest,
)
from pismo.generation.v1.generation_service_pb2_grpc import LetterServiceStub
from servicekit.errors import Refusal, refusal

from gateway.errors import Refused

if TYPE_CHECKING:
    from pismo.billing.v1.billing_service_pb2_grpc import AllowanceServiceAsyncStub
    from pismo.generation.v1.generation_service_pb2_grpc import LetterServiceAsyncStub

ASK_SECONDS = 4.0
"""Less than a handler has, so that a service that hangs is told from a handler that does."""
GREETING_SECONDS = 1.5
"""A greeting does not wait long for what it would be nice to say."""
PAGE_LETTERS = 5

T = TypeVar("T")


async def _answer(call: Awaitable[T]) -> T:
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        raise Refused(refusal(error)) from None


class Letters:
    """Generation, for one bot's people."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub: LetterServiceAsyncStub = LetterServiceStub(channel)

    async def create(self, request_id: UUID, person_id: UUID, vacancy: str) -> Letter:
        request = CreateLetterRequest(request_id=str(request_id), person_id=str(person_id), vacancy=vacancy)
        return (await _answer(self._stub.CreateLetter(request, timeout=ASK_SECONDS))).letter

    async def submit(
        self, request_id: UUID, person_id: UUID, letter_id: UUID, resume: str, *, allow_foreign_models: bool
    ) -> Letter:
        request = SubmitLetterRequest(
            request_id=str(request_id),
            person_id=str(person_id),
            letter_id=str(letter_id),
            resume=resume,
            allow_foreign_models=allow_foreign_models,
        )
        return (await _answer(self._stub.SubmitLetter(request, timeout=ASK_SECONDS))).letter

    async def revise(
        self, request_id: UUID, person_id: UUID, letter_id: UUID, wish: str, *, allow_foreign_models: bool
    ) -> Letter:
        request = ReviseLetterRequest(
            request_id=str(request_id),
            person_id=str(person_id),
            letter_id=str(letter_id),
            wish=wish,
            allow_foreign_models=allow_foreign_models,
        )
        return (await _answer(self._stub.ReviseLetter(request, timeout=ASK_SECONDS))).letter

    async def get(self, person_id: UUID, letter_id: UUID) -> Letter:
        request = GetLetterRequest(person_id=str(person_id), letter_id=str(letter_id))
        return (await _answer(self._stub.GetLetter(request, timeout=ASK_SECONDS))).letter

    async def page(self, person_id: UUID, page_token: str) -> ListLettersResponse:
        request = ListLettersRequest(person_id=str(person_id), page_size=PAGE_LETTERS, page_token=page_token)
        return await _answer(self._stub.ListLetters(request, timeout=ASK_SECONDS))

    async def cancel(self, request_id: UUID, person_id: UUID, letter_id: UUID) -> Letter:
        request = CancelLetterRequest(request_id=str(request_id), person_id=str(person_id), letter_id=str(letter_id))
        return (await _answer(self._stub.CancelLetter(request, timeout=ASK_SECONDS))).letter

    async def rate(
        self, request_id: UUID, person_id: UUID, letter_id: UUID, version: int, rating: "Rating.ValueType"
    ) -> Letter:
        request = RateLetterRequest(
            request_id=str(request_id),
            person_id=str(person_id),
            letter_id=str(letter_id),
            version=version,
            rating=rating,
        )
        return (await _answer(self._stub.RateLetter(request, timeout=ASK_SECONDS))).letter

    async def watch(self, person_id: UUID, letter_id: UUID, version: int) -> AsyncIterator[Progress]:
        """Looks at a version until it ends. Raises Refused, also when the connection breaks."""
        request = WatchLetterRequest(person_id=str(person_id), letter_id=str(letter_id), version=version)
        try:
            async for response in self._stub.WatchLetter(request):
                yield response.progress
        except grpc.aio.AioRpcError as error:
            raise Refused(refusal(error)) from None


def check_left(allowance: Allowance) -> None:
    """Raises what billing itself would answer to another letter if none is left."""
    if allowance.used + allowance.reserved >= allowance.limit:
        metadata = {
            "plan": allowance.plan_id,
            "limit": str(allowance.limit),
            "used": str(allowance.used),
            "reserved": str(allowance.reserved),
            "resets_at": allowance.resets_at.ToDatetime(UTC).isoformat(),
            "time_zone": allowance.time_zone,
        }
        raise Refused(Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, "ALLOWANCE_EXHAUSTED", metadata))


class Allowances:
    """Billing, as far as people ask about it."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub: AllowanceServiceAsyncStub = AllowanceServiceStub(channel)

    async def get(self, person_id: UUID, timeout_seconds: float = ASK_SECONDS) -> Allowance:
        request = GetAllowanceRequest(person_id=str(person_id))
        return (await _answer(self._stub.GetAllowance(request, timeout=timeout_seconds))).allowance
