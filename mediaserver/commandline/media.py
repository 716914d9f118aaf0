"""`mediaserver media`, and files that other commands upload."""

from collections.abc import Sequence
from pathlib import Path

import click

from mediaserver.client import MediaServer
from mediaserver.commandline.connection import Connection, connects, json_option, run
from mediaserver.commandline.output import console, name, print_json, printable, table
from mediaserver.schema_base import check_name
from mediaserver.schema_media import MediaDocument


@click.command()
@click.argument("action", type=click.Choice(["list", "upload", "delete"]), default="list")
@click.argument("values", nargs=-1, metavar="[FILE|ID]...")
@click.option("--search", help="With list: words, each somewhere in title, artist or album.", default="")
@json_option
@connects
def media(connection: Connection, action: str, values: Sequence[str], search: str, as_json: bool) -> None:
    """List the media library, or change it.

    \b
    list            by title
    upload FILE...  and print their ids
    delete ID..."""
    if action == "list" and values:
        raise click.UsageError("list takes no value; --search looks for words.")
    if action != "list" and not values:
        raise click.UsageError("upload takes files." if action == "upload" else "delete takes ids.")
    if action != "list" and search:
        raise click.UsageError("--search goes with list.")
    match action:
        case "list":
            items = run(_list(connection.server(), search))
        case "upload":
            items = run(_upload(connection.server(), [_file(value) for value in values]))
        case _:
            run(_delete(connection.server(), [_id(value) for value in values]))
            return
    if as_json:
        print_json({"media": [item.model_dump(mode="json", exclude_none=True) for item in items]})
    elif items:
        _print(items)
    else:
        click.echo("No files.")


def file_at(value: str) -> Path | None:
    """The file of this path, if there is one."""
    try:
        return path if (path := Path(value)).is_file() else None
    except ValueError:  # of what no path can have
        return None


async def uploaded(server: MediaServer, file: Path) -> MediaDocument:
    """What the library makes of it. click.ClickException when it cannot be read."""
    try:
        return (await server.upload_media(file, title=printable(file.stem)[:200])).document
    except OSError as error:
        raise click.ClickException(printable(f"{file} cannot be read: {error.strerror}.")) from None


def _file(value: str) -> Path:
    file = file_at(value)
    if file is None:
        raise click.UsageError(printable(f"There is no file {value}."))
    return file


def _id(value: str) -> str:
    try:
        return check_name(value)
    except ValueError as error:
        raise click.UsageError(f"An id {error}.") from None


async def _list(server: MediaServer, search: str) -> list[MediaDocument]:
    async with server:
        return [item async for item in server.media(search=search)]


async def _upload(server: MediaServer, files: Sequence[Path]) -> list[MediaDocument]:
    async with server:
        return [await uploaded(server, file) for file in files]


async def _delete(server: MediaServer, ids: Sequence[str]) -> None:
    async with server:
        for identifier in ids:
            await server.delete_media(identifier)
            click.echo(printable(f"{identifier} is gone."))


def _print(items: Sequence[MediaDocument]) -> None:
    shown = table("ID", "TITLE", "ARTIST", "ALBUM", "DURATION", "CODEC", "MB", right=("DURATION", "MB"))
    for item in items:
        minutes, seconds = divmod(int(item.duration_s), 60)
        shown.add_row(
            name(item.id),
            name(item.title or ""),
            name(item.artist or ""),
            name(item.album or ""),
            f"{minutes}:{seconds:02}",
            name(item.codec),
            f"{item.size / 1e6:.1f}",
        )
    console().print(shown)
