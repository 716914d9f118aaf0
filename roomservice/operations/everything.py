"""The whole table."""

from roomservice.operations import account, details, rooms, sound, stage
from roomservice.operations.table import Table, table

TABLE: Table = table(
    *account.OPERATIONS,
    *rooms.OPERATIONS,
    *stage.OPERATIONS,
    *details.OPERATIONS,
    *sound.OPERATIONS,
)
