"""libopus itself by ctypes, since PyAV has neither its in-band FEC nor its concealment. Mono, 48 kHz, 20 ms frames."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

Pcm = NDArray[np.float32]  # mono, 48 kHz, full scale 1.0

RATE = 48_000
FRAME = 960
MAX_FRAME = 5760  # 120 ms
MAX_PACKET = 1275
LOOKAHEAD = 312  # samples by which a coder delays, RFC 6716 section 4

_VOIP, _AUDIO = 2048, 2049
_BITRATE, _COMPLEXITY, _FEC, _LOSS, _SIGNAL = 4002, 4010, 4012, 4014, 4024
_VOICE, _MUSIC = 3001, 3002
_FLOATS = ctypes.POINTER(ctypes.c_float)


@dataclass(frozen=True)
class Coding:
    """How an encoder is set. expected_loss: percent, for which in-band FEC is prepared; 0: none.

    forced: as the plane's mixer does, the signal is told and not guessed, and voice is not high-passed."""

    bitrate: int = 32_000
    music: bool = False
    expected_loss: int = 0
    complexity: int = 9
    forced: bool = False


@cache
def _library() -> ctypes.CDLL:
    library = ctypes.CDLL("libopus.so.0")
    library.opus_encoder_create.restype = library.opus_decoder_create.restype = ctypes.c_void_p
    library.opus_encoder_create.argtypes = [ctypes.c_int32, ctypes.c_int, ctypes.c_int, ctypes.POINTER(ctypes.c_int)]
    library.opus_decoder_create.argtypes = [ctypes.c_int32, ctypes.c_int, ctypes.POINTER(ctypes.c_int)]
    library.opus_encode_float.argtypes = [ctypes.c_void_p, _FLOATS, ctypes.c_int, ctypes.c_char_p, ctypes.c_int32]
    library.opus_decode_float.argtypes = [
        *(ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int32),
        *(_FLOATS, ctypes.c_int, ctypes.c_int),
    ]
    library.opus_encoder_destroy.argtypes = library.opus_decoder_destroy.argtypes = [ctypes.c_void_p]
    library.opus_packet_get_nb_samples.argtypes = [ctypes.c_char_p, ctypes.c_int32, ctypes.c_int32]
    return library


class Encoder:
    def __init__(self, coding: Coding) -> None:
        library = _library()
        self._state = library.opus_encoder_create(RATE, 1, _AUDIO if coding.music or coding.forced else _VOIP, None)
        requests = {
            _BITRATE: coding.bitrate,
            _COMPLEXITY: coding.complexity,
            _FEC: int(coding.expected_loss > 0),
            _LOSS: coding.expected_loss,
        }
        if coding.forced:
            requests[_SIGNAL] = _MUSIC if coding.music else _VOICE
        for request, value in requests.items():
            status = library.opus_encoder_ctl(ctypes.c_void_p(self._state), request, ctypes.c_int32(value))
            if status != 0:
                raise ValueError(f"libopus refuses {coding}: {status}")
        self._out = ctypes.create_string_buffer(MAX_PACKET)

    def encode(self, frame: Pcm) -> bytes:
        samples = np.ascontiguousarray(frame, np.float32)
        size = _library().opus_encode_float(
            self._state, samples.ctypes.data_as(_FLOATS), len(samples), self._out, MAX_PACKET
        )
        if size < 0:
            raise ValueError(f"libopus does not encode {len(samples)} samples: {size}")
        return self._out.raw[:size]

    def __del__(self) -> None:
        _library().opus_encoder_destroy(self._state)


class Decoder:
    def __init__(self) -> None:
        self._state = _library().opus_decoder_create(RATE, 1, None)
        self._out = np.empty(MAX_FRAME, np.float32)
        self._pointer = self._out.ctypes.data_as(_FLOATS)

    def decode(self, packet: bytes) -> Pcm:
        """Silence of one frame for what is no Opus."""
        size = _library().opus_decode_float(self._state, packet, len(packet), self._pointer, MAX_FRAME, 0)
        return self._out[:size].copy() if size > 0 else np.zeros(FRAME, np.float32)

    def recover(self, following: bytes, samples: int = FRAME) -> Pcm:
        """The frame before `following`, of its in-band copy; concealment when it has none."""
        return self._made(
            _library().opus_decode_float(self._state, following, len(following), self._pointer, samples, 1)
        )

    def conceal(self, samples: int = FRAME) -> Pcm:
        return self._made(_library().opus_decode_float(self._state, None, 0, self._pointer, samples, 0))

    def _made(self, size: int) -> Pcm:
        return self._out[:size].copy() if size > 0 else np.zeros(FRAME, np.float32)

    def __del__(self) -> None:
        _library().opus_decoder_destroy(self._state)


def samples_of(packet: bytes) -> int:
    """That it lasts; 0 for what is no Opus."""
    return max(0, int(_library().opus_packet_get_nb_samples(packet, len(packet), RATE)))


def has_copy(packet: bytes) -> bool:
    """Whether a packet of one 20 ms SILK or hybrid frame carries its predecessor (the LBRR flag, RFC 6716 4.2.4)."""
    return len(packet) > 1 and not packet[0] & 0x80 and not packet[0] & 3 and bool(packet[1] >> 6 & 1)


def encode(pcm: Pcm, coding: Coding) -> list[bytes]:
    """In whole frames; what is left over is padded with silence."""
    encoder = Encoder(coding)
    padded = np.pad(pcm, (0, -len(pcm) % FRAME))
    return [encoder.encode(padded[at : at + FRAME]) for at in range(0, len(padded), FRAME)]


def decode(packets: Iterable[bytes]) -> Pcm:
    decoder = Decoder()
    return np.concatenate([decoder.decode(packet) for packet in packets])


def chain(pcm: Pcm, *codings: Coding) -> Pcm:
    """Encoded and decoded in process, one coding after the other: what is heard when there is no network."""
    for coding in codings:
        pcm = decode(encode(pcm, coding))
    return pcm
