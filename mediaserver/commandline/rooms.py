"""`mediaserver rooms`."""

import click

from mediaserver.client import MediaServer
from mediaserver.commandline.connection import NAME, Connection, connects, json_option, run
from mediaserver.commandline.output import console, name, percent, print_document, table
from mediaserver.schema import RoomPage, RoomState, ScenarioName


@click.command()
@click.option("--prefix", help="Rooms whose names begin so.", default="")
@click.option("--user", help="Rooms in which this user has a seat or is connected.", type=NAME)
@click.option("--active/--idle", help="Rooms in which somebody is connected, or nobody.", default=None)
@click.option("--scenario", help="Rooms of this scenario.", type=click.Choice([str(one) for one in ScenarioName]))
@json_option
@connects
def rooms(
    connection: Connection,
    *,
    prefix: str,
    user: str | None,
    active: bool | None,
    scenario: str | None,
    as_json: bool,
) -> None:
    """List rooms: who is there, who talks, what is lost."""
    wanted = None if scenario is None else ScenarioName(scenario)
    found = run(_rooms(connection.server(), prefix, user, active, wanted))
    if as_json:
        print_document(RoomPage(rooms=found))
        return
    if not found:
        click.echo("No rooms.")
        return
    shown = table(
        *("ROOM", "SCENARIO", "SEATS", "USERS", "PUBLISH", "LISTEN", "LOSS", "TALKING"),
        right=("SEATS", "USERS", "PUBLISH", "LISTEN", "LOSS"),
    )
    for room in found:
        shown.add_row(
            name(room.name),
            str(room.scenario),
            *(str(number) for number in (room.speakers, room.participants, room.publishing, room.listening)),
            percent(room.fraction_lost),
            name(", ".join(room.talking)),
        )
    console().print(shown)


async def _rooms(
    server: MediaServer, prefix: str, user: str | None, active: bool | None, scenario: ScenarioName | None
) -> list[RoomState]:
    async with server:
        return [room async for room in server.rooms(prefix=prefix, user=user, active=active, scenario=scenario)]
