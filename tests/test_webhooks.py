"""Webhooks against real receivers on loopback: those that hang, fail, close, trickle or redirect, and that work."""

import asyncio
import contextlib
import json
import logging
import random
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from mediaserver import metrics, webhook_signature
from mediaserver.events import Event
from mediaserver.outbox import BATCH, Outbox
from mediaserver.settings import Webhook
from mediaserver.store import LAZY_S, Store
from mediaserver.webhooks import LAST_BACKOFF_S, Surroundings, Webhooks

SECRET = "not-a-secret-of-anybody-in-particular"
NOW = 1_700_000_000.5

Answer = Callable[["Receiver", asyncio.StreamWriter], Awaitable[None]]


async def say(writer: asyncio.StreamWriter, status: str, *headers: str, body: bytes = b"") -> None:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    writer.write("\r\n".join(lines).encode() + body)
    await writer.drain()


async def good(_: "Receiver", writer: asyncio.StreamWriter) -> None:
    await say(writer, "204 No Content")


async def failing(_: "Receiver", writer: asyncio.StreamWriter) -> None:
    await say(writer, "500 Internal Server Error", body=b"secret details")


async def closing(_: "Receiver", writer: asyncio.StreamWriter) -> None:
    writer.close()


async def resetting(_: "Receiver", writer: asyncio.StreamWriter) -> None:
    found = writer.get_extra_info("socket")
    found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    writer.close()


async def hanging(receiver: "Receiver", _: asyncio.StreamWriter) -> None:
    await receiver.closed.wait()


async def trickling(receiver: "Receiver", writer: asyncio.StreamWriter) -> None:
    """Some bytes of headers now and then: each wait is short, the whole never ends."""
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while not receiver.closed.is_set():
        writer.write(b"X-More: yes\r\n")
        await writer.drain()
        await asyncio.sleep(0.02)


async def endless(receiver: "Receiver", writer: asyncio.StreamWriter) -> None:
    """Has it, and then a body that nobody waits for."""
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while not receiver.closed.is_set():
        writer.write(b"1000\r\n" + b"x" * 4096 + b"\r\n")
        await writer.drain()
        await asyncio.sleep(0.01)


async def nonsense(_: "Receiver", writer: asyncio.StreamWriter) -> None:
    writer.write(b"\0\xff220 mail.example.org ESMTP\r\n\r\n")
    await writer.drain()
    writer.close()


async def redirecting(receiver: "Receiver", writer: asyncio.StreamWriter) -> None:
    await say(writer, "307 Temporary Redirect", f"Location: {receiver.elsewhere}")


class Receiver:
    """A real HTTP server. `answers` are given in turn, and the last of them for ever; `answered` is what it was told in
    requests that it answered by `good` or `endless`."""

    def __init__(self, *answers: Answer) -> None:
        self._answers = list(answers)
        self.elsewhere = ""
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.answered: list[dict[str, Any]] = []
        self.connections = 0
        self.serving: dict[asyncio.Task[Any], asyncio.StreamWriter] = {}
        self.closed = asyncio.Event()
        self.url = ""

    def answer(self) -> Answer:
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self.serving[task] = writer
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while not self.closed.is_set():
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                headers = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:-2])
                # A header's value is as it was, its name in lower case.
                for line in head.split("\r\n")[1:-2]:
                    name, value = line.split(": ", 1)
                    headers[name.lower()] = value
                body = await reader.readexactly(int(headers["content-length"]))
                self.requests.append((headers, body))
                answer = self.answer()
                if answer in (good, endless):
                    self.answered += json.loads(body)
                await answer(self, writer)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        del self.serving[task]

    @property
    def sequences(self) -> list[int]:
        return [int(event["sequence"]) for event in self.answered if "sequence" in event]


@asynccontextmanager
async def receiving(*answers: Answer) -> AsyncIterator[Receiver]:
    receiver = Receiver(*answers)
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    receiver.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook?token=hidden"
    try:
        yield receiver
    finally:
        receiver.closed.set()
        server.close()
        for writer in receiver.serving.values():
            writer.close()
        await asyncio.gather(*receiver.serving)


class Time:
    """Waits pass at once and are noted; `held` makes them last."""

    def __init__(self) -> None:
        self.waits: list[float] = []
        self.held = asyncio.Event()
        self.held.set()
        self.surroundings = Surroundings(lambda: NOW, self.sleep, lambda _, most: most, exchange_s=0.3)

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        await asyncio.sleep(0.001)
        await self.held.wait()


@asynccontextmanager
async def delivering(
    *receivers: Receiver | str, path: str | None = None, time: Time | None = None, types: str = "*", limit: int = 10_000
) -> AsyncIterator[tuple[Webhooks, Outbox]]:
    urls = [receiver if isinstance(receiver, str) else receiver.url for receiver in receivers]
    store = Store(path)
    outbox = Outbox(store)
    hooks = [Webhook.parse(f"{url} {SECRET} {types}") for url in urls]
    webhooks = Webhooks(hooks, outbox, (time or Time()).surroundings, limit)
    store.start(asyncio.get_running_loop())
    webhooks.start()
    try:
        yield webhooks, outbox
    finally:
        webhooks.stop()
        store.stop()
        await asyncio.sleep(0.01)


def tell(outbox: Outbox, first: int, last: int, **attributes: Any) -> None:
    for number in range(first, last + 1):
        values = {"room": "hall", "type": "speaker.muted", "user": "ann", "data": {"source": "host"}, **attributes}
        outbox.store.append(Event(instance="k3v9", sequence=number, time=NOW, **values))


async def until(condition: Callable[[], bool], within_s: float = 10) -> None:
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 - the receivers and counters have nothing to wait on
            await asyncio.sleep(0.01)


async def test_events_arrive_signed_in_order_and_as_cloudevents() -> None:
    async with receiving(good) as receiver, delivering(receiver) as (webhooks, outbox):
        tell(outbox, 1, 250)
        assert await webhooks.flush(10)
        assert receiver.sequences == list(range(1, 251))
        for headers, body in receiver.requests:
            assert headers["content-type"] == "application/cloudevents-batch+json"
            assert len(json.loads(body)) <= BATCH
            assert webhook_signature.verify(SECRET, headers, body, NOW) == headers["webhook-id"]
        assert len({headers["webhook-id"] for headers, _ in receiver.requests}) == len(receiver.requests)
        endpoint = webhooks.endpoints[0]
        assert (endpoint.delivered, endpoint.failed, endpoint.dropped, endpoint.pending) == (250, 0, 0, 0)
        assert endpoint.last_success == NOW
        assert receiver.connections == 1


async def test_only_what_is_wanted_arrives() -> None:
    async with receiving(good) as receiver, delivering(receiver, types="room.* music/*") as (webhooks, outbox):
        tell(outbox, 1, 5, room="music/1")
        tell(outbox, 1, 2, type="room.started", user=None)
        tell(outbox, 6, 8, room="music/1", type="room.changed", user=None)
        assert await webhooks.flush(10)
        assert receiver.sequences == [6, 7, 8]


@pytest.mark.parametrize("fault", [failing, closing, resetting, hanging, trickling, redirecting, nonsense])
async def test_a_receiver_that_recovers_gets_everything_under_the_same_id(fault: Answer) -> None:
    time = Time()
    async with receiving(good) as elsewhere, receiving(fault, fault, good) as receiver:
        receiver.elsewhere = elsewhere.url
        async with delivering(receiver, time=time) as (webhooks, outbox):
            tell(outbox, 1, 3)
            assert await webhooks.flush(10)
            assert receiver.sequences == [1, 2, 3]
            ids = [headers["webhook-id"] for headers, _ in receiver.requests]
            assert len(ids) == 3
            assert len(set(ids)) == 1
            assert webhooks.endpoints[0].failed == 2
            assert time.waits == [1, 2]
        assert elsewhere.requests == []


async def test_an_answer_counts_when_its_headers_are_there_whatever_the_body_does() -> None:
    async with receiving(endless) as receiver, delivering(receiver) as (webhooks, outbox):
        for number in range(1, 6):
            tell(outbox, number, number)
            assert await webhooks.flush(0.25)
        assert receiver.sequences == [1, 2, 3, 4, 5]
        assert webhooks.endpoints[0].failed == 0


async def test_waits_double_up_to_a_bound_and_begin_anew_after_a_success() -> None:
    time = Time()
    async with receiving(*[failing] * 8, good, failing, good) as receiver, delivering(receiver, time=time) as made:
        webhooks, outbox = made
        tell(outbox, 1, 1)
        assert await webhooks.flush(10)
        tell(outbox, 2, 2)
        assert await webhooks.flush(10)
        assert time.waits == [1, 2, 4, 8, 16, 32, LAST_BACKOFF_S, LAST_BACKOFF_S, 1]


async def test_a_dead_endpoint_delays_no_other() -> None:
    silent = socket.create_server(("127.0.0.1", 0))  # takes connections, and nobody ever reads them
    dead = f"http://127.0.0.1:{silent.getsockname()[1]}/"
    async with (
        receiving(good) as receiver,
        receiving(hanging) as hung,
        receiving(trickling) as slow,
        delivering(dead, hung, receiver, slow) as (webhooks, outbox),
    ):
        for number in range(1, 21):
            tell(outbox, number, number)
            await until(lambda: len(receiver.sequences) == number, 0.25)  # noqa: B023 - it is awaited at once
        assert [endpoint.delivered for endpoint in webhooks.endpoints] == [0, 0, 20, 0]
        assert [endpoint.pending for endpoint in webhooks.endpoints] == [20, 20, 0, 20]
    silent.close()


async def test_at_most_one_request_is_on_its_way_to_an_endpoint() -> None:
    at_once = [0, 0]

    async def slow(_: Receiver, writer: asyncio.StreamWriter) -> None:
        at_once[0] += 1
        at_once[1] = max(at_once)
        await asyncio.sleep(0.01)
        at_once[0] -= 1
        await say(writer, "200 OK")

    async with receiving(slow) as receiver, delivering(receiver) as (webhooks, outbox):
        for number in range(1, 301):
            tell(outbox, number, number)
            await asyncio.sleep(0.001)
        assert await webhooks.flush(10)
        assert at_once == [0, 1]


async def test_whatever_fails_each_event_arrives_and_first_arrivals_are_in_order() -> None:
    chance = random.Random(7)

    async def moody(receiver: Receiver, writer: asyncio.StreamWriter) -> None:
        answer = chance.choice([good, failing, closing, resetting, nonsense, lost])
        if answer is good:
            receiver.answered += json.loads(receiver.requests[-1][1])
        await answer(receiver, writer)

    async def lost(receiver: Receiver, writer: asyncio.StreamWriter) -> None:
        """The receiver has it, but its answer is lost."""
        receiver.answered += json.loads(receiver.requests[-1][1])
        writer.close()

    async with receiving(moody) as receiver, delivering(receiver) as (webhooks, outbox):
        number = 0
        while number < 600:
            count = chance.randrange(1, 40)
            tell(outbox, number + 1, number + count)
            number += count
            await asyncio.sleep(chance.random() * 0.01)
        assert await webhooks.flush(30)
        first = list(dict.fromkeys(receiver.sequences))
        assert first == list(range(1, number + 1))
        assert len(receiver.sequences) > len(first)
        assert webhooks.endpoints[0].failed > 10


async def test_a_receiver_that_is_away_too_long_gets_the_newest_and_a_gap() -> None:
    time = Time()
    time.held.clear()
    async with receiving(failing, good) as receiver, delivering(receiver, time=time, limit=20) as (webhooks, outbox):
        tell(outbox, 1, 5)
        await until(lambda: time.waits == [1])
        tell(outbox, 6, 50)
        await until(lambda: webhooks.endpoints[0].pending == 20)
        time.held.set()
        assert await webhooks.flush(10)
        gap = receiver.answered[0]
        assert (gap["type"], gap["data"], gap["source"]) == ("voicerooms.gap", {"dropped": 30}, "/v1/events")
        assert receiver.sequences == list(range(31, 51))
        assert webhooks.endpoints[0].dropped == 30


async def test_delivery_goes_on_after_a_restart_where_it_was(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = str(tmp_path_factory.mktemp("state") / "db")
    async with receiving(good) as receiver:
        async with delivering(receiver, path=path) as (webhooks, outbox):
            tell(outbox, 1, 10)
            assert await webhooks.flush(10)
            await asyncio.sleep(LAZY_S + 0.2)
        store = Store(path)  # a server that ends before it has delivered anything
        outbox = Outbox(store)
        Webhooks([Webhook.parse(f"{receiver.url} {SECRET} *")], outbox)
        tell(outbox, 11, 20)
        store.stop()
        async with delivering(receiver, path=path) as (webhooks, outbox):
            tell(outbox, 21, 30)
            assert await webhooks.flush(10)
        assert receiver.sequences == list(range(1, 31))
        assert b"hidden" not in await asyncio.to_thread(Path(path).read_bytes)


SENDER = """
import asyncio, sys
from mediaserver.events import Event
from mediaserver.outbox import Outbox
from mediaserver.settings import Webhook
from mediaserver.store import Store
from mediaserver.webhooks import Webhooks
async def main():
    store = Store(sys.argv[1])
    webhooks = Webhooks([Webhook.parse(sys.argv[2])], Outbox(store))
    store.start(asyncio.get_running_loop())
    webhooks.start()
    sequence = store.head
    while True:
        for _ in range(sequence % 7 + 1):
            sequence += 1
            store.append(Event("hall", "k3v9", sequence, "room.changed", None, 0.0, {"etag": str(sequence)}))
        await store.settled()
        print(sequence, flush=True)
        await asyncio.sleep(0.002)
asyncio.run(main())
"""


async def test_whenever_the_server_is_killed_each_event_arrives_in_order(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    path = str(tmp_path_factory.mktemp("state") / "db")
    chance = random.Random(9)
    settled = 0
    async with receiving(good) as receiver:
        for _ in range(4):
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", SENDER, path, f"{receiver.url} {SECRET} *"), stdout=asyncio.subprocess.PIPE
            )
            assert process.stdout is not None
            for _ in range(chance.randrange(20, 120)):
                settled = int(await process.stdout.readline())
            process.kill()
            rest = (await process.stdout.read()).split(b"\n")[:-1]
            settled = max([settled, *map(int, rest)])
            await process.wait()
        async with delivering(receiver, path=path) as (webhooks, _):
            assert await webhooks.flush(10)
        first = list(dict.fromkeys(receiver.sequences))
        assert first == list(range(1, len(first) + 1))
        assert len(first) >= settled
        assert len(receiver.sequences) >= len(first)


async def test_nothing_secret_is_logged_and_a_long_failure_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    time = Time()
    async with receiving(*[failing] * 6, closing, good) as receiver, delivering(receiver, time=time) as made:
        webhooks, outbox = made
        tell(outbox, 1, 1)
        assert await webhooks.flush(10)
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        "Webhook 1 does not take events (it answered 500); they are kept and tried again.",
        "Webhook 1 takes events again.",
    ]
    text = caplog.text + repr(webhooks.endpoints) + repr(Webhook.parse(f"{receiver.url} {SECRET}"))
    assert "hidden" not in text
    assert SECRET not in text
    assert "127.0.0.1" not in text


async def test_metrics_name_endpoints_by_their_place() -> None:
    async with receiving(good) as receiver, receiving(failing) as broken, delivering(receiver, broken) as made:
        webhooks, outbox = made
        tell(outbox, 1, 7)
        await until(lambda: webhooks.endpoints[0].delivered == 7 and webhooks.endpoints[1].failed > 0)
        samples = {
            (sample.name, sample.labels["endpoint"]): sample.value
            for metric in metrics.webhook_metrics(webhooks.endpoints)
            for sample in metric.samples
        }
        assert samples["mediaserver_webhook_delivered_total", "1"] == 7
        assert samples["mediaserver_webhook_pending", "2"] == 7
        assert samples["mediaserver_webhook_failed_total", "2"] > 0
        assert samples["mediaserver_webhook_last_success_seconds", "1"] == NOW
