"""`mediaserver stats` and `drain`."""

import click

from mediaserver.client import MediaServer
from mediaserver.commandline.connection import Connection, connects, json_option, run
from mediaserver.commandline.output import console, duration, percent, print_document, printable, table
from mediaserver.schema import NodeState


@click.command()
@json_option
@connects
def stats(connection: Connection, as_json: bool) -> None:
    """Show the server at a glance."""

    async def call(server: MediaServer) -> NodeState:
        async with server:
            return await server.node()

    node = run(call(connection.server()))
    if as_json:
        print_document(node)
        return
    publishing, listening = node.sessions.get("publish", 0), node.sessions.get("listen", 0)
    click.echo(f"mediaserver {printable(node.version)}, up {duration(node.uptime_s)}, {_readiness(node)}")
    click.echo(f"{node.rooms} rooms, {publishing} publishing, {listening} listening")
    click.echo()
    numbers = ("CPU", "TICKS LATE P99", "PEERS", "ROOMS", "MIXES", "RECEIVED", "SENT")
    shown = table("WORKER", *numbers, right=("WORKER", *numbers))
    for number, worker in enumerate(node.workers):
        shown.add_row(
            str(number),
            percent(worker.cpu_share, 0),
            f"{worker.tick_late_p99_ms:.1f} ms",
            *(f"{count:,}" for count in (worker.peers, worker.rooms, worker.mixes)),
            *(f"{count:,}" for count in (worker.packets_received, worker.packets_sent)),
        )
    console().print(shown)


@click.command()
@click.option("--undo", help="Let it take new rooms again.", is_flag=True)
@json_option
@connects
def drain(connection: Connection, undo: bool, as_json: bool) -> None:
    """Let the server take no new rooms.

    Rooms that are there go on and still take sessions, and their owners are told by an event."""

    async def call(server: MediaServer) -> None:
        async with server:
            node = await (server.undrain() if undo else server.drain())
        if as_json:
            print_document(node)
        else:
            click.echo(f"The server {_readiness(node)}; {node.rooms} rooms are there.")

    run(call(connection.server()))


def _readiness(node: NodeState) -> str:
    return "drains and takes no new rooms" if node.draining else "takes new rooms"
