"""A room as the AppServer document shows it. Fields for outputs that there are none of (RTMP, FLV, HLS, SRT,
recordings) are empty."""

from datetime import UTC, datetime

from roomservice.interface import Addresses
from roomservice.meeting import meeting_json
from roomservice.service import Stored


def room_info(stored: Stored, user: str, addresses: Addresses) -> dict[str, object]:
    """models.RoomInfo, for this user."""
    listing, room = stored.listing, stored.room
    mutes = sorted(room.mutes.get(user, ()))
    pull = {"rtmp_url": "", "flv_url": "", "hls_url": "", "rts_url": addresses.whep}
    return {
        "id": listing.id,
        "title": listing.title,
        "notice": listing.notice,
        "cover_url": listing.cover_url,
        "extends": listing.extends,
        "mode": listing.mode,
        "status": listing.status,
        "anchor_id": room.host,
        "anchor_nick": listing.anchor_nick,
        "chat_id": listing.chat_id,
        "meeting_id": listing.id,
        "meeting_info": meeting_json(room),
        "created_at": moment(listing.created_at),
        "updated_at": moment(listing.updated_at),
        "started_at": moment(listing.started_at),
        "stopped_at": moment(listing.stopped_at),
        "link_info": {"rtc_push_url": addresses.whip, "rtc_pull_url": addresses.whep, "cdn_pull_info": pull},
        "pull_url_info": pull,
        "push_url_info": {"rtmp_url": "", "srt_url": "", "rts_url": addresses.whip},
        "metrics": {
            "pv": stored.pv,
            "uv": stored.uv,
            "online_count": len(room.attendees),
            "like_count": room.likes,
        },
        "user_status": {"mute": bool(mutes), "mute_source": mutes},
        "vod_id": "",
        "vod_info": {"status": 0, "playlist": []},
    }


def moment(time: float | None) -> str:
    """RFC 3339 in UTC, in whole seconds; empty for what has not happened."""
    return "" if time is None else datetime.fromtimestamp(time, UTC).isoformat(timespec="seconds")
