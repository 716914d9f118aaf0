"""Every way to be refused: the model's named problems, and those of asking. HTTP and JSON-RPC say the same name.

HTTP: a problem document (RFC 9457) whose `type` is `/v1/problems#NAME`. JSON-RPC: `error.data.problem` is NAME.
"""

from dataclasses import dataclass

from roomservice.model.errors import SENTENCES, Problem

INVALID_PARAMS = "invalid-params"
UNAUTHORISED = "unauthorised"
NO_SUCH_OPERATION = "no-such-operation"
NO_SUCH_ROOM = "no-such-room"
NO_SUCH_THING = "no-such-thing"
FORBIDDEN = "forbidden"
TOO_OFTEN = "too-often"
TOO_LARGE = "too-large"
CONTENDED = "contended"
MEDIA_UNREACHABLE = "media-unreachable"
MEDIA_REFUSED = "media-refused"
NO_LIBRARY = "no-library"
NO_MEDIA = "no-media"
NOT_MUSIC = "not-music"
LIBRARY_FULL = "library-full"
UNAVAILABLE = "unavailable"
INTERNAL = "internal"

_OF_ASKING: dict[str, tuple[int, str]] = {
    INVALID_PARAMS: (400, "The parameters are not as they must be."),
    UNAUTHORISED: (401, "There is no valid token: log in first."),
    FORBIDDEN: (403, "This is somebody else's."),
    NO_SUCH_OPERATION: (404, "There is no such operation."),
    NO_SUCH_ROOM: (404, "There is no such room."),
    NO_SUCH_THING: (404, "There is nothing of this name."),
    NO_LIBRARY: (404, "The media server has no library."),
    NO_MEDIA: (404, "The library has no such piece."),
    TOO_LARGE: (413, "This is too large."),
    MEDIA_REFUSED: (422, "The media server does not do this."),
    NOT_MUSIC: (422, "This cannot be decoded, has no sound, or is too long."),
    TOO_OFTEN: (429, "This is asked for too often."),
    INTERNAL: (500, "Something is wrong with the service."),
    CONTENDED: (503, "Too many change this at once: try again."),
    UNAVAILABLE: (503, "What is kept cannot be reached: try again."),
    MEDIA_UNREACHABLE: (503, "The media server cannot be reached."),
    LIBRARY_FULL: (507, "The library has as many pieces or bytes as it may."),
}

OF_MEDIA = (NO_LIBRARY, NO_MEDIA, NOT_MUSIC, LIBRARY_FULL, TOO_LARGE)
"""What the media server calls so too."""

_FORBIDDEN = (
    Problem.NOT_PERMITTED,
    Problem.OUTRANKED,
    Problem.NOT_IN_ROOM,
    Problem.BANNED,
    Problem.NOT_THE_INVITER,
    Problem.NOT_A_MEMBER,
    Problem.NOT_IN_CALL,
    Problem.NOT_INVITED,
    Problem.CHAT_MUTED,
)
_NOT_THERE = (Problem.NO_SUCH_ATTENDEE, Problem.NO_SUCH_SEAT, Problem.NO_PUSH)
_TOO_LARGE = (Problem.TOO_MUCH, Problem.MESSAGE_TOO_LARGE, Problem.ATTRIBUTE_TOO_LARGE)
_NOT_TAKEN = (Problem.MESSAGE_EMPTY, Problem.TEXT_REFUSED, Problem.PUSH_REFUSED)


@dataclass(frozen=True, slots=True)
class Known:
    """What a problem's name stands for. status: of HTTP."""

    status: int
    sentence: str


def _of_model(problem: Problem) -> Known:
    status = 409
    if problem in _FORBIDDEN:
        status = 403
    elif problem in _NOT_THERE or problem.value.startswith("no-such-"):
        status = 404
    elif problem in _TOO_LARGE:
        status = 413
    elif problem in _NOT_TAKEN:
        status = 422
    elif problem is Problem.TOO_FAST:
        status = 429
    return Known(status, SENTENCES[problem])


PROBLEMS: dict[str, Known] = {
    **{name: Known(*known) for name, known in _OF_ASKING.items()},
    **{problem.value: _of_model(problem) for problem in Problem},
}
"""By name."""


class Refused(Exception):
    """An operation that is not done, for a reason beside the model's rules. problem: a name in PROBLEMS. detail: one
    sentence about this occurrence. retry_after_s: after how long it may be worth asking again."""

    def __init__(self, problem: str, detail: str = "", *, retry_after_s: float | None = None) -> None:
        super().__init__(detail or PROBLEMS[problem].sentence)
        self.problem = problem
        self.retry_after_s = retry_after_s
