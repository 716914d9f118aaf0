"""A room's begin, its settings, and its end."""

from collections.abc import Mapping
from typing import Any

from mediaserver.commands import AddRoom, CloseReason, Command, ConfigureRoom, RemoveRoom
from mediaserver.model import playing, presence
from mediaserver.model.columns import hear, heard
from mediaserver.model.people import Direction
from mediaserver.model.room import Layout, Limits, Room
from mediaserver.programme import Programme
from mediaserver.scenarios import Scenario
from mediaserver.voices import Speech


def start(room: Room) -> list[Command]:
    room.tell("room.started")
    return [AddRoom(room.id, room.home, room.mix, room.e2ee)]


def configure(
    room: Room,
    *,
    scenario: Scenario = Scenario.CHAT,
    mix: Mapping[str, Any] | None = None,
    layout: Layout = Layout.NONE,
    speech: Speech | None = None,
    limits: Limits | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> list[Command]:
    """Other settings; what is left out gets its default. A mix is encoded otherwise from the next frame on."""
    settings = (scenario, dict(mix or {}), layout, speech or Speech(), limits or Limits(), dict(metadata or {}))
    if settings == (room.scenario, room.mix_settings, room.layout, room.speech, room.limits, room.metadata):
        return []
    mix_before, heard_before = room.mix, {user: heard(room, user) for user in room.speakers}
    room.scenario, room.mix_settings, room.layout, room.speech, room.limits, room.metadata = settings
    room.revision += 1
    room.tell("room.changed", etag=room.etag)
    commands: list[Command] = [] if room.mix == mix_before else [ConfigureRoom(room.id, room.mix, room.e2ee)]
    for user, was in heard_before.items():
        commands += hear(room, user, was)
    return commands


def end(room: Room) -> list[Command]:
    """Everybody out. The room is of no use afterwards."""
    commands = playing.play(room, Programme())
    for user in tuple(room.participants):
        commands += presence.evict(room, user, tuple(Direction), CloseReason.ROOM_CLOSED)
    room.tell("room.ended", reason=CloseReason.ROOM_CLOSED)
    return [*commands, RemoveRoom(room.id)]
