"""`mediaserver music`."""

from collections.abc import Sequence
from typing import Any

import click

from mediaserver.client import MediaServer, Refused
from mediaserver.commandline.connection import NAME, Connection, connects, json_option, run
from mediaserver.commandline.media import file_at, uploaded
from mediaserver.commandline.output import console, name, print_document, table
from mediaserver.schema_base import check_name
from mediaserver.schema_programme import PlayerStateDocument, RepeatName

ACTIONS = ("show", "play", "pause", "resume", "stop", "next", "previous", "seek", "volume", "remove")
_VALUES = {"seek": 1, "volume": 1}  # how many; `play` takes any number, the others none
_WEEK_S = 7 * 24 * 3600


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("room", type=NAME)
@click.argument("action", type=click.Choice(ACTIONS), default="show")
@click.argument("values", nargs=-1, metavar="[VALUE]...")
@click.option("--player", help="Which one, where a room has several.", type=NAME, default="music", show_default=True)
@click.option("--repeat", help="With play: one track, or all.", type=click.Choice([each.value for each in RepeatName]))
@click.option("--shuffle/--in-order", help="With play: in an order of its own.", default=None)
@click.option("--crossfade", help="With play: seconds by which tracks overlap.", type=click.FloatRange(0, 30))
@json_option
@connects
def music(
    *,
    connection: Connection,
    room: str,
    action: str,
    values: Sequence[str],
    player: str,
    repeat: str | None,
    shuffle: bool | None,
    crossfade: float | None,
    as_json: bool,
) -> None:
    """Play music in ROOM, or show what is played.

    \b
    play [FILE|ID|URL]...  these tracks; files are uploaded to the library. Without any: what is in the playlist
    pause, resume, stop, next, previous, remove
    seek SECONDS           into the track that is played
    volume DB              -60 (silence) to 12"""
    wish = {"repeat": repeat, "shuffle": shuffle, "crossfade_ms": crossfade and round(crossfade * 1000)}
    wish = {field: value for field, value in wish.items() if value is not None}
    if stray := [value for value in values if value.startswith("--")]:
        raise click.UsageError(f"No such option: {stray[0]}")
    if action != "play" and wish:
        raise click.UsageError("--repeat, --shuffle and --crossfade go with play.")
    if action != "play" and len(values) != _VALUES.get(action, 0):
        raise click.UsageError(f"{action} takes {'one value' if action in _VALUES else 'no value'}.")
    number = _number(action, values[0]) if action in _VALUES else 0.0
    state = run(_do(connection.server(), room, player, action, values, number, wish))
    if state is None:
        if not as_json:
            click.echo("It is removed." if action == "remove" else "Nothing is played.")
    elif as_json:
        print_document(state)
    else:
        _print(state)


def _number(action: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise click.UsageError(f"{action} takes a number.") from None
    least, most = (0.0, _WEEK_S) if action == "seek" else (-60.0, 12.0)
    if not least <= value <= most:
        raise click.UsageError(f"{action} takes {least:g} to {most:g}.")
    return value


async def _do(  # noqa: PLR0917 - the command's arguments as they are
    server: MediaServer,
    room: str,
    player: str,
    action: str,
    values: Sequence[str],
    number: float,
    wish: dict[str, Any],
) -> PlayerStateDocument | None:
    """None: there is no such player (any more)."""
    async with server:
        match action:
            case "show":
                return await _shown(server, room, player)
            case "play":
                return await _play(server, room, player, values, wish)
            case "pause":
                found = await server.pause(room, player)
            case "resume":
                found = await server.play(room, player)
            case "stop":
                found = await server.stop(room, player)
            case "next":
                found = await server.next_track(room, player)
            case "previous":
                found = await server.previous_track(room, player)
            case "seek":
                found = await server.seek(room, player, round(number * 1000))
            case "volume":
                found = await server.patch_player(room, player, {"volume_db": number})
            case "remove":
                await server.delete_player(room, player)
                return None
            case _:
                raise AssertionError(action)
        return found.document


async def _shown(server: MediaServer, room: str, player: str) -> PlayerStateDocument | None:
    try:
        return (await server.player(room, player)).document
    except Refused as refused:
        if refused.kind == "no-player":
            return None
        raise


async def _play(
    server: MediaServer, room: str, player: str, sources: Sequence[str], wish: dict[str, Any]
) -> PlayerStateDocument:
    """By a patch of the room, which makes the player or changes it: its volume and audience stay."""
    if sources:
        wish["tracks"] = [await _track(server, source) for source in sources]
    if wish:
        await server.patch_room(room, {"players": {player: wish}})
    first = "0" if sources else None  # a track without a key has its place for one
    return (await server.play(room, player, first)).document


async def _track(server: MediaServer, source: str) -> dict[str, str]:
    if source.lower().startswith(("http://", "https://")):
        return {"url": source}
    file = file_at(source)
    try:
        return {"media": check_name(source) if file is None else (await uploaded(server, file)).id}
    except ValueError:
        raise click.UsageError("A track is a file, an id of the library, or an http(s) address.") from None


def _print(state: PlayerStateDocument) -> None:
    shown = table(
        "PLAYER", "STATUS", "TRACK", "POSITION", "DURATION", "VOLUME", right=("POSITION", "DURATION", "VOLUME")
    )
    status = f"{state.status} ({state.failure})" if state.failure else str(state.status)
    shown.add_row(
        name(state.name),
        name(status),
        name(state.track or ""),
        clock(state.position_ms),
        clock(state.duration_ms),
        f"{state.volume_db:+.1f} dB" if state.volume_db else "0 dB",
    )
    console().print(shown)


def clock(milliseconds: float | None) -> str:
    """Minutes and seconds; empty when nobody knows."""
    if milliseconds is None:
        return ""
    minutes, seconds = divmod(int(milliseconds / 1000), 60)
    return f"{minutes}:{seconds:02}"
