"""INSERT that writes over what is there, in the words of each database."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from sqlalchemy import ColumnElement, Insert, Table
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection


class New(Protocol):
    """The row that could not be inserted, by column."""

    def __getitem__(self, name: str, /) -> ColumnElement[Any]: ...


async def upsert(
    connection: AsyncConnection,
    table: Table,
    rows: Sequence[Mapping[str, object]],
    changes: Callable[[New], Mapping[str, Any]] | None = None,
) -> None:
    """changes: what becomes of a row that there is, by the new one; None: it stays. It has no parameters: aiomysql
    would take them for values of rows."""
    if not rows:
        return
    keys = [column.name for column in table.primary_key.columns]
    statement: Insert
    if connection.dialect.name in ("mysql", "mariadb"):
        of_mysql = mysql.insert(table)
        changed = {keys[0]: table.c[keys[0]]} if changes is None else dict(changes(of_mysql.inserted))
        statement = of_mysql.on_duplicate_key_update(changed)
    elif connection.dialect.name == "postgresql":
        of_postgresql = postgresql.insert(table)
        statement = (
            of_postgresql.on_conflict_do_nothing(index_elements=keys)
            if changes is None
            else of_postgresql.on_conflict_do_update(index_elements=keys, set_=changes(of_postgresql.excluded))
        )
    else:
        of_sqlite = sqlite.insert(table)
        statement = (
            of_sqlite.on_conflict_do_nothing(index_elements=keys)
            if changes is None
            else of_sqlite.on_conflict_do_update(index_elements=keys, set_=changes(of_sqlite.excluded))
        )
    await connection.execute(statement, [dict(row) for row in rows])
