"""All that has to do with music on one node, made and ended together."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from mediaserver import logs
from mediaserver.music.addresses import Policy
from mediaserver.music.children import ChildError, Children
from mediaserver.music.config import MusicSettings
from mediaserver.music.deck import RingLike, Workshop
from mediaserver.music.gate import Gate
from mediaserver.music.library import Library

log = logs.get(__name__)


class Music:
    """`workshop` is what players and sounds are made with. start() and stop() within a running event loop."""

    def __init__(self, settings: MusicSettings, make_ring: Callable[[int], RingLike]) -> None:
        """LibraryError when the library's directory cannot be used."""
        self.children = Children()
        self.gate = Gate(Policy(settings.hosts, settings.networks))
        self.library: Library | None = None
        if settings.directory is not None:
            self.library = Library(settings.directory, self.children, settings.bounds)
        self.workshop = Workshop(self.children, self.gate, self._find, make_ring)
        self._watching: asyncio.Task[None] | None = None

    def start(self) -> None:
        if self.library is not None:
            self._watching = asyncio.get_running_loop().create_task(self._watch(self.library))

    def stop(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            self._watching = None
        self.children.close()

    async def _watch(self, library: Library) -> None:
        try:
            await self.children.prepare()
        except ChildError as error:
            log.warning("music cannot be decoded", reason=str(error))
        except Exception:  # a defect: the library is to be watched all the same
            log.exception("music cannot be decoded")
        await library.watch()

    def _find(self, identifier: str) -> Path | None:
        return self.library.path(identifier) if self.library is not None else None
