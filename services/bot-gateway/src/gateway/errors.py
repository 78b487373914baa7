"""What can stop the handling of an update, and how the gateway's own calls are refused (none of them fails yet)."""

from dataclasses import dataclass
from uuid import UUID

import grpc
from pismo.rpc.v1.rpc_pb2 import ErrorReason
from servicekit.errors import ErrorTable, Refusal

TABLE = ErrorTable(ErrorReason, {})

_PASSING = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED})


def is_passing(refusal: Refusal) -> bool:
    """Whether asking again soon may well succeed, so that the person need not hear of it."""
    return refusal.code in _PASSING or refusal.reason == "OVERLOADED"


@dataclass
class RateLimited(Exception):
    """The person asks faster than they may; nothing was done."""

    limit: str
    retry_after_seconds: int


class Refused(Exception):
    """Another service refused, and the person is to be told why."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.reason or refusal.code.name)
        self.refusal = refusal
        self.unsure: tuple[UUID, int] | None = None
        """The version of a letter that may have been accepted all the same: the answer got lost."""


class Overtaken(Exception):
    """The chat moved, or the lease was lost, while the update was handled: nothing of it was kept."""


class LeadershipLost(Exception):
    """Another process may act for the bot now."""
