"""`mediaserver speakers`, `mute` and `unmute`."""

from collections.abc import Sequence
from typing import cast, get_args

import click

from mediaserver.client import MediaServer
from mediaserver.commandline.connection import NAME, Connection, connects, json_option, run
from mediaserver.commandline.output import console, name, percent, print_document, print_json, printable, table
from mediaserver.schema import ParticipantDocument, RoomDocument, SessionDocument, SpeakerDocument
from mediaserver.schema_base import MuteSourceName

_SOURCES = get_args(MuteSourceName)
_source = click.option("--source", help="Who mutes.", type=click.Choice(_SOURCES), default="host", show_default=True)


@click.command()
@click.argument("room", type=NAME)
@json_option
@connects
def speakers(connection: Connection, room: str, as_json: bool) -> None:
    """List the seats of ROOM.

    With --json: "speakers" as in the room's document, and "participants" of those who publish."""
    document, present = run(_speakers(connection.server(), room))
    if as_json:
        both = {
            "speakers": document.model_dump(mode="json", include={"speakers"}, exclude_none=True)["speakers"],
            "participants": [one.model_dump(mode="json", exclude_none=True) for one in present],
        }
        print_json(both)
        return
    if not document.speakers:
        click.echo("Nobody has a seat in this room.")
        return
    shown = table(
        *("SEAT", "USER", "MAY PUBLISH", "GAIN", "MUTED BY", "STATE", "LEVEL", "LOSS", "JITTER"),
        right=("SEAT", "GAIN", "LEVEL", "LOSS", "JITTER"),
    )
    sessions = {one.user: _publishing(one) for one in present}
    for user, speaker in sorted(document.speakers.items(), key=_place):
        shown.add_row(
            "" if speaker.seat is None else str(speaker.seat),
            name(user),
            "yes" if speaker.may_publish else "no",
            f"{speaker.gain_db:+.1f} dB" if speaker.gain_db else "0 dB",
            ", ".join(source for source, is_set in sorted(speaker.mutes.items()) if is_set),
            *_session(sessions.get(user)),
        )
    console().print(shown)


@click.command()
@click.argument("room", type=NAME)
@click.argument("user", type=NAME)
@_source
@json_option
@connects
def mute(connection: Connection, room: str, user: str, source: str, as_json: bool) -> None:
    """Mute USER in ROOM."""
    _mute(connection, room, user, source, as_json, is_set=True)


@click.command()
@click.argument("room", type=NAME)
@click.argument("user", type=NAME)
@_source
@json_option
@connects
def unmute(connection: Connection, room: str, user: str, source: str, as_json: bool) -> None:
    """Undo a mute of USER in ROOM.

    The mutes of other sources stay."""
    _mute(connection, room, user, source, as_json, is_set=False)


def _mute(connection: Connection, room: str, user: str, source: str, as_json: bool, *, is_set: bool) -> None:
    async def call(server: MediaServer) -> None:
        async with server:
            change = server.mute if is_set else server.unmute
            state = (await change(room, user, cast(MuteSourceName, source))).document
        if as_json:
            print_document(state)
            return
        sources = [source for source, is_set in sorted(state.mutes.items()) if is_set]
        by = f"is muted by {' and '.join(sources)}" if sources else "is not muted"
        click.echo(printable(f"{user} {by} in {room}."))

    run(call(connection.server()))


async def _speakers(server: MediaServer, room: str) -> tuple[RoomDocument, list[ParticipantDocument]]:
    async with server:
        document = (await server.room(room)).document
        return document, [one async for one in server.participants(room, direction="publish")]


def _place(item: tuple[str, SpeakerDocument]) -> tuple[bool, int, str]:
    """Those with numbered seats first."""
    user, speaker = item
    return speaker.seat is None, speaker.seat or 0, user


def _publishing(participant: ParticipantDocument) -> SessionDocument | None:
    return next((session for session in participant.sessions if session.direction == "publish"), None)


def _session(session: SessionDocument | None) -> Sequence[str]:
    if session is None:
        return ("away", "", "", "")
    state = "talking" if session.speaking else str(session.state)
    return state, f"{session.level_dbov:.0f} dBov", percent(session.fraction_lost), f"{session.jitter_ms:.1f} ms"
