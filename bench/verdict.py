"""What one hearer got, judged: this is what the benchmark's own processes do when the network is quiet again."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from bench import cases, corpus, ear, judge
from bench.call import open_rtp
from bench.cases import Case
from bench.codec import RATE, Coding, Pcm
from bench.rooms import Recording


@dataclass
class Verdict:
    """Of one hearer in one call. pesq and reference: one of each judged part."""

    case: Case
    number: int
    pesq: list[float]
    reference: list[float]
    visqol: list[float]
    visqol_reference: list[float]
    delays_ms: list[float]
    recovery_s: float | None
    playout_ms: float
    frames: int
    concealed: int
    from_fec: int
    from_red: int
    asked: int
    kbps: float


def on_axis(heard: ear.Heard, begin: float) -> Pcm:
    """The sound from `begin` on."""
    offset = round((heard.begin - begin) * RATE)
    return np.pad(heard.pcm, (offset, 0)) if offset >= 0 else heard.pcm[-offset:]


def judge_recording(recording: Recording) -> Verdict | None:
    """None: nothing was heard."""
    case = recording.case
    packets = open_rtp(recording.material, recording.packets)
    heard = ear.hear(packets, red=recording.red, fec=case.repair in ("fec", "all") or case.side == "up")
    if heard is None:
        return None
    said = cases.said(case.content, recording.number)
    sound = on_axis(heard, recording.begin)
    narrow_reference = _narrow_reference(case.content, recording.number, recording.codings)
    narrow_sound = corpus.resample(sound, RATE, corpus.NATIVE_RATE)
    steady = case.content == "steady"
    found = judge.delays(narrow_reference, narrow_sound, hop_s=0.1 if steady else judge.HOP_S)
    delay_s = float(np.median(found.delay_s)) if len(found.delay_s) else 0.0
    verdict = Verdict(
        case,
        recording.number,
        pesq=[],
        reference=[],
        visqol=[],
        visqol_reference=[],
        delays_ms=[1000 * each - case.network.path_ms for each in found.delay_s],
        recovery_s=judge.recovery_s(found, cases.BURST_FROM_S, cases.BURST_UNTIL_S) if steady else None,
        playout_ms=heard.delay_s * 1000,
        frames=heard.frames,
        concealed=heard.concealed,
        from_fec=heard.from_fec,
        from_red=heard.from_red,
        asked=recording.asked,
        kbps=sum(len(data) for _, data in packets) * 8 / (len(said) / RATE) / 1000,
    )
    shift = round(delay_s * RATE)
    for part, (begin, end) in enumerate(_parts(case.content, recording.number)):
        original = said[begin:end]
        piece = sound[begin + shift : end + shift]
        piece = np.pad(piece, (0, len(original) - len(piece)))
        if case.content != "music":
            verdict.pesq.append(judge.pesq(original, piece))
            verdict.reference.append(_reference_score(case.content, recording.number, recording.codings, part, "pesq"))
        if case.content == "music" or (part == 0 and _is_for_visqol(case)):
            score = judge.visqol(original, piece, music=case.content == "music")
            if score is not None:
                verdict.visqol.append(score)
                reference_score = _reference_score(case.content, recording.number, recording.codings, part, "visqol")
                verdict.visqol_reference.append(reference_score)
    return verdict


@cache
def _narrow_reference(content: str, number: int, codings: tuple[Coding, ...]) -> Pcm:
    return corpus.resample(cases.reference(content, number, codings), RATE, corpus.NATIVE_RATE)


@cache
def _reference_score(content: str, number: int, codings: tuple[Coding, ...], part: int, metric: str) -> float:
    begin, end = _parts(content, number)[part]
    original = cases.said(content, number)[begin:end]
    reference = cases.reference(content, number, codings)[begin:end]
    if metric == "pesq":
        return judge.pesq(original, reference)
    return judge.visqol(original, reference, music=content == "music") or 0.0


def _is_for_visqol(case: Case) -> bool:
    """It takes four times as long as PESQ, so speech has it where the targets are, for one sentence of each lane."""
    network = case.network
    if cases.is_brief():
        return False
    wanted = case.repair in ("none", "all") and network.loss in (0.0, 0.10, 0.20) and network.jitter_ms in (0.0, 80.0)
    return wanted and not network.bursty


@cache
def _parts(content: str, number: int) -> list[tuple[int, int]]:
    """With the silence around them."""
    if content in cases.TALKS:
        first, last, size = (round(seconds * RATE) for seconds in (cases.LEAD_S + 2, cases.LEAD_S + cases.TALK_S, 4))
        return [(at, at + size) for at in range(first, last - size + 1, size)]
    margin = round(cases.MARGIN_S * RATE)
    return [(begin - margin, end + margin) for begin, end in cases.stream(content, number).parts]
