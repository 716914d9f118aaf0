"""Storages by URL."""

from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from roomservice.storage.memory import MemoryStorage
from roomservice.storage.sql import SqlStorage


def open_storage(url: str) -> MemoryStorage | SqlStorage:
    """`none`, or a URL of SQLAlchemy's; one without a driver gets the one that the service comes with. ValueError, with
    a sentence."""
    if url == "none":
        return MemoryStorage()
    try:
        return SqlStorage(url)
    except (ArgumentError, NoSuchModuleError):
        raise ValueError("The storage is none, or a URL like sqlite+aiosqlite:///roomservice.db.") from None
    except ModuleNotFoundError as error:
        raise ValueError(f"For this storage the Python package {error.name} is needed.") from None
