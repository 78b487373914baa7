"""Errors on the wire: a domain error becomes a status with google.rpc details, and back again at the caller."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, TypeAlias

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import DecodeError
from google.rpc.code_pb2 import Code
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status
from pismo.rpc.v1.rpc_pb2 import ErrorReason

CallContext: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
"""What a handler gets beside its request."""

DOMAIN = "pismo"
_PREFIX = "ERROR_REASON_"
_DETAILS_KEY = "grpc-status-details-bin"


@dataclass(frozen=True)
class FieldFault:
    """One field outside its bounds."""

    field: str
    description: str


class InvalidFields(Exception):
    """A request whose fields are outside their bounds; every one is named."""

    def __init__(self, faults: list[FieldFault]) -> None:
        super().__init__("; ".join(f"{fault.field} {fault.description}" for fault in faults))
        self.faults = faults


@dataclass(frozen=True)
class Answer:
    """How one kind of domain error is answered."""

    code: grpc.StatusCode
    reason: int


class Reasons(Protocol):
    """A service's ErrorReason enum."""

    def Name(self, number: Any) -> str:
        """The name of a value."""


class ErrorTable:
    """A service's one table from domain errors to answers.

    A domain error is a dataclass: its fields are ErrorInfo's metadata, but `retry_after_seconds`, which is RetryInfo.
    """

    def __init__(self, reasons: Reasons, answers: Mapping[type[Exception], Answer]) -> None:
        self._reasons = reasons
        self._answers = answers

    def status(self, error: Exception) -> Status | None:
        """The status for a domain error; None for anything the table does not know."""
        answer = self._answers.get(type(error))
        if answer is None:
            return None
        values = {each.name: getattr(error, each.name) for each in dataclasses.fields(error)}  # type: ignore[arg-type]
        retry_after = values.pop("retry_after_seconds", None)
        return make_status(
            answer.code,
            self._reasons.Name(answer.reason),
            {name: _metadata(value) for name, value in values.items()},
            retry_after,
        )


def _metadata(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def make_status(
    code: grpc.StatusCode,
    reason: str,
    metadata: Mapping[str, str] | None = None,
    retry_after_seconds: float | None = None,
    faults: list[FieldFault] | None = None,
) -> Status:
    """A google.rpc.Status with ErrorInfo, and RetryInfo and BadRequest where they are given."""
    reason = reason.removeprefix(_PREFIX)
    metadata = dict(metadata or {})
    message = reason + "".join(f" {name}={value}" for name, value in metadata.items())
    status = Status(code=getattr(Code, code.name), message=message)
    status.details.add().Pack(ErrorInfo(reason=reason, domain=DOMAIN, metadata=metadata))
    if retry_after_seconds is not None:
        retry = RetryInfo()
        retry.retry_delay.FromMilliseconds(math.ceil(retry_after_seconds * 1000))
        status.details.add().Pack(retry)
    if faults:
        bad = BadRequest()
        for fault in faults:
            bad.field_violations.add(field=fault.field, description=fault.description)
        status.details.add().Pack(bad)
    return status


def invalid_fields(error: InvalidFields) -> Status:
    status = make_status(
        grpc.StatusCode.INVALID_ARGUMENT,
        ErrorReason.Name(ErrorReason.ERROR_REASON_INVALID_FIELD),
        {"field": error.faults[0].field},
        faults=error.faults,
    )
    status.message = f"INVALID_FIELD: {error}"
    return status


async def abort(context: CallContext, status: Status) -> None:
    """Ends the call with the status; never returns."""
    await context.abort_with_status(rpc_status.to_status(status))


@dataclass(frozen=True)
class Refusal:
    """What another service answered: its code always, its reason where it gave one."""

    code: grpc.StatusCode
    reason: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    retry_after_seconds: float | None = None


def refusal(error: grpc.aio.AioRpcError) -> Refusal:
    """Reads the details of a failed call. A call that never reached a server has a code and no reason."""
    reason, metadata, retry_after = "", {}, None
    for key, value in error.trailing_metadata() or ():
        if key != _DETAILS_KEY:
            continue
        for detail in _details(value):
            if detail.Is(ErrorInfo.DESCRIPTOR):
                info = ErrorInfo()
                detail.Unpack(info)
                if info.domain == DOMAIN:
                    reason, metadata = info.reason, dict(info.metadata)
            elif detail.Is(RetryInfo.DESCRIPTOR):
                retry = RetryInfo()
                detail.Unpack(retry)
                retry_after = retry.retry_delay.ToMilliseconds() / 1000
    return Refusal(error.code(), reason, metadata, retry_after)


def _details(value: str | bytes) -> list[AnyMessage]:
    try:
        return list(Status.FromString(value if isinstance(value, bytes) else value.encode()).details)
    except DecodeError:
        return []
