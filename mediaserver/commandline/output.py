"""What commands print: tables for people, JSON for scripts. Names come from strangers, and never reach a terminal as
they are."""

import io
import json
import sys
import unicodedata
from collections.abc import Iterable

import click
from pydantic import BaseModel
from rich.console import Console
from rich.table import Table
from rich.text import Text

_STAND_IN = "\N{REPLACEMENT CHARACTER}"
WIDE = 1000  # columns, where there is no terminal to fit into


def printable(text: str) -> str:
    """Without what could move the cursor, colour or turn around what follows: control and format characters, private
    and unassigned ones, ends of lines."""
    return "".join(_STAND_IN if _moves(character) else character for character in text)


def _moves(character: str) -> bool:
    category = unicodedata.category(character)
    return category[0] == "C" or category in ("Zl", "Zp")


def name(text: str, style: str = "") -> Text:
    """A name as a cell: no markup is looked for in it."""
    return Text(printable(text), style, no_wrap=True, overflow="ellipsis")


def console() -> Console:
    width = None if sys.stdout.isatty() else WIDE
    return Console(width=width, highlight=False, markup=False, emoji=False)


def table(*columns: str, right: Iterable[str] = ()) -> Table:
    """Columns that are in `right` are of numbers."""
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", no_wrap=True, overflow="ellipsis")
    return made


def print_document(document: BaseModel) -> None:
    """As the API says it: members without a value are left out."""
    print_json(document.model_dump(mode="json", exclude_none=True))


def print_json(value: object) -> None:
    """In UTF-8 whatever the terminal has (RFC 8259 section 8.1)."""
    click.echo(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())


def make_printing_safe() -> None:
    """What the terminal's encoding does not have is printed as a question mark, and does not end the program."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")


def percent(share: float, digits: int = 1) -> str:
    return f"{100 * share:.{digits}f} %"


def duration(seconds: float) -> str:
    """In the two largest units."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
