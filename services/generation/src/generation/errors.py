"""What generation refuses, and the one table that says how each is answered."""

from dataclasses import dataclass
from uuid import UUID

import grpc
from pismo.generation.v1.generation_pb2 import ErrorReason
from servicekit.errors import Answer, ErrorTable

from generation.letters import State
from generation.text_rules import SuspiciousContent, TextTooLarge, TextTooShort


@dataclass(eq=False)
class LetterNotFound(Exception):
    """No such letter of this person, or no such version of it."""

    letter_id: UUID


@dataclass(eq=False)
class LetterAlreadySubmitted(Exception):
    """Another request submitted it."""

    letter_id: UUID


@dataclass(eq=False)
class LetterNotCompleted(Exception):
    """There is no text yet to rate or revise."""

    letter_id: UUID
    state: State


@dataclass(eq=False)
class RevisionsExhausted(Exception):
    """All revisions were used."""

    limit: int


@dataclass(eq=False)
class AllowanceExhausted(Exception):
    """Billing's answer, passed on as it came."""

    plan: str
    limit: str
    used: str
    reserved: str
    resets_at: str
    time_zone: str


@dataclass(eq=False)
class BillingUnavailable(Exception):
    """Billing cannot be reached; nothing was spent."""

    retry_after_seconds: float


@dataclass(eq=False)
class QueueFull(Exception):
    """More letters wait than can be written in time."""

    retry_after_seconds: float


@dataclass(eq=False)
class IdempotencyMismatch(Exception):
    """The request id was used for another request."""

    request_id: UUID


TABLE = ErrorTable(
    ErrorReason,
    {
        LetterNotFound: Answer(grpc.StatusCode.NOT_FOUND, ErrorReason.ERROR_REASON_LETTER_NOT_FOUND),
        LetterAlreadySubmitted: Answer(
            grpc.StatusCode.FAILED_PRECONDITION, ErrorReason.ERROR_REASON_LETTER_ALREADY_SUBMITTED
        ),
        LetterNotCompleted: Answer(grpc.StatusCode.FAILED_PRECONDITION, ErrorReason.ERROR_REASON_LETTER_NOT_COMPLETED),
        RevisionsExhausted: Answer(grpc.StatusCode.FAILED_PRECONDITION, ErrorReason.ERROR_REASON_REVISIONS_EXHAUSTED),
        TextTooLarge: Answer(grpc.StatusCode.INVALID_ARGUMENT, ErrorReason.ERROR_REASON_TEXT_TOO_LARGE),
        TextTooShort: Answer(grpc.StatusCode.INVALID_ARGUMENT, ErrorReason.ERROR_REASON_TEXT_TOO_SHORT),
        SuspiciousContent: Answer(grpc.StatusCode.INVALID_ARGUMENT, ErrorReason.ERROR_REASON_SUSPICIOUS_CONTENT),
        AllowanceExhausted: Answer(grpc.StatusCode.RESOURCE_EXHAUSTED, ErrorReason.ERROR_REASON_ALLOWANCE_EXHAUSTED),
        BillingUnavailable: Answer(grpc.StatusCode.UNAVAILABLE, ErrorReason.ERROR_REASON_BILLING_UNAVAILABLE),
        QueueFull: Answer(grpc.StatusCode.RESOURCE_EXHAUSTED, ErrorReason.ERROR_REASON_QUEUE_FULL),
        IdempotencyMismatch: Answer(grpc.StatusCode.FAILED_PRECONDITION, ErrorReason.ERROR_REASON_IDEMPOTENCY_MISMATCH),
    },
)
