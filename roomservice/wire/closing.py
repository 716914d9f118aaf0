"""Why a WebSocket is closed: codes of RFC 6455, and the service's own from 4000 on."""

from enum import IntEnum


class Close(IntEnum):
    """The name is the close frame's reason, with hyphens."""

    NORMAL = 1000
    UNSUPPORTED = 1003
    TOO_LARGE = 1009
    RESTART = 1012
    TRY_AGAIN = 1013
    UNAUTHORISED = 4001
    REPLACED = 4002
    TOO_SLOW = 4003
    HEARTBEAT_LOST = 4004
    NO_HELLO = 4005
    ENDED = 4006
    TOO_OFTEN = 4008
    NONSENSE = 4009

    @property
    def reason(self) -> str:
        return self.name.lower().replace("_", "-")


MEANINGS: dict[Close, str] = {
    Close.NORMAL: "The client has closed it.",
    Close.UNSUPPORTED: "A binary message came; messages are text.",
    Close.TOO_LARGE: "A message was larger than 64 KiB.",
    Close.RESTART: "This instance ends: connect again, with `resume`.",
    Close.TRY_AGAIN: "The service cannot go on with this socket: connect again, with `resume`, after some seconds.",
    Close.UNAUTHORISED: "The token is not valid, or not any more: get a new one.",
    Close.REPLACED: "The device, or by the service's policy another of the user's, has connected: do not come back.",
    Close.TOO_SLOW: "Too much was waiting to be read by the client: connect again, with `resume`.",
    Close.HEARTBEAT_LOST: "Three heartbeats are missing, the client's or the service's: connect again, with `resume`.",
    Close.NO_HELLO: "The first message did not come in time, or was no `hello`.",
    Close.ENDED: "The user has logged out of this device.",
    Close.TOO_OFTEN: "The client went on sending much more than it may.",
    Close.NONSENSE: "Too many messages in a row were no JSON-RPC.",
}
