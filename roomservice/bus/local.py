"""For one instance: what is published is received by itself."""

from collections.abc import Callable, Collection, Sequence

from roomservice.commit import Numbered


class LocalBus:
    def __init__(self) -> None:
        self._receive: Callable[[Sequence[Numbered]], None] | None = None

    async def start(self, receive: Callable[[Sequence[Numbered]], None]) -> None:
        self._receive = receive

    async def publish(self, events: Sequence[Numbered]) -> None:
        if self._receive is not None:
            self._receive(events)

    async def follow(self, streams: Collection[str]) -> None:
        """Everything is received."""

    async def unfollow(self, streams: Collection[str]) -> None:
        """What nobody follows is left aside by who receives it."""

    async def close(self) -> None:
        self._receive = None

    async def ready(self) -> bool:
        return True
