"""Probes of the process: /healthz for "restart me", /readyz for "send me clients", /metrics for Prometheus."""

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, Response
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from mediaserver.http.describe import described, text
from mediaserver.http.problems import Problem, refusals
from mediaserver.node import Node

router = APIRouter(tags=["operation"])


@router.head("/healthz", include_in_schema=False)
@router.get(
    "/healthz",
    summary="Is the process alive?",
    response_class=PlainTextResponse,
    responses={200: described("It is", content=text("text/plain", "ok\n"))},
)
async def healthz() -> PlainTextResponse:
    return PlainTextResponse("ok\n")


@router.head("/readyz", include_in_schema=False)
@router.get(
    "/readyz",
    summary="Will it take new sessions?",
    response_class=PlainTextResponse,
    responses={
        200: described("It will", content=text("text/plain", "ready\n")),
        **refusals("draining", "shutting-down"),
    },
)
async def readyz(request: Request) -> PlainTextResponse:
    node: Node = request.app.state.node
    if node.draining:
        raise Problem("draining", "The server takes no new rooms.")
    if not node.ready:
        raise Problem("shutting-down", "The server takes no new sessions.")
    return PlainTextResponse("ready\n")


@router.get(
    "/metrics",
    summary="Metrics in Prometheus' text format",
    response_class=PlainTextResponse,
    responses={200: described("All metrics", content=text("text/plain", "mediaserver_rooms 3.0\n"))},
)
async def metrics(request: Request) -> Response:
    return Response(generate_latest(request.app.state.registry), media_type=CONTENT_TYPE_LATEST)
