"""A domain error arrives at the caller as what it was: reason, metadata, when to come back, which fields."""

from dataclasses import dataclass
from datetime import UTC, datetime

import grpc
from google.rpc.error_details_pb2 import BadRequest
from google.rpc.status_pb2 import Status
from grpc.aio import AioRpcError, Metadata
from grpc_status import rpc_status
from pismo.rpc.v1.rpc_pb2 import ErrorReason
from servicekit.errors import Answer, ErrorTable, FieldFault, InvalidFields, Refusal, invalid_fields, refusal


@dataclass(eq=False)
class Full(Exception):
    limit: int
    until: datetime
    retry_after_seconds: float


TABLE = ErrorTable(ErrorReason, {Full: Answer(grpc.StatusCode.RESOURCE_EXHAUSTED, ErrorReason.ERROR_REASON_OVERLOADED)})


def arrive(status: Status) -> AioRpcError:
    """The error as the caller's library raises it."""
    sent = rpc_status.to_status(status)
    return AioRpcError(sent.code, Metadata(), Metadata(*sent.trailing_metadata), sent.details)


def test_a_domain_error_makes_the_round_trip() -> None:
    status = TABLE.status(Full(3, datetime(2026, 11, 30, 21, tzinfo=UTC), 1.25))
    assert status is not None
    assert refusal(arrive(status)) == Refusal(
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "OVERLOADED",
        {"limit": "3", "until": "2026-11-30T21:00:00+00:00"},
        1.25,
    )
    assert status.message == "OVERLOADED limit=3 until=2026-11-30T21:00:00+00:00"


def test_an_error_that_no_table_foresees_has_no_status() -> None:
    assert TABLE.status(ValueError("a word of a person's")) is None


def test_every_field_at_fault_is_in_bad_request() -> None:
    status = invalid_fields(InvalidFields([FieldFault("a", "must be set"), FieldFault("b.c", "is too long")]))
    answer = refusal(arrive(status))
    assert (answer.code, answer.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert answer.metadata == {"field": "a"}
    bad = BadRequest()
    assert any(detail.Unpack(bad) for detail in status.details)
    assert [(each.field, each.description) for each in bad.field_violations] == [
        ("a", "must be set"),
        ("b.c", "is too long"),
    ]


def test_a_call_that_reached_nobody_has_a_code_and_no_reason() -> None:
    unreached = AioRpcError(grpc.StatusCode.UNAVAILABLE, Metadata(), Metadata())
    garbled = AioRpcError(
        grpc.StatusCode.INTERNAL, Metadata(), Metadata(("grpc-status-details-bin", b"\xff\xff not a status"))
    )
    assert refusal(unreached) == Refusal(grpc.StatusCode.UNAVAILABLE)
    assert refusal(garbled) == Refusal(grpc.StatusCode.INTERNAL)
