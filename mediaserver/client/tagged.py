"""Documents with the ETag of what they were read from, and what an If-Match is made of."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from pydantic import BaseModel

D_co = TypeVar("D_co", bound=BaseModel, covariant=True)


@dataclass(frozen=True, slots=True)
class Tagged(Generic[D_co]):
    """etag: of the room that the document is of or belongs to; given as `if_match`, a change is made only if nobody
    else has changed the room's document since. created: whether the call made what the document is of."""

    document: D_co
    etag: str
    created: bool = False
