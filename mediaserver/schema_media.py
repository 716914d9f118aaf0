"""The media library, as the control API says it."""

from pydantic import Field

from mediaserver.schema_base import State

_ID = "9f86d081884c7d659a2feaa0c55ad015"


class MediaDocument(State):
    """A file of the library. What it is was found out by decoding it."""

    id: str = Field(description="Of its content: the same file is the same item", examples=[_ID])
    title: str | None = Field(
        default=None, description="Of its tags, or its name; absent when it has none", examples=["Nocturne"]
    )
    artist: str | None = Field(default=None, description="Of its tags", examples=["Ann"])
    album: str | None = Field(default=None, description="Of its tags", examples=["Evenings"])
    duration_s: float = Field(description="In seconds, as decoded", examples=[215.4])
    media_type: str = Field(description="Of the file", examples=["audio/mpeg"])
    codec: str = Field(description="Of its sound, by FFmpeg's name", examples=["mp3float"])
    sampling_rate: int = Field(description="Number of samples a second", examples=[44100])
    channels: int = Field(description="Number of channels", examples=[2])
    size: int = Field(description="In bytes", examples=[8616244])
    added: float = Field(description="When it came into the library, Unix time in seconds", examples=[1764104400.125])
    has_cover: bool = Field(description="Whether there is a picture at `…/cover`", examples=[True])


class MediaPage(State):
    """Files of the library by title, a page of them."""

    media: list[MediaDocument] = Field(description="At most `limit`")
    next: str | None = Field(
        default=None, description="`cursor` of the next page; absent on the last", examples=[f"nocturne\t{_ID}"]
    )
