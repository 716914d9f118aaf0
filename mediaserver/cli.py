"""The `mediaserver` command. An option's value comes from the command line, else the environment, else the TOML file
of --config, else the default."""

import sys
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from mediaserver import __version__
from mediaserver.commandline import COMMANDS
from mediaserver.commandline.lazy import LazyGroup
from mediaserver.settings import DEFAULT_STATE, DEFAULT_TURN_TTL_S, Limits, Settings, SettingsError

USAGE_EXIT_CODE = 2
_DEFAULTS = Limits()


class UsageError(click.ClickException):
    exit_code = USAGE_EXIT_CODE


def _option(name: str, help_: str, **attributes: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """An option that the environment can set as well."""
    variable = "MEDIASERVER_" + name.removeprefix("--").upper().replace("-", "_")
    attributes = {"envvar": variable, "show_envvar": True, "help": help_, **attributes}
    return click.option(name, **attributes)


class Line(click.types.StringParamType):
    """Text with spaces in it: in the environment several of them are parted by line ends."""

    envvar_list_splitter = "\n"

    def split_envvar_value(self, rv: str) -> Sequence[str]:
        return [line.strip() for line in rv.splitlines() if line.strip()]


def _read_config(context: click.Context, _: click.Parameter, path: Path | None) -> None:
    """Makes the file's values the defaults; the file is a flat table with the options' names as keys."""
    if path is None:
        return
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        raise UsageError(f"The configuration file {path} cannot be read.") from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"The configuration file {path} is not TOML: {error}.") from None
    values = {key.replace("-", "_"): value for key, value in values.items()}
    known = {parameter.name for parameter in context.command.params} - {"config"}
    if unknown := sorted(values.keys() - known):
        raise UsageError(f"The configuration file {path} sets {unknown[0]}, which is not an option.")
    for parameter in context.command.params:
        if parameter.name in values and parameter.multiple != isinstance(values[parameter.name], list):
            form = "a list of values" if parameter.multiple else "one value"
            raise UsageError(f"In the configuration file {path}, {parameter.name} must be {form}.")
    context.default_map = values


@click.group(cls=LazyGroup, lazy=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def cli() -> None:
    """A real-time audio media server: WebRTC in by WHIP, out by WHEP.

    `serve` runs it; the other commands ask or tell one that runs."""


@cli.command(context_settings={"show_default": True, "max_content_width": 100})
@_option(
    "--config",
    "TOML file with the names of these options as keys, for instance: media-address = ['192.0.2.1'].",
    type=click.Path(dir_okay=False, path_type=Path),
    callback=_read_config,
    is_eager=True,
    expose_value=False,
)
@_option(
    "--host",
    "Address of HTTP. On a network, use --tls-cert or put a TLS proxy before it.",
    default="127.0.0.1",
)
@_option("--port", "TCP port of HTTP; 0 lets the kernel choose.", type=int, default=8090)
@_option(
    "--media-address",
    "Address of the UDP sockets that carry media, and after = the one that clients are told when it differs (NAT). "
    "Repeat it for IPv4 and IPv6.  [default: 127.0.0.1 in development]",
    metavar="ADDRESS[=ANNOUNCED]",
    multiple=True,
)
@_option(
    "--media-port",
    "UDP port of the first worker; each further worker has the next one; 0 lets the kernel choose all of them.",
    type=int,
    default=0,
)
@_option(
    "--media-tcp/--no-media-tcp",
    "Listen on TCP as well, at the same port numbers, for clients whose network lets no UDP out.",
    envvar="MEDIASERVER_MEDIA_TCP",
    default=True,
)
@_option("--workers", "Threads that move packets, each with a UDP port.  [default: one per CPU]", type=int)
@_option(
    "--api-key",
    "Key of the control API, with which participants' tokens are signed too; RIGHTS: admin (the default), control or "
    "read; PATTERN: names of rooms that it reaches, with * for any characters. Repeat it to rotate keys. Other users "
    "of the machine see a command line: prefer the environment, or --api-key-file.",
    metavar="'ID:SECRET [RIGHTS [PATTERN...]]'",
    multiple=True,
)
@_option(
    "--api-key-file",
    "File with one key a line, written as for --api-key; lines that start with # are comments. When it changes, it is "
    "read again within a second, or at once after SIGHUP.",
    type=click.Path(dir_okay=False, path_type=Path),
)
@_option(
    "--tls-cert",
    "PEM file with the certificate chain, to serve https; with --tls-key. Both are read again when they change.",
    type=click.Path(dir_okay=False, path_type=Path),
)
@_option("--tls-key", "PEM file with the certificate's key.", type=click.Path(dir_okay=False, path_type=Path))
@_option(
    "--state",
    "File in which rooms and events survive a restart, or none for memory.  "
    f"[default: none in development, else {DEFAULT_STATE}]",
    metavar="FILE|none",
)
@_option(
    "--webhook",
    "Address to which events are posted, and the secret that signs them; which types and rooms, when not the default. "
    "Repeat it for several, in the environment one a line. Prefer the environment, or --webhook-file.",
    metavar="'URL SECRET [TYPE,TYPE [ROOMS]]'",
    type=Line(),
    multiple=True,
)
@_option(
    "--webhook-file",
    "File with one webhook a line; lines that start with # are comments.",
    type=click.Path(dir_okay=False, path_type=Path),
)
@_option(
    "--real-time",
    "Give the threads that move packets a real-time priority, where the system permits it.",
    is_flag=True,
)
@_option("--production", "Refuse to start in development mode, whatever the addresses.", is_flag=True)
@_option(
    "--cors-origin",
    "Origin whose pages may use this server from a browser, or * for all. Repeat it for several.",
    metavar="ORIGIN",
    multiple=True,
)
@_option(
    "--ice-server",
    "STUN or TURN server that clients are told to use, for those who cannot reach the media port directly.",
    metavar="URL[,USERNAME,CREDENTIAL]",
    multiple=True,
)
@_option(
    "--turn",
    "TURN server that clients are given time-limited credentials for, made with --turn-secret (coturn's "
    "use-auth-secret). Repeat it for UDP, TCP and TLS.",
    metavar="turn[s]:HOST[:PORT][?transport=udp|tcp]",
    multiple=True,
)
@_option(
    "--turn-secret",
    "Secret shared with the TURN servers. Other users of the machine see a command line: prefer the environment, or "
    "--turn-secret-file.",
)
@_option(
    "--turn-secret-file",
    "File with that secret in one line; lines that start with # are comments.",
    type=click.Path(dir_okay=False, path_type=Path),
)
@_option(
    "--turn-ttl",
    "Seconds for which TURN credentials are good; a relay that is in use outlives them.",
    type=int,
    default=DEFAULT_TURN_TTL_S,
)
@_option(
    "--log-level",
    "How much is logged; addresses and tokens are logged at no level above debug, names of rooms and users are.",
    type=click.Choice(["debug", "info", "warning", "error"], case_sensitive=False),
    default="info",
)
@_option(
    "--log-format",
    "Lines for people, or one JSON object a line.  [default: text on a terminal and in development, else json]",
    type=click.Choice(["text", "json"], case_sensitive=False),
)
@_option(
    "--otlp-endpoint",
    "Collector that traces of control calls are sent to (OTLP over HTTP), for instance http://127.0.0.1:4318. "
    "Needs voicerooms[otel].",
    metavar="URL",
)
@_option(
    "--drain-timeout",
    "Seconds from SIGTERM in which sessions may end by themselves.  [default: 20; 0 in development]",
    type=float,
)
@_option(
    "--max-worker-load",
    "Share of a CPU, 0 to 1, above which a worker takes no new rooms and sessions; 0 turns admission control off.",
    type=float,
    default=0.85,
)
@_option("--rate-per-key", "Requests a second with one API key; 0: any number.", type=float, default=2_000.0)
@_option(
    "--rate-per-address",
    "Requests a second from one address (IPv6: one /64) without an API key; 0: any number.",
    type=float,
    default=50.0,
)
@_option(
    "--trusted-proxy",
    "Address or network (CIDR) of a proxy whose X-Forwarded-For says who the client is. Repeat it for several.",
    metavar="ADDRESS",
    multiple=True,
)
@_option(
    "--media-dir",
    "Directory of the media library: what is uploaded is kept there, and music that is put there is found.  "
    "[default: no library]",
    type=click.Path(file_okay=False, path_type=Path),
)
@_option(
    "--media-allow-host",
    "Host that music may be fetched from, or *.NAME for all below it; repeat it for several. Without one: any public "
    "host.",
    metavar="HOST",
    multiple=True,
)
@_option(
    "--media-allow-network",
    "Address or network (CIDR) that music may be fetched from though it is not public, for a file server of one's own. "
    "Repeat it for several.",
    metavar="NETWORK",
    multiple=True,
)
@_option("--media-file-mib", "Largest file of the media library, in MiB.", type=int, default=512)
@_option("--media-total-gib", "All files of the media library that were uploaded, in GiB.", type=float, default=50.0)
@_option("--max-rooms", "Rooms at a time.", type=int, default=_DEFAULTS.rooms)
@_option("--max-sessions", "WHIP and WHEP sessions at a time, all rooms.", type=int, default=_DEFAULTS.sessions)
@_option("--max-listeners", "WHEP sessions at a time in one room.", type=int, default=_DEFAULTS.listeners_per_room)
@_option("--max-speakers", "Seats in one room.", type=int, default=_DEFAULTS.speakers_per_room)
@_option(
    "--max-mixes",
    "Distinct mixes that listeners' own gains may make in one room; each can cost an encoder.",
    type=int,
    default=_DEFAULTS.mixes_per_room,
)
def serve(
    max_rooms: int, max_sessions: int, max_listeners: int, max_speakers: int, max_mixes: int, **options: Any
) -> None:
    """Run the server until SIGTERM, which lets sessions end first, or SIGINT.

    Without an API key it runs in development mode: the key is known to everybody, so it serves loopback addresses only.
    """
    try:
        settings = Settings.check(
            rooms=max_rooms,
            sessions=max_sessions,
            listeners_per_room=max_listeners,
            speakers_per_room=max_speakers,
            mixes_per_room=max_mixes,
            **options,
        )
    except SettingsError as error:
        raise UsageError(str(error)) from None
    # Imported here so that --help and a mistyped option answer at once.
    from mediaserver.server import StartError, run  # noqa: PLC0415
    from mediaserver.tracing import TracingError  # noqa: PLC0415

    try:
        run(settings)
    except TracingError as error:
        raise UsageError(str(error)) from None
    except StartError as error:
        raise click.ClickException(str(error)) from None


def main(arguments: Sequence[str] | None = None) -> None:
    """Console script: 0 after a polite end, 1 when the server cannot start, 2 for bad options; one sentence each."""
    try:
        cli.main(args=arguments, prog_name="mediaserver", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(USAGE_EXIT_CODE)
    except click.ClickException as error:
        click.echo(f"mediaserver: {error.format_message().rstrip('.')}.", err=True)
        sys.exit(error.exit_code)
    except click.Abort:
        sys.exit(130)
