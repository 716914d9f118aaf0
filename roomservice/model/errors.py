"""Illegal moves, each with a name that clients are told. Anything else that the model raises is a bug."""

from enum import StrEnum


class Problem(StrEnum):
    """Names of illegal moves, with what they mean in SENTENCES."""

    # rooms
    ROOM_DISMISSED = "room-dismissed"
    NOT_IN_ROOM = "not-in-room"
    NOT_PERMITTED = "not-permitted"
    OUTRANKED = "outranked"
    BANNED = "banned"
    ROOM_FULL = "room-full"
    NO_SUCH_ATTENDEE = "no-such-attendee"
    ALREADY_HOST = "already-host"
    TOO_MANY_ROOMS = "too-many-rooms"
    STALE_VERSION = "stale-version"
    TOO_MUCH = "too-much"
    # seats
    NO_SUCH_SEAT = "no-such-seat"
    SEAT_TAKEN = "seat-taken"
    SEAT_LOCKED = "seat-locked"
    NO_FREE_SEAT = "no-free-seat"
    NOT_SEATED = "not-seated"
    ALREADY_SEATED = "already-seated"
    REQUEST_NEEDED = "request-needed"
    INVITATION_NEEDED = "invitation-needed"
    SEATS_ARE_FREE = "seats-are-free"
    NO_HAND_RAISED = "no-hand-raised"
    NOT_INVITED = "not-invited"
    ALREADY_INVITED = "already-invited"
    # invitations
    INVITATION_ENDED = "invitation-ended"
    ALREADY_ANSWERED = "already-answered"
    NOT_THE_INVITER = "not-the-inviter"
    NOT_A_MEMBER = "not-a-member"
    NOBODY_INVITED = "nobody-invited"
    INVITES_HIMSELF = "invites-himself"
    # calls
    CALL_ENDED = "call-ended"
    NOT_IN_CALL = "not-in-call"
    BUSY = "busy"
    CALL_FULL = "call-full"
    ANSWERED_ELSEWHERE = "answered-elsewhere"
    # groups
    GROUP_DISMISSED = "group-dismissed"
    GROUP_FULL = "group-full"
    GROUP_OF_ROOM = "group-of-room"
    NO_SUCH_USER = "no-such-user"
    NO_SUCH_MEMBER = "no-such-member"
    OWNER_STAYS = "owner-stays"
    TOO_MANY_GROUPS = "too-many-groups"
    TOO_MANY_ATTRIBUTES = "too-many-attributes"
    ATTRIBUTE_TOO_LARGE = "attribute-too-large"
    # messages
    CHAT_MUTED = "chat-muted"
    MESSAGE_EMPTY = "message-empty"
    MESSAGE_EXISTS = "message-exists"
    MESSAGE_TOO_LARGE = "message-too-large"
    NO_SUCH_MESSAGE = "no-such-message"
    RECALL_TOO_LATE = "recall-too-late"
    TALKS_TO_HIMSELF = "talks-to-himself"
    TEXT_REFUSED = "text-refused"
    TOO_FAST = "too-fast"
    # pushes
    NO_PUSH = "no-push"
    PUSH_REFUSED = "push-refused"


SENTENCES: dict[Problem, str] = {
    Problem.ROOM_DISMISSED: "The room has been dismissed.",
    Problem.NOT_IN_ROOM: "Only who is in the room can do this.",
    Problem.NOT_PERMITTED: "The role does not permit this.",
    Problem.OUTRANKED: "This can be done only to somebody of a lower role.",
    Problem.BANNED: "The user is banned from the room.",
    Problem.ROOM_FULL: "The room is full.",
    Problem.NO_SUCH_ATTENDEE: "The user is not in the room.",
    Problem.ALREADY_HOST: "The user is the host.",
    Problem.TOO_MANY_ROOMS: "The user has as many open rooms as he can make.",
    Problem.STALE_VERSION: "Somebody else has changed this meanwhile.",
    Problem.TOO_MUCH: "This is more than is kept.",
    Problem.NO_SUCH_SEAT: "The room has no seat of this number.",
    Problem.SEAT_TAKEN: "Somebody else has this seat.",
    Problem.SEAT_LOCKED: "The seat is locked.",
    Problem.NO_FREE_SEAT: "No seat is free.",
    Problem.NOT_SEATED: "The user has no seat.",
    Problem.ALREADY_SEATED: "The user has a seat.",
    Problem.REQUEST_NEEDED: "A seat must be requested first.",
    Problem.INVITATION_NEEDED: "A seat is had by invitation only.",
    Problem.SEATS_ARE_FREE: "Seats need no request in this room.",
    Problem.NO_HAND_RAISED: "The user has not requested a seat.",
    Problem.NOT_INVITED: "The user is not invited.",
    Problem.ALREADY_INVITED: "The user is invited.",
    Problem.INVITATION_ENDED: "The invitation has ended.",
    Problem.ALREADY_ANSWERED: "The invitation has been answered.",
    Problem.NOT_THE_INVITER: "Only who invited can do this.",
    Problem.NOT_A_MEMBER: "Only members of the group can do this, or be in its invitation.",
    Problem.NOBODY_INVITED: "Nobody is invited.",
    Problem.INVITES_HIMSELF: "Nobody can invite or call himself.",
    Problem.CALL_ENDED: "The call has ended.",
    Problem.NOT_IN_CALL: "Only who is in the call can do this.",
    Problem.BUSY: "The user is in another call.",
    Problem.CALL_FULL: "The call has as many parties as it can.",
    Problem.ANSWERED_ELSEWHERE: "The call has been answered on another device.",
    Problem.GROUP_DISMISSED: "The group has been dismissed.",
    Problem.GROUP_FULL: "The group has as many members as it can.",
    Problem.GROUP_OF_ROOM: "This is the audience group of a room, which follows who is in the room.",
    Problem.NO_SUCH_USER: "There is no such user.",
    Problem.NO_SUCH_MEMBER: "The user is not a member of the group.",
    Problem.OWNER_STAYS: "The owner hands the group over or dismisses it.",
    Problem.TOO_MANY_GROUPS: "The user is in as many groups as he can be.",
    Problem.TOO_MANY_ATTRIBUTES: "These are more attributes than are kept.",
    Problem.ATTRIBUTE_TOO_LARGE: "An attribute's key is empty, or key or value is too long.",
    Problem.CHAT_MUTED: "The user is silenced in this group.",
    Problem.MESSAGE_EMPTY: "A message has text, or media of its kind.",
    Problem.MESSAGE_EXISTS: "Somebody else's message has this id.",
    Problem.TALKS_TO_HIMSELF: "Nobody sends messages to himself.",
    Problem.NO_PUSH: "This service does no Web Push.",
    Problem.PUSH_REFUSED: "This is no subscription of a push service that is known here.",
    Problem.MESSAGE_TOO_LARGE: "The message is too large.",
    Problem.NO_SUCH_MESSAGE: "There is no such message.",
    Problem.RECALL_TOO_LATE: "It is too late to take the message back.",
    Problem.TEXT_REFUSED: "The text has words that are not wanted here.",
    Problem.TOO_FAST: "These are too many in too short a time.",
}


class Illegal(Exception):
    """An illegal move. The message is one sentence; `problem` is its name."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(SENTENCES[problem])
        self.problem = problem
