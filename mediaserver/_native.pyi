"""
The packet plane (C++): sockets, ICE-lite, SRTP, forwarding. See native/src/plane.hpp.
"""

from collections.abc import Sequence
from typing import Annotated, Any

import numpy
import numpy.typing
from numpy.typing import NDArray

DATAGRAM: int = 0

ICE_CONNECTED: int = 1

MEDIA: int = 2

CONSENT_EXPIRED: int = 3

CONSENT_LATE: int = 4

CONSENT_BACK: int = 5

DECK_STARVED: int = 6

DECK_RESUMED: int = 7

DECK_ENDED: int = 8

EFFECT_ENDED: int = 9

VOICE: int = 10

LOSS: int = 11

def counter_meanings() -> dict[str, str]:
    """What each of Plane.counters() means, by name."""

class Slot:
    """One outgoing audio stream of a listener: an audio m-line of its offer."""

    def __init__(
        self,
        *,
        ssrc: int,
        payload_type: int,
        mid: str = "",
        mid_id: int = 0,
        level_id: int = 0,
        csrc_level_id: int = 0,
        red_payload_type: int = 0,
        nack: bool = False,
    ) -> None:
        """
        mid_id, level_id (RFC 6464), csrc_level_id (RFC 6465): header extension ids that the listener offered, 0 when it did not. red_payload_type: of RED (RFC 2198), 0 when it was not negotiated. nack: whether lost packets may be asked for again (RFC 4585).
        """

class PeerStats:
    """
    A live view of one peer's counters; reading it costs the plane nothing.
    """

    @property
    def packets_received(self) -> int: ...
    @property
    def bytes_received(self) -> int: ...
    @property
    def packets_sent(self) -> int: ...
    @property
    def bytes_sent(self) -> int: ...
    @property
    def packets_nacked(self) -> int:
        """Listener: packets that it asked for again."""

    @property
    def packets_retransmitted(self) -> int:
        """Listener: packets sent to it again."""

    @property
    def packets_lost(self) -> int:
        """
        Publisher: of its stream, here; listener: as it reports, over all slots.
        """

    @property
    def fraction_lost(self) -> float:
        """0..1, of the last interval."""

    @property
    def jitter_ms(self) -> float:
        """RFC 3550 A.8."""

    @property
    def round_trip_ms(self) -> float | None: ...
    @property
    def level_dbov(self) -> float:
        """Publisher: -127..0, smoothed."""

    @property
    def speaking(self) -> bool: ...
    @property
    def silent(self) -> bool:
        """
        Publisher who is not muted: nothing has come of his microphone for 10 s.
        """

    @property
    def clipping(self) -> bool:
        """Publisher who is mixed: his samples are cut at full scale."""

    @property
    def playout_delay_ms(self) -> float:
        """Publisher who is mixed: how long his audio waits in the jitter buffer."""

    @property
    def playout_target_ms(self) -> float:
        """How long it should."""

    @property
    def lateness_ms(self) -> float:
        """
        How much later than the fastest his packets come on average; playout_delay_ms counts from the fastest.
        """

    @property
    def accelerated_ms(self) -> float:
        """Audio taken out to play faster."""

    @property
    def decelerated_ms(self) -> float:
        """Audio put in to play slower."""

    @property
    def frames_recovered(self) -> int:
        """By in-band FEC."""

    @property
    def frames_from_red(self) -> int:
        """By copies (RFC 2198)."""

    @property
    def frames_from_nack(self) -> int:
        """Sent again in time (RFC 4585)."""

    @property
    def packets_asked(self) -> int:
        """Publisher: packets that it was asked for again."""

    @property
    def frames_concealed(self) -> int: ...
    @property
    def packets_late(self) -> int:
        """Too late to be mixed."""

    @property
    def tier(self) -> int:
        """
        Listener of a mix, or with RED, by the loss that it reports: 0 clean, 1 lossy, 2 very lossy.
        """

    @property
    def over_tcp(self) -> bool:
        """Whether the selected pair is."""

    @property
    def ssrc(self) -> int:
        """Publisher's, 0 before its first packet."""

    @property
    def address(self) -> str:
        """ "127.0.0.1:50000" of the selected pair, "" before there is one."""

class Ring:
    """
    Audio from a decoder's process to a deck: shared memory of stereo frames at 48 kHz.
    """

    def __init__(self, frames: int) -> None:
        """
        Room for so many frames, rounded up to a power of two. OSError when there is no memory.
        """

    @property
    def fd(self) -> int:
        """For the decoder's process. It is closed with the ring."""

    @property
    def buffered(self) -> int:
        """Frames that wait to be played."""

    @property
    def finished(self) -> bool:
        """The writer has said that there will be no more."""

    @property
    def position(self) -> tuple[int, int]:
        """
        (frames, ns): so many were in the room's mixes before this time of the monotonic clock.
        """

class RingWriter:
    """The decoder's end of a ring."""

    def __init__(self, fd: int) -> None:
        """
        OSError or ValueError when it is not a ring. The descriptor stays the caller's.
        """

    @property
    def space(self) -> int:
        """Frames that can be written now."""

    def write(self, frames: numpy.typing.NDArray[numpy.float32]) -> int:
        """[n, 2]; how many were taken. Waits for nothing."""

    def finish(self) -> None:
        """This was the end of the track."""

class Clip:
    """Samples in memory, for effects."""

    def __init__(
        self,
        samples: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu", writable=False)],
    ) -> None:
        """[n, 1 or 2] at 48 kHz, finite, n > 0: ValueError. They are copied."""

    @property
    def frames(self) -> int: ...

class Plane:
    """All methods are called from one thread and wait for no worker."""

    def __init__(self, binds: Sequence[Sequence[tuple[str, int]]], *, tcp: bool = False) -> None:
        """
        One worker (a thread) for each entry: the addresses and ports that its sockets are bound to. Port 0 asks the kernel for one; further addresses of that worker get the same. OSError when one cannot be bound. tcp: it listens there for TCP (RFC 6544) too, where it can.
        """

    def start(self) -> None: ...
    def stop(self) -> None:
        """Joins the workers; queued farewells are sent first."""

    @property
    def workers(self) -> int: ...
    def addresses(self, worker: int) -> list[tuple[str, int]]:
        """What the worker's UDP sockets are bound to."""

    def tcp_addresses(self, worker: int) -> list[tuple[str, int]]:
        """Those of them where it listens for TCP, too."""

    def tcp_failures(self, worker: int) -> list[str]:
        """Where it does not, and why, in words."""

    @property
    def event_fd(self) -> int:
        """Readable when poll() has something; poll() clears it."""

    def poll(self) -> list[tuple[int, int, bytes]]:
        """
        All events since the last call: (kind, peer, data); data is empty but for DATAGRAM.
        """

    def set_kernels(
        self,
        *,
        mix: int,
        limit: int,
        levels: int,
        limiter_state_mono: int,
        limiter_state_stereo: int,
        limiter_delay: int,
    ) -> None:
        """
        Addresses of the mixing kernels (mediaserver/kernels), the floats of a limiter's state and the samples of its delay. They must stay valid until stop() has returned.
        """

    def set_stages(self, stages: Sequence[tuple[int, int, int, int, int]]) -> None:
        """
        What set_chain() can name by number: of each its address, floats of state for 1 and for 2 channels, number of parameters, and for how many samples it sounds on. An address of 0 is the noise suppression of the plane's own. They must stay valid as the kernels must.
        """

    def add_room(
        self,
        room: int,
        home: int,
        *,
        stereo: bool = False,
        bitrate: int = 48000,
        ptime_ms: int = 20,
        complexity: int = 5,
        music: bool = False,
        passthrough: bool = False,
        e2ee: bool = False,
        ducking: float = 1.0,
    ) -> None:
        """
        passthrough: one voice alone is not encoded again. ducking: the gain of music while somebody speaks. home: the worker that hears and mixes the room, and of those who join it to publish. The rest: how its mixes are encoded.
        """

    def configure_room(
        self,
        room: int,
        *,
        stereo: bool,
        bitrate: int,
        ptime_ms: int,
        complexity: int,
        music: bool,
        passthrough: bool,
        e2ee: bool,
        ducking: float = 1.0,
    ) -> None:
        """
        Other mix settings: encoders and decoders begin anew. ducking changes without that.
        """

    def remove_room(self, room: int) -> None:
        """Its peers must have been removed before."""

    def set_column(self, room: int, csrc: int, gain: float, left: float = 1.0, right: float = 1.0) -> None:
        """
        The column of source `csrc` in the room's gain matrix: 0 is muted for everyone. A source without a column is not heard; the column outlives the publisher's connection. left, right: factors on the gain in a stereo mix.
        """

    def set_chain(self, room: int, csrc: int, stages: Sequence[tuple[int, Sequence[float]]]) -> None:
        """
        What is done to a column before it is mixed: (number in the table of set_kernels(), parameters), in order.
        """

    def add_player(self, room: int, csrc: int, gain: float, left: float = 1.0, right: float = 1.0) -> None:
        """A column of music, which decks fill."""

    def add_tap(
        self,
        room: int,
        csrc: int,
        player: int,
        *,
        gain: float,
        left: float = 1.0,
        right: float = 1.0,
        delay_samples: int,
    ) -> None:
        """
        A player's music once more in a column of its own, later: for those who hear singers sing to it.
        """

    def set_delay(self, room: int, csrc: int, delay_samples: int) -> None:
        """
        How much later a speaker or a tap is heard, at most a second; it glides there.
        """

    def add_deck(self, room: int, csrc: int, deck: int, ring: Ring, *, gain: float, fade_samples: int) -> None:
        """
        A track for a player, played once the ring has half a second or all of it (DECK_RESUMED), and faded in.
        """

    def fade_deck(
        self, room: int, csrc: int, deck: int, *, gain: float, fade_samples: int, then: str = "go on"
    ) -> None:
        """then: "go on", "hold" (pause) or "remove". One that is held goes on."""

    def start_effect(
        self,
        room: int,
        csrc: int,
        effect: int,
        clip: Clip,
        *,
        gain: float,
        left: float = 1.0,
        right: float = 1.0,
        repeat: bool = False,
    ) -> None:
        """
        A column of its own, from the next tick until it has ended (EFFECT_ENDED, which names `effect`).
        """

    def stop_effect(self, room: int, csrc: int) -> None:
        """Faded out over a frame."""

    def remove_column(self, room: int, csrc: int) -> None: ...
    def add_row(
        self,
        room: int,
        row: int,
        cells: Sequence[tuple[int, float]],
        like: int | None = None,
        places: Sequence[tuple[int, float, float]] = [],
    ) -> None:
        """
        places: (csrc, left, right), where this row hears a column otherwise than the column itself says. A row of the gain matrix, for mixes: every column at its own gain, but for these cells (csrc, factor). like: the row from which this one is a change, so that those who move hear the gains move and no break.
        """

    def set_row(
        self, room: int, row: int, cells: Sequence[tuple[int, float]], places: Sequence[tuple[int, float, float]] = []
    ) -> None:
        """Other cells, for all who listen to the row; the gains move there."""

    def remove_row(self, room: int, row: int) -> None: ...
    def add_publisher(
        self,
        peer: int,
        room: int,
        *,
        ufrag: str,
        pwd: str,
        csrc: int,
        payload_type: int,
        level_id: int,
        report_ssrc: int,
        red_payload_type: int = 0,
        nack: bool = False,
    ) -> PeerStats:
        """
        ufrag, pwd: our ICE credentials for this peer. csrc: the user's id in the room. level_id: id of the RFC 6464 extension, 0 when not negotiated (the plane then decodes for level). report_ssrc: ours in RTCP to the peer. red_payload_type: of redundant audio (RFC 2198), 0 when not negotiated. nack: whether lost packets may be asked for again.
        """

    def add_listener(
        self,
        peer: int,
        worker: int,
        room: int,
        *,
        ufrag: str,
        pwd: str,
        csrc: int,
        slots: Sequence[Slot],
        cname: str,
        row: int | None = None,
    ) -> PeerStats:
        """
        csrc: the user's own id, whose stream it never gets back. Slots carry the loudest until set_sources(); with a row its only slot carries that row's mix.
        """

    def move_peer(self, peer: int, room: int, *, csrc: int, row: int | None = None) -> None:
        """
        To another room, over the same connection and on the same worker; its streams go on. csrc: the user's id there. row: there, of a listener of a mix, and of nobody else; a listener of named speakers gets the loudest.
        """

    def set_listener_row(self, peer: int, row: int) -> None: ...
    def set_sources(self, peer: int, csrcs: Sequence[int]) -> None:
        """Named speakers for a listener's slots, in order; empty: the loudest."""

    def restart_ice(self, peer: int, ufrag: str, pwd: str) -> None:
        """
        New credentials; the old ones stay good until the first request with the new ones.
        """

    def send(self, peer: int, datagrams: Sequence[bytes]) -> None:
        """
        DTLS datagrams to the peer's address (within 3 × the bytes received, until keys are set).
        """

    def set_keys(self, peer: int, profile: int, material: bytes) -> None:
        """
        The handshake is complete. material: the exported keying material of RFC 5764 section 4.2.
        """

    def release_handshake(self, peer: int) -> None:
        """DTLS datagrams of this peer are no longer events."""

    def remove_peer(self, peer: int, farewell: Sequence[bytes]) -> None:
        """
        Sends RTCP BYE and these datagrams (close_notify), then forgets the peer.
        """

    def unix_time_ns(self, monotonic_ns: int) -> int:
        """
        A time of the monotonic clock on the clock of the plane's RTCP sender reports, ns since 1970.
        """

    def counters(self, worker: int) -> dict[str, int]:
        """
        Counters and gauges of one worker, by name; counter_meanings() explains them.
        """

    def residence(self, worker: int) -> tuple[list[float], list[int], float]:
        """
        How long forwarded packets stayed in the server: upper bounds in seconds, counts (one more, for the rest), sum.
        """

    def mix_residence(self, worker: int) -> tuple[list[float], list[int], float]:
        """
        From the time of a room's tick to the sending of its mix, per packet, in the form of residence().
        """

    def playout_wait(self, worker: int) -> tuple[list[float], list[int], float]:
        """
        How long what a tick mixes of a speaker has waited, in the form of residence().
        """

    def playout_target(self, worker: int) -> tuple[list[float], list[int], float]:
        """
        How long the speaker's jitter buffer wanted it to wait, in the form of residence().
        """

    def tick_lateness(self, worker: int) -> tuple[list[float], list[int], float]:
        """
        How long after its time a room's tick began, in the form of residence().
        """

    def tick_duration(self, worker: int) -> tuple[list[float], list[int], float]:
        """How long a room's tick took, in the form of residence()."""

class SrtpSealer:
    """Outgoing SRTP, for tests and tools."""

    def __init__(self, profile: int, key: bytes, salt: bytes) -> None: ...
    def rtp(self, packet: bytes, roll_over: int = 0) -> bytes: ...
    def rtcp(self, packet: bytes) -> bytes: ...

class SrtpOpener:
    """
    Incoming SRTP, for tests and tools; None for what does not authenticate.
    """

    def __init__(self, profile: int, key: bytes, salt: bytes) -> None: ...
    def rtp(self, packet: bytes) -> bytes | None: ...
    def rtcp(self, packet: bytes) -> bytes | None: ...

LOAD_DATAGRAM: int = 0

LOAD_ICE_CONNECTED: int = 1

LOAD_ICE_FAILED: int = 2

LOAD_GOODBYE: int = 3

class LoadSound:
    """What speakers repeat."""

    def __init__(self, frames: Sequence[tuple[bytes, int]], chirp: tuple[int, int, int] | None = None) -> None:
        """
        frames: Opus packets of one frame of 20 ms each, and their levels (RFC 6464: 0 to 127, -dBov). chirp: its kind, and the frame and sample of its middle.
        """

class LoadPath:
    """A network as a model."""

    def __init__(
        self,
        *,
        loss: float = 0.0,
        burst: float = 1.0,
        delay_ms: float = 0.0,
        jitter_ms: float = 0.0,
        duplicate: float = 0.0,
    ) -> None:
        """
        loss, duplicate: shares of datagrams, 0 to 1. burst: the mean number lost in a row. jitter_ms: evenly spread, the order is kept. ValueError for what no network is.
        """

class LoadGenerator:
    """
    WebRTC clients, one socket each, moved by one thread; one other thread calls.
    """

    def __init__(self, bind: str, up: LoadPath | None = None, down: LoadPath | None = None, seed: int = 0) -> None:
        """
        bind: the address of the clients' sockets. up, down: the network between each of them and the server.
        """

    def start(self) -> None: ...
    def stop(self) -> None: ...
    @property
    def event_fd(self) -> int:
        """Readable when poll() has something; poll() clears it."""

    def poll(self) -> list[tuple[int, int, bytes]]:
        """
        All events since the last call: (kind, client, data); data is empty but for LOAD_DATAGRAM.
        """

    def add_speaker(
        self,
        *,
        local: tuple[str, str],
        remote: tuple[str, str],
        candidates: Sequence[tuple[str, int]],
        seed: int,
        run: int,
        room: int,
        speaker: int,
        payload_type: int,
        level_id: int,
        ssrc: int,
        cname: str,
        sound: LoadSound,
        first_frame: int = 0,
        spurt_frames: float = 0.0,
        silence_frames: float = 0.0,
        phase_ms: float = 0.0,
    ) -> int:
        """
        local, remote: ICE ufrag and password. run, room, speaker: what its packets are marked with. level_id: of the RFC 6464 extension, 0 when not negotiated. spurt_frames, silence_frames: means, in frames of 20 ms; without silence it always talks. Returns the client's number. OSError when there is no socket for it, ValueError when something cannot be used.
        """

    def add_listener(
        self,
        *,
        local: tuple[str, str],
        remote: tuple[str, str],
        candidates: Sequence[tuple[str, int]],
        seed: int,
        run: int,
        room: int,
        report_ssrc: int,
        cname: str,
        forwarded: bool,
        constant: bool,
        ear: bool = False,
        own_tones: int = 0,
        chirps: bool = False,
    ) -> int:
        """
        forwarded: payloads come as they were sent, else mixed. constant: somebody talks at all times. ear: what comes is decoded, and tones are looked for in it that own_tones (bit k: tone k) does not have; with chirps, chirps.
        """

    def send(self, client: int, datagram: bytes) -> None:
        """Of DTLS, to the selected candidate."""

    def set_keys(self, client: int, profile: int, material: bytes, we_are_client: bool = True) -> None:
        """
        The handshake is complete. material: the exported keying material of RFC 5764 section 4.2.
        """

    def leave(self, client: int) -> None:
        """Says goodbye (RTCP BYE) and closes its socket; its outcome stays."""

    def hush(self) -> None:
        """All speakers fall silent."""

    def snapshot(self) -> dict[str, Any]:
        """All counters and percentiles, of all clients."""

    def mouth_to_ear_us(self) -> list[int]:
        """
        Of each chirp that was heard, up to 65,536: how long before it had been spoken.
        """

    def outcome(self, client: int) -> dict[str, Any]:
        """
        What one client sent, or received and found. IndexError for a number that no client has.
        """

def load_tone_hz(tone: int) -> float:
    """Of the tones by which an ear knows speakers in a mix."""

LOAD_TONES: int = 32

def load_chirp(kind: int) -> list[float]:
    """
    The samples of a chirp at 48 kHz, full scale 1.0; kind: 0 to LOAD_CHIRPS - 1.
    """

LOAD_CHIRPS: int = 2
