"""The members of a meeting, as the AppServer document calls who has a seat. Pure."""

import json
from collections.abc import Mapping

from roomservice.model.room import Room


def members(room: Room, pull_urls: Mapping[str, str] | None = None) -> list[dict[str, object]]:
    """By seat. A microphone is open when nobody mutes it; there are no cameras."""
    found: list[dict[str, object]] = []
    for seat in room.seats:
        if seat.user is None:
            continue
        info = room.attendees[seat.user].info
        found.append(
            {
                "user_id": seat.user,
                "user_nick": info.nick,
                "user_avatar": info.avatar,
                "mic_opened": not room.mutes.get(seat.user),
                "camera_opened": False,
                "rtc_pull_url": (pull_urls or {}).get(seat.user, ""),
            }
        )
    return found


def meeting_json(room: Room) -> str:
    return json.dumps({"members": members(room)}, ensure_ascii=False)
