"""The gain matrix of a room in the control API."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from mediaserver.http.answers import answer
from mediaserver.http.auth import reads
from mediaserver.http.describe import described
from mediaserver.http.nodes import RoomOf
from mediaserver.http.problems import refusals
from mediaserver.matrix_view import columns, rows
from mediaserver.schema_matrix import MatrixColumn, MatrixDocument, MatrixRow

router = APIRouter(prefix="/v1/rooms/{room}", tags=["rooms"])

MAX_ROWS = 1000


@router.get(
    "/matrix",
    summary="Who hears what how loud",
    dependencies=[Depends(reads)],
    response_model=MatrixDocument,
    responses={200: described("The gain matrix"), **refusals("no-room")},
)
async def get_matrix(
    room: RoomOf,
    limit: Annotated[int, Query(ge=1, le=MAX_ROWS, description="Rows at most")] = 100,
) -> Response:
    """A row for each distinct mix that somebody listens to: it follows from seats, from listeners' own wishes, and from
    what the room plays for whom."""
    shown = columns(room)
    found = rows(room, shown)
    return answer(
        MatrixDocument(
            columns=[
                MatrixColumn(kind=column.kind, name=column.name, csrc=column.csrc, gain_db=column.gain_db)
                for column in shown
            ],
            rows=[
                MatrixRow(listeners=row.listeners, users=list(row.users), gains_db=list(row.gains_db))
                for row in found[:limit]
            ],
            mixes=len(found),
        )
    )
