"""How the control API answers: JSON of a model, with the ETag of the room that it is about."""

from fastapi import Response
from pydantic import BaseModel

from mediaserver.model.room import Room


def answer(document: BaseModel, room: Room | None = None, status: int = 200) -> Response:
    """Members without a value are left out. The model is not validated again, as FastAPI would."""
    headers = {} if room is None else {"ETag": room.etag}
    return Response(document.model_dump_json(exclude_none=True), status, headers, "application/json")


def done(room: Room | None = None) -> Response:
    return Response(status_code=204, headers={} if room is None else {"ETag": room.etag})
