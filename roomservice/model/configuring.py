"""A room's settings change while it is open.

Rules held here
- With fewer seats, who sits above is a listener. Requests and invitations for a seat that is gone are for any.
- Hands stay raised only where the mode asks for them.
- A lower capacity sends nobody away.
"""

from dataclasses import dataclass, replace

from roomservice.model.attendance import Outcome
from roomservice.model.effects import Effect, Tell
from roomservice.model.room import Room, Seat, SeatMode, Settings
from roomservice.model.seats import stand_up


@dataclass(frozen=True, slots=True)
class Configure:
    by: str | None
    settings: Settings


def configure(room: Room, command: Configure, now: float) -> Outcome:
    settings = command.settings
    if settings == room.settings:
        return room, []
    told: list[Effect] = [Tell("room_configured", {"seats": settings.seats, "mode": settings.mode})]
    for seat in room.seats[settings.seats :]:
        if seat.user is not None:
            room, left = stand_up(room, seat.user, "fewer seats")
            told += left
    seats = room.seats[: settings.seats] + (Seat(),) * (settings.seats - len(room.seats))
    room = replace(
        room,
        settings=settings,
        seats=seats,
        hands={user: replace(hand, seat=_kept(hand.seat, settings)) for user, hand in room.hands.items()},
        invites={user: replace(invite, seat=_kept(invite.seat, settings)) for user, invite in room.invites.items()},
    )
    if settings.mode is not SeatMode.REQUEST:
        told += [Tell("hand_lowered", {"user": user, "reason": "mode"}) for user in room.hands]
        room = replace(room, hands={})
    return room, told


def _kept(seat: int | None, settings: Settings) -> int | None:
    return seat if seat is not None and seat < settings.seats else None
