"""The relay's statistics by seed, on fake time, and its edges over real sockets."""

import socket
import statistics
import time
from itertools import groupby

import pytest

from tests.netem import Burst, Counters, Impairment, Link, Relay, is_dtls, is_rtcp, is_rtp, is_stun


def fates(link: Link, count: int, seed: str = "1", interval_s: float = 0.02) -> tuple[list[list[float]], Counters]:
    """The planned delays, in seconds, of `count` datagrams that arrive every `interval_s`."""
    impairment, counters = Impairment(link, seed), Counters()
    return [[at - i * interval_s for at in impairment.plan(i * interval_s, counters)] for i in range(count)], counters


def runs_of_loss(planned: list[list[float]]) -> list[int]:
    return [len(list(run)) for lost, run in groupby(planned, key=lambda delays: not delays) if lost]


def test_a_perfect_link_passes_everything_at_once() -> None:
    planned, counters = fates(Link(), 1000)
    assert planned == [[0.0]] * 1000
    assert counters == Counters()


def test_random_loss_has_the_asked_share_and_no_memory() -> None:
    planned, counters = fates(Link(loss=0.1), 100_000)
    assert counters.lost == pytest.approx(10_000, rel=0.03)
    assert statistics.mean(runs_of_loss(planned)) == pytest.approx(1 / 0.9, rel=0.03)


def test_burst_loss_has_the_share_and_the_burst_length_of_its_chain() -> None:
    planned, counters = fates(Link(burst=Burst(enter=0.02, recover=0.25)), 200_000)
    assert counters.lost / 200_000 == pytest.approx(0.02 / 0.27, rel=0.05)
    assert statistics.mean(runs_of_loss(planned)) == pytest.approx(4.0, rel=0.05)


def test_the_same_seed_gives_the_same_fates_and_another_seed_others() -> None:
    link = Link(loss=0.2, jitter_ms=10, reorder=0.1, duplicate=0.1)
    assert fates(link, 1000, "a") == fates(link, 1000, "a")
    assert fates(link, 1000, "a") != fates(link, 1000, "b")


def test_jitter_stays_within_its_bounds_and_keeps_the_order() -> None:
    planned, _ = fates(Link(delay_ms=30, jitter_ms=50), 10_000)
    delays_ms = [1000 * delays[0] for delays in planned]
    assert 30 <= min(delays_ms) < 31
    assert 79 < max(delays_ms) <= 80
    departures = [i * 0.02 + delays[0] for i, delays in enumerate(planned)]
    assert departures == sorted(departures)


def test_reordered_packets_are_overtaken_by_those_behind() -> None:
    planned, counters = fates(Link(delay_ms=5, reorder=0.1, reorder_ms=50), 10_000)
    assert counters.reordered == pytest.approx(1000, rel=0.1)
    held = [i for i, delays in enumerate(planned) if delays[0] > 0.054]
    assert len(held) == counters.reordered
    assert all(planned[i + 1][0] == pytest.approx(0.005) for i in held if i + 1 < len(planned) and i + 1 not in held)


def test_duplicates_have_the_asked_share() -> None:
    planned, counters = fates(Link(duplicate=0.05), 50_000)
    assert counters.duplicated == pytest.approx(2500, rel=0.06)
    assert sum(len(delays) for delays in planned) == 50_000 + counters.duplicated


@pytest.mark.parametrize("link", [{"loss": 1.5}, {"delay_ms": -1.0}, {"burst": Burst(-0.1, 0.5)}])
def test_a_link_outside_its_ranges_is_refused(link: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"probability|negative"):
        Link(**link)  # type: ignore[arg-type]


def udp() -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    bound.bind(("127.0.0.1", 0))
    bound.settimeout(2)
    return bound


def received_within(receiver: socket.socket, seconds: float) -> list[bytes]:
    receiver.settimeout(seconds)
    got = []
    try:
        while True:
            got.append(receiver.recv(2048))
    except TimeoutError:
        return got


def test_each_client_has_its_own_address_and_gets_its_own_replies() -> None:
    with udp() as server, udp() as alice, udp() as bob, Relay(server.getsockname()) as relay:
        sources = {}
        for name, client in [(b"alice", alice), (b"bob", bob)]:
            client.sendto(name, relay.address)
            data, sources[name] = server.recvfrom(2048)
            assert data == name
        assert len(set(sources.values())) == 2
        for name, source in sources.items():
            server.sendto(b"to " + name, source)
        assert (alice.recv(2048), bob.recv(2048)) == (b"to alice", b"to bob")


def test_delays_are_accurate_to_a_millisecond() -> None:
    with udp() as server, udp() as client, Relay(server.getsockname(), up=Link(delay_ms=20)) as relay:
        late_ms = []
        for _ in range(50):
            sent = time.monotonic()
            client.sendto(b"x", relay.address)
            server.recv(2048)
            late_ms.append(1000 * (time.monotonic() - sent) - 20)
    assert min(late_ms) >= 0
    assert statistics.median(late_ms) < 1


def test_a_script_drops_the_named_occurrences_in_its_direction_only() -> None:
    with udp() as server, udp() as client, Relay(server.getsockname()) as relay:
        drop = relay.drop("up", lambda data: data.startswith(b"a"), 1, 3)
        for data in [b"a1", b"b1", b"a2", b"a3", b"a4"]:
            client.sendto(data, relay.address)
        assert received_within(server, 0.3) == [b"b1", b"a2", b"a4"]
    assert (drop.seen, drop.dropped, relay.counters["up"].dropped) == (4, 2, 2)


def test_rebinding_gives_a_client_another_address_and_a_way_back() -> None:
    with udp() as server, udp() as client, Relay(server.getsockname()) as relay:
        client.sendto(b"before", relay.address)
        before = server.recvfrom(2048)[1]
        relay.rebind()
        client.sendto(b"after", relay.address)
        after = server.recvfrom(2048)[1]
        assert before != after
        server.sendto(b"back", after)
        assert client.recv(2048) == b"back"


def test_a_stranger_cannot_reach_a_client() -> None:
    with udp() as server, udp() as client, udp() as stranger, Relay(server.getsockname()) as relay:
        client.sendto(b"hello", relay.address)
        upstream = server.recvfrom(2048)[1]
        stranger.sendto(b"spoof", upstream)
        assert received_within(client, 0.2) == []
    assert relay.counters["down"].refused == 1


def test_a_link_can_change_while_it_is_used() -> None:
    with udp() as server, udp() as client, Relay(server.getsockname()) as relay:
        client.sendto(b"heard", relay.address)
        assert server.recv(2048) == b"heard"
        relay.set_link("up", Link(loss=1.0))
        client.sendto(b"lost", relay.address)
        assert received_within(server, 0.2) == []
    assert relay.counters["up"].lost == 1


ANSWER = (
    "v=0\r\nm=audio 4000 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\n"
    "a=candidate:1 1 udp 2130706431 127.0.0.1 4000 typ host\r\n"
    "a=candidate:2 1 udp 2130706175 ::1 4000 typ host\r\na=end-of-candidates\r\n"
    "m=audio 4000 UDP/TLS/RTP/SAVPF 111\r\na=mid:1\r\n"
)


def test_a_rewritten_answer_leads_to_the_relay_alone() -> None:
    with Relay() as relay:
        rewritten = relay.rewrite(ANSWER)
        assert [line for line in rewritten.split("\r\n") if "candidate:" in line] == [
            f"a=candidate:1 1 udp 2130706431 127.0.0.1 {relay.address[1]} typ host"
        ]
        assert rewritten.count("m=audio") == 2
        with pytest.raises(ValueError, match="no candidate"):
            relay.rewrite(ANSWER.replace("4000", "5000"))


def test_datagrams_are_told_apart_by_their_first_bytes() -> None:
    samples = {
        is_stun: b"\x00\x01\x00\x00",
        is_dtls: b"\x16\xfe\xfd\x00",
        is_rtp: b"\x80\x6f\x00\x01",
        is_rtcp: b"\x80\xc9",
    }
    for kind, sample in samples.items():
        assert [other for other in samples if other(sample)] == [kind]
    assert not any(kind(b"") for kind in samples)
