"""What the control API shows of a room's gain matrix."""

from typing import Literal

from pydantic import Field

from mediaserver.schema_base import State

ColumnKind = Literal["voice", "player", "tap", "effect"]


class MatrixColumn(State):
    """Something that can be heard in the room."""

    kind: ColumnKind = Field(
        description="A `voice`, a music `player`, its `tap`: as late as those without a seat hear it, or an `effect`",
        examples=["voice"],
    )
    name: str = Field(description="The user, player or effect", examples=["ann"])
    csrc: int = Field(description="Its number in RTP packets", examples=[3405691582])
    gain_db: float = Field(description="For everybody, in dB; -60 is silence: muted, or may not speak", examples=[0.0])


class MatrixRow(State):
    """Listeners who hear the same, and so share a mix."""

    listeners: int = Field(description="Number of listening sessions", examples=[212])
    users: list[str] = Field(description="Some of them, at most 20", examples=[["bob"]])
    gains_db: list[float] = Field(
        description="Of each column, in dB, the column's own gain included; -60 is silence", examples=[[-60.0, 0.0]]
    )


class MatrixDocument(State):
    """Who hears what how loud."""

    columns: list[MatrixColumn] = Field(description="Voices by seat, then what the room plays")
    rows: list[MatrixRow] = Field(description="Those with the most listeners first, at most `limit`")
    mixes: int = Field(description="Number of rows that there are", examples=[3])
