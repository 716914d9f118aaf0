"""The text of an event stream (HTML standard, section 9.2) into messages. Pure: bytes in, messages out.

Lines end where that standard says and nowhere else: names may hold what Python, too, takes for the end of a line.
"""

import re
from dataclasses import dataclass

MAX_MESSAGE_BYTES = 1024 * 1024
"""Of one message. An event of the server is far below; without a bound, something else could fill the memory."""

_LINE_END = re.compile(rb"\r\n|\n|\r")


@dataclass(frozen=True, slots=True)
class Message:
    id: str  # the last that the stream gave, with this message or before
    data: str


class Parser:
    """last_id: where to go on, of the messages that have ended, with data or without. retry_s: how long the server
    wants those to wait who come again; None until it says so."""

    def __init__(self, last_id: str = "") -> None:
        self.retry_s: float | None = None
        self.last_id = last_id
        self._id = last_id
        self._rest = b""
        self._data: list[bytes] = []
        self._held = 0  # bytes in _data
        self._begins = True

    def feed(self, chunk: bytes) -> list[Message]:
        """The messages that end in this chunk. ValueError when one is too large."""
        text = self._rest + chunk
        if self._begins and len(text) >= 3:
            text, self._begins = text.removeprefix(b"\xef\xbb\xbf"), False
        messages, place = [], 0
        for end in _LINE_END.finditer(text):
            if end.group() == b"\r" and end.end() == len(text):
                break  # half of \r\n, perhaps
            if (message := self._line(text[place : end.start()])) is not None:
                messages.append(message)
            place = end.end()
        self._rest = text[place:]
        if self._held + len(self._rest) > MAX_MESSAGE_BYTES:
            raise ValueError(f"A message of the stream has more than {MAX_MESSAGE_BYTES} bytes.")
        return messages

    def _line(self, line: bytes) -> Message | None:
        if not line:
            data, self._data, self._held = self._data, [], 0
            self.last_id = self._id
            return Message(self.last_id, b"\n".join(data).decode("utf-8", "replace")) if data else None
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            self._data.append(value)
            self._held += len(value)
        elif field == b"id" and b"\0" not in value:
            self._id = value.decode("utf-8", "replace")
        elif field == b"retry" and value.isdigit() and len(value) <= 9:
            self.retry_s = int(value) / 1000
        return None
