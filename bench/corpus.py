"""Real speech and music of Debian packages, 16 kHz, as samples at 48 kHz.

Speech: asterisk-core-sounds-en-g722 (recordings of Allison Smith, CC-BY-SA 3.0). Music: asterisk-moh-opsound-g722
(pieces of opsound.org, CC-BY-SA 3.0). `scripts/setup bench` installs both; nothing of them is in this repository.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

SPEECH = Path("/usr/share/asterisk/sounds/en_US_f_Allison")
MUSIC = Path("/usr/share/asterisk/moh")
PACKAGES = "asterisk-core-sounds-en-g722 asterisk-moh-opsound-g722"

NATIVE_RATE = 16_000
RATE = 48_000
LEVEL_DB = -26.0  # RMS of a sentence below full scale, ITU-T P.56's usual

# Of 2 to 4 s each, chosen by length and for the variety of what is said, before anything was measured.
SENTENCES = (
    *("agent-newlocation", "at-tone-time-exactly", "auth-incorrect", "conf-getchannel", "conf-getconfno"),
    *("conf-invalid", "conf-onlyperson", "confbridge-begin-glorious-a", "confbridge-begin-glorious-c"),
    *("confbridge-only-participant", "confbridge-pin-bad", "demo-nomatch", "dir-firstlast", "entr-num-rmv-blklist"),
    *("feature-not-avail-line", "invalid", "pm-invalid-option", "priv-callpending", "privacy-prompt"),
    *("vm-newpassword", "vm-rec-name", "vm-reenterpassword", "vm-review-nonurgent", "speed-dial-empty"),
)
TUNES = ("manolo_camp-morning_coffee", "reno_project-system", "macroform-cold_day", "macroform-the_simplicity")

Pcm = NDArray[np.float32]


def resample(pcm: Pcm, source: int, target: int) -> Pcm:
    """The whole signal by its spectrum: exact below both Nyquist frequencies, without delay. Ends wrap around, so they
    should be silent. Rates are multiples of 10 Hz."""
    padded = np.pad(pcm, (0, -len(pcm) % (source // 10)))  # a length without large factors, whose transform is fast
    size = len(padded) * target // source
    spectrum = np.fft.rfft(padded.astype(np.float64))
    kept = np.zeros(size // 2 + 1, np.complex128)
    shared = min(len(kept), len(spectrum))
    kept[:shared] = spectrum[:shared]
    resampled = np.fft.irfft(kept, size) * (target / source)
    return np.asarray(resampled[: -(-len(pcm) * target // source)], np.float32)


def read_g722(path: Path) -> Pcm:
    """At its own 16 kHz. FileNotFoundError says which packages are wanted."""
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: apt-get install {PACKAGES}")
    decoder = av.CodecContext.create("g722", "r")
    assert isinstance(decoder, av.AudioCodecContext)
    decoder.sample_rate, decoder.layout = NATIVE_RATE, "mono"
    frames = decoder.decode(av.Packet(path.read_bytes()))
    pcm = np.concatenate([frame.to_ndarray().ravel() for frame in frames])
    return np.asarray(pcm / 32768, np.float32)


def levelled(pcm: Pcm) -> Pcm:
    rms = float(np.sqrt(np.mean(np.square(pcm, dtype=np.float64))))
    return np.asarray(pcm * np.float32(10 ** (LEVEL_DB / 20) / max(rms, 1e-6)), np.float32)


def trimmed(pcm: Pcm, floor_db: float = -50.0, margin_s: float = 0.05) -> Pcm:
    """Without the silence before and after, but for a margin."""
    window = NATIVE_RATE // 100
    blocks = pcm[: len(pcm) // window * window].reshape(-1, window)
    loud = np.flatnonzero(np.abs(blocks).max(axis=1) > 10 ** (floor_db / 20))
    margin = round(margin_s * NATIVE_RATE)
    return pcm[max(0, int(loud[0]) * window - margin) : int(loud[-1] + 1) * window + margin]


@cache
def sentence(name: str) -> Pcm:
    """48 kHz, at LEVEL_DB."""
    return resample(levelled(trimmed(read_g722(SPEECH / f"{name}.g722"))), NATIVE_RATE, RATE)


@cache
def tune(name: str, begin_s: float = 20.0, seconds: float = 8.0) -> Pcm:
    """An excerpt, 48 kHz, at LEVEL_DB, faded in and out over 20 ms."""
    whole = read_g722(MUSIC / f"{name}.g722")
    piece = levelled(whole[round(begin_s * NATIVE_RATE) : round((begin_s + seconds) * NATIVE_RATE)])
    fade = np.linspace(0, 1, NATIVE_RATE // 50, dtype=np.float32)
    piece[: len(fade)] *= fade
    piece[-len(fade) :] *= fade[::-1]
    return resample(piece, NATIVE_RATE, RATE)
