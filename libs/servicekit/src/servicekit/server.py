"""The gRPC server: what happens around every handler, and how it starts and goes away.

Around a handler: a span, the deadline, a bound on calls at once, the request's field bounds, and errors as statuses. A
handler only turns a request into a response or raises.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import grpc
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, use_span
from pismo.rpc.v1.rpc_pb2 import ErrorReason
from prometheus_client import Counter, Histogram

from servicekit import deadlines, telemetry
from servicekit.errors import CallContext, ErrorTable, InvalidFields, abort, invalid_fields, make_status
from servicekit.fields import check_fields
from servicekit.logs import describe
from servicekit.postgres import STORE_ERRORS
from servicekit.tls import CallTable, TlsFiles

LONGEST_CALL_SECONDS = 30.0
CALLS_AT_ONCE = 1_000
STREAMS_AT_ONCE = 10_000
OVERLOAD_RETRY_SECONDS = 1.0
STORE_RETRY_SECONDS = 2.0

_CHASSIS_METHODS = ("/grpc.health.v1.", "/grpc.reflection.")

_calls = Counter("pismo_rpc_served", "Calls served", ["method", "code"])
_seconds = Histogram(
    "pismo_rpc_served_seconds",
    "How long unary calls took",
    ["method"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)

MethodHandler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"

log = structlog.get_logger()

ErrorReport = Callable[[str, str, str, str], None]
"""Called with error type, masked message, stack and handler name for what no table foresees."""


class _Overloaded(Exception):
    """More calls at once than are admitted."""


class _CallerNotAllowed(Exception):
    """The certificate's service may not call this method."""

    def __init__(self, caller: str) -> None:
        super().__init__(caller)
        self.caller = caller


class _Boundary(grpc.aio.ServerInterceptor):
    def __init__(
        self, table: ErrorTable, draining: asyncio.Event, report: ErrorReport, call_table: CallTable | None
    ) -> None:
        self._table = table
        self._call_table = call_table
        self._draining = draining
        self._report = report
        self._calls = 0
        self._streams = 0
        self._wrapped: dict[str, MethodHandler] = {}

    async def intercept_service(
        self, continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]], details: grpc.HandlerCallDetails
    ) -> Any:
        method: str = details.method
        if method.startswith(_CHASSIS_METHODS):
            return await continuation(details)
        if method not in self._wrapped:
            handler = await continuation(details)
            if handler is None:
                return None
            self._wrapped[method] = self._wrap(method, handler)
        return self._wrapped[method]

    def _wrap(self, method: str, handler: Any) -> MethodHandler:
        if handler.unary_unary:
            return grpc.unary_unary_rpc_method_handler(
                self._unary(method, handler.unary_unary), handler.request_deserializer, handler.response_serializer
            )
        if handler.unary_stream:
            return grpc.unary_stream_rpc_method_handler(
                self._stream(method, handler.unary_stream), handler.request_deserializer, handler.response_serializer
            )
        raise NotImplementedError(f"{method}: no boundary for streamed requests")

    def _unary(self, method: str, handle: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        name = method.lstrip("/")
        seconds = _seconds.labels(name)

        async def served(request: Any, context: CallContext) -> Any:
            began = time.perf_counter()
            with self._span(name, context) as span:
                try:
                    self._check_caller(name, context)
                    if self._calls >= CALLS_AT_ONCE:
                        raise _Overloaded
                    self._calls += 1
                    try:
                        limit = min(LONGEST_CALL_SECONDS, context.time_remaining() or LONGEST_CALL_SECONDS)
                        deadlines.begin(limit)
                        check_fields(request)
                        async with asyncio.timeout(limit):
                            response = await handle(request, context)
                    finally:
                        self._calls -= 1
                except Exception as error:
                    await self._fail(name, span, context, error)
                _calls.labels(name, "OK").inc()
                seconds.observe(time.perf_counter() - began)
                return response

        return served

    def _stream(self, method: str, handle: Callable[..., AsyncIterator[Any]]) -> Callable[..., AsyncIterator[Any]]:
        name = method.lstrip("/")

        async def served(request: Any, context: CallContext) -> AsyncIterator[Any]:
            with self._span(name, context, current=False) as span:
                try:
                    self._check_caller(name, context)
                    if self._streams >= STREAMS_AT_ONCE:
                        raise _Overloaded
                    self._streams += 1
                    try:
                        check_fields(request)
                        async for response in handle(request, context):
                            yield response
                            if self._draining.is_set():
                                # The reader goes on at another replica; what it watches is not tied to this one.
                                await abort(
                                    context,
                                    make_status(
                                        grpc.StatusCode.UNAVAILABLE,
                                        ErrorReason.Name(ErrorReason.ERROR_REASON_DRAINING),
                                        retry_after_seconds=OVERLOAD_RETRY_SECONDS,
                                    ),
                                )
                    finally:
                        self._streams -= 1
                except grpc.aio.AbortError:
                    raise
                except Exception as error:
                    await self._fail(name, span, context, error)
                _calls.labels(name, "OK").inc()

        return served

    def _check_caller(self, name: str, context: CallContext) -> None:
        if self._call_table is not None:
            caller = self._call_table.caller(context.auth_context())
            if not self._call_table.allows(caller, name):
                raise _CallerNotAllowed(caller)

    @contextmanager
    def _span(self, name: str, context: CallContext, *, current: bool = True) -> Iterator[Span]:
        """The call's span. A stream's is not made current: its generator may be closed in another context."""
        metadata = dict(context.invocation_metadata() or ())
        span = telemetry.tracer.start_span(
            name, context=telemetry.parent(str(metadata.get("traceparent", ""))), kind=SpanKind.SERVER
        )
        if span.is_recording():
            span.set_attribute("rpc.system", "grpc")
        try:
            if current:
                with use_span(span, record_exception=False, set_status_on_exception=False):
                    yield span
            else:
                yield span
        finally:
            span.end()

    async def _fail(self, name: str, span: Span, context: CallContext, error: Exception) -> None:
        """Ends the call with the error's status; never returns."""
        status = self._table.status(error)
        if status is None and isinstance(error, InvalidFields):
            status = invalid_fields(error)
        if status is None and isinstance(error, _CallerNotAllowed):
            status = make_status(
                grpc.StatusCode.PERMISSION_DENIED,
                ErrorReason.Name(ErrorReason.ERROR_REASON_CALLER_NOT_ALLOWED),
                {"caller": error.caller, "method": name},
            )
        if status is None and isinstance(error, _Overloaded):
            status = make_status(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                ErrorReason.Name(ErrorReason.ERROR_REASON_OVERLOADED),
                retry_after_seconds=OVERLOAD_RETRY_SECONDS,
            )
        if status is None and isinstance(error, STORE_ERRORS):
            log.warning("store unavailable", method=name, exc_info=error)
            status = make_status(
                grpc.StatusCode.UNAVAILABLE,
                ErrorReason.Name(ErrorReason.ERROR_REASON_STORE_UNAVAILABLE),
                retry_after_seconds=STORE_RETRY_SECONDS,
            )
        if status is None:
            log.error("unforeseen error", method=name, exc_info=error)
            self._report(*describe(error), name)
            status = make_status(
                grpc.StatusCode.INTERNAL,
                ErrorReason.Name(ErrorReason.ERROR_REASON_INTERNAL),
                {"trace_id": telemetry.trace_id()},
            )
        code = next(each for each in grpc.StatusCode if each.value[0] == status.code)
        _calls.labels(name, code.name).inc()
        span.set_status(Status(StatusCode.ERROR, code.name))
        await abort(context, status)


class Server:
    """A gRPC server with health for each service name, and reflection."""

    def __init__(
        self,
        address: str,
        port: int,
        table: ErrorTable,
        add_servicers: Iterable[tuple[str, Callable[[grpc.aio.Server], None]]],
        report: ErrorReport,
        tls: TlsFiles | None = None,
        call_table: CallTable | None = None,
    ) -> None:
        """`add_servicers` pairs each full service name with what adds its servicer to a server."""
        self.draining = asyncio.Event()
        self._server = grpc.aio.server(
            interceptors=[_Boundary(table, self.draining, report, call_table)],
            options=[
                ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
                ("grpc.http2.max_ping_strikes", 0),
                # New replicas only get traffic when old connections end.
                ("grpc.max_connection_age_ms", 300_000),
                ("grpc.max_connection_age_grace_ms", 90_000),
                # gRPC's own limits answer CANCELLED, which nobody can act on; the boundary answers with RetryInfo.
                ("grpc.server.max_pending_requests", 20_000),
                ("grpc.server.max_pending_requests_hard_limit", 40_000),
                ("grpc.max_receive_message_length", 4 * 1024 * 1024),
                ("grpc.so_reuseport", 0),
            ],
        )
        self._health = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        self._names = []
        for name, add in add_servicers:
            add(self._server)
            self._names.append(name)
        reflection.enable_server_reflection([*self._names, health.SERVICE_NAME, reflection.SERVICE_NAME], self._server)
        try:
            self.port: int = (
                self._server.add_insecure_port(f"{address}:{port}")
                if tls is None
                else self._server.add_secure_port(f"{address}:{port}", tls.server_credentials())
            )
        except RuntimeError:
            raise SystemExit(f"gRPC port {port} on {address} is taken") from None

    async def start(self) -> None:
        await self.set_serving(False)
        await self._server.start()

    async def set_serving(self, serving: bool) -> None:
        status = health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
        for name in ("", *self._names):
            await self._health.set(name, status)

    async def stop(self, grace_seconds: float) -> None:
        """Takes no new call and gives those in progress `grace_seconds`."""
        await self._server.stop(grace_seconds)
