"""Commands of the room model that the plane alone can perform: rooms, columns, rows, chains."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from mediaserver.commands import (
    AddRoom,
    AddRow,
    Command,
    ConfigureRoom,
    Mix,
    RemoveColumn,
    RemoveRoom,
    RemoveRow,
    SetChain,
    SetColumn,
    SetDelay,
    SetListenerRow,
    SetRow,
)
from mediaserver.matrix import linear
from mediaserver.place import pan_gains
from mediaserver.plane import Stage
from mediaserver.voices import Chain

if TYPE_CHECKING:
    from mediaserver._native import Plane


def perform_in_plane(plane: "Plane", stages: Sequence[Stage], command: Command) -> None:
    """stages: as the plane was told of them, in that order."""
    match command:
        case AddRoom(room, home, mix, e2ee):
            plane.add_room(room, home, **_encoding(mix), e2ee=e2ee)
        case ConfigureRoom(room, mix, e2ee):
            plane.configure_room(room, **_encoding(mix), e2ee=e2ee)
        case RemoveRoom(room):
            plane.remove_room(room)
        case SetColumn(room, csrc, gain, pan):
            plane.set_column(room, csrc, gain, *pan_gains(pan))
        case SetChain(room, csrc, chain):
            plane.set_chain(room, csrc, _numbered(chain, stages))
        case SetDelay(room, csrc, delay):
            plane.set_delay(room, csrc, delay)
        case RemoveColumn(room, csrc):
            plane.remove_column(room, csrc)
        case AddRow(room, row, cells, like, places):
            plane.add_row(room, row, cells, like, _gains(places))
        case SetRow(room, row, cells, places):
            plane.set_row(room, row, cells, _gains(places))
        case RemoveRow(room, row):
            plane.remove_row(room, row)
        case SetListenerRow(peer, row):
            plane.set_listener_row(peer, row)
        case _:
            raise AssertionError(f"{command} is not for the plane alone")


def _encoding(mix: Mix) -> dict[str, Any]:
    settings = asdict(mix)
    return settings | {"ducking": linear(-settings.pop("ducking_db"))}


def _gains(places: Sequence[tuple[int, float]]) -> list[tuple[int, float, float]]:
    return [(csrc, *pan_gains(pan)) for csrc, pan in places]


def _numbered(chain: Chain, stages: Sequence[Stage]) -> list[tuple[int, Sequence[float]]]:
    numbers = {stage.name: number for number, stage in enumerate(stages)}
    return [(numbers[name], stages[numbers[name]].values(**dict(params))) for name, params in chain]
