"""OpenTelemetry traces: off unless its own variables name where to send them, and then without a word of users' texts.

The provider is this module's own and not the process's: what other libraries would put into spans (queries, paths) stays out.
"""

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import structlog

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span, Tracer

log = structlog.get_logger(__name__)

_END_SECONDS: Final = 3.0
"""How long the end of a process waits for a receiver of its last spans."""
_PARENT: Final = "traceparent"

_tracer: "Tracer | None" = None


def is_asked_for() -> bool:
    """Whether the environment names a receiver of traces."""
    if os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    return bool(os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or os.environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"))


def is_on() -> bool:
    """Whether this process sends spans."""
    return _tracer is not None


@contextmanager
def running(part: str) -> Iterator[None]:
    """Send the spans of this process, as those of the service ``tunery-PART``, while the block runs."""
    global _tracer  # noqa: PLW0603
    provider = _provider(part) if is_asked_for() else None
    if provider is None:
        yield
        return
    _tracer = provider.get_tracer("tunery")
    try:
        yield
    finally:
        _tracer = None
        ending = threading.Thread(target=provider.shutdown, name="traces", daemon=True)
        ending.start()
        ending.join(_END_SECONDS)


def _provider(part: str) -> "TracerProvider | None":
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - optional
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    except ImportError:
        log.warning("no traces are sent: install tunery[otel]")
        return None
    name = os.environ.get("OTEL_SERVICE_NAME") or f"tunery-{part}"
    provider = TracerProvider(resource=Resource.create({"service.name": name}), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


@contextmanager
def span(
    name: str, attributes: Mapping[str, Any] | None = None, *, parent: str | None = None, is_server: bool = False
) -> Iterator["Span | None"]:
    """A span for the time of the block, which an exception marks as failed; None where no traces are sent.

    ``parent``: the ``traceparent`` of another process; else the span that this thread or task is in.
    """
    if _tracer is None:
        yield None
        return
    from opentelemetry.trace import SpanKind  # noqa: PLC0415

    with _tracer.start_as_current_span(
        name,
        context=_context_of(parent),
        kind=SpanKind.SERVER if is_server else SpanKind.INTERNAL,
        attributes=dict(attributes or {}),
        record_exception=False,  # its message may quote what a user sent
    ) as current:
        yield current


def start(name: str, attributes: Mapping[str, Any]) -> "Span | None":
    """A span that ends when its ``end`` is called; a child of the one that this thread or task is in."""
    return None if _tracer is None else _tracer.start_span(name, attributes=dict(attributes))


def fail(current: "Span | None", code: str) -> None:
    """Mark it as failed, with the code of the error."""
    if current is None:
        return
    from opentelemetry.trace import StatusCode  # noqa: PLC0415

    current.set_attribute("error.type", code)
    current.set_status(StatusCode.ERROR)


def traceparent() -> str | None:
    """Names the span that this thread or task is in, for other processes (W3C Trace Context); None outside of any."""
    if _tracer is None:
        return None
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return carrier.get(_PARENT)


def _context_of(parent: str | None) -> Any:
    """None is the current one."""
    if parent is None:
        return None
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415

    return TraceContextTextMapPropagator().extract({_PARENT: parent})
