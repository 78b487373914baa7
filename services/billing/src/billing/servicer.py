"""AllowanceService: protos in, domain, protos out."""

from datetime import datetime
from uuid import UUID

from google.protobuf.timestamp_pb2 import Timestamp
from pismo.billing.v1 import billing_pb2, billing_service_pb2
from pismo.billing.v1.billing_service_pb2_grpc import AllowanceServiceServicer
from servicekit.errors import CallContext

from billing.allowance import Allowance, Reservation
from billing.operations import Allowances

_WINDOWS = {
    "calendar_day": billing_pb2.WINDOW_CALENDAR_DAY,
    "calendar_month": billing_pb2.WINDOW_CALENDAR_MONTH,
}
_STATES = {
    "held": billing_pb2.RESERVATION_STATE_HELD,
    "committed": billing_pb2.RESERVATION_STATE_COMMITTED,
    "released": billing_pb2.RESERVATION_STATE_RELEASED,
    "expired": billing_pb2.RESERVATION_STATE_EXPIRED,
}


class AllowanceServicer(AllowanceServiceServicer):
    def __init__(self, allowances: Allowances) -> None:
        self._allowances = allowances

    async def GetAllowance(
        self, request: billing_service_pb2.GetAllowanceRequest, context: CallContext
    ) -> billing_service_pb2.GetAllowanceResponse:
        allowance = await self._allowances.get(UUID(request.person_id))
        return billing_service_pb2.GetAllowanceResponse(allowance=self._allowance(allowance))

    async def Reserve(
        self, request: billing_service_pb2.ReserveRequest, context: CallContext
    ) -> billing_service_pb2.ReserveResponse:
        held = await self._allowances.reserve(
            UUID(request.request_id), UUID(request.person_id), UUID(request.letter_id)
        )
        return billing_service_pb2.ReserveResponse(
            reservation=_reservation(held.reservation), allowance=self._allowance(held.allowance)
        )

    async def Commit(
        self, request: billing_service_pb2.CommitRequest, context: CallContext
    ) -> billing_service_pb2.CommitResponse:
        reservation = await self._allowances.commit(
            UUID(request.request_id), UUID(request.person_id), UUID(request.reservation_id)
        )
        return billing_service_pb2.CommitResponse(reservation=_reservation(reservation))

    async def Release(
        self, request: billing_service_pb2.ReleaseRequest, context: CallContext
    ) -> billing_service_pb2.ReleaseResponse:
        reservation = await self._allowances.release(
            UUID(request.request_id), UUID(request.person_id), UUID(request.reservation_id)
        )
        return billing_service_pb2.ReleaseResponse(reservation=_reservation(reservation))

    def _allowance(self, allowance: Allowance) -> billing_pb2.Allowance:
        return billing_pb2.Allowance(
            plan_id=allowance.plan_id,
            window=_WINDOWS[allowance.window],
            limit=allowance.limit,
            used=allowance.used,
            reserved=allowance.reserved,
            resets_at=_timestamp(allowance.resets_at),
            time_zone=self._allowances.time_zone,
        )


def _reservation(reservation: Reservation) -> billing_pb2.Reservation:
    return billing_pb2.Reservation(
        reservation_id=str(reservation.reservation_id),
        letter_id=str(reservation.letter_id),
        state=_STATES[reservation.state],
        expires_at=_timestamp(reservation.expires_at),
        plan_id=reservation.plan_id,
        priority=reservation.priority,
    )


def _timestamp(at: datetime) -> Timestamp:
    made = Timestamp()
    made.FromDatetime(at)
    return made
