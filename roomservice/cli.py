"""The `roomservice` command."""

import asyncio
import logging
import secrets
import sys
from collections.abc import Callable, Sequence
from typing import Any

import click

from roomservice.settings import DevicePolicy, LibraryUploads, ServiceSettings, SignUp

DEVELOPMENT_MEDIA_KEY = "dev:known-to-everybody-for-development-only"


class UsageError(click.ClickException):
    exit_code = 2


def _option(name: str, help_: str, **attributes: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """An option that the environment can set as well."""
    variable = "ROOMSERVICE_" + name.removeprefix("--").upper().replace("-", "_")
    return click.option(name, envvar=variable, show_envvar=True, help=help_, **attributes)


_STORAGE = _option(
    "--storage",
    "URL of the database (SQLAlchemy's, with an async driver), or none for memory.",
    default="sqlite+aiosqlite:///roomservice.db",
    metavar="URL|none",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """The room service: rooms, seats and users, on top of a media server."""


@cli.command(context_settings={"show_default": True, "max_content_width": 100})
@_option("--host", "Address of HTTP. On a network, put a TLS proxy before it.", default="127.0.0.1")
@_option("--port", "TCP port of HTTP.", type=click.IntRange(0, 65535), default=8080)
@_STORAGE
@_option(
    "--redis",
    "URL of the Redis by which several instances wake each other.  [default: there is one instance]",
    default="",
    metavar="URL",
    show_default=False,
)
@_option(
    "--secret",
    "Signs the tokens of users, at least 32 bytes. Prefer the environment.  [default: a new one at each start, so that "
    "users log in again]",
    show_default=False,
)
@_option(
    "--sign-up",
    "Whether a login by a new name makes the user.",
    type=click.Choice([str(policy) for policy in SignUp]),
    default=str(SignUp.CLOSED),
)
@_option("--login-ttl", "Seconds for which a login is good.", type=click.FloatRange(60), default=86400.0)
@_option(
    "--heartbeat",
    "Seconds between a client's signs of life; after three that are missed it is gone.",
    type=click.FloatRange(0.1, 300),
    default=15.0,
)
@_option(
    "--devices",
    "What a user's second device does to the first: both stay, or it is replaced.",
    type=click.Choice([str(policy) for policy in DevicePolicy]),
    default=str(DevicePolicy.BOTH),
)
@_option(
    "--system-key",
    "Who has it acts as the service itself, at least 32 bytes. Prefer the environment.  [default: nobody does]",
    default="",
    show_default=False,
)
@_option("--media-url", "Control API of the media server.", default="http://127.0.0.1:8090")
@_option(
    "--media-key",
    "ID:SECRET of the media server's API key. Prefer the environment.  [default: the development key]",
    default=DEVELOPMENT_MEDIA_KEY,
    show_default=False,
)
@_option("--push-hook", "URL of the app's own push service, which gets a signed request for each push.", default="")
@_option("--push-hook-secret", "Signs them, at least 24 bytes. Prefer the environment.", default="", show_default=False)
@_option(
    "--vapid-key",
    "PEM file, or private key in base64url, with which Web Push is signed. Without one there is no Web Push.",
    default="",
    show_default=False,
)
@_option("--vapid-subject", "mailto: or https: of whom browsers' push services may turn to.", default="")
@_option(
    "--push-service",
    "Host, or HOST:PORT, of another push service of browsers than the known ones; *.HOST for all below it.",
    multiple=True,
    metavar="HOST",
    show_default=False,
)
@_option(
    "--library-uploads",
    "Who may bring pieces into the media library: nobody, host and admins of a room, or everybody.",
    type=click.Choice([str(policy) for policy in LibraryUploads]),
    default=str(LibraryUploads.LEADERS),
)
@_option(
    "--library-upload-mib",
    "Of one such piece; the media server has a bound of its own.",
    type=click.IntRange(1, 4096),
    default=100,
)
@_option(
    "--rooms-per-user",
    "How many rooms that a user has made may be open at a time.",
    type=click.IntRange(1, 100_000),
    default=20,
)
@_option("--word-list", "File of words that are not wanted in messages, one in each line.", default="", metavar="FILE")
@_option("--mask-words", "Send messages with stars for such words, instead of refusing them.", is_flag=True)
@_option("--media-public-url", "The media server as clients reach it.  [default: as --media-url]", default="")
def serve(
    *,
    secret: str | None,
    media_key: str,
    login_ttl: float,
    sign_up: str,
    heartbeat: float,
    devices: str,
    library_uploads: str,
    push_service: tuple[str, ...],
    **options: Any,
) -> None:
    """Run the room service until SIGTERM or SIGINT."""
    key_id, _, key = media_key.partition(":")
    try:
        settings = ServiceSettings(
            secret=secret or secrets.token_urlsafe(32),
            media_key=(key_id, key),
            login_s=login_ttl,
            sign_up=SignUp(sign_up),
            heartbeat_s=heartbeat,
            devices=DevicePolicy(devices),
            push_services=push_service,
            library_uploads=LibraryUploads(library_uploads),
            **options,
        )
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
        logging.getLogger("alembic").setLevel(logging.WARNING)
        _run(settings)
    except ValueError as error:
        raise UsageError(str(error)) from None


def _run(settings: ServiceSettings) -> None:
    from roomservice.interface import Unavailable  # noqa: PLC0415 - so that --help answers at once
    from roomservice.server import run  # noqa: PLC0415

    try:
        run(settings)
    except Unavailable as error:
        raise click.ClickException(_why(error)) from None


def _why(error: Exception) -> str:
    """With what the driver says of it, in one line."""
    cause = getattr(error.__cause__, "orig", error.__cause__)
    said = str(cause or "").partition("\n")[0]
    return f"{str(error).rstrip('.')}: {said}" if said else str(error)


@cli.command("add-user")
@click.argument("name")
@_STORAGE
@click.password_option(envvar="ROOMSERVICE_PASSWORD", help="Asked for when it is not given.")
def add_user(name: str, storage: str, password: str) -> None:
    """Make the user NAME."""
    from roomservice.interface import Unavailable  # noqa: PLC0415
    from roomservice.server import make_user  # noqa: PLC0415

    try:
        made = asyncio.run(make_user(storage, name, password))
    except ValueError as error:
        raise UsageError(str(error)) from None
    except Unavailable as error:
        raise click.ClickException(_why(error)) from None
    if not made:
        raise click.ClickException(f"There is a user {name}.")


def main(arguments: Sequence[str] | None = None) -> None:
    """Console script: 0 after a polite end, 1 when it cannot be done, 2 for bad options; one sentence each."""
    try:
        cli.main(args=arguments, prog_name="roomservice", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(2)
    except click.ClickException as error:
        click.echo(f"roomservice: {error.format_message().rstrip('.')}.", err=True)
        sys.exit(error.exit_code)
    except click.Abort:
        sys.exit(130)
