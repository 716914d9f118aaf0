"""Between instances, by Redis's publish and subscribe: a channel for each stream.

Rules held here
- What is published is received here at once, and sent to Redis behind the caller's back: nobody waits for Redis.
- While Redis is away everything goes on; other instances see in the storage what they have not heard.
- Redis keeps nothing for us: it may be restarted, or be one that forgets.
"""

import asyncio
import json
import logging
import uuid
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from typing import Any

from roomservice.commit import Numbered
from roomservice.interface import Unavailable

log = logging.getLogger(__name__)

PREFIX = "roomservice:"
ANSWER_S = 3.0
"""After so long Redis is away."""

AGAIN_S = 0.5
"""Between attempts to connect."""

WAITING = 10_000
"""Events that wait to be sent; what does not fit is not sent. More helps only where Redis is too slow for good."""

BATCH = 500


class RedisBus:
    """url: redis://, rediss:// or unix://. ValueError for another; ModuleNotFoundError without the package."""

    def __init__(self, url: str) -> None:
        from redis.asyncio import Redis  # noqa: PLC0415 - an extra

        self._redis: Any = Redis.from_url(url, socket_connect_timeout=ANSWER_S, socket_timeout=ANSWER_S)
        self._listening: Any = None
        self._own = uuid.uuid4().hex
        self._receive: Callable[[Sequence[Numbered]], None] = _to_nobody
        self._waiting: asyncio.Queue[Numbered] = asyncio.Queue(WAITING)
        self._answers: dict[str, asyncio.Future[None]] = {}
        self._connected = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, receive: Callable[[Sequence[Numbered]], None]) -> None:
        self._receive = receive
        self._listening = self._redis.pubsub()
        self._tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self._send())]

    async def close(self) -> None:
        """What waits is sent, if that is soon done."""
        try:
            async with asyncio.timeout(1.0):
                await self._waiting.join()
        except TimeoutError:
            log.warning("Some events were not sent to Redis; other instances read them.")
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        try:
            async with asyncio.timeout(ANSWER_S):
                if self._listening is not None:
                    await self._listening.aclose()
                await self._redis.aclose()
        except _away() as error:
            log.info("Redis did not hear the end: %s", error)

    async def ready(self) -> bool:
        try:
            async with asyncio.timeout(ANSWER_S):
                await self._redis.ping()
        except _away():
            return False
        return True

    async def publish(self, events: Sequence[Numbered]) -> None:
        self._receive(events)
        for event in events:
            try:
                self._waiting.put_nowait(event)
            except asyncio.QueueFull:
                return

    async def follow(self, streams: Collection[str]) -> None:
        """Returns when Redis has said that it sends them."""
        loop = asyncio.get_running_loop()
        channels = [PREFIX + stream for stream in streams]
        try:
            async with asyncio.timeout(ANSWER_S):
                await self._connected.wait()
                for channel in channels:
                    self._answers[channel] = loop.create_future()
                await self._listening.subscribe(*channels)
                await asyncio.gather(*(self._answers[channel] for channel in channels))
        except _away() as error:
            raise Unavailable("Redis cannot be reached.") from error
        finally:
            for channel in channels:
                self._answers.pop(channel, None)

    async def unfollow(self, streams: Collection[str]) -> None:
        try:
            async with asyncio.timeout(ANSWER_S):
                await self._listening.unsubscribe(*(PREFIX + stream for stream in streams))
        except _away() as error:
            raise Unavailable("Redis cannot be reached.") from error

    # ----

    async def _listen(self) -> None:
        """For ever. A connection that is made anew follows what was followed."""
        while True:
            try:
                if not self._connected.is_set():
                    async with asyncio.timeout(ANSWER_S):
                        await self._listening.subscribe(PREFIX)  # there must be one to be listening at all
                    self._connected.set()
                message = await self._listening.get_message(timeout=None)
                if message is not None:
                    self._hear(message)
            except _away() as error:
                if self._connected.is_set():
                    log.warning("Redis cannot be reached: %s", error)
                self._connected.clear()
                await asyncio.sleep(AGAIN_S)
            except Exception:
                log.exception("What Redis said was not understood.")
                await asyncio.sleep(AGAIN_S)

    def _hear(self, message: dict[str, Any]) -> None:
        channel = message["channel"].decode()
        if message["type"] == "subscribe":
            answer = self._answers.get(channel)
            if answer is not None and not answer.done():
                answer.set_result(None)
        elif message["type"] == "message":
            said = json.loads(message["data"])
            if said["from"] != self._own:
                stream = channel.removeprefix(PREFIX)
                self._receive([_event(stream, one) for one in said["events"]])

    async def _send(self) -> None:
        """For ever. What cannot be sent is not kept: it is in the storage."""
        while True:
            batch = [await self._waiting.get()]
            while len(batch) < BATCH and not self._waiting.empty():
                batch.append(self._waiting.get_nowait())
            by_stream: defaultdict[str, list[Numbered]] = defaultdict(list)
            for event in batch:
                by_stream[event.stream].append(event)
            try:
                async with asyncio.timeout(ANSWER_S):
                    pipeline = self._redis.pipeline(transaction=False)
                    for stream, events in by_stream.items():
                        pipeline.publish(PREFIX + stream, self._said(events))
                    await pipeline.execute()
            except _away() as error:
                log.warning("Redis cannot be reached: %s", error)
            except Exception:
                log.exception("Events could not be sent to Redis.")
            finally:
                for _ in batch:
                    self._waiting.task_done()

    def _said(self, events: Sequence[Numbered]) -> str:
        shown = [[event.seq, event.at, event.name, event.data, event.except_device] for event in events]
        return json.dumps({"from": self._own, "events": shown}, separators=(",", ":"))


def _event(stream: str, said: Sequence[Any]) -> Numbered:
    seq, at, name, data, except_device = said
    return Numbered(stream, seq, at, name, data, except_device)


def _to_nobody(_: Sequence[Numbered]) -> None:
    """Before the start."""


def _away() -> tuple[type[Exception], ...]:
    from redis.exceptions import RedisError  # noqa: PLC0415 - an extra

    return (RedisError, OSError, TimeoutError)
