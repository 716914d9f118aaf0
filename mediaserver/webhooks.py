"""Delivery of events to the room service's webhooks: each endpoint its own task, one request at a time, in order.

    take a batch ─▶ POST it, signed ─▶ 2xx: it is done ─▶ the next
                        └─ anything else ─▶ wait, twice as long each time ─▶ the same batch again, under the same id

So each event arrives at least once, and never before one that came earlier.
"""

import asyncio
import hashlib
import json
import logging
import os
import random
import ssl
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field

import certifi
import httpx

from mediaserver import webhook_signature
from mediaserver.events import Event, to_wire
from mediaserver.outbox import LIMIT, Batch, Cursor, Filter, Outbox, rooms_like
from mediaserver.settings import Webhook
from mediaserver.store import StateError

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/cloudevents-batch+json"
# From the connection to the answer's headers. More keeps a hanging receiver's batch from being tried again for longer.
EXCHANGE_S = 10.0
# The wait after a failure is chosen at random below a bound that doubles from the first to the last of these. A lower
# last one presses a receiver that is down, a higher one keeps events longer from one that is back.
FIRST_BACKOFF_S = 1.0
LAST_BACKOFF_S = 60.0


@dataclass(slots=True)
class Surroundings:
    """What tests replace: Unix time, waiting, chance."""

    clock: Callable[[], float] = time.time
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    uniform: Callable[[float, float], float] = field(default=random.uniform)
    exchange_s: float = EXCHANGE_S


class Endpoint:
    """One webhook. The counters are for the metrics; `number` counts the endpoints of the settings from 1."""

    def __init__(
        self, number: int, webhook: Webhook, outbox: Outbox, surroundings: Surroundings, limit: int = LIMIT
    ) -> None:
        self.number = number
        self.delivered = 0  # events
        self.failed = 0  # attempts
        self.last_success: float | None = None  # Unix time in s
        self._webhook = webhook
        self._outbox = outbox
        self._surroundings = surroundings
        # The address may hold a secret, so the state file has its hash alone.
        self.reader = hashlib.sha256(webhook.url.encode()).hexdigest()[:32]
        self._cursor: Cursor = outbox.hold(self.reader, Filter(webhook.types, rooms_like(webhook.rooms)), limit)
        self._failures = 0  # in a row

    @property
    def pending(self) -> int:
        return self._cursor.pending

    @property
    def dropped(self) -> int:
        return self._cursor.dropped_ever

    async def drained(self) -> None:
        """Until nothing waits for it."""
        await self._cursor.drained()

    async def run(self, client: httpx.AsyncClient) -> None:
        """Delivers until it is cancelled or the store is closed."""
        while True:
            try:
                await self._outbox.catch_up(self._cursor)
                while (batch := await self._outbox.take(self._cursor)) is not None:
                    if await self._deliver(client, batch):
                        self._cursor.done(batch)
            except StateError:
                return
            except Exception:  # a log that cannot be read, or a defect: it must not end the other endpoints' tasks
                log.exception("Webhook %d cannot go on now.", self.number)
                await self._surroundings.sleep(LAST_BACKOFF_S)

    async def _deliver(self, client: httpx.AsyncClient, batch: Batch) -> bool:
        """Tries until the batch has arrived; False when some of it has been dropped meanwhile."""
        events = [event for _, event in batch.with_gap(self.reader, self._surroundings.clock())]
        body = body_of(events)
        identifier = f"{self._outbox.store.id}-{self.reader[:8]}-{batch.position}-{len(events)}"
        while not self._cursor.is_stale(batch):
            fault = await self._attempt(client, identifier, body)
            if fault is None:
                self._succeeded(len(batch.events))
                return True
            await self._back_off(fault)
        return False

    async def _attempt(self, client: httpx.AsyncClient, identifier: str, body: bytes) -> str | None:
        """What went wrong, without the address; None when the receiver has it."""
        now = int(self._surroundings.clock())
        headers = {
            "Content-Type": MEDIA_TYPE,
            **webhook_signature.sign(self._webhook.secret, identifier, now, body),
        }
        try:
            async with (
                asyncio.timeout(self._surroundings.exchange_s),
                client.stream("POST", self._webhook.url, content=body, headers=headers) as response,
            ):
                if response.headers.get("content-length") == "0":
                    await response.aread()  # nothing, and then the connection can be used again
                return None if response.is_success else f"it answered {response.status_code}"
        except TimeoutError:
            return "it did not answer in time"
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            return type(error).__name__  # its words may repeat the address

    def _succeeded(self, events: int) -> None:
        if self._failures:
            log.info("Webhook %d takes events again.", self.number)
        self._failures = 0
        self.delivered += events
        self.last_success = self._surroundings.clock()

    async def _back_off(self, fault: str) -> None:
        self.failed += 1
        bound = min(LAST_BACKOFF_S, FIRST_BACKOFF_S * 2 ** min(self._failures, 10))
        if not self._failures:
            log.warning("Webhook %d does not take events (%s); they are kept and tried again.", self.number, fault)
        self._failures += 1
        await self._surroundings.sleep(self._surroundings.uniform(0, bound))


class Webhooks:
    """All endpoints of the settings."""

    def __init__(
        self,
        webhooks: Iterable[Webhook],
        outbox: Outbox,
        surroundings: Surroundings | None = None,
        limit: int = LIMIT,
    ) -> None:
        """Before the store is started: events from now on are kept for them."""
        surroundings = surroundings or Surroundings()
        self._outbox = outbox
        self.endpoints: Sequence[Endpoint] = [
            Endpoint(number, webhook, outbox, surroundings, limit) for number, webhook in enumerate(webhooks, 1)
        ]
        outbox.forget_others()
        self._running: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Within a running event loop."""
        if self.endpoints:
            self._running = asyncio.get_running_loop().create_task(self._run())

    def stop(self) -> None:
        """What is on its way is given up, and delivered again after the next start."""
        if self._running is not None:
            self._running.cancel()

    async def flush(self, within_s: float) -> bool:
        """Waits until the endpoints have all that has happened; whether it came to that in time."""
        try:
            async with asyncio.timeout(within_s):
                await self._outbox.store.settled()
                for endpoint in self.endpoints:
                    await endpoint.drained()
        except (TimeoutError, StateError):
            return False
        return True

    async def _run(self) -> None:
        for name in ("httpx", "httpcore"):
            logging.getLogger(name).setLevel(logging.WARNING)  # they log addresses, which may hold secrets
        context = ssl.create_default_context(cafile=os.environ.get("SSL_CERT_FILE") or certifi.where())
        # As many connections as endpoints: nobody waits for another's.
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=len(self.endpoints))
        client = httpx.AsyncClient(
            verify=context,
            trust_env=False,
            follow_redirects=False,
            timeout=None,
            limits=limits,
            headers={"User-Agent": "voicerooms"},
        )
        async with client, asyncio.TaskGroup() as tasks:
            for endpoint in self.endpoints:
                tasks.create_task(endpoint.run(client))


def body_of(events: Iterable[Event]) -> bytes:
    """A batch as it is sent."""
    return json.dumps([to_wire(event) for event in events], separators=(",", ":")).encode()
