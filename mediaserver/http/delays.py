"""What singers' clients report of their delays, so that the audience hears voice and music meet (ktv.py)."""

from fastapi import APIRouter, Depends, Request, Response

from mediaserver.http.answers import answer
from mediaserver.http.auth import BY_SERVICE_OR_PARTICIPANT, self_or_controls
from mediaserver.http.describe import described
from mediaserver.http.media import require_json
from mediaserver.http.nodes import NodeOf, RoomOf
from mediaserver.http.paths import UserName
from mediaserver.http.preconditions import require
from mediaserver.http.problems import Problem, refusals
from mediaserver.ktv import ClientDelays
from mediaserver.schema_programme import DelaysReport, DelaysState

router = APIRouter(prefix="/v1/rooms/{room}", tags=["participants"], dependencies=[Depends(require_json)])


@router.put(
    "/participants/{user}/delays",
    summary="A singer's client says how late it plays and captures",
    dependencies=[Depends(self_or_controls)],
    openapi_extra=BY_SERVICE_OR_PARTICIPANT,
    response_model=DelaysState,
    responses={200: described("What becomes of it"), **refusals("precondition-failed", "no-room", "no-participant")},
)
async def put_delays(request: Request, room: RoomOf, user: UserName, node: NodeOf, report: DelaysReport) -> Response:
    """To be said once a second while he publishes and the room has a player with `align`. Its answer is of the look
    before. The participant's own bearer token will do."""
    require(request, room)
    if user not in room.participants:
        raise Problem("no-participant", "The user is not connected to this room.")
    node.singers.report(room, user, ClientDelays(report.playout_ms, report.capture_ms))
    alignment = room.alignment
    return answer(
        DelaysState(
            loop_ms=alignment.loops_ms.get(user),
            voice_delay_ms=alignment.voices_ms.get(user, 0.0),
            music_delay_ms=alignment.music_ms if room.programme.aligned() else None,
        )
    )
