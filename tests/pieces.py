"""Pieces in a media server's library, put there by hand."""

import os
import shutil
import time
from pathlib import Path

import httpx

from mediaserver.settings import DEVELOPMENT_KEY

LONG_AGO_S = 3600.0
"""A file that was changed just now may still be written, and is left for a later look."""


def put_into(library: Path, file: Path, title: str) -> None:
    then = time.time() - LONG_AGO_S
    hidden = library / f".{title}{file.suffix}"
    shutil.copyfile(file, hidden)
    os.utime(hidden, (then, then))
    hidden.rename(library / f"{title}{file.suffix}")


def until_listed(url: str, *titles: str, within_s: float = 30.0) -> None:
    """The server looks through its library beside all else, when it has started and each 10 s."""
    deadline = time.monotonic() + within_s
    while set(titles) - (there := {piece.get("title") for piece in pieces(url)}):
        assert time.monotonic() < deadline, f"the library has {there}"
        time.sleep(0.1)


def pieces(url: str) -> list[dict[str, object]]:
    answer = httpx.get(f"{url}/v1/media", auth=DEVELOPMENT_KEY, timeout=10)
    found: list[dict[str, object]] = answer.raise_for_status().json()["media"]
    return found
