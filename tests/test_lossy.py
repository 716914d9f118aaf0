"""Bad networks: joins over links that lose what they must not, media over links that do all a network does, and clients
who move. tests/netem.py is the network; everything in it is by seed."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any

import pytest
from aioice.stun import Class
from aiortc.rtp import RtpPacket

from mediaserver import _native
from tests.client import until
from tests.control import Control
from tests.netem import Burst, Direction, Link, Predicate, Relay, is_dtls, is_rtp, is_stun
from tests.rawplane import RawPlane, talk
from tests.voices import level_db, voice

PITCH_HZ = 440

# What a join is made of, in the order of its datagrams: a check and a nomination with their answers, then the flights
# of DTLS 1.2: ClientHello, ServerHello to ServerHelloDone, Certificate to Finished, and the server's Finished.
STEPS: list[tuple[Direction, Predicate]] = [("up", is_stun), ("down", is_stun), ("up", is_dtls), ("down", is_dtls)]
# The first or the second of its kind, or both and thereby the first that comes again, too.
LOSSES = [(1,), (2,), (1, 2), (2, 3)]


def numbered(count: int) -> list[bytes]:
    """Payloads that can be told apart, as long as Opus's."""
    return [i.to_bytes(4, "big") + bytes(60) for i in range(count)]


async def listed(control: Control, room: str, user: str, what: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The user's only session in the list of participants, once `what` is true of it."""
    deadline = time.monotonic() + 15
    while True:
        (session,) = (await control.participants(room))[user]["sessions"]
        if what(session):
            return dict(session)
        assert time.monotonic() < deadline, session
        await asyncio.sleep(0.1)


# Joins


class Joiners:
    """Clients of one room, each behind a network of its own; one direct speaker is there for those who listen."""

    def __init__(self, control: Control, room: str, stack: AsyncExitStack) -> None:
        self._control = control
        self._room = room
        self._stack = stack

    async def speak_to_all(self) -> None:
        ann = await self._stack.enter_async_context(await self._control.speak(self._room, "ann", PITCH_HZ))
        await ann.connected()

    async def join(self, direction: str, user: str, relay: Relay) -> None:
        """Until media flows: from the new speaker to the server, or from the server to the new listener."""
        self._stack.enter_context(relay)
        if direction == "publish":
            speaker = await self._control.speak(self._room, user, None, relay=relay)
            await self._stack.enter_async_context(speaker)
            await speaker.connected(within_s=25)
            await listed(self._control, self._room, user, lambda session: session["packets_received"] > 0)
        else:
            listener = await self._control.listen(self._room, user, slots=1, relay=relay)
            await self._stack.enter_async_context(listener)
            await listener.connected(within_s=25)
            await until(lambda: listener.slots[0].packets)


@pytest.fixture
async def joiners(control: Control, room: str) -> AsyncIterator[Joiners]:
    async with AsyncExitStack() as stack:
        yield Joiners(control, room, stack)


@pytest.mark.parametrize("direction", ["publish", "listen"])
async def test_a_join_survives_the_loss_of_any_datagram_of_its_handshakes(joiners: Joiners, direction: str) -> None:
    await joiners.speak_to_all()
    joins, drops = [], {}
    for way, kind in STEPS:
        for numbers in LOSSES:
            relay = Relay()
            name = f"{way} {kind.__name__} {numbers}"
            drops[name] = relay.drop(way, kind, *numbers)
            joins.append(joiners.join(direction, name, relay))
    await asyncio.gather(*joins)
    assert {name: drop.dropped for name, drop in drops.items()} == {
        name: len(drop.numbers) for name, drop in drops.items()
    }


@pytest.mark.parametrize("loss", [0.1, 0.2])
async def test_joins_succeed_over_links_that_lose_reorder_and_repeat_at_random(joiners: Joiners, loss: float) -> None:
    link = Link(loss=loss, delay_ms=10, jitter_ms=20, reorder=0.1, duplicate=0.05)
    await joiners.speak_to_all()
    relays = [Relay(up=link, down=link, seed=seed) for seed in range(12)]
    joins = [joiners.join(("publish", "listen")[i % 2], f"user{i}", relay) for i, relay in enumerate(relays)]
    await asyncio.gather(*joins)
    assert sum(relay.counters[way].lost for relay in relays for way in relay.counters) > 0


# Media


def assert_is_the_publishers_stream(packets: Sequence[RtpPacket], sent: Sequence[RtpPacket]) -> None:
    """Each packet once, whole, and in its place: the distances between any two are those that the publisher gave."""
    assert len({packet.sequence_number for packet in packets}) == len(packets)
    assert len({packet.ssrc for packet in packets}) == 1
    originals = {packet.payload: packet for packet in sent}
    shifts = {
        (
            (packet.sequence_number - originals[packet.payload].sequence_number) % 2**16,
            (packet.timestamp - originals[packet.payload].timestamp) % 2**32,
        )
        for packet in packets
    }
    assert len(shifts) == 1, shifts


def test_a_stream_through_a_bad_network_is_forwarded_as_it_comes_and_never_twice() -> None:
    up = Link(loss=0.05, burst=Burst(0.01, 0.3), delay_ms=5, jitter_ms=10, reorder=0.1, reorder_ms=25, duplicate=0.1)
    with RawPlane(workers=2) as raw, Relay(raw.address(0), seed=3) as relay:
        here, there = raw.listener(8, worker=0), raw.listener(9, worker=1)
        speaker = raw.publisher(7, relay=relay)
        speaker.send(b"begin")
        here.receive_until(lambda: b"begin" in here.payloads())

        relay.set_link("up", up)
        talk(speaker, numbered(1000))
        raw.until(lambda: relay.idle)
        relay.set_link("up", Link())
        speaker.send(b"end")

        counters = relay.counters["up"]
        assert min(counters.lost, counters.reordered, counters.duplicated) > 50
        for listener in (here, there):
            listener.receive_until(lambda listener=listener: b"end" in listener.payloads())  # type: ignore[misc]
            assert listener.undecryptable == 0
            assert len(listener.received) == 1002 - counters.lost
            assert_is_the_publishers_stream(listener.received, speaker.sent)
            numbers = listener.payloads()[1:-1]
            assert numbers != sorted(numbers), "nothing waits for what is late"
        assert here.payloads() == there.payloads()


def test_what_is_lost_on_the_way_to_a_listener_is_a_gap_and_nothing_else() -> None:
    down = Link(loss=0.1, delay_ms=5, jitter_ms=10, reorder=0.1, duplicate=0.1)
    with RawPlane() as raw, Relay(raw.address(0), seed=4) as relay:
        listener, speaker = raw.listener(8, relay=relay), raw.publisher(7)
        relay.set_link("down", down)
        talk(speaker, numbered(500))
        raw.until(lambda: raw.counter("packets_forwarded") == 500)
        raw.until(lambda: relay.idle)
        relay.set_link("down", Link())
        speaker.send(b"end")
        listener.receive_until(lambda: b"end" in listener.payloads())
        counters = relay.counters["down"]
        assert counters.lost > 20
        assert listener.undecryptable == counters.duplicated, "libsrtp refuses the network's duplicates, and only those"
        assert_is_the_publishers_stream(listener.received, speaker.sent)


async def test_the_loss_that_participants_are_listed_with_is_the_networks(control: Control, room: str) -> None:
    lost = random.Random(5).sample(range(20, 120), 15)
    with Relay() as up, Relay() as down:
        async with (
            await control.speak(room, "ann", PITCH_HZ, relay=up) as ann,
            await control.listen(room, "eve", slots=1, relay=down) as eve,
        ):
            await asyncio.gather(ann.connected(), eve.connected())
            ups, downs = up.drop("up", is_rtp, *lost), down.drop("down", is_rtp, *lost)
            await asyncio.gather(
                listed(control, room, "ann", lambda session: 0.05 < session["fraction_lost"] < 0.5),
                listed(control, room, "eve", lambda session: 0.05 < session["fraction_lost"] < 0.5),
            )
            await until(lambda: ups.dropped == downs.dropped == len(lost))
            # A listener's report counts what the publisher's network lost, too: its numbers have the same gaps.
            await listed(control, room, "ann", lambda session: session["packets_lost"] == len(lost))
            await listed(control, room, "eve", lambda session: session["packets_lost"] == 2 * len(lost))
            await listed(control, room, "ann", lambda session: session["fraction_lost"] == 0)
            await listed(control, room, "eve", lambda session: session["fraction_lost"] == 0)


async def test_voices_are_understood_through_jitter_reordering_and_some_loss(control: Control, room: str) -> None:
    link = Link(loss=0.03, delay_ms=20, jitter_ms=30, reorder=0.03, reorder_ms=40, duplicate=0.02)
    with Relay(up=link, down=link, seed=6) as up, Relay(up=link, down=link, seed=7) as down:
        async with (
            await control.speak(room, "ann", PITCH_HZ, relay=up) as ann,
            await control.listen(room, "eve", slots=1, relay=down) as eve,
        ):
            await asyncio.gather(ann.connected(), eve.connected())
            spoken_db = level_db(voice(PITCH_HZ), PITCH_HZ)
            await until(lambda: abs(level_db(eve.samples(0.5), PITCH_HZ) - spoken_db) < 3)


# Moving


async def test_media_goes_on_from_and_to_a_new_address_once_a_check_nominates_it(control: Control, room: str) -> None:
    with Relay() as up, Relay() as down:
        async with (
            await control.speak(room, "ann", PITCH_HZ, relay=up) as ann,
            await control.listen(room, "eve", slots=1, relay=down) as eve,
        ):
            await asyncio.gather(ann.connected(), eve.connected())
            await until(lambda: eve.slots[0].packets)
            for _ in range(2):
                for relay, session in [(up, ann), (down, eve)]:
                    relay.rebind()
                    await session.nominate()
                    moved = time.monotonic()
                    await until(lambda moved=moved: eve.slots[0].packets[-1].at > moved)  # type: ignore[misc]
            assert ann.open
            assert eve.open
            assert len({packet.ssrc for packet in eve.slots[0].packets}) == 1


def test_a_listener_is_sent_to_where_it_nominated_and_nowhere_else() -> None:
    with RawPlane() as raw:
        number, listener = raw.add_listener(8)
        raw.connect(number, listener)
        speaker = raw.publisher(7)
        speaker.send(b"before")
        listener.receive_until(lambda: b"before" in listener.payloads())

        old = listener.socket
        listener.socket = new = listener.open_socket()
        with old:
            listener.check(nominate=False)
            assert listener.check(password="wrong").message_class is Class.ERROR
            listener.socket = old
            speaker.send(b"still here")
            listener.receive_until(lambda: b"still here" in listener.payloads())

            listener.socket = new
            listener.check()
            speaker.send(b"moved")
            listener.receive_until(lambda: b"moved" in listener.payloads())
            assert raw.stats[number].address == "{}:{}".format(*new.getsockname())
            for place in (old, new) * 50:
                listener.socket = place
                listener.check()
            assert raw.events(number) == [_native.ICE_CONNECTED], "however often he changes"
            old.setblocking(False)
            with pytest.raises(BlockingIOError):
                old.recv(2048)
        assert listener.payloads() == [b"before", b"still here", b"moved"]


def test_a_publisher_is_heard_from_each_address_that_he_has_proved_and_from_no_other() -> None:
    with RawPlane() as raw:
        listener, speaker = raw.listener(8), raw.publisher(7)
        speaker.send(b"before")
        old, speaker.socket = speaker.socket, speaker.open_socket()
        with old:
            speaker.send(b"from an unknown address")
            raw.until(lambda: raw.counter("dropped_stranger") == 1)
            speaker.check(nominate=False)
            speaker.send(b"while moving")
            speaker.check()
            new, speaker.socket = speaker.socket, old
            speaker.send(b"late, by the old way")
            speaker.socket = new
            speaker.send(b"after")
            listener.receive_until(lambda: b"after" in listener.payloads())
        assert listener.payloads() == [b"before", b"while moving", b"late, by the old way", b"after"]
        assert_is_the_publishers_stream(listener.received, speaker.sent)
