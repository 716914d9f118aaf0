"""A client of the room service's WebSocket: JSON-RPC calls, and the events that it was told, in order."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections.abc import Mapping
from typing import Any, Self

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

WITHIN_S = 20.0


class CallRefusedError(Exception):
    """problem: its name."""

    def __init__(self, error: Mapping[str, Any]) -> None:
        super().__init__(error["message"])
        self.code = error["code"]
        self.problem = (error.get("data") or {}).get("problem", "")


class Rpc:
    """`async with` it. events: all that came, as `params` has them; seen: the newest number of each stream."""

    def __init__(self, url: str, token: str = "", device: str = "", resume: Mapping[str, int] | None = None) -> None:
        self._url = url.replace("http", "ws", 1) + "/v1/ws"
        self._hello = {"token": token, **({"device": device} if device else {}), "resume": dict(resume or {})}
        self._ids = itertools.count(1)
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._came = asyncio.Condition()
        self.events: list[dict[str, Any]] = []
        self.reloads: list[dict[str, Any]] = []
        self.media: list[dict[str, Any]] = []
        self.seen: dict[str, int] = {}
        self.welcome: dict[str, Any] = {}
        self._read = 0

    async def __aenter__(self) -> Self:
        self.socket: ClientConnection = await connect(self._url, compression=None, max_size=None, proxy=None)
        self._reading = asyncio.create_task(self._receive())
        if self._hello["token"]:
            self.welcome = await self.call("hello", **self._hello)
            self.seen = {**self.welcome["streams"], **self.seen}
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.socket.close()
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)

    async def call(self, method: str, **params: Any) -> Any:
        """CallRefusedError."""
        number = next(self._ids)
        self._answers[number] = asyncio.get_running_loop().create_future()
        message = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
        await self.socket.send(json.dumps(message))
        try:
            async with asyncio.timeout(WITHIN_S):
                return await self._answers[number]
        finally:
            del self._answers[number]

    async def refused(self, method: str, **params: Any) -> str:
        """The problem's name."""
        try:
            answer = await self.call(method, **params)
        except CallRefusedError as refused:
            return str(refused.problem)
        raise AssertionError(f"{method} was not refused: {answer}")

    async def event(self, name: str, **fields: Any) -> dict[str, Any]:
        """The next one, after those that were waited for, of this name and with these values in its data."""

        def found() -> int | None:
            for place in range(self._read, len(self.events)):
                one = self.events[place]
                if one["event"] == name and all(one["data"].get(key) == value for key, value in fields.items()):
                    return place
            return None

        try:
            async with asyncio.timeout(WITHIN_S), self._came:
                await self._came.wait_for(lambda: found() is not None)
        except TimeoutError:
            came = [(one["event"], one["data"]) for one in self.events[self._read :]]
            raise AssertionError(f"{name} {fields} did not come, but {came}") from None
        place = found()
        assert place is not None
        self._read = place + 1
        return self.events[place]

    async def media_event(self, name: str, **fields: Any) -> dict[str, Any]:
        def found() -> dict[str, Any] | None:
            for one in self.media:
                if one["event"] == name and all(one["data"].get(key) == value for key, value in fields.items()):
                    return one
            return None

        async with asyncio.timeout(WITHIN_S), self._came:
            await self._came.wait_for(lambda: found() is not None)
        one = found()
        assert one is not None
        self.media.remove(one)
        return one

    async def closed(self) -> tuple[int, str]:
        """Code and reason."""
        async with asyncio.timeout(WITHIN_S):
            await self.socket.wait_closed()
        return self.socket.close_code or 0, self.socket.close_reason or ""

    async def _receive(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for text in self.socket:
                message = json.loads(text)
                async with self._came:
                    self._take(message)
                    self._came.notify_all()
        for answer in list(self._answers.values()):
            if not answer.done():
                answer.set_exception(ConnectionError(str(self.socket.close_code)))

    def _take(self, message: dict[str, Any]) -> None:
        match message.get("method"):
            case "event":
                self.events.append(message["params"])
                self.seen[message["params"]["stream"]] = message["params"]["seq"]
            case "reload":
                self.reloads.append(message["params"])
            case "media":
                self.media.append(message["params"])
            case _:
                answer = self._answers.get(message["id"])
                if answer is None or answer.done():
                    return
                if "error" in message:
                    answer.set_exception(CallRefusedError(message["error"]))
                else:
                    answer.set_result(message["result"])
