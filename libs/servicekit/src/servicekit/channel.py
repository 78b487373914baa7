"""gRPC channels to other services: balanced, frozen peers noticed, deadlines and traces handed on."""

from collections.abc import Callable
from typing import Any

import grpc
import orjson
from opentelemetry import propagate
from opentelemetry.trace import SpanKind, Status, StatusCode

from servicekit import deadlines
from servicekit.telemetry import tracer
from servicekit.tls import TlsFiles

CALL_SECONDS = 5.0
"""How long a unary call may take where the caller sets no deadline of its own."""

# Every mutation carries a request_id, so any unary call may be repeated; a stream is reopened by its reader.
_SERVICE_CONFIG = {
    "loadBalancingConfig": [{"round_robin": {}}],
    "methodConfig": [
        {
            "name": [{}],
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.1s",
                "maxBackoff": "1s",
                "backoffMultiplier": 3,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ],
}

_OPTIONS: list[tuple[str, Any]] = [
    ("grpc.service_config", orjson.dumps(_SERVICE_CONFIG).decode()),
    # keepalive_timeout_ms is not honoured by grpcio 1.85; ping_timeout_ms is what notices a frozen peer.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.http2.ping_timeout_ms", 3_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    # Pods come and go, and with them the addresses behind a name; by default a name is not asked again for 30 s.
    ("grpc.dns_min_time_between_resolutions_ms", 1_000),
    ("grpc.max_receive_message_length", 4 * 1024 * 1024),
]


def open_channel(target: str, tls: TlsFiles | None = None) -> grpc.aio.Channel:
    """A channel to a gRPC target: `host:port`, `dns:///name:port`, or `ipv4:a:1,b:2` for several."""
    interceptors = [_Unary(), _ServerStream()]
    if tls is None:
        return grpc.aio.insecure_channel(target, options=_OPTIONS, interceptors=interceptors)
    options = [*_OPTIONS, *_authority(target)]
    return grpc.aio.secure_channel(target, tls.channel_credentials(), options=options, interceptors=interceptors)


def _authority(target: str) -> list[tuple[str, Any]]:
    """The host that certificates must be made for. gRPC would take a list of addresses, whole, for one host's name."""
    scheme, _, addresses = target.partition(":")
    several = scheme in ("ipv4", "ipv6") and "," in addresses
    return [("grpc.default_authority", addresses.partition(",")[0])] if several else []


def _prepare(details: grpc.aio.ClientCallDetails, timeout: float | None) -> grpc.aio.ClientCallDetails:
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    metadata = grpc.aio.Metadata(*(details.metadata or ()), *carrier.items())
    return grpc.aio.ClientCallDetails(details.method, timeout, metadata, details.credentials, details.wait_for_ready)


def _name(method: str | bytes) -> str:
    return (method.decode() if isinstance(method, bytes) else method).lstrip("/")


class _Unary(grpc.aio.UnaryUnaryClientInterceptor):
    async def intercept_unary_unary(
        self,
        continuation: Callable[[grpc.aio.ClientCallDetails, Any], Any],
        details: grpc.aio.ClientCallDetails,
        request: Any,
    ) -> Any:
        timeout = deadlines.remaining(details.timeout or CALL_SECONDS)
        with tracer.start_as_current_span(
            _name(details.method), kind=SpanKind.CLIENT, record_exception=False, set_status_on_exception=False
        ) as span:
            call = await continuation(_prepare(details, timeout), request)
            if span.is_recording():
                code = await call.code()
                span.set_attribute("rpc.system", "grpc")
                span.set_attribute("rpc.grpc.status_code", code.value[0])
                if code is not grpc.StatusCode.OK:
                    span.set_status(Status(StatusCode.ERROR, code.name))
            return call


class _ServerStream(grpc.aio.UnaryStreamClientInterceptor):
    async def intercept_unary_stream(
        self,
        continuation: Callable[[grpc.aio.ClientCallDetails, Any], Any],
        details: grpc.aio.ClientCallDetails,
        request: Any,
    ) -> Any:
        return await continuation(_prepare(details, details.timeout), request)
