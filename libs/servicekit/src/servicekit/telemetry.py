"""Traces: where they go, and how one crosses a row of a table.

OTEL_* variables decide as the OpenTelemetry specification says. Without an endpoint nothing is recorded, and trace ids
still exist, so that a log line and an error can be brought together.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import urlsplit

from opentelemetry import context as otel_context
from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

tracer = trace.get_tracer("pismo")

_OTLP_HTTP_PORT = 4318


def configure(service: str, instance: str, environ: Mapping[str, str] = os.environ) -> TracerProvider:
    """Makes the process's tracer provider. Shut it down at the end, so that nothing recorded is lost."""
    resource = Resource.create({"service.name": f"pismo-{service}", "service.instance.id": instance})
    exporter = _exporter(environ)
    if exporter is None:
        provider = TracerProvider(resource=resource, sampler=ALWAYS_OFF, shutdown_on_exit=False)
    else:
        provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return provider


def _exporter(environ: Mapping[str, str]) -> SpanExporter | None:
    if environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or environ.get("OTEL_TRACES_EXPORTER") == "none":
        return None
    endpoint = environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or environ.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    if not endpoint:
        return None
    protocol = environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or environ.get("OTEL_EXPORTER_OTLP_PROTOCOL")
    if not protocol:
        # Nobody said: 4318 is where collectors take HTTP, anything else has always meant gRPC to Python.
        protocol = "http/protobuf" if urlsplit(endpoint).port == _OTLP_HTTP_PORT else "grpc"
    # Imported here: each costs a start 100 ms, and at most one is needed.
    if protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter

        return GrpcExporter()
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter

    return HttpExporter()


def traceparent() -> str:
    """The current span as a W3C traceparent, to be kept in a row; empty outside any trace."""
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return carrier.get("traceparent", "")


def parent(traceparent: str | None) -> Context:
    """The context that a kept traceparent stands for."""
    return propagate.extract({"traceparent": traceparent} if traceparent else {})


def trace_id() -> str:
    """The current trace's id in 32 hex digits; empty outside any trace."""
    context = trace.get_current_span().get_span_context()
    return f"{context.trace_id:032x}" if context.is_valid else ""


@contextmanager
def span(name: str, kind: SpanKind = SpanKind.INTERNAL, parent: Context | None = None) -> Iterator[Span]:
    """A span that never records what an exception says: its words may be a person's."""
    with tracer.start_as_current_span(
        name, context=parent, kind=kind, record_exception=False, set_status_on_exception=False
    ) as current:
        try:
            yield current
        except Exception as error:
            current.set_status(Status(StatusCode.ERROR, type(error).__name__))
            raise


def detached() -> Context:
    """An empty context, for work that belongs to no call."""
    return otel_context.Context()
