"""One WebSocket: a device, its requests in their order, and the events of what its user follows.

Rules held here
- Requests are done one after another; who sends more meanwhile is not read. So answers come in the order of requests.
- What is to be sent waits in a bounded queue. Who does not read is closed, and nothing here waits for him.
- The session begins with `hello`. It ends with the socket, except when this instance ends, and except when it has ended
  already.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Protocol

from pydantic import ValidationError
from pydantic_core import to_json

from roomservice.accounts import Device
from roomservice.commit import Numbered, Session
from roomservice.hub import Follower, Hub, Item, Joined, Missed, Passing
from roomservice.interface import Unavailable
from roomservice.operations.calling import Refusal, invalid
from roomservice.operations.problems import INVALID_PARAMS, NO_SUCH_OPERATION, TOO_OFTEN, UNAUTHORISED, Refused
from roomservice.operations.table import Caller
from roomservice.presence import SESSION_ENDED, Presence
from roomservice.wire import jsonrpc
from roomservice.wire.closing import Close
from roomservice.wire.desk import HTTP_DEVICE, Desk
from roomservice.wire.hello import Hello, Welcome
from roomservice.wire.jsonrpc import Failure, Request
from roomservice.wire.outgoing import Outgoing, TooSlowError

log = logging.getLogger(__name__)

HELLO_S = 10.0
"""From the connection to `hello`. More lets strangers hold more sockets."""

FLUSH_S = 2.0
"""For what waits to be sent, when the socket is to be closed."""

MAX_NONSENSE = 20
"""Messages in a row that are no JSON-RPC, or are refused for coming too often, times ten."""

FINAL = {"replaced": Close.REPLACED, "logged out": Close.ENDED}
"""Ends of a session after which its client does not come again; after any other it does."""

Message = MutableMapping[str, Any]


class EventTexts(Protocol):
    """Turns an event into text once for all sockets."""

    def text_of(self, item: Item) -> str: ...


class Socket:
    """receive, send: of ASGI, after the connection was accepted. address: of the client. heard: time.monotonic() of its
    last message. busy: it is doing what was asked."""

    def __init__(
        self,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
        address: str,
        *,
        desk: Desk,
        hub: Hub,
        presence: Presence,
        texts: EventTexts,
        heartbeat_s: float,
        clock: Callable[[], float],
    ) -> None:
        self._receive = receive
        self._send = send
        self._address = address
        self._desk = desk
        self._hub = hub
        self._presence = presence
        self._texts = texts
        self._heartbeat_s = heartbeat_s
        self._clock = clock
        self.outgoing = Outgoing()
        self.heard = time.monotonic()
        self.busy = False
        self.session: Session | None = None
        self.token_until = float("inf")
        self.caller: Caller | None = None
        self._joined: Joined | None = None
        self._follower: Follower | None = None
        self._greeted = asyncio.Event()
        self._closing: asyncio.Future[Close] = asyncio.get_running_loop().create_future()
        self._nonsense = 0

    def close(self, code: Close) -> None:
        """What waits is sent before, if the client reads it soon. The first reason counts."""
        if not self._closing.done():
            self._closing.set_result(code)

    async def serve(self) -> Close:
        """To its end, and why it did."""
        tasks = [asyncio.create_task(step()) for step in (self._read, self._write, self._wait_for_hello)]
        reading, writing, waiting = tasks
        try:
            either: list[asyncio.Future[Any]] = [self._closing, reading, writing]
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            self.close(Close.NORMAL)
            code = self._closing.result()
            if self.busy:  # what is under way is done yet, and answered: who logs out is told that he has
                await asyncio.wait([reading], timeout=FLUSH_S)
            reading.cancel()
            waiting.cancel()
            self.outgoing.end(drop=code is Close.TOO_SLOW)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FLUSH_S):
                    await asyncio.shield(writing)
            with contextlib.suppress(OSError, RuntimeError, TimeoutError):
                async with asyncio.timeout(FLUSH_S):
                    await self._send({"type": "websocket.close", "code": int(code), "reason": code.reason})
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._end()
        return code

    # ---- out

    def put(self, text: str) -> None:
        try:
            self.outgoing.put(text)
        except TooSlowError:
            self.close(Close.TOO_SLOW)

    async def _write(self) -> None:
        with contextlib.suppress(OSError, RuntimeError):  # the client is gone: reading says so, too
            while (text := await self.outgoing.next()) is not None:
                await self._send({"type": "websocket.send", "text": text})

    def _told(self, item: Item) -> None:
        """By the hub; the same object for all who follow."""
        self.put(self._texts.text_of(item))
        if not isinstance(item, Numbered) or item.name != SESSION_ENDED or self.session is None:
            return
        if item.data.get("session") == self.session.id:
            self.close(FINAL.get(str(item.data.get("reason")), Close.HEARTBEAT_LOST))

    # ---- in

    async def _read(self) -> None:
        while True:
            message = await self._receive()
            if message["type"] == "websocket.disconnect":
                self.close(Close.RESTART if message.get("code") == Close.RESTART else Close.NORMAL)
                return
            self.heard = time.monotonic()
            text = message.get("text")
            if text is None:
                self.close(Close.UNSUPPORTED)
                return
            self.busy = True
            try:
                await self._handle(text)
            except Unavailable:
                log.warning("A socket could not be served.")
                self.close(Close.TRY_AGAIN)
            except Exception:
                log.exception("A socket could not be served.")
                self.close(Close.TRY_AGAIN)
            finally:
                self.busy = False
                self.heard = time.monotonic()
            if self._closing.done():
                return

    async def _wait_for_hello(self) -> None:
        try:
            async with asyncio.timeout(HELLO_S):
                await self._greeted.wait()
        except TimeoutError:
            self.close(Close.NO_HELLO)

    async def _handle(self, text: str) -> None:
        frame = jsonrpc.parse(text)
        answers = [answer for call in frame.calls if (answer := await self._answer(call)) is not None]
        if answers:
            self.put(jsonrpc.text_of(answers if frame.batch else answers[0]))
        if self._joined is not None and self._follower is None:  # after the answer to hello, not before it
            self._follower = self._joined.follower
            self._joined.begin()

    async def _answer(self, call: Request | Failure) -> dict[str, Any] | None:
        if isinstance(call, Failure):
            self._count_nonsense(10)
            return jsonrpc.error(call)
        if self._closing.done():
            return None
        if call.method == "hello":
            result: Any = await self._hello(call)
        else:
            result = await self._desk.method(call.method, self.caller, call.params, self._address)
        if isinstance(result, Refusal):
            if result.problem == TOO_OFTEN:
                self._count_nonsense(1)
            if call.method == "hello" and result.problem == UNAUTHORISED:
                self.close(Close.UNAUTHORISED)
            return jsonrpc.error(_failure(call, result)) if call.answered else None
        self._nonsense = 0
        return jsonrpc.result(call.id, result) if call.answered else None

    def _count_nonsense(self, weight: int) -> None:
        self._nonsense += weight
        if self._nonsense >= 10 * MAX_NONSENSE:
            self.close(Close.NONSENSE if weight > 1 else Close.TOO_OFTEN)

    # ---- who it is

    async def _hello(self, call: Request) -> Welcome | Refusal:
        try:
            asked = Hello.model_validate_json(to_json(call.params))
            device = await self._desk.device_of(asked.token, asked.device or HTTP_DEVICE)
        except ValidationError as error:
            return invalid(error)
        except Refused as refused:
            return Refusal(refused.problem, str(refused))
        if wait_s := self._desk.hello_wait_s(device.user):
            return Refusal(TOO_OFTEN, "This is asked for too often.", retry_after_s=wait_s)
        if self.session is not None:
            return await self._again(device)
        self.session = await self._presence.begin(device.user, device.id)
        self.caller = Caller(device.user, device.id, self.session.id)
        self.token_until = device.until
        joined = await self._hub.join(device.user, device.id, self._told, asked.resume)
        self._joined = joined
        self._greeted.set()
        return self._welcome(dict(joined.streams), list(joined.reload))

    async def _again(self, device: Device) -> Welcome | Refusal:
        assert self.session is not None
        if (device.user, device.id) != (self.session.user, self.session.device):
            return Refusal(UNAUTHORISED, "The token is of another device.")
        self.token_until = device.until
        return self._welcome({}, [])

    def _welcome(self, streams: dict[str, int], reload: list[str]) -> Welcome:
        assert self.session is not None
        return Welcome(
            user=self.session.user,
            device=self.session.device,
            session=self.session.id,
            heartbeat_s=self._heartbeat_s,
            now=self._clock(),
            streams=streams,
            reload=reload,
        )

    async def _end(self) -> None:
        if self._follower is not None:
            self._hub.leave(self._follower)
        if self.session is None or self._closing.result() is Close.RESTART:
            return
        try:
            await self._presence.end(self.session, "lost")
        except Exception as error:  # it expires
            log.warning("A session could not be ended: %s", error)


def _failure(call: Request, refusal: Refusal) -> Failure:
    code = {INVALID_PARAMS: jsonrpc.INVALID_PARAMS, NO_SUCH_OPERATION: jsonrpc.METHOD_NOT_FOUND}
    data: dict[str, Any] = {"problem": refusal.problem}
    if refusal.errors:
        data["errors"] = list(refusal.errors)
    if refusal.retry_after_s is not None:
        data["retry_after_s"] = refusal.retry_after_s
    return Failure(code.get(refusal.problem, jsonrpc.REFUSED), refusal.detail, call.id, data)


class Texts:
    """The newest event's text: the hub tells all followers of one before the next."""

    def __init__(self) -> None:
        self._item: Item | None = None
        self._text = ""

    def text_of(self, item: Item) -> str:
        if item is not self._item:
            self._item, self._text = item, jsonrpc.text_of(_notification(item))
        return self._text


def _notification(item: Item) -> dict[str, Any]:
    if isinstance(item, Missed):
        return jsonrpc.notification("reload", {"stream": item.stream, "last": item.last})
    if isinstance(item, Passing):
        passing = {"stream": item.stream, "at": item.at, "event": item.name, "data": item.data}
        return jsonrpc.notification("media", passing)
    said = {"stream": item.stream, "seq": item.seq, "at": item.at, "event": item.name, "data": item.data}
    return jsonrpc.notification("event", said)
