"""The node in the control API: how it does, and whether it takes new rooms."""

from typing import Any

from fastapi import APIRouter, Depends, Response

from mediaserver import __version__
from mediaserver.http.answers import answer
from mediaserver.http.auth import AdministersOf, administers, reads
from mediaserver.http.describe import described
from mediaserver.http.idempotency import RepeatableOf
from mediaserver.http.media import require_json
from mediaserver.http.nodes import NodeOf
from mediaserver.http.problems import refusals
from mediaserver.model.people import Direction
from mediaserver.node import Node
from mediaserver.schema import NodeState, WorkerState

router = APIRouter(prefix="/v1/node", tags=["node"], dependencies=[Depends(require_json)])

_STATE: dict[int | str, dict[str, Any]] = {200: described("The node")}


@router.get(
    "", summary="The node at a glance", dependencies=[Depends(reads)], response_model=NodeState, responses=_STATE
)
async def get_node(node: NodeOf) -> Response:
    return answer(_state(node))


@router.post(
    "/drain",
    summary="Take no new rooms",
    response_model=NodeState,
    responses=_STATE,
)
async def post_drain(key: AdministersOf, node: NodeOf, repeatable: RepeatableOf) -> Response:
    """Rooms that are here go on and still take sessions; /readyz says 503, and the rooms' owners are told by an
    event."""

    async def make() -> Response:
        node.drain()
        await node.settled()
        return answer(_state(node))

    return await repeatable.answer(key.id, make)


@router.delete(
    "/drain",
    summary="Take new rooms again",
    dependencies=[Depends(administers)],
    response_model=NodeState,
    responses={**_STATE, **refusals("shutting-down")},
)
async def delete_drain(node: NodeOf) -> Response:
    node.undrain()
    return answer(_state(node))


def _state(node: Node) -> NodeState:
    ways = [session.direction for session in node.census.sessions.values()]
    plane = node.driver.plane
    workers = []
    for worker in range(plane.workers):
        counters, load = plane.counters(worker), node.watch.load(worker)
        workers.append(
            WorkerState(
                cpu_share=round(load.cpu_share, 4),
                tick_late_p99_ms=round(load.tick_late_p99_s * 1000, 3),
                peers=counters["peers"],
                rooms=counters["rooms"],
                mixes=counters["mixes"],
                packets_received=counters["rtp_received"],
                packets_sent=counters["packets_forwarded"] + counters["packets_mixed"],
            )
        )
    return NodeState(
        version=__version__,
        uptime_s=round(node.uptime_s, 1),
        draining=node.draining,
        rooms=len(node.rooms),
        sessions={"publish": ways.count(Direction.PUBLISH), "listen": ways.count(Direction.LISTEN)},
        workers=workers,
    )
