"""Kinds of parameters that many operations have."""

from typing import Annotated

from pydantic import AfterValidator, Field

from roomservice.users import valid_name


def _name(text: str) -> str:
    if not valid_name(text):
        raise ValueError("a name has 1 to 256 bytes of UTF-8 without control characters, and is not a dot or two")
    return text


def _text(text: str) -> str:
    if "\x00" in text:
        raise ValueError("text has no null characters")
    return text


Name = Annotated[str, Field(min_length=1, max_length=256), AfterValidator(_name)]
RoomId = Annotated[Name, Field(description="Id of the room")]
UserId = Annotated[Name, Field(description="Id of the user")]
Line = Annotated[str, Field(max_length=256), AfterValidator(_text)]
Text = Annotated[str, Field(max_length=4096), AfterValidator(_text)]
LongText = Annotated[str, Field(max_length=60_000), AfterValidator(_text)]
SeatNumber = Annotated[int, Field(ge=0, le=999)]
Version = Annotated[int, Field(ge=0, le=2**53)]
