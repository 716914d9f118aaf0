"""Long lists a page at a time: sorted by name, and a cursor that is the last name shown, so that names which come
and go between two pages neither repeat nor hide others."""

from bisect import bisect_right
from collections.abc import Sequence
from typing import Annotated

from fastapi import Query

from mediaserver.schema import MAX_PAGE

Limit = Annotated[int, Query(ge=1, le=MAX_PAGE, description="Entries on a page")]
Cursor = Annotated[str, Query(max_length=256, description="`next` of the page before")]


def page(names: Sequence[str], cursor: str, limit: int) -> tuple[Sequence[str], str | None]:
    """Of sorted names those behind the cursor, and the cursor of the next page; None on the last."""
    begin = bisect_right(names, cursor) if cursor else 0
    chosen = names[begin : begin + limit]
    return chosen, chosen[-1] if begin + limit < len(names) else None
