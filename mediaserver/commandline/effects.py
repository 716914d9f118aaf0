"""`mediaserver effect` and `sounds`."""

from collections.abc import Sequence
from dataclasses import dataclass

import click

from mediaserver.client import MediaServer
from mediaserver.commandline.connection import NAME, Connection, connects, json_option, run
from mediaserver.commandline.media import file_at, uploaded
from mediaserver.commandline.output import print_document, print_json, printable
from mediaserver.schema_programme import EffectDocument, EffectState


@dataclass(frozen=True, slots=True)
class EffectWish:
    gain: float
    pan: float
    users: Sequence[str]
    repeat: bool
    stop: bool


@click.command()
@click.argument("room", type=NAME)
@click.argument("sound", type=NAME)
@click.option("--gain", help="In dB.", type=click.FloatRange(-60, 12), default=0.0, show_default=True)
@click.option("--pan", help="-1 (left) to 1 (right), in stereo mixes.", type=click.FloatRange(-1, 1), default=0.0)
@click.option("--for", "users", help="This user alone; repeat it for several.", type=NAME, multiple=True)
@click.option("--repeat", help="Again and again, until --stop.", is_flag=True)
@click.option("--stop", help="Stop one that repeats, or that --json has named.", is_flag=True)
@json_option
@connects
def effect(
    *,
    connection: Connection,
    room: str,
    sound: str,
    gain: float,
    pan: float,
    users: Sequence[str],
    repeat: bool,
    stop: bool,
    as_json: bool,
) -> None:
    """Play the sound effect SOUND in ROOM.

    SOUND is one of `mediaserver sounds`, a file (which is uploaded to the library), or library:ID. With --repeat it is
    also the name by which --stop knows it."""
    if stop and repeat:
        raise click.UsageError("--stop and --repeat do not go together.")
    state = run(_effect(connection.server(), room, sound, EffectWish(gain, pan, users, repeat, stop)))
    if state is None:
        if not as_json:
            click.echo(printable(f"{sound} does not play in {room}."))
    elif as_json:
        print_document(state)
    else:
        click.echo(printable(f"{sound} plays in {room}{' until it is stopped' if repeat else ''}."))


@click.command()
@json_option
@connects
def sounds(connection: Connection, as_json: bool) -> None:
    """List the sounds that effects can play."""

    async def call(server: MediaServer) -> list[str]:
        async with server:
            return await server.sounds()

    names = run(call(connection.server()))
    if as_json:
        print_json({"sounds": names})
        return
    for each in names:
        click.echo(printable(each))


async def _effect(server: MediaServer, room: str, sound: str, wish: EffectWish) -> EffectState | None:
    """None: it has been stopped."""
    async with server:
        if wish.stop:
            await server.stop_effect(room, sound)
            return None
        file = file_at(sound)
        name = sound if file is None else f"library:{(await uploaded(server, file)).id}"
        document = EffectDocument(
            sound=name, gain_db=wish.gain, pan=wish.pan, audience=list(wish.users) if wish.users else "everybody"
        )
        if wish.repeat:
            return (await server.start_effect(room, sound, document)).document
        return (await server.play_effect(room, document)).document
