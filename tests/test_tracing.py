"""Spans of control calls, by OpenTelemetry's own exporter in memory; and that nothing is there when it is off."""

import asyncio
import gzip
import sys
import timeit
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from mediaserver import tracing
from mediaserver.tracing import TracingError
from tests.edge import ROOM, USER, serving

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing.use(provider)
    yield exporter
    tracing.stop()
    assert not tracing.is_on()


def attributes(span: ReadableSpan) -> Mapping[str, object]:
    return dict(span.attributes or {})


async def test_a_control_call_is_a_span_with_its_route_status_and_room(spans: InMemorySpanExporter) -> None:
    async with serving() as edge:
        await edge.control("PUT", "rooms", "a/b")
        spans.clear()
        response = await edge.control("PUT", "rooms", "a/b", "speakers", USER)
        assert response.status_code == 200
    perform, call, *_ = spans.get_finished_spans()
    assert call.name == "PUT /v1/rooms/{room}/speakers/{user}"
    assert call.kind is SpanKind.SERVER
    assert attributes(call) == {
        "http.request.method": "PUT",
        "http.route": "/v1/rooms/{room}/speakers/{user}",
        "http.response.status_code": 200,
        "mediaserver.room": "a/b",
    }
    assert perform.name == "perform"
    assert perform.parent is not None
    assert call.context is not None
    assert perform.parent.span_id == call.context.span_id
    assert USER not in str([span.to_json() for span in (perform, call)])


async def test_the_callers_trace_goes_on(spans: InMemorySpanExporter) -> None:
    async with serving() as edge:
        await edge.control("GET", "rooms", headers={"traceparent": f"00-{TRACE}-{PARENT}-01"})
        await edge.control("GET", "rooms", headers={"traceparent": "00-nonsense"})
    known, unknown = spans.get_finished_spans()
    assert known.context is not None
    assert known.parent is not None
    assert f"{known.context.trace_id:032x}" == TRACE
    assert f"{known.parent.span_id:016x}" == PARENT
    assert unknown.parent is None


async def test_refusals_and_defects_are_spans_too(spans: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError(f"a defect about {USER}")

    async with serving() as edge:
        await edge.control("GET", "rooms", "none")
        monkeypatch.setattr(edge.node, "close_room", fail)
        await edge.control("DELETE", "rooms", ROOM)
        monkeypatch.undo()
    refused, failed = spans.get_finished_spans()
    assert attributes(refused)["http.response.status_code"] == 404
    assert attributes(failed)["http.response.status_code"] == 500
    assert USER not in failed.to_json()


async def test_other_requests_are_no_spans(spans: InMemorySpanExporter) -> None:
    async with serving() as edge:
        edge.seat()
        spans.clear()
        for path in ("/healthz", "/metrics", "/", f"/whip/{ROOM}"):
            await edge.http.get(path)
    assert not [span for span in spans.get_finished_spans() if span.kind is SpanKind.SERVER]


def test_when_it_is_off_a_span_costs_less_than_a_microsecond() -> None:
    @tracing.traced("name")
    def nothing() -> None:
        pass

    def in_span() -> None:
        with tracing.span("name"):
            pass

    assert min(timeit.repeat(in_span, number=10_000, repeat=5)) / 10_000 < 1e-6
    assert min(timeit.repeat(nothing, number=10_000, repeat=5)) / 10_000 < 1e-6


def test_a_missing_package_is_said_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(TracingError, match=r"^Tracing needs OpenTelemetry: install voicerooms\[otel\]\.$"):
        tracing.configure("http://127.0.0.1:4318")


async def test_spans_are_sent_to_the_collector() -> None:
    bodies: list[tuple[str, bytes]] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Not on standard error."""

    with HTTPServer(("127.0.0.1", 0), Collector) as collector:
        Thread(target=collector.serve_forever, daemon=True).start()
        tracing.configure(f"http://127.0.0.1:{collector.server_port}")
        async with serving() as edge:
            await edge.control("PUT", "rooms", ROOM)
        await asyncio.to_thread(tracing.stop)
        collector.shutdown()
    ((path, body),) = bodies
    assert path == "/v1/traces"
    assert b"PUT /v1/rooms/{room}" in gunzip(body)


def gunzip(body: bytes) -> bytes:
    return gzip.decompress(body) if body.startswith(b"\x1f\x8b") else body
