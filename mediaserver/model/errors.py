"""What a room refuses. Where something is refused nothing has changed."""


class NoSeatError(LookupError):
    """The user has no seat in this room, so there is nothing to mute."""


class NotConnectedError(LookupError):
    """The user has no session in this room, so there is nothing to move."""


class EncryptedRoomError(Exception):
    """The room is end-to-end encrypted, and what was asked needs its payloads; a sentence for the client."""


class SeatTakenError(Exception):
    """Another speaker has this seat; a sentence for the room service."""


class NoPlayerError(LookupError):
    """The room has no player of this name."""


class NoTrackError(LookupError):
    """The playlist has no track of this key; a sentence for the room service."""


class EffectTakenError(Exception):
    """An effect of that name plays already; a sentence for the room service."""


class FullRoomError(Exception):
    """The room has as many speakers or listeners as its own limits allow; a sentence for the room service."""
