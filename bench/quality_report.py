"""What came out, as one table, one plot and the keys of the JSON file."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench import cases
from bench.cases import Case
from bench.processes import Server
from bench.results import spread
from bench.rooms import Call, Counts, Features
from bench.verdict import Verdict

TARGETS = {
    "pesq_loss_clean": 0.05,
    "pesq_loss_10": 0.3,
    "pesq_loss_20": 0.6,
    "pesq_loss_jitter80": 0.3,
    "added_delay_p50_ms": 45.0,
    "recovery_s": 5.0,
}


# Beyond, the machine's hiccups are as large as what is measured.
BUSY_MS = 2.0
BUSY_TICKS = 0.01


@dataclass
class Machine:
    """How well this machine kept time, in ms: the peers' timers; and the server's share of one core."""

    late_p50_ms: float
    late_p99_ms: float
    late_max_ms: float
    late_ticks: float  # share of the server's, by more than 5 ms
    server_cores: float
    minutes: float

    def text(self) -> str:
        text = (
            f"This machine: packets left {self.late_p50_ms:.2f} ms late in the median, {self.late_p99_ms:.2f} ms in the"
            f" 99th percentile, {self.late_max_ms:.0f} ms at most; {self.late_ticks:.1%} of the server's ticks were"
            f" more than 5 ms late; the server took {self.server_cores:.0%} of a core while they talked;"
            f" {self.minutes:.1f} minutes."
        )
        if self.late_p99_ms > BUSY_MS or self.late_ticks > BUSY_TICKS:
            text += "\nThat is too busy: these figures are the machine's as much as the server's."
        return text


def machine(late_s: list[float], late_ticks: float, server_cores: float, seconds: float) -> Machine:
    p50, p99, worst = (1000 * float(value) for value in np.percentile(late_s, [50, 99, 100]))
    return Machine(
        round(p50, 3),
        round(p99, 3),
        round(worst, 1),
        round(late_ticks, 4),
        round(server_cores, 3),
        round(seconds / 60, 2),
    )


@dataclass
class Row:
    """One case over its lanes. Shares are 0..1."""

    path: str
    side: str
    network: str
    repair: str
    content: str
    pesq: float | None
    pesq_reference: float | None
    pesq_loss: float | None
    visqol: float | None
    visqol_loss: float | None
    delay_p50_ms: float | None
    delay_p95_ms: float | None
    playout_ms: float  # of the listener, part of the delay
    concealed: float  # by the listener
    server_concealed: float | None  # by the server's jitter buffer, where it has one
    server_scaled: float | None
    asked: int  # packets, by NACK
    repeated: int  # packets that came because of it, of talkers
    kbps_up: float  # RTP with its seal, of one talker
    kbps_down: float
    parts: int


def summarise(verdicts: list[Verdict], counted: list[tuple[Call, Counts]]) -> list[Row]:
    by_case: dict[Case, list[Verdict]] = defaultdict(list)
    for verdict in verdicts:
        by_case[verdict.case].append(verdict)
    counts: dict[Case, list[Counts]] = defaultdict(list)
    for call, each in counted:
        for listening in call.listening:
            counts[listening.case].append(each)
    return [_row(case, of_case, counts[case]) for case, of_case in by_case.items()]


def _row(case: Case, heard: list[Verdict], talkers: list[Counts]) -> Row:
    pesq, reference = _mean(v for each in heard for v in each.pesq), _mean(v for each in heard for v in each.reference)
    visqol = _mean(v for each in heard for v in each.visqol)
    visqol_reference = _mean(v for each in heard for v in each.visqol_reference)
    delays = [value for each in heard for value in each.delays_ms]
    sent = sum(each.frames for each in talkers)

    def of_talkers(total: float) -> float | None:
        return round(total / sent, 4) if case.path == "mix" and sent else None

    return Row(
        path=case.path,
        side=case.side,
        network=case.conditions,
        repair=case.repair,
        content=case.content,
        pesq=pesq,
        pesq_reference=reference,
        pesq_loss=None if pesq is None or reference is None else round(reference - pesq, 3),
        visqol=visqol,
        visqol_loss=None if visqol is None or visqol_reference is None else round(visqol_reference - visqol, 3),
        delay_p50_ms=round(float(np.percentile(delays, 50)), 1) if delays else None,
        delay_p95_ms=round(float(np.percentile(delays, 95)), 1) if delays else None,
        playout_ms=_mean(each.playout_ms for each in heard) or 0.0,
        concealed=round(sum(each.concealed for each in heard) / max(1, sum(each.frames for each in heard)), 4),
        server_concealed=of_talkers(sum(each.concealed for each in talkers)),
        server_scaled=of_talkers(sum(each.scaled for each in talkers)),
        asked=sum(each.asked for each in heard) if case.side == "down" else sum(each.asked for each in talkers),
        repeated=sum(each.repeated for each in talkers),
        kbps_up=_mean(each.kbps for each in talkers) or 0.0,
        kbps_down=_mean(each.kbps for each in heard) or 0.0,
        parts=sum(len(each.pesq) or len(each.visqol) for each in heard),
    )


def _mean(values: Iterable[float]) -> float | None:
    listed = list(values)
    return round(float(np.mean(listed)), 3) if listed else None


def keys(rows: list[Row], verdicts: list[Verdict]) -> dict[str, float | None]:
    """The issue's. Losses are of speech through the mixer, on the worse of the two sides; with the better of RED and
    NACK on a side that has one of them, else with what there is. Jitter is the talker's."""

    def loss(network: str, side: str) -> float | None:
        found = {
            row.repair: row.pesq_loss
            for row in rows
            if (row.path, row.side, row.network, row.content) == ("mix", side, network, "speech")
            and row.pesq_loss is not None
        }
        repaired = [found[repair] for repair in ("red", "nack") if repair in found]
        return min(repaired or found.values(), default=None)

    def worst(network: str) -> float | None:
        return max((value for side in ("up", "down") if (value := loss(network, side)) is not None), default=None)

    def one(content: str, network: str = "clean") -> Row | None:
        wanted = ("mix", "up", network, content)
        return next((row for row in rows if (row.path, row.side, row.network, row.content) == wanted), None)

    single, talk, encoded, encoded_talk = (one(content) for content in ("speech", "talk", "encoded", "encoded talk"))
    recoveries = [each.recovery_s for each in verdicts if each.case.content == "steady"]
    # One that did not recover is as long as it was waited for, and then some.
    seconds = [60.0 if each is None else each for each in recoveries]
    return {
        "pesq_loss_clean": single.pesq_loss if single else None,
        "pesq_loss_10": worst("10% random"),
        "pesq_loss_20": worst("20% random"),
        "pesq_loss_jitter80": loss("jitter 80 ms", "up"),
        "added_delay_p50_ms": single.delay_p50_ms if single else None,
        "added_delay_p95_ms": single.delay_p95_ms if single else None,
        "recovery_s": round(float(np.median(seconds)), 2) if seconds else None,
        "recovery_worst_s": round(max(seconds), 2) if seconds else None,
        "pesq_single_talker": single.pesq if single else None,
        "pesq_single_talker_encoded": encoded.pesq if encoded else None,
        "pesq_mixed": talk.pesq if talk else None,
        "pesq_mixed_encoded": encoded_talk.pesq if encoded_talk else None,
        "pesq_mixed_reference": talk.pesq_reference if talk else None,
    }


def noise(verdicts: list[Verdict], counted: list[tuple[Call, Counts]]) -> dict[str, float]:
    """How far the lanes lie apart, of the keys that more than one has."""
    found: dict[str, list[float]] = defaultdict(list)
    for number in sorted({verdict.number for verdict in verdicts}):
        mine = [verdict for verdict in verdicts if verdict.number == number]
        for key, value in keys(summarise(mine, counted), mine).items():
            if value is not None:
                found[key].append(value)
    return {key: spread(values) for key, values in found.items() if len(values) > 1}


def describe(features: Features, server: Server, calls: list[Call]) -> str:
    def words(name: str, wants: object) -> str:
        red, nack = getattr(wants, "red", False), getattr(wants, "nack", False)
        return f"{name}: RED {'yes' if red else 'not offered'}, NACK {'yes' if nack else 'not offered'}"

    offered = "; ".join(
        words(name, wants)
        for name, wants in (("talker", features.up), ("mix", features.mix), ("selection", features.select))
    )
    seconds = sum(cases.stream(content, call.number).seconds for call in calls for content in call.contents)
    lanes, tunes = ({call.number for call in calls if what in call.contents} for what in ("speech", "music"))
    return (
        f"{len(lanes) * cases.sentences()} sentences (asterisk-core-sounds-en-g722), {len(tunes)} pieces"
        f" of music (asterisk-moh-opsound-g722), 16 kHz; {len(calls)} calls, {seconds / 60:.0f} minutes of talk\n"
        f"talker {cases.SPEECH.bitrate // 1000} kb/s voip, music {cases.SONG.bitrate // 1000} kb/s audio; "
        f"mix {cases.SPEECH_MIX['bitrate'] // 1000} kb/s voice, {cases.SONG_MIX['bitrate'] // 1000} kb/s music; "
        f"RED carries 2 earlier frames; path of {cases.PATH_MS:.0f} ms one way where it is not clean\n{offered}"
    )


def table(rows: list[Row], features: Features) -> str:
    """Per network, what was lost of PESQ (music: of ViSQOL) with each repair; the rest is of the last one that ran."""
    lines = [
        "| content | path | side | network | none | FEC | RED | NACK | all | PESQ of the chain | ViSQOL lost"
        " | delay p50 / p95 ms | concealed there / by server | scaled | kb/s up / down |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    groups: dict[tuple[str, str, str, str], dict[str, Row]] = defaultdict(dict)
    for row in rows:
        groups[row.content, row.path, row.side, row.network][row.repair] = row
    for (content, path, side, network), group in sorted(groups.items(), key=lambda each: _order(each[0])):
        last = next(group[repair] for repair in reversed(cases.REPAIRS) if repair in group)
        offered = features.of(path, side)
        cells = []
        for repair in cases.REPAIRS:
            if repair in group:
                value = group[repair].visqol_loss if content == "music" else group[repair].pesq_loss
                cells.append("-" if value is None else f"{value:.2f}")
            else:
                missing = (repair == "red" and not offered.red) or (repair == "nack" and not offered.nack)
                cells.append("not offered" if missing and len(group) > 1 else "")
        delays = "-" if last.delay_p50_ms is None else f"{last.delay_p50_ms:.0f} / {last.delay_p95_ms:.0f}"
        by_server = "-" if last.server_concealed is None else f"{last.server_concealed:.1%}"
        concealed = f"{last.concealed:.1%} / {by_server}"
        lines.append(
            f"| {content} | {path} | {side} | {network} | {' | '.join(cells)} | {_text(last.pesq_reference)} |"
            f" {_text(last.visqol_loss)} | {delays} | {concealed} |"
            f" {'-' if last.server_scaled is None else f'{last.server_scaled:.1%}'} |"
            f" {last.kbps_up:.0f} / {last.kbps_down:.0f} |"
        )
    return "\n".join(lines)


def _text(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _order(key: tuple[str, str, str, str]) -> tuple[object, ...]:
    content, path, side, network = key
    kinds = ["clean", "random", "bursts", "ms"]
    number = float("".join(filter(str.isdigit, network)) or 0)
    return (
        ["speech", "encoded", "music", "talk", "encoded talk", "steady"].index(content),
        path,
        side == "down",
        kinds.index(network.split()[-1]),
        number,
    )


def targets(found: dict[str, float | None]) -> str:
    lines = []
    for key, value in found.items():
        limit = TARGETS.get(key)
        met = limit is not None and value is not None and value <= limit
        said = "not measured" if value is None else "met" if met else "MISSED"
        verdict = "" if limit is None else f"  target ≤ {limit}: {said}"
        lines.append(f"  {key:22} {'-' if value is None else value}{verdict}")
    return "\n".join(lines)


REPAIR_NAMES = {"none": "no repair", "fec": "in-band FEC", "red": "RED", "nack": "NACK", "all": "all three"}


def plot(rows: list[Row], file: Path) -> None:
    """PESQ lost over loss: a panel for each path and side, a line for each repair. Only this needs matplotlib."""
    import matplotlib  # noqa: PLC0415

    matplotlib.use("Agg")
    from matplotlib import pyplot  # noqa: PLC0415
    from matplotlib.lines import Line2D  # noqa: PLC0415

    figure, panels = pyplot.subplots(2, 2, figsize=(10, 8), sharex=True, sharey=True)
    measured = {0.0}
    for panel, (path, side) in zip(
        panels.flat, [(path, side) for path in ("mix", "select") for side in ("up", "down")], strict=True
    ):
        for kind, style in (("random", "-"), ("bursts", ":")):
            for number, repair in enumerate(cases.REPAIRS):
                points = sorted(
                    (0.0 if row.network == "clean" else float(row.network.split("%")[0]), row.pesq_loss)
                    for row in rows
                    if (row.path, row.side, row.content) == (path, side, "speech")
                    and row.pesq_loss is not None
                    and ((row.network.endswith(kind) and row.repair == repair) or row.network == "clean")
                )
                measured.update(percent for percent, _ in points)
                if len(points) > 1:
                    marker, size = "os^vD"[number], 4 + (repair == "red")
                    panel.plot(*zip(*points, strict=True), style, color=f"C{number}", marker=marker, markersize=size)
        name, whose = {"mix": "mixer", "select": "selective forwarding"}[path], "talker" if side == "up" else "listener"
        panel.set_title(f"{name}: the {whose}'s network loses")
        panel.grid(alpha=0.3)
        panel.set_xticks(sorted(measured))
    panels[0, 0].set_ylim(bottom=-0.1)  # of all
    for panel in panels[1]:
        panel.set_xlabel("packets lost, %")
    for panel in panels[:, 0]:
        panel.set_ylabel("PESQ lost (less is better)")
    handles = [
        Line2D([], [], color=f"C{number}", marker="os^vD"[number], label=REPAIR_NAMES[repair])
        for number, repair in enumerate(cases.REPAIRS)
    ]
    if any(row.network.endswith("bursts") for row in rows):
        handles.append(Line2D([], [], color="gray", label="random"))
        handles.append(Line2D([], [], color="gray", linestyle=":", label="bursts of 3"))
    figure.legend(handles=handles, loc="upper center", ncols=len(handles))
    figure.tight_layout(rect=(0, 0, 1, 0.95))
    figure.savefig(file)
