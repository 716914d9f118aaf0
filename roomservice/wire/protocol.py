"""uvicorn's WebSocket, with bounds on what a client can make it hold or log.

uvicorn stops reading while a message waits to be handled, and waits while the client does not read what was sent. What
that leaves open: pings are answered at once, whether anybody reads the answers or not; a message's fragments are kept
until its last has come, empty ones without end; and text that is no UTF-8 is logged as an error with a traceback.
"""

from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame

MAX_MESSAGE_BYTES = 64 << 10
MAX_FRAGMENTS = 1000
MAX_UNREAD_BYTES = 1 << 20
"""Of what was sent and the client has not read. One event is far less, and no other is sent before."""

LINGER_S = 5.0
"""After the end, for the client to read what waits for him."""


class BoundedWebSocket(WebSocketsSansIOProtocol):
    """For uvicorn.Config(ws=...), with ws_max_size=MAX_MESSAGE_BYTES and ws_per_message_deflate=False."""

    async def run_asgi(self) -> None:
        await super().run_asgi()
        self.loop.call_later(LINGER_S, self.transport.abort)

    def handle_ping(self) -> None:
        super().handle_ping()
        if self.transport.get_write_buffer_size() > MAX_UNREAD_BYTES:
            self.transport.abort()

    def handle_cont(self, event: Frame) -> None:
        if len(self.frames) >= MAX_FRAGMENTS:
            self.frames = []
            self.transport.abort()
            return
        super().handle_cont(event)

    def send_receive_event_to_app(self) -> None:
        if self.curr_msg_data_type == "text" and not self.close_sent and not _is_text(self.frames):
            self.frames = []
            self.conn.fail(1007, "text is UTF-8")
            self.handle_parser_exception()
            return
        super().send_receive_event_to_app()


def _is_text(frames: list[Any]) -> bool:
    try:
        b"".join(frames).decode()
    except UnicodeDecodeError:
        return False
    return True
