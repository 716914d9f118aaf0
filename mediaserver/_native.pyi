"""The packet plane (C++): sockets, ICE-lite, SRTP, forwarding. See native/src/plane.hpp.

All methods of Plane are called from one thread (the event loop's) and return without waiting for a worker.
"""

from collections.abc import Sequence

DATAGRAM: int         # a DTLS datagram arrived; data is the datagram
ICE_CONNECTED: int    # the peer nominated a first address: media and DTLS can be sent to it
ADDRESS_CHANGED: int  # the peer moved to another address by an authenticated nomination
MEDIA: int            # the first SRTP or SRTCP packet authenticated: the handshake's last flight has arrived
CONSENT_EXPIRED: int  # no authenticated STUN request for 30 s (RFC 7675), or for 8 s after an RTCP BYE

class Slot:
    """One outgoing audio stream of a listener: an audio m-line of its offer."""
    def __init__(self, *, ssrc: int, payload_type: int, mid: str = "", mid_id: int = 0, level_id: int = 0) -> None: ...
    """mid_id, level_id: header extension ids that the listener offered, 0 when it did not."""

class PeerStats:
    """A live view of one peer's counters; reading it costs the plane nothing."""
    packets_received: int
    bytes_received: int
    packets_sent: int
    bytes_sent: int
    packets_lost: int          # publisher: of its stream, as received here; listener: cumulative, as it reports, all slots
    fraction_lost: float       # 0..1: publisher: last interval here; listener: worst slot of its last report
    jitter_ms: float           # publisher: measured here (RFC 3550 A.8); listener: worst slot of its last report
    round_trip_ms: float | None
    level_dbov: float          # publisher: -127..0, smoothed
    speaking: bool
    ssrc: int                  # publisher's SSRC, 0 before the first packet
    address: str               # "127.0.0.1:50000" of the selected pair, "" before; never logged at info level

class Plane:
    def __init__(self, binds: Sequence[Sequence[tuple[str, int]]]) -> None:
        """One worker (a thread) for each entry: the (address, port) pairs that its sockets are bound to; port 0 asks
        the kernel for one (and further addresses of that worker get the same). OSError when one cannot be bound."""
    def start(self) -> None: ...
    def stop(self) -> None:
        """Stops and joins the workers. Farewells that were queued are sent first."""
    @property
    def workers(self) -> int: ...
    def addresses(self, worker: int) -> list[tuple[str, int]]:
        """What the worker's sockets are bound to."""
    @property
    def event_fd(self) -> int:
        """Readable when poll() has something (an eventfd; poll() clears it)."""
    def poll(self) -> list[tuple[int, int, bytes]]:
        """All events since the last call: (kind, peer, data); data is empty but for DATAGRAM."""

    def add_room(self, room: int, home: int) -> None:
        """room: an id never used again; home: the worker of its publishers."""
    def remove_room(self, room: int) -> None:
        """Its peers must have been removed before."""
    def set_column(self, room: int, csrc: int, gain: float) -> None:
        """The column of source `csrc` in the room's gain matrix: 0 is muted for everyone. A source without a column
        is not heard; the column outlives the publisher's connection."""
    def remove_column(self, room: int, csrc: int) -> None: ...

    def add_publisher(self, peer: int, room: int, *, ufrag: str, pwd: str, csrc: int, payload_type: int,
                      level_id: int, report_ssrc: int) -> PeerStats:
        """peer: an id never used again. ufrag, pwd: OUR ICE credentials for this peer (unique ufrag).
        csrc: the user's id in the room. level_id: id of the RFC 6464 extension, 0 when not negotiated (then the plane decodes for level)."""
    def add_listener(self, peer: int, worker: int, room: int, *, ufrag: str, pwd: str, csrc: int,
                     slots: Sequence[Slot], cname: str) -> PeerStats:
        """csrc: the user's own id, whose stream it never gets back. Slots carry the loudest until set_sources()."""
    def set_sources(self, peer: int, csrcs: Sequence[int]) -> None:
        """Named speakers for a listener's slots, in order; empty: the loudest."""
    def restart_ice(self, peer: int, ufrag: str, pwd: str) -> None:
        """New credentials; the old ones stay good until the first request with the new ones."""
    def send(self, peer: int, datagrams: Sequence[bytes]) -> None:
        """DTLS datagrams to the peer's address (within 3 × the bytes received, until keys are set)."""
    def set_keys(self, peer: int, profile: int, material: bytes) -> None:
        """The handshake is complete. profile: 0x0001, 0x0007 or 0x0008; material: the exported keying material of
        RFC 5764 section 4.2, 2 × (key + salt) bytes. We are the DTLS server."""
    def release_handshake(self, peer: int) -> None:
        """DTLS datagrams of this peer are no longer events."""
    def remove_peer(self, peer: int, farewell: Sequence[bytes]) -> None:
        """Sends RTCP BYE and these datagrams (close_notify), then forgets the peer."""

    def counters(self, worker: int) -> dict[str, int]:
        """Monotonic counters and gauges of one worker, by name; see native/src/stats.hpp for their meaning."""
    def residence(self, worker: int) -> tuple[list[float], list[int], float]:
        """Time of a forwarded packet in the server: upper bounds in seconds, counts (one more, for +Inf), sum in seconds."""

class SrtpSealer:
    """Outgoing SRTP for tests and tools. ValueError on a key or salt of the wrong size or an unknown profile."""
    def __init__(self, profile: int, key: bytes, salt: bytes) -> None: ...
    def rtp(self, packet: bytes, roll_over: int = 0) -> bytes: ...
    def rtcp(self, packet: bytes) -> bytes: ...

class SrtpOpener:
    def __init__(self, profile: int, key: bytes, salt: bytes) -> None: ...
    def rtp(self, packet: bytes) -> bytes | None: ...
    def rtcp(self, packet: bytes) -> bytes | None: ...
