"""A whole room service, put together: one instance, what clients may ask of it, and the ways in which they do."""

import uuid
from collections.abc import Callable
from dataclasses import replace

import httpx
from starlette.types import Receive, Scope, Send

from roomservice.accounts import Accounts
from roomservice.appserver.app import Edge, create_app
from roomservice.commit import Session
from roomservice.instance import Instance
from roomservice.interface import Bus, Media, Push, Sound, Storage, Users
from roomservice.library import Library
from roomservice.operations.world import World
from roomservice.presence import Presence
from roomservice.push.both import PushByAll
from roomservice.push.opening import open_pushes
from roomservice.room_signs import RoomSigns
from roomservice.service import Service
from roomservice.settings import ServiceSettings
from roomservice.talk.talk import BrowserPush, make_talk
from roomservice.talking_now import TalkingNow
from roomservice.wire.app import Wire
from roomservice.words import open_words


class Whole:
    """An ASGI app, whose lifespan is that of the service. media, sound, users: the world's; http: to push by; push:
    besides the ways that the settings name; browsers: instead of their Web Push. clock: Unix time in s. ValueError,
    with a sentence, for a setting that cannot be used."""

    def __init__(
        self,
        settings: ServiceSettings,
        storage: Storage,
        bus: Bus,
        *,
        users: Users,
        media: Media,
        sound: Sound,
        http: httpx.AsyncClient,
        clock: Callable[[], float],
        push: Push | None = None,
        browsers: BrowserPush | None = None,
    ) -> None:
        pushes = PushByAll([] if push is None else [push])
        self.instance = Instance(storage, bus, media, pushes, clock, lost=self._lost)
        engine = self.instance.engine
        self.presence = Presence(engine, settings, uuid.uuid4().hex, clock)
        talk = make_talk(engine, users, media, open_words(settings.word_list, mask=settings.mask_words))
        talk = replace(talk, browsers=browsers or open_pushes(settings, pushes, talk.people, http, clock))
        self.presence.tell(RoomSigns(engine))
        self.presence.tell(talk.calls)
        accounts = Accounts(storage, users, settings, clock)
        self.talking = TalkingNow()
        library = Library(settings, storage, sound, clock)
        self.world = World(engine, accounts, self.presence, media, sound, talk, self.talking, library, settings, clock)
        inner = create_app(Edge(Service(self.instance, settings.rooms_per_user), users, settings, clock))
        self.wire = Wire(inner, self.world, self.instance.hub)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.wire(scope, receive, send)

    async def _lost(self, session: Session) -> None:
        """Not of a socket that is here: it is refreshed as soon as the storage takes it, or closed."""
        if not self.wire.sockets.has(session):
            await self.presence.expire(session)
