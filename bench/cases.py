"""What is measured: networks, repairs, and what is said. All of it is the same in every run.

A lane is what one talker says: a sentence to warm up, which is not judged, and four that are. Five lanes are 20.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np

from bench import corpus
from bench.codec import FRAME, RATE, Coding, Pcm, chain, encode
from bench.emulation import Network
from bench.wire import level_dbov

Path = Literal["mix", "select"]
Side = Literal["up", "down"]
Repair = Literal["none", "fec", "red", "nack", "all"]

BRIEF = "BENCH_QUALITY_BRIEF"
BRIEF_SENTENCES = 2
LANES = 5
SENTENCES_PER_LANE = 4
PATH_MS = 20.0  # one way, on the side that is not clean: a repetition takes 40 ms
LOSSES = (0.01, 0.05, 0.10, 0.20, 0.30)
JITTERS_MS = (30.0, 80.0, 150.0)
REPAIRS: tuple[Repair, ...] = ("none", "fec", "red", "nack", "all")

LEAD_S, PAUSE_S, TAIL_S = 0.3, 0.6, 1.0
MARGIN_S = 0.2  # of silence that is judged with a sentence
TALKS = ("talk", "encoded talk")  # of two; the latter in a room without passthrough
TURN_S, OVERLAP_S, TALK_S = 1.0, 0.2, 14.0
BURST_FROM_S, BURST_UNTIL_S, BURST_JITTER_MS = 5.0, 7.0, 300.0

SPEECH = Coding(bitrate=32_000)
SONG = Coding(bitrate=64_000, music=True)
SPEECH_MIX = {"bitrate": 48_000, "complexity": 5, "music": False}
ENCODED_MIX = {**SPEECH_MIX, "passthrough": False}  # even one voice alone
SONG_MIX = {"bitrate": 64_000, "complexity": 5, "music": True}
DOWN_EXPECTED_LOSS = 10  # percent; of the talker whose listeners have bad networks and use in-band FEC


@dataclass(frozen=True)
class Case:
    path: Path
    side: Side
    network: Network
    repair: Repair
    content: str = "speech"

    @property
    def conditions(self) -> str:
        if self.network.loss:
            return f"{self.network.loss:.0%} {'bursts' if self.network.bursty else 'random'}"
        return f"jitter {self.network.jitter_ms:.0f} ms" if self.network.jitter_ms else "clean"


def is_brief() -> bool:
    """Whether there is time for PESQ of a few sentences alone."""
    return BRIEF in os.environ


def sentences() -> int:
    """That are judged of a lane."""
    return BRIEF_SENTENCES if is_brief() else SENTENCES_PER_LANE


def networks(quick: bool) -> list[Network]:
    losses = (0.10, 0.20) if quick else LOSSES
    jitters = (80.0,) if quick else JITTERS_MS
    return [
        Network(),
        *(Network(loss, bursty, 0.0, PATH_MS) for bursty in ((False,) if quick else (False, True)) for loss in losses),
        *(Network(0.0, False, jitter, PATH_MS) for jitter in jitters),
    ]


def repairs(network: Network) -> tuple[Repair, ...]:
    """Without loss there is nothing to repair, and each would be the same."""
    return REPAIRS if network.loss else ("none",)


def plain_coding(content: str) -> Coding:
    return SONG if content == "music" else SPEECH


def protected_coding(content: str, expected_loss: int) -> Coding:
    """With in-band FEC, set for the loss there is, as browsers do by the loss reported to them."""
    plain = plain_coding(content)
    return Coding(plain.bitrate, plain.music, max(5, expected_loss))


def mix_settings(content: str) -> dict[str, int]:
    """Of the room, as the control API has them."""
    return {"music": SONG_MIX, "encoded": ENCODED_MIX}.get(content, SPEECH_MIX)


def mix_coding(content: str) -> Coding:
    """How the server encodes such a room's mix; native/src/opus.cpp has what is not a setting."""
    mix = mix_settings(content)
    return Coding(mix["bitrate"], bool(mix["music"]), 5, mix["complexity"], forced=True)


# What is said


@dataclass(frozen=True)
class Stream:
    """parts: (begin, end) in samples of what is judged, each for itself."""

    pcm: Pcm
    parts: tuple[tuple[int, int], ...]

    @property
    def seconds(self) -> float:
        return len(self.pcm) / RATE


def silence(seconds: float) -> Pcm:
    return np.zeros(round(seconds * RATE), np.float32)


@cache
def lane(number: int) -> Stream:
    judged = [corpus.SENTENCES[SENTENCES_PER_LANE * number + each] for each in range(sentences())]
    spare = corpus.SENTENCES[LANES * SENTENCES_PER_LANE :]
    pieces = [silence(LEAD_S), corpus.sentence(spare[number % len(spare)])]
    parts = []
    for name in judged:
        pieces.append(silence(PAUSE_S))
        begin = sum(map(len, pieces))
        pieces.append(corpus.sentence(name))
        parts.append((begin, begin + len(pieces[-1])))
    return _stream([*pieces, silence(TAIL_S)], parts)


@cache
def song(number: int) -> Stream:
    tune = corpus.tune(corpus.TUNES[number], seconds=10.0)
    begin = len(silence(LEAD_S)) + 2 * RATE
    return _stream([silence(LEAD_S), tune, silence(TAIL_S)], [(begin, len(silence(LEAD_S)) + len(tune))])


@cache
def steady(number: int) -> Stream:
    """Talk without long pauses, for delays that change."""
    names = np.roll(corpus.SENTENCES, -3 * number)
    pieces = [silence(LEAD_S)]
    while sum(map(len, pieces)) < 17 * RATE:
        pieces += [corpus.sentence(str(names[len(pieces) // 2])), silence(0.15)]
    return _stream([*pieces, silence(TAIL_S)], [])


@cache
def turns(number: int) -> tuple[Stream, Stream]:
    """Two who speak in turns of a second and into each other's first OVERLAP_S; both say sentences of their own."""
    count = round(TALK_S * RATE)
    time = np.arange(count) / RATE
    half = len(corpus.SENTENCES) // 2
    streams = []
    for who in (0, 1):
        names = [corpus.SENTENCES[(who * half + number * 4 + each) % len(corpus.SENTENCES)] for each in range(6)]
        voice = np.concatenate([corpus.sentence(name) for name in names])[:count]
        voice = np.pad(voice, (0, count - len(voice)))
        since = (time - who * TURN_S) % (2 * TURN_S)
        gate = np.clip(np.minimum(since, TURN_S + OVERLAP_S - since) / 0.01, 0, 1)
        streams.append(_stream([silence(LEAD_S), np.asarray(voice * gate, np.float32), silence(TAIL_S)], []))
    return streams[0], streams[1]


def _stream(pieces: Collection[Pcm], parts: Collection[tuple[int, int]]) -> Stream:
    pcm = np.concatenate(list(pieces))
    return Stream(np.pad(pcm, (0, -len(pcm) % FRAME)), tuple(parts))


@cache
def stream(content: str, number: int) -> Stream:
    """content: speech, encoded (the same), music, steady, and for two who talk: first, second."""
    if content in ("first", "second"):
        return turns(number)[content == "second"]
    return {"speech": lane, "encoded": lane, "music": song, "steady": steady}[content](number)


@cache
def frames(content: str, number: int, coding: Coding) -> tuple[list[bytes], list[int]]:
    """Opus frames and their levels."""
    pcm = stream(content, number).pcm
    levels = [level_dbov(pcm[at : at + FRAME]) for at in range(0, len(pcm), FRAME)]
    return encode(pcm, coding), levels


@cache
def reference(content: str, number: int, codings: tuple[Coding, ...]) -> Pcm:
    """What is heard without a network: the talker's coding, then the mix's if there is one."""
    if content in TALKS:
        talker, *mix = codings
        both = chain(stream("first", number).pcm, talker) + chain(stream("second", number).pcm, talker)
        return chain(np.asarray(both, np.float32), *mix)
    return chain(stream(content, number).pcm, *codings)


def said(content: str, number: int) -> Pcm:
    if content in TALKS:
        return np.asarray(stream("first", number).pcm + stream("second", number).pcm, np.float32)
    return stream(content, number).pcm
