"""Peers over TCP (RFC 6544): the same packets in frames, moves between UDP and TCP, and who abuses connections."""

import contextlib
import select
import socket
import time
from collections.abc import Iterator
from itertools import pairwise
from random import Random

import pytest
from aiortc.rtp import RtcpByePacket, RtcpRrPacket, RtcpSrPacket

from mediaserver import _native
from tests.conftest import StartServer
from tests.rawplane import FramedSocket, RawPeer, RawPlane, talk
from tests.test_repair import Ear
from tests.test_speaker_repair import questions

# The plane's own bounds (native/src/tcp.hpp).
UNPROVED_S, MAX_UNPROVED = 5, 64


def numbered(count: int, size: int = 60) -> list[bytes]:
    return [i.to_bytes(4, "big") + bytes(size) for i in range(count)]


@pytest.fixture
def raw() -> Iterator[RawPlane]:
    with RawPlane(tcp=True) as running:
        yield running


def is_closed(connection: socket.socket, within_s: float = 2.0) -> bool:
    """Whether the other side closes it; what it sends before is not looked at."""
    deadline = time.monotonic() + within_s
    while (left := deadline - time.monotonic()) > 0:
        if not select.select([connection], [], [], left)[0]:
            return False
        try:
            if not socket.socket.recv(connection, 65536):
                return True
        except ConnectionError:
            return True
    return False


# The same media


def test_a_speaker_and_a_listener_over_tcp_get_what_they_would_over_udp(raw: RawPlane) -> None:
    listener, other = raw.over_tcp(*raw.add_listener(8)), raw.listener(9)
    speaker = raw.over_tcp(*raw.add_publisher(7))
    payloads = numbered(500)
    for end in range(50, len(payloads) + 1, 50):
        talk(speaker, payloads[end - 50 : end])
        for ear in (listener, other):
            ear.receive_until(lambda ear=ear, end=end: len(ear.received) == end)  # type: ignore[misc]
    for ear in (listener, other):
        assert ear.payloads() == payloads
        assert ear.undecryptable == 0
        for before, after in pairwise(ear.received):
            assert (after.sequence_number - before.sequence_number) % 2**16 == 1
    listener.receive_until(lambda: any(isinstance(report, RtcpSrPacket) for report in listener.reports), within_s=7)
    speaker.receive_until(lambda: any(isinstance(report, RtcpRrPacket) for report in speaker.reports))
    assert raw.counter("tcp_connections") == 2
    assert raw.counter("tcp_frames_received") >= 502
    assert raw.counter("tcp_frames_sent") >= 502
    assert raw.counter("dropped_send") == 0
    assert raw.stats[1].address == "{}:{}".format(*listener.socket.getsockname())
    assert [stats.over_tcp for stats in raw.stats.values()] == [True, False, True]


def test_what_was_lost_is_asked_for_and_sent_again_over_tcp(raw: RawPlane) -> None:
    """What a connection does not take at once is dropped, so that there is loss on TCP as well."""
    listener = raw.over_tcp(*raw.add_listener(8, nack=True))
    number, speaker = raw.add_publisher(7, nack=True)
    raw.over_tcp(number, speaker)
    ear = Ear(listener)
    talk(speaker, numbered(20))
    ear.listen(20)
    wanted = ear.order[5:8] + ear.order[-1:]
    assert ear.ask(wanted) == wanted
    assert raw.counter("packets_retransmitted") == 4
    lost = speaker.seal(b"lost")
    speaker.send(b"next")
    speaker.receive_until(lambda: questions(speaker))
    assert questions(speaker) == [speaker.sent[20].sequence_number]
    speaker.send_datagram(lost)
    ear.listen(22)
    assert raw.stats[number].packets_asked == 1


def test_a_check_over_tcp_is_told_its_own_address(raw: RawPlane) -> None:
    _, peer = raw.add_listener(8)
    peer.move_to_tcp().close()
    assert peer.check().attributes["XOR-MAPPED-ADDRESS"] == peer.socket.getsockname()


def test_over_ipv6_too() -> None:
    with RawPlane(hosts=("127.0.0.1", "::1"), tcp=True) as raw:
        assert raw.plane.tcp_addresses(0) == raw.plane.addresses(0)
        listener = raw.over_tcp(*raw.add_listener(8, host=1))
        speaker = raw.over_tcp(*raw.add_publisher(7))
        talk(speaker, numbered(20))
        listener.receive_until(lambda: listener.payloads() == numbered(20))


def test_frames_may_come_in_pieces(raw: RawPlane) -> None:
    listener, speaker = raw.listener(8), raw.over_tcp(*raw.add_publisher(7))
    stream = b"".join(len(data).to_bytes(2, "big") + data for data in (speaker.seal(p) for p in numbered(30)))
    for at in range(0, len(stream), 7):
        speaker.socket.sendall(stream[at : at + 7])
        time.sleep(0.0005)
    listener.receive_until(lambda: listener.payloads() == numbered(30))


# One peer, several paths


def test_a_listener_moves_from_udp_to_tcp_and_back_in_mid_call(raw: RawPlane) -> None:
    number, listener = raw.add_listener(8)
    raw.connect(number, listener)
    speaker = raw.publisher(7)
    talk(speaker, [b"over UDP"] * 20)
    listener.receive_until(lambda: len(listener.received) == 20)

    udp = listener.move_to_tcp()
    listener.check()
    assert raw.stats[number].address == "{}:{}".format(*listener.socket.getsockname())
    talk(speaker, [b"over TCP"] * 20)
    listener.receive_until(lambda: len(listener.received) == 40)
    udp.settimeout(0.1)
    with pytest.raises(TimeoutError):
        udp.recv(2048)

    tcp, listener.socket = listener.socket, udp
    udp.settimeout(2)
    listener.check()
    talk(speaker, [b"over UDP again"] * 20)
    listener.receive_until(lambda: len(listener.received) == 60)
    assert raw.counter("tcp_connections") == 1, "a path that is not in use stays, as those of UDP do"
    tcp.close()
    raw.until(lambda: raw.counter("tcp_connections") == 0)
    sequence = [packet.sequence_number for packet in listener.received]
    assert all((after - before) % 2**16 == 1 for before, after in pairwise(sequence))
    assert listener.undecryptable == 0


def test_a_speaker_moves_from_udp_to_tcp_and_is_heard_without_a_gap(raw: RawPlane) -> None:
    listener, speaker = raw.listener(8), raw.publisher(7)
    payloads = numbered(60)
    talk(speaker, payloads[:20])
    raw.until(lambda: raw.counter("rtp_received") == 20)
    udp = speaker.move_to_tcp()
    speaker.check(nominate=False)
    talk(speaker, payloads[20:40])
    raw.until(lambda: raw.counter("rtp_received") == 40)
    speaker.socket.close()
    speaker.socket = udp
    talk(speaker, payloads[40:])
    listener.receive_until(lambda: listener.payloads() == payloads)


def test_a_connection_that_breaks_leaves_the_peer_its_other_path(raw: RawPlane) -> None:
    number, listener = raw.add_listener(8)
    raw.connect(number, listener)
    speaker = raw.publisher(7)
    udp = listener.move_to_tcp()
    listener.check()
    talk(speaker, [b"over TCP"] * 5)
    listener.receive_until(lambda: len(listener.received) == 5)
    listener.socket.close()
    raw.until(lambda: raw.counter("tcp_connections") == 0)
    listener.socket = udp
    talk(speaker, [b"over UDP"] * 5)
    listener.receive_until(lambda: len(listener.received) == 10)
    listener.check()
    assert raw.stats[number].address == "{}:{}".format(*udp.getsockname())


def test_ice_restarts_over_tcp_while_media_goes_on(raw: RawPlane) -> None:
    number, listener = raw.add_listener(8)
    raw.over_tcp(number, listener)
    speaker = raw.publisher(7)
    raw.plane.restart_ice(number, "anotherufrag", "another-password-of-22")
    talk(speaker, [b"before"] * 5)
    listener.receive_until(lambda: len(listener.received) == 5)
    first = listener.move_to_tcp()
    listener.check(ufrag="anotherufrag", password="another-password-of-22")
    talk(speaker, [b"after"] * 5)
    listener.receive_until(lambda: len(listener.received) == 10)
    listener.ufrag = "nobody"
    first.close()
    raw.until(lambda: raw.counter("tcp_connections") == 1)


def test_consent_over_tcp_is_late_when_checks_stay_out_though_the_connection_stays(raw: RawPlane) -> None:
    number, listener = raw.add_listener(8)
    raw.over_tcp(number, listener)
    raw.until(lambda: _native.CONSENT_LATE in raw.events(number), within_s=10)
    listener.check()
    raw.until(lambda: _native.CONSENT_BACK in raw.events(number))


def test_a_peer_that_is_removed_hears_so_before_its_connection_is_closed(raw: RawPlane) -> None:
    number, speaker = raw.add_publisher(7)
    raw.over_tcp(number, speaker)
    talk(speaker, numbered(50))
    raw.plane.remove_peer(number, [b"\x15farewell....."])
    # It is still talking: a reset would take the farewell from it.
    with contextlib.suppress(ConnectionError):
        talk(speaker, numbered(50))
    speaker.receive_until(lambda: speaker.others)
    assert speaker.others == [b"\x15farewell....."]
    assert any(isinstance(report, RtcpByePacket) for report in speaker.reports)
    assert is_closed(speaker.socket)
    speaker.socket.close()
    raw.until(lambda: raw.counter("tcp_connections") == 0)


def test_who_does_not_close_after_the_farewell_is_closed(raw: RawPlane) -> None:
    number, listener = raw.add_listener(8)
    raw.over_tcp(number, listener)
    raw.plane.remove_peer(number, [])
    raw.until(lambda: raw.counter("tcp_connections") == 0, within_s=5)


# Who means harm


def test_who_does_not_read_loses_what_is_for_him_and_delays_nobody(raw: RawPlane) -> None:
    asleep, awake, other = (raw.over_tcp(*raw.add_listener(csrc)) for csrc in (8, 9, 10))
    ear = raw.listener(11)
    speaker = raw.publisher(7)
    count, batch, size = 4000, 10, 1000
    slowest = 0.0
    for begin in range(0, count, batch):
        began = time.monotonic()
        for i in range(begin, begin + batch):
            speaker.send(i.to_bytes(4, "big") + bytes(size))
        for each in (awake, other, ear):
            each.receive_until(lambda each=each, begin=begin: len(each.received) == begin + batch)  # type: ignore[misc]
        slowest = max(slowest, time.monotonic() - began)
    assert raw.counter("dropped_send") > count / 10, "4 MB are more than the kernel keeps for one connection"
    assert slowest < 1.0
    # He wakes up: what he gets is whole, and he is up to date again without a new connection.
    asleep.receive_until(lambda: len(asleep.received) + raw.counter("dropped_send") >= count)
    speaker.send(b"good morning")
    asleep.receive_until(lambda: asleep.payloads()[-1] == b"good morning")
    assert asleep.undecryptable == 0


def test_noise_on_many_connections_is_not_noticed(raw: RawPlane) -> None:
    random = Random(5)
    listener, speaker = raw.over_tcp(*raw.add_listener(8)), raw.publisher(7)
    noise: list[socket.socket] = []
    payloads = numbered(400)
    for i, payload in enumerate(payloads):
        if i % 8 == 0:
            noise.append(socket.create_connection(raw.address()))
        for connection in noise[-8:]:
            data = random.randbytes(random.choice([1, 2, 20, 200]))
            if random.random() < 0.7:  # a frame, of what some parser feels responsible for
                data = len(data).to_bytes(2, "big") + bytes([random.choice([0, 1, 22, 128, 200])]) + data[1:]
            with contextlib.suppress(ConnectionError):
                connection.sendall(data)
        if len(noise) > 16:
            noise.pop(0).close()
        speaker.send(payload)
        listener.receive_until(lambda i=i: len(listener.received) == i + 1)  # type: ignore[misc]
    for connection in noise:
        connection.close()
    assert listener.payloads() == payloads
    assert listener.undecryptable == 0
    raw.until(lambda: raw.counter("tcp_connections") == 1)


@pytest.mark.parametrize(
    "stream",
    [b"GET / HTTP/1.1\r\n\r\n", b"\x05\xdd", b"\xff\xff" + bytes(9), b"\x16\x03\x01\x02\x00\x01\x00"],
    ids=["http", "1501 bytes", "65535 bytes", "tls"],
)
def test_a_stream_without_frames_is_closed_at_once(raw: RawPlane, stream: bytes) -> None:
    with socket.create_connection(raw.address()) as connection:
        connection.sendall(stream)
        assert is_closed(connection, 1.0)
    raw.until(lambda: raw.counter("dropped_malformed") == 1)


def test_a_peer_that_sends_a_bad_length_loses_its_path_and_nothing_else(raw: RawPlane) -> None:
    number, listener = raw.add_listener(8)
    raw.over_tcp(number, listener)
    listener.socket.sendall(b"\xff\xff")
    assert is_closed(listener.socket, 1.0)
    raw.until(lambda: raw.counter("tcp_connections") == 0)
    listener.move_to_tcp().close()
    listener.check()
    speaker = raw.publisher(7)
    talk(speaker, numbered(5))
    listener.receive_until(lambda: listener.payloads() == numbered(5))


def test_who_proves_nothing_is_closed_after_seconds_whatever_he_sends(raw: RawPlane) -> None:
    _, peer = raw.add_listener(8)
    silent = socket.create_connection(raw.address())
    half = socket.create_connection(raw.address())
    half.sendall(b"\x00\x64\x00\x01")
    stranger = FramedSocket(raw.address())
    peer.socket.close()
    peer.socket = stranger
    assert peer.check(password="not-the-password-of-this").attributes["ERROR-CODE"][0] == 401
    began = time.monotonic()
    for connection in (silent, half, stranger):
        assert is_closed(connection, UNPROVED_S + 2)
        connection.close()
    assert time.monotonic() - began > UNPROVED_S - 1
    raw.until(lambda: raw.counter("tcp_refused") == 3)
    raw.until(lambda: raw.counter("tcp_connections") == 0)
    with socket.create_connection(raw.address()) as loud:
        with contextlib.suppress(ConnectionError):
            loud.sendall((b"\x00\x20" + bytes(32)) * 200)
        assert is_closed(loud, 1.0)


def test_one_address_has_so_many_unproved_connections_and_peers_come_in_when_they_are_gone(raw: RawPlane) -> None:
    held = [socket.create_connection(raw.address()) for _ in range(MAX_UNPROVED)]
    raw.until(lambda: raw.counter("tcp_connections") == MAX_UNPROVED)
    with socket.create_connection(raw.address()) as surplus:
        assert is_closed(surplus, 1.0)
    raw.until(lambda: raw.counter("tcp_refused") == 1)
    for connection in held:
        connection.close()
    raw.until(lambda: raw.counter("tcp_connections") == 0)
    raw.over_tcp(*raw.add_listener(8))


def test_a_peer_has_as_many_connections_as_paths(raw: RawPlane) -> None:
    number, listener = raw.add_listener(8)
    raw.over_tcp(number, listener)
    connections = [listener.move_to_tcp()]
    for _ in range(10):
        listener.check(nominate=False)
        connections.append(listener.move_to_tcp())
    raw.until(lambda: sum(is_closed(connection, 0.001) for connection in connections) >= 3)
    assert not is_closed(connections[0], 0.001), "the nominated one stays"


def test_nothing_but_the_own_peer_is_reached_over_a_connection(raw: RawPlane) -> None:
    """An address stays with its peer, as over UDP."""
    _, owner = raw.add_listener(8)
    _, other = raw.add_listener(9)
    owner.move_to_tcp().close()
    owner.check()
    other.socket.close()
    other.socket = owner.socket
    other.socket.settimeout(0.3)
    with pytest.raises(TimeoutError):
        other.check()
    assert raw.counter("dropped_unauthentic") == 1


def test_a_port_that_is_not_free_for_tcp_is_said_and_udp_serves() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        plane = _native.Plane([[("127.0.0.1", port)]], tcp=True)
        assert plane.addresses(0) == [("127.0.0.1", port)]
        assert plane.tcp_addresses(0) == []
        (failure,) = plane.tcp_failures(0)
        assert failure == f"127.0.0.1:{port}: Address already in use"


def test_a_server_says_where_it_has_no_media_over_tcp(start_server: StartServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        log = start_server("--workers", "1", "--media-port", str(port)).log.decode()
    assert f"no media over TCP at 127.0.0.1:{port}: Address already in use" in log
    assert f"media worker 0 is reached at 127.0.0.1 port {port} (UDP)" in log


def test_without_the_option_nobody_listens() -> None:
    with RawPlane() as raw:
        assert raw.plane.tcp_addresses(0) == []
        assert raw.plane.tcp_failures(0) == []
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(raw.address())


def test_many_connections_come_and_go_and_leave_nothing(raw: RawPlane) -> None:
    number, listener = raw.add_listener(8)
    raw.connect(number, listener)
    for _ in range(300):
        peer = RawPeer.__new__(RawPeer)
        peer.__dict__ |= listener.__dict__
        peer.socket = FramedSocket(raw.address())
        peer.check(nominate=False)
        peer.socket.close()
    raw.until(lambda: raw.counter("tcp_connections") == 0)
    speaker = raw.publisher(7)
    talk(speaker, numbered(5))
    listener.receive_until(lambda: listener.payloads() == numbered(5))
