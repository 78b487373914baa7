"""Why billing refuses, and how each refusal is answered."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import grpc
from pismo.billing.v1.billing_pb2 import ErrorReason
from servicekit.errors import Answer, ErrorTable

from billing.allowance import ReservationState


@dataclass(eq=False)
class AllowanceExhausted(Exception):
    """The window's letters are used up or held."""

    plan: str
    limit: int
    used: int
    reserved: int
    resets_at: datetime
    time_zone: str


@dataclass(eq=False)
class ReservationNotFound(Exception):
    """The person has no such reservation."""

    reservation_id: UUID


@dataclass(eq=False)
class ReservationResolved(Exception):
    """It was committed and is to be released, or the other way round."""

    reservation_id: UUID
    state: ReservationState


@dataclass(eq=False)
class IdempotencyMismatch(Exception):
    """The request id was used for another request."""

    request_id: UUID


TABLE = ErrorTable(
    ErrorReason,
    {
        AllowanceExhausted: Answer(grpc.StatusCode.RESOURCE_EXHAUSTED, ErrorReason.ERROR_REASON_ALLOWANCE_EXHAUSTED),
        ReservationNotFound: Answer(grpc.StatusCode.NOT_FOUND, ErrorReason.ERROR_REASON_RESERVATION_NOT_FOUND),
        ReservationResolved: Answer(grpc.StatusCode.FAILED_PRECONDITION, ErrorReason.ERROR_REASON_RESERVATION_RESOLVED),
        IdempotencyMismatch: Answer(grpc.StatusCode.ALREADY_EXISTS, ErrorReason.ERROR_REASON_IDEMPOTENCY_MISMATCH),
    },
)
