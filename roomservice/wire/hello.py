"""The first message of a WebSocket, and what is answered. It may be said again with a newer token of the device."""

from typing import Annotated, Any

from pydantic import Field

from roomservice.operations.fields import Name
from roomservice.operations.table import Params, Result

MAX_RESUMED = 3000
"""Streams; a user follows fewer."""


class Hello(Params):
    """Who it is."""

    token: Annotated[str, Field(max_length=8192, description="Access token, or the token of `/login`")]
    device: Annotated[
        Name | None, Field(description="With the token of `/login`: which of the user's devices it is")
    ] = None
    resume: Annotated[
        dict[Annotated[str, Field(max_length=512)], Annotated[int, Field(ge=0, le=2**53)]],
        Field(max_length=MAX_RESUMED, description="Stream -> the number of the last event that was seen of it"),
    ] = {}  # noqa: RUF012 - pydantic copies it


class Welcome(Result):
    user: str = Field(description="Id of the user")
    device: str = Field(description="Id of the device")
    session: str = Field(description="Id of this session; `session_ended` names it")
    heartbeat_s: float = Field(description="Say something at least so often; after three that are missed it ends")
    now: float = Field(description="Unix time in seconds, here")
    streams: dict[str, int] = Field(
        description="What is followed, and up to which event what is missed is told after this answer"
    )
    reload: list[str] = Field(
        description="Of which something is missed that is kept no longer, or that are followed no more: load them anew"
    )


def schemas() -> dict[str, Any]:
    """Of params and result, each complete in itself."""
    return {"params": Hello.model_json_schema(), "result": Welcome.model_json_schema(mode="serialization")}
