"""From a request to what it is about: the node, and the room of its path."""

from typing import Annotated

from fastapi import Depends, Request

from mediaserver.http.paths import RoomName
from mediaserver.http.problems import Problem
from mediaserver.model.room import Room
from mediaserver.node import Node


async def node_of(request: Request) -> Node:
    node: Node = request.app.state.node
    return node


NodeOf = Annotated[Node, Depends(node_of)]


def existing_room(node: Node, name: str) -> Room:
    """404 when there is none."""
    if name not in node.rooms:
        raise Problem("no-room", "There is no room of this name.")
    return node.rooms[name]


async def room_of(request: Request, room: RoomName) -> Room:
    return existing_room(await node_of(request), room)


RoomOf = Annotated[Room, Depends(room_of)]
