"""`mediaserver load`."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import uvloop
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from mediaserver.client import CallError
from mediaserver.commandline.connection import Connection, connects
from mediaserver.commandline.output import console, percent, printable, table
from mediaserver.loadgen.network import Network
from mediaserver.loadgen.network import parse as parse_network
from mediaserver.loadgen.places import Addresses, OwnRooms, Places
from mediaserver.loadgen.plan import Plan
from mediaserver.loadgen.report import FAULTS, Report
from mediaserver.loadgen.run import Load, Progress

_DEFAULTS = Plan()


def _network(text: str) -> Network:
    try:
        return parse_network(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@click.command(context_settings={"show_default": True, "max_content_width": 100})
@click.option("--rooms", help="Rooms.", type=int, default=_DEFAULTS.rooms)
@click.option("--speakers", help="Speakers of each room, at most 64.", type=int, default=_DEFAULTS.speakers)
@click.option("--listeners", help="Listeners of each room.", type=int, default=_DEFAULTS.listeners)
@click.option(
    "--mode",
    help="Whether listeners get a mix, or speakers' own packets.",
    type=click.Choice(["mix", "select"]),
    default=_DEFAULTS.mode,
)
@click.option(
    "--slots", help="Audio sections of a listener's offer, 1 to 8.  [default: 1 of a mix, else one a speaker]", type=int
)
@click.option(
    "--sound",
    help="What speakers say: recorded speech (of Debian's asterisk-core-sounds-en-g722, else a synthetic voice), "
    "tones that tell speakers apart in a mix, or chirps that tell how long a mix takes from mouth to ear.  "
    "[default: markers in a mix, else speech]",
    type=click.Choice(["speech", "markers", "chirps"]),
)
@click.option("--spurt", help="Mean seconds of talk.", type=float, default=_DEFAULTS.spurt_s)
@click.option("--silence", help="Mean seconds of silence between; 0: they talk all the time.", type=float, default=0.0)
@click.option("--ears", help="Listeners of each room whose mix is decoded.", type=int, default=_DEFAULTS.ears)
@click.option("--join-rate", help="Offers a second.", type=float, default=_DEFAULTS.join_rate)
@click.option("--duration", help="Seconds after the last offer.", type=float, default=_DEFAULTS.duration_s)
@click.option("--seed", help="Of names, phases and talk.", type=int, default=_DEFAULTS.seed)
@click.option(
    "--up",
    help="A network between each peer and the server, any of loss, burst, delay, jitter and duplicate: "
    "loss=0.05,burst=3,delay=20,jitter=30,duplicate=0.01 loses 5 %, 3 in a row on average, and takes 20 to 50 ms.",
    metavar="NETWORK",
    type=_network,
    default="",
    show_default=False,
)
@click.option(
    "--down", help="The same on the way back.", metavar="NETWORK", type=_network, default="", show_default=False
)
@click.option("--prefix", help="Rooms are PREFIX-0, PREFIX-1 and so on.", default=_DEFAULTS.prefix)
@click.option("--bind", help="Address of the peers' sockets.", default="127.0.0.1")
@click.option(
    "--whip",
    help="Another server's address to publish at, with {room} and {user} for names; with --whep. The control API is "
    "not used then.",
    metavar="URL",
)
@click.option("--whep", help="Its address to listen at.", metavar="URL")
@click.option("--whip-token", help="Bearer token there, {room} and {user} as well.", envvar="MEDIASERVER_WHIP_TOKEN")
@click.option("--whep-token", help="Bearer token there.", envvar="MEDIASERVER_WHEP_TOKEN")
@click.option(
    "--json", "json_path", help="File for all figures.", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE"
)
@connects
def load(  # noqa: PLR0917 - click passes names
    connection: Connection,
    whip: str | None,
    whep: str | None,
    whip_token: str | None,
    whep_token: str | None,
    bind: str,
    json_path: Path | None,
    spurt: float,
    silence: float,
    duration: float,
    **options: Any,
) -> None:
    """Load a server with WebRTC peers, and verify what each of them hears.

    Rooms and tokens are made by the control API, and deleted afterwards; or --whip and --whep say where any other
    server is. A server limits what one address may ask for: for more than 50 joins a second start ours with
    --rate-per-address 0, and with --max-worker-load 0 to load it beyond what it would take.

    Ends with 0 when every peer got in and heard all that it should, with 1 when not, with 2 for bad options."""
    try:
        plan = Plan(spurt_s=spurt, silence_s=silence, duration_s=duration, **options)
        if (whip is None) != (whep is None):
            raise ValueError("Give --whip and --whep together.")
        other = Addresses(whip, whep, whip_token, whep_token) if whip and whep else None
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    try:
        report = uvloop.run(_run(plan, connection, other, bind))
    except (CallError, ValueError) as error:
        raise click.ClickException(printable(str(error))) from None
    except OSError as error:
        raise click.ClickException(f"The load cannot be made: {error.strerror or error}.") from None
    console().print(summary(report))
    if json_path is not None:
        json_path.write_text(json.dumps(report.document(), indent=2) + "\n", encoding="utf-8")
    if report.faults:
        sys.exit(1)


async def _run(plan: Plan, connection: Connection, other: Places | None, bind: str) -> Report:
    with _display() as show:
        if other is not None:
            return await Load(plan, other, bind=bind, show=show).run()
        async with connection.server() as server:
            return await Load(plan, OwnRooms(server, connection.url), bind=bind, show=show).run()


@contextmanager
def _display() -> Iterator[Callable[[Progress], None]]:
    """Progress in place on a terminal; elsewhere there is none."""
    screen = Console(stderr=True, highlight=False, markup=False, emoji=False)
    if not screen.is_terminal:
        yield lambda progress: None
        return
    with Live(console=screen, transient=True, auto_refresh=False) as live:
        yield lambda progress: live.update(progress_lines(progress), refresh=True)


def progress_lines(progress: Progress) -> RenderableType:
    """What is going on: two lines."""
    snapshot, tally = progress.snapshot, progress.snapshot["tally"]
    share = min(1.0, progress.elapsed_s / progress.total_s)
    bar = "━" * round(30 * share)
    first = Text(f"{progress.stage:<10}{bar:<30} {progress.elapsed_s:5.0f} of {progress.total_s:.0f} s   ")
    first.append(f"{progress.connected:,} of {progress.due:,} peers connected")
    if progress.failed:
        first.append(f", {progress.failed:,} failed", "bold red")
    second = Text(f"{tally['packets']:,} packets heard   delay {snapshot['delay']['p50_us'] / 1000:.1f} ms (p50), ")
    second.append(f"{snapshot['delay']['p99_us'] / 1000:.1f} ms (p99)   lost {tally['lost']:,}   foreign ")
    second.append(f"{tally['foreign'] + tally['foreign_windows']:,}")
    return Group(first, second)


def summary(report: Report) -> RenderableType:
    """For people: figures, then faults, then doubts."""
    plan, snapshot, usage = report.plan, report.snapshot, report.usage
    lines: list[RenderableType] = [
        Text(
            f"{report.connected:,} of {plan.peers:,} peers connected: {plan.rooms:,} rooms of {plan.speakers} speakers "
            f"({report.voice}) and {plan.listeners:,} listeners, {plan.mode}"
        ),
        Text(f"{snapshot['packets_sent']:,} packets sent, {snapshot['tally']['packets']:,} heard"),
    ]
    figures = table("", "p50", "p90", "p99", "max", right=("p50", "p90", "p99", "max"))
    for name, times in report.join_ms().items():
        if times:
            figures.add_row(f"join: {name.replace('_', ' ')} (ms)", *(f"{times[p]:.1f}" for p in times))
    for name, kind in (
        ("delay", "delay"),
        ("delay, as read", "delay_as_read"),
        ("mouth to ear", "mouth_to_ear"),
        ("generator read late", "queue"),
        ("generator sent late", "lateness"),
    ):
        times = snapshot[kind]
        if times["count"]:
            figures.add_row(
                f"{name} (ms)", *(f"{times[p] / 1000:.2f}" for p in ("p50_us", "p90_us", "p99_us", "max_us"))
            )
    lines += [Text(), figures, Text()]
    thread = percent(usage.thread_s / max(usage.seconds, 1e-9))
    lines.append(
        Text(
            f"generator: {report.cpu_percent_per_peer():.3f} % of a core for each peer, "
            f"{report.cpu_us_per_datagram():.1f} µs for each datagram; its thread was busy {thread} of the time; "
            f"{usage.peak_mib:.0f} MiB"
        )
    )
    if not (plan.up.clean and plan.down.clean):
        ways = (
            f"{way} ({network.text()}) lost {snapshot[f'modelled_lost_{way}']:,} and doubled "
            f"{snapshot[f'modelled_twice_{way}']:,} datagrams"
            for way, network in (("up", plan.up), ("down", plan.down))
        )
        lines.append(Text(f"network model: {'; '.join(ways)}: no faults of the server's"))
    if plan.kind == "chirps":
        said, heard = snapshot["chirps_said"], snapshot["mouth_to_ear"]["count"]
        lines.append(
            Text(f"{said:,} chirps said, {heard:,} heard by {plan.rooms * min(plan.ears, plan.listeners):,} ears")
        )
    for reason, count in report.failures().items():
        lines.append(Text(f"{count:,} peers: {printable(reason)}", "bold red"))
    for name, count in report.faults.items():
        lines.append(Text(f"FAULT {name}: {count:,} {FAULTS[name]}", "bold red"))
    if not report.faults:
        lines.append(Text("no faults: every listener heard all that it should", "green"))
    if not report.rooms_are_verified:
        lines.append(
            Text("not verified: whether a mix has another room's audio (--sound markers with --ears)", "yellow")
        )
    lines += [Text(f"DOUBT {doubt}", "yellow") for doubt in report.doubts]
    return Group(*lines)
