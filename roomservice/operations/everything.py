"""The whole table."""

from roomservice.operations import (
    account,
    calls,
    details,
    groups,
    library,
    messages,
    people,
    rooms,
    signalling,
    sound,
    stage,
)
from roomservice.operations.table import Table, table

TABLE: Table = table(
    *account.OPERATIONS,
    *rooms.OPERATIONS,
    *stage.OPERATIONS,
    *details.OPERATIONS,
    *sound.OPERATIONS,
    *library.OPERATIONS,
    *groups.OPERATIONS,
    *messages.OPERATIONS,
    *signalling.OPERATIONS,
    *calls.OPERATIONS,
    *people.OPERATIONS,
)
