"""Optional tracing by OpenTelemetry: spans of control calls go to a collector, when --otlp-endpoint names one.

Until configure() or use() is called, span() and traced() do nothing and cost less than a microsecond. The packages are
the extra `otel`; nothing of them is imported before they are needed.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from mediaserver import __version__

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span, Tracer

P = ParamSpec("P")
R = TypeVar("R")

SERVICE = "mediaserver"
# Of sending one batch to the collector, tries included. Longer delays the end of the process when there is none.
EXPORT_TIMEOUT_S = 2.0
_OFF: AbstractContextManager[Any] = nullcontext()


class TracingError(Exception):
    """Traces cannot be sent; the message is one sentence for whoever started the server."""


class _State:
    tracer: "Tracer | None" = None
    provider: "TracerProvider | None" = None


def configure(endpoint: str) -> None:
    """Sends spans to this collector from now on (OTLP over HTTP), in batches from a thread of its own. TracingError
    when the packages are missing."""
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    except ImportError:
        raise TracingError("Tracing needs OpenTelemetry: install voicerooms[otel].") from None
    provider = TracerProvider(resource=Resource.create({"service.name": SERVICE, "service.version": __version__}))
    path = "" if endpoint.rstrip("/").endswith("/v1/traces") else "/v1/traces"
    exporter = OTLPSpanExporter(endpoint=endpoint.rstrip("/") + path, timeout=EXPORT_TIMEOUT_S)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    use(provider)


def use(provider: "TracerProvider | None") -> None:
    """Makes spans of this provider; None turns tracing off."""
    _State.provider = provider
    _State.tracer = None if provider is None else provider.get_tracer(SERVICE, __version__)


def is_on() -> bool:
    return _State.tracer is not None


def stop() -> None:
    """Sends what waits, and turns tracing off."""
    provider = _State.provider
    use(None)
    if provider is not None:
        provider.shutdown()


def span(name: str) -> AbstractContextManager[Any]:
    """A child of the span that the caller runs in, around the with statement's body."""
    if _State.tracer is None:
        return _OFF
    return _start(_State.tracer, name)


def traced(name: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorates a function: each call is a span."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            if _State.tracer is None:
                return function(*args, **kwargs)
            with _start(_State.tracer, name):
                return function(*args, **kwargs)

        return call

    return decorate


def server_span(name: str, headers: Mapping[str, str]) -> "AbstractContextManager[Span]":
    """Around a request that came in; a `traceparent` among the headers is its parent (W3C Trace Context). Only when
    tracing is on."""
    from opentelemetry.trace import SpanKind  # noqa: PLC0415
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415

    assert _State.tracer is not None
    parent = TraceContextTextMapPropagator().extract(headers)
    return _start(_State.tracer, name, context=parent, kind=SpanKind.SERVER)


def _start(tracer: "Tracer", name: str, **options: Any) -> "AbstractContextManager[Span]":
    """Exceptions are not recorded: their sentences can name users."""
    return tracer.start_as_current_span(name, record_exception=False, set_status_on_exception=False, **options)
