"""Billing's side of a letter: allowance is held before anything is queued, and resolved after the letter has ended.

Request ids derive from the letter's, so a repeat after a crash is the same call.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal
from uuid import UUID, uuid5

import grpc
import structlog
from pismo.billing.v1.billing_pb2 import ErrorReason, Reservation, ReservationState
from pismo.billing.v1.billing_service_pb2 import CommitRequest, ReleaseRequest, ReserveRequest
from servicekit.errors import Refusal, refusal

from generation.errors import AllowanceExhausted, BillingUnavailable
from generation.store import Due

if TYPE_CHECKING:
    from pismo.billing.v1.billing_service_pb2_grpc import AllowanceServiceAsyncStub

RETRY_SECONDS = 5.0
_HOLDS_TRIED = 3

Wanted = Literal["commit", "release"]
Settlement = Literal["committed", "released", "gift", "lost"]
"""How a reservation ended; a gift is a letter that was written and not counted."""

log = structlog.get_logger()


@dataclass(frozen=True)
class Hold:
    """Allowance held for one letter."""

    reservation_id: UUID
    plan_id: str
    priority: int


def settled_by_refusal(wanted: Wanted, reason: str, state: str) -> Settlement | None:
    """What billing's refusal to resolve a reservation means; None: nothing was decided, ask again.

    | wanted  | billing says                      | then                                                          |
    |---------|-----------------------------------|---------------------------------------------------------------|
    | commit  | RESERVATION_RESOLVED, released    | gift: the person has the letter and the allowance             |
    | release | RESERVATION_RESOLVED, committed   | committed: it was counted, only billing can give it back      |
    | either  | RESERVATION_RESOLVED, as wanted   | as wanted                                                     |
    | either  | RESERVATION_NOT_FOUND             | lost: billing knows nothing of it, so nothing is held         |
    | either  | anything else                     | ask again                                                     |
    """
    if reason == _name(ErrorReason.ERROR_REASON_RESERVATION_NOT_FOUND):
        return "lost"
    if reason != _name(ErrorReason.ERROR_REASON_RESERVATION_RESOLVED):
        return None
    if "COMMITTED" in state.upper():
        return "committed"
    return "gift" if wanted == "commit" else "released"


class Allowance:
    """The calls to billing."""

    def __init__(self, billing: "AllowanceServiceAsyncStub") -> None:
        self._billing = billing

    async def reserve(self, person_id: UUID, letter_id: UUID) -> Hold:
        """Holds allowance for the letter; a repeat gets the same hold.

        A hold that a crash left behind may have run out since: then there is a new one, whose id derives from it.
        Raises AllowanceExhausted, and BillingUnavailable when nothing is known to be held.
        """
        request_id = uuid5(letter_id, "reserve")
        for _ in range(_HOLDS_TRIED):
            request = ReserveRequest(request_id=str(request_id), person_id=str(person_id), letter_id=str(letter_id))
            try:
                held = (await self._billing.Reserve(request)).reservation
            except grpc.aio.AioRpcError as error:
                raise _refused(refusal(error)) from error
            if held.state == ReservationState.RESERVATION_STATE_HELD:
                return _hold(held)
            request_id = uuid5(letter_id, f"reserve after {held.reservation_id}")
        raise BillingUnavailable(retry_after_seconds=RETRY_SECONDS)

    async def resolve(self, due: Due) -> Settlement | None:
        """Commits or releases; None when billing did not decide: to be asked again."""
        wanted: Wanted = "commit" if due.settlement == "commit" else "release"
        request = {
            "request_id": str(uuid5(due.letter_id, wanted)),
            "person_id": str(due.person_id),
            "reservation_id": str(due.reservation_id),
        }
        try:
            if wanted == "commit":
                await self._billing.Commit(CommitRequest(**request))
                return "committed"
            await self._billing.Release(ReleaseRequest(**request))
            return "released"
        except grpc.aio.AioRpcError as error:
            answer = refusal(error)
            settled = settled_by_refusal(wanted, answer.reason, answer.metadata.get("state", ""))
            log.warning(
                "billing refused to resolve a reservation",
                wanted=wanted,
                letter_id=str(due.letter_id),
                code=answer.code.name,
                reason=answer.reason,
                settlement=settled,
            )
            return settled


def _refused(answer: Refusal) -> Exception:
    if answer.reason == _name(ErrorReason.ERROR_REASON_ALLOWANCE_EXHAUSTED):
        fields = AllowanceExhausted.__dataclass_fields__
        return AllowanceExhausted(**{name: answer.metadata.get(name, "") for name in fields})
    log.warning("billing cannot reserve", code=answer.code.name, reason=answer.reason)
    return BillingUnavailable(retry_after_seconds=answer.retry_after_seconds or RETRY_SECONDS)


def _hold(held: Reservation) -> Hold:
    return Hold(UUID(held.reservation_id), held.plan_id, held.priority)


def _name(reason: ErrorReason.ValueType) -> str:
    return ErrorReason.Name(reason).removeprefix("ERROR_REASON_")
