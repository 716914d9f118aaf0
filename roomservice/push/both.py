"""Several ways to push at once."""

import logging
from collections.abc import Mapping, Sequence

from roomservice.interface import Push, PushError

log = logging.getLogger(__name__)


class PushByAll:
    """ways: each is asked; without any, nothing is pushed."""

    def __init__(self, ways: Sequence[Push] = ()) -> None:
        self._ways = list(ways)

    def add(self, way: Push) -> None:
        """This one, too, from now on."""
        self._ways.append(way)

    async def push(self, user: str, event: str, data: Mapping[str, object], key: str) -> None:
        """PushError when one of them could not, for whatever reason; all are asked again then."""
        failed: PushError | None = None
        for way in self._ways:
            try:
                await way.push(user, event, data, key)
            except PushError as error:
                failed = error
            except Exception as error:
                log.exception("A way to push failed.")
                failed = PushError(f"A way to push failed: {type(error).__name__}.")
        if failed is not None:
            raise failed
