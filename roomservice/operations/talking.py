"""Parameters and results that groups, messages, signalling and calls have in common."""

from typing import Annotated

from pydantic import AfterValidator, Field

from roomservice.model.attributes import Attributes
from roomservice.operations.fields import Name
from roomservice.operations.table import Result


def _data(text: str) -> str:
    if "\x00" in text:
        raise ValueError("text has no null characters")
    return text


GroupId = Annotated[Name, Field(description="Id of the group, or of the room whose audience group it is")]
Data = Annotated[str, Field(max_length=8192, description="The app's own text"), AfterValidator(_data)]
Values = dict[
    Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=2048), AfterValidator(_data)] | None
]


class AttributesView(Result):
    values: dict[str, str] = Field(description="By key")
    version: int = Field(description="Rises by one with each change")


def attributes_view(attributes: Attributes) -> AttributesView:
    return AttributesView(values=dict(attributes.values), version=attributes.version)
