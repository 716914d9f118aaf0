"""`mediaserver kick` and `move`."""

import click

from mediaserver.client import MediaServer
from mediaserver.commandline.connection import NAME, Connection, connects, json_option, run
from mediaserver.commandline.output import print_document, printable


@click.command()
@click.argument("room", type=NAME)
@click.argument("user", type=NAME)
@connects
def kick(connection: Connection, room: str, user: str) -> None:
    """Remove USER from ROOM.

    The user's sessions end, the seat is taken, and tokens issued until now are revoked; whether the user is there or
    not."""

    async def call(server: MediaServer) -> None:
        async with server:
            await server.kick(room, user)
        click.echo(printable(f"{user} is out of {room}."))

    run(call(connection.server()))


@click.command()
@click.argument("room", type=NAME)
@click.argument("user", type=NAME)
@click.argument("to", type=NAME)
@json_option
@connects
def move(connection: Connection, room: str, user: str, to: str, as_json: bool) -> None:
    """Move USER from ROOM to the room TO.

    The connection stays, and the seat goes along."""

    async def call(server: MediaServer) -> None:
        async with server:
            participant = (await server.move(room, user, to)).document
        if as_json:
            print_document(participant)
        else:
            click.echo(printable(f"{user} is in {to}."))

    run(call(connection.server()))
