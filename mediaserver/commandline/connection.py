"""Which server a command speaks to and with which key, and what it says when that fails: one sentence, and an exit
status that is not 0."""

import asyncio
import errno
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import click

from mediaserver.client import CallError, MediaServer, Patience
from mediaserver.client.calls import check_address
from mediaserver.commandline.output import make_printing_safe, printable
from mediaserver.files import read
from mediaserver.keys import ApiKey, parse_file
from mediaserver.schema_base import check_name
from mediaserver.settings import DEVELOPMENT_KEY, is_loopback

DEFAULT_URL = "http://127.0.0.1:8090"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Connection:
    url: str
    key_id: str
    secret: str = field(repr=False)

    def server(self, patience: Patience = Patience()) -> MediaServer:  # noqa: B008 - frozen
        return MediaServer(self.url, self.key_id, self.secret, patience=patience)


class Name(click.ParamType[str]):
    """A room's or user's."""

    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return check_name(value)
        except ValueError as error:
            self.fail(f"a name {error}", param, ctx)


NAME = Name()


def connects(function: Callable[..., None]) -> Callable[..., None]:
    """Adds the options of a connection, and gives it to the command as `connection`."""

    @click.option(
        "--url",
        help="Address of the server. SSL_CERT_FILE names the certificates that https trusts, if not the system's.",
        envvar="MEDIASERVER_URL",
        show_envvar=True,
        default=DEFAULT_URL,
        show_default=True,
    )
    @click.option(
        "--api-key",
        help="Key of the control API. Other users of the machine see a command line: prefer the environment, or "
        "--api-key-file.  [default: the development key, on a loopback address]",
        metavar="ID:SECRET",
        envvar="MEDIASERVER_API_KEY",
        show_envvar=True,
    )
    @click.option(
        "--api-key-file",
        help="File whose first key is used instead: the server's own will do.",
        envvar="MEDIASERVER_API_KEY_FILE",
        show_envvar=True,
        type=click.Path(dir_okay=False, path_type=Path),
    )
    @wraps(function)
    def connected(*args: Any, url: str, api_key: str | None, api_key_file: Path | None, **options: Any) -> None:
        make_printing_safe()
        try:
            function(*args, connection=_connection(url, api_key, api_key_file), **options)
        except OSError as error:
            if error.errno == errno.EPIPE:  # who read it has enough; click ends quietly
                raise
            raise click.ClickException(f"The output cannot be written: {error.strerror}.") from None

    return connected


json_option = click.option("--json", "as_json", help="Print the API's own documents as JSON.", is_flag=True)


def run(work: Coroutine[Any, Any, T]) -> T:
    """What the work gives. click.ClickException with a sentence when a call does not succeed."""
    try:
        return asyncio.run(work)
    except CallError as error:
        raise click.ClickException(printable(str(error))) from None


def _connection(url: str, api_key: str | None, api_key_file: Path | None) -> Connection:
    try:
        check_address(url)
        key = _key(url, api_key, api_key_file)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    return Connection(url, key.id, key.secret)


def _key(url: str, api_key: str | None, api_key_file: Path | None) -> ApiKey:
    """What is on the command line goes before what is in the environment: click has sorted that out for each alone."""
    context = click.get_current_context()
    given = context.get_parameter_source("api_key") is click.core.ParameterSource.COMMANDLINE
    if api_key_file is not None and not given:
        return parse_file(read(api_key_file))[0]
    if api_key is not None:
        # The server's variable may hold several keys, with rights and rooms behind each.
        return ApiKey.parse(next(iter(api_key.split()), ""))
    if not is_loopback(urlsplit(url).hostname or ""):
        raise ValueError("Give --api-key or --api-key-file: the known development key is for loopback addresses only.")
    return ApiKey(*DEVELOPMENT_KEY)
