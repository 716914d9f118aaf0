"""`mediaserver token`."""

from typing import Literal, cast

import click

from mediaserver.client import MediaServer
from mediaserver.commandline.connection import NAME, Connection, connects, json_option, run
from mediaserver.commandline.output import print_document
from mediaserver.schema import DEFAULT_TTL_S, MAX_TTL_S, TokenRequest


@click.command()
@click.argument("room", type=NAME)
@click.argument("user", type=NAME)
@click.option("--publish", help="It lets the user speak, too, while he has a seat.", is_flag=True)
@click.option("--no-listen", help="It does not let the user listen.", is_flag=True)
@click.option("--mode", help="The only way of listening that it allows.", type=click.Choice(["mix", "select"]))
@click.option("--once", help="It opens one session of each direction, and not another after it.", is_flag=True)
@click.option(
    "--ttl",
    help="Seconds for which it is good.",
    type=click.IntRange(1, MAX_TTL_S),
    default=DEFAULT_TTL_S,
    show_default=True,
)
@json_option
@connects
def token(
    connection: Connection,
    *,
    room: str,
    user: str,
    publish: bool,
    no_listen: bool,
    mode: str | None,
    once: bool,
    ttl: int,
    as_json: bool,
) -> None:
    """Print a token with which USER can join ROOM."""
    request = TokenRequest(
        user=user,
        may_publish=publish,
        may_listen=not no_listen,
        mode=cast(Literal["mix", "select"] | None, mode),
        once=once,
        ttl_s=ttl,
    )

    async def call(server: MediaServer) -> None:
        async with server:
            document = await server.token(room, request)
        if as_json:
            print_document(document)
        else:
            click.echo(document.token)

    run(call(connection.server()))
