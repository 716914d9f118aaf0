"""What `/updateMeetingInfo` means. Pure.

The document's clients send the whole list of members, as it shall be. What differs from the room becomes commands of
who asks, so that the room's rules hold:

- Who is not in the list any more leaves his seat, or is set to listener.
- Who is new takes a seat. Who asks enters the room before if he is not in it; nobody else is brought in by a list,
  even the host's.
- A microphone that is to be closed is muted by who asks, as himself or as host; one that is to be open has that mute
  taken away, and stays closed if somebody else has muted it.
- What a guest's list says of others is not looked at: he may have read it before others changed it.
"""

from collections.abc import Iterable

from roomservice.appserver.schema import Member
from roomservice.model.attendance import Enter
from roomservice.model.effects import MuteSource
from roomservice.model.errors import Illegal, Problem
from roomservice.model.room import Room, UserInfo
from roomservice.model.rooms import Command
from roomservice.model.seats import LeaveSeat, Mute, SetListener, TakeSeat


def commands(room: Room, by: str, wanted: Iterable[Member]) -> list[Command]:
    """Illegal: no-such-attendee."""
    leads = by == room.host or by in room.admins
    members = {member.user_id: member for member in wanted if leads or member.user_id == by}
    seated = [seat.user for seat in room.seats if seat.user is not None and (leads or seat.user == by)]
    found: list[Command] = [
        LeaveSeat(user) if user == by else SetListener(by, user) for user in seated if user not in members
    ]
    for user, member in members.items():
        if user not in room.attendees:
            if user != by:
                raise Illegal(Problem.NO_SUCH_ATTENDEE)
            found.append(Enter(user, UserInfo(member.user_nick, member.user_avatar)))
        if user not in seated:
            found.append(TakeSeat(user))
        if member.mic_opened == bool(room.mutes.get(user)):
            source = MuteSource.SELF if user == by else MuteSource.HOST
            if not member.mic_opened or source in room.mutes.get(user, ()):
                found.append(Mute(by, user, not member.mic_opened))
    return found
