"""Rooms full of talkers and hearers: which calls there are, which of them at the same time, and what came of each."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from bench import cases, corpus
from bench.call import Peer, Wants
from bench.cases import Case, Repair
from bench.codec import Coding
from bench.emulation import Network
from bench.processes import Server
from bench.wire import FRAME_S, Hearer, Loop, Talker

# More rooms at once make a run shorter and the machine late; lateness is part of what is measured, and printed.
ROOMS_AT_ONCE = 40
HEARERS_AT_ONCE = 220
RECOVERIES, TALKS = 6, 3
BRIEF_LANES = 2
CLEAN = Network()


@dataclass(frozen=True)
class Listening:
    case: Case
    wants: Wants


@dataclass(frozen=True)
class Call:
    """One room: its talkers' contents, their network, and who listens."""

    contents: tuple[str, ...]
    number: int
    coding: Coding
    wants: Wants
    phases: tuple[tuple[float, Network], ...]
    listening: tuple[Listening, ...]
    name: str
    mix: str = "speech"


@dataclass(frozen=True)
class Features:
    """What the answers accept, of RED and NACK; asked once, by offers that have both. fec: whether the server wants
    in-band FEC of who sends RED as well."""

    up: Wants
    mix: Wants
    select: Wants
    fec: bool

    def of(self, path: str, side: str) -> Wants:
        return self.up if side == "up" else {"mix": self.mix, "select": self.select}[path]


def ask_features(server: Server) -> Features:
    server.make_room("features", ["talker"])
    found = []
    fec = False
    for publish, mode in ((True, ""), (False, "mix"), (False, "select")):
        user = "talker" if publish else f"hearer-{mode}"
        peer = Peer(server, "features", user, publish=publish, wants=Wants(True, True), mode=mode)
        found.append(Wants(peer.terms.red is not None, peer.terms.nack))
        fec |= publish and peer.terms.fec
        peer.close()
    server.close_room("features")
    up, mix, select = found
    return Features(up, mix, select, fec)


def wants_of(repair: Repair, available: Wants) -> Wants | None:
    """None: this repair is not offered, or `all` is the same as `fec`."""
    wants = Wants(repair in ("red", "all") and available.red, repair in ("nack", "all") and available.nack)
    return None if repair in ("red", "nack", "all") and wants == Wants() else wants


def plan(features: Features, *, quick: bool) -> list[Call]:
    calls: list[Call] = []
    for network in cases.networks(quick):
        for repair in cases.repairs(network):
            calls += _up_calls("speech", network, repair, features, range(cases.LANES))
    for number in range(cases.LANES):
        calls += _down_calls("speech", number, cases.networks(quick), features)
    songs = range(0 if quick else len(corpus.TUNES))
    musical = [CLEAN, Network(0.10, False, 0.0, cases.PATH_MS), Network(0.0, False, 80.0, cases.PATH_MS)]
    for network in musical:
        for repair in cases.repairs(network):
            if repair != "fec":  # Opus has none for music
                calls += _up_calls("music", network, repair, features, songs)
    for number in songs:
        calls += _down_calls("music", number, musical, features)
    best = features.up
    jitter = Network(0.0, False, cases.BURST_JITTER_MS)
    phases = ((cases.BURST_FROM_S, CLEAN), (cases.BURST_UNTIL_S, jitter), (1e9, CLEAN))
    for number in range(RECOVERIES):
        case = Case("mix", "up", jitter, "none", "steady")
        calls.append(Call(("steady",), number, cases.SPEECH, best, phases, (Listening(case, Wants()),), "recovery"))
    return [*calls, *_passthrough_calls(best)]


def brief(calls: Iterable[Call], features: Features) -> list[Call]:
    """Of a plan, what 20 s have room for: speech through the mixer, some lanes, one repair where there is loss."""
    repair = "red" if features.up.red else "nack" if features.up.nack else "all"
    kept: list[Call] = []
    for call in calls:
        listening = tuple(
            each
            for each in call.listening
            if (each.case.path, each.case.content) == ("mix", "speech")
            and each.case.repair == (repair if each.case.network.loss else "none")
        )
        if listening and call.number < BRIEF_LANES:
            kept.append(replace(call, listening=listening))
    return kept


def _passthrough_calls(wants: Wants) -> Iterator[Call]:
    """Two who talk, with passthrough and without it; one talker without it: with it he is among the others."""
    clean = ((1e9, CLEAN),)
    for content, mix in zip(cases.TALKS, ("speech", "encoded"), strict=True):
        for number in range(TALKS):
            listening = (Listening(Case("mix", "up", CLEAN, "none", content), Wants()),)
            yield Call(("first", "second"), number, cases.SPEECH, wants, clean, listening, "talk", mix)
    for number in range(cases.LANES):
        listening = (Listening(Case("mix", "up", CLEAN, "none", "encoded"), Wants()),)
        yield Call(("encoded",), number, cases.SPEECH, wants, clean, listening, "encoded", "encoded")


def _up_calls(
    content: str, network: Network, repair: Repair, features: Features, numbers: Iterable[int]
) -> Iterator[Call]:
    wants = wants_of(repair, features.up)
    if wants is None:
        return
    coding = cases.plain_coding(content)
    if repair == "fec" or (repair == "all" and (features.fec or not wants.red)):
        coding = cases.protected_coding(content, round(network.loss * 100))
    listening = (
        Listening(Case("mix", "up", network, repair, content), Wants()),
        Listening(Case("select", "up", network, repair, content), Wants(red=wants.red and features.select.red)),
    )
    for number in numbers:
        name = f"up {content} {network} {repair}"
        yield Call((content,), number, coding, wants, ((1e9, network),), listening, name, content)


def _down_calls(content: str, number: int, networks: list[Network], features: Features) -> Iterator[Call]:
    """One for those to whom the talker's in-band FEC is of use, who are not mixed and have nothing better, and one for
    the others: a talker's encoder goes by his own losses, not by a listener's."""
    protected: list[Listening] = []
    plain: list[Listening] = []
    paths: tuple[cases.Path, ...] = ("mix", "select")
    for path in paths:
        for network in networks:
            for repair in cases.repairs(network):
                wants = wants_of(repair, features.of(path, "down"))
                if wants is None or (content == "music" and repair == "fec"):
                    continue
                listening = Listening(Case(path, "down", network, repair, content), wants)
                (protected if path == "select" and repair == "fec" else plain).append(listening)
    whole = ((1e9, CLEAN),)
    coding = cases.plain_coding(content)
    yield Call((content,), number, coding, Wants(), whole, tuple(plain), "down", content)
    if protected:
        coding = cases.protected_coding(content, cases.DOWN_EXPECTED_LOSS)
        yield Call((content,), number, coding, Wants(), whole, tuple(protected), "down, FEC", content)


def batches(calls: list[Call]) -> list[list[Call]]:
    """In order of the listeners, many first, so that each batch has its share of them."""
    result: list[list[Call]] = []
    for call in sorted(calls, key=lambda each: -len(each.listening)):
        for batch in result:
            hearers = sum(len(each.listening) for each in batch) + len(call.listening)
            if len(batch) < ROOMS_AT_ONCE and hearers <= HEARERS_AT_ONCE:
                batch.append(call)
                break
        else:
            result.append([call])
    return result


@dataclass(frozen=True)
class Recording:
    """What one hearer got, and all that is needed to judge it."""

    case: Case
    number: int
    codings: tuple[Coding, ...]  # of the reference: what a loss makes a sender protect himself with is its price
    begin: float
    packets: list[tuple[float, bytes]]
    material: bytes
    red: int | None
    asked: int


@dataclass
class Counts:
    """What the server and the talkers counted in the calls of one kind."""

    frames: int = 0
    concealed: int = 0
    recovered: int = 0
    scaled: float = 0.0  # frames that were taken out or put in
    asked: int = 0
    repeated: int = 0
    kbps: float = 0.0


def perform(server: Server, batch: list[Call], serial: int) -> tuple[list[Recording], list[tuple[Call, Counts]], Loop]:
    """The calls of a batch, at the same time and in real time."""
    loop = Loop()
    rooms: list[tuple[Call, str, list[Talker], list[tuple[Listening, Hearer]]]] = []
    for place, call in enumerate(batch):
        room = f"room-{serial}-{place}"
        server.make_room(room, list(call.contents), cases.mix_settings(call.mix))
        seed = f"{call.name}/{call.number}"
        talkers = []
        for content in call.contents:
            peer = Peer(server, room, content, publish=True, wants=call.wants)
            opus, levels = cases.frames(content, call.number, call.coding)
            talkers.append(Talker(peer, opus, levels, call.phases, f"{seed}/{content}", red=call.wants.red))
        hearers = []
        for index, listening in enumerate(call.listening):
            case = listening.case
            peer = Peer(server, room, f"hearer-{index}", publish=False, wants=listening.wants, mode=case.path)
            network = case.network if case.side == "down" else CLEAN
            seed = f"down {case.content} {case.network} {call.number}"  # the same losses whatever repairs them
            hearers.append((listening, Hearer(peer, network, seed, nack=listening.wants.nack)))
        rooms.append((call, room, talkers, hearers))
    gc.collect()
    now = time.time() + 1.0  # setting the timers takes a part of it
    begins = [now + place * 0.0073 % 0.02 for place in range(len(rooms))]  # every phase to the rooms' ticks
    for begin, (_, _, talkers, hearers) in zip(begins, rooms, strict=True):
        for talker in talkers:
            talker.start(loop, begin)
        for _, hearer in hearers:
            hearer.start(loop, begin)
    seconds = max(cases.stream(content, call.number).seconds for call, _, _, _ in rooms for content in call.contents)
    loop.run(now + seconds + 0.5)

    recordings, counted = [], []
    for begin, (call, room, talkers, hearers) in zip(begins, rooms, strict=True):
        sessions = server.publishers(room)
        for content, talker in zip(call.contents, talkers, strict=True):
            counted.append((call, _counts(sessions[content], talker)))
        for listening, hearer in hearers:
            plain = cases.plain_coding(call.mix)
            codings = (plain, cases.mix_coding(call.mix)) if listening.case.path == "mix" else (plain,)
            recordings.append(
                Recording(
                    listening.case,
                    call.number,
                    codings,
                    begin,
                    hearer.packets,
                    hearer.peer.material,
                    hearer.peer.terms.red,
                    hearer.asked,
                )
            )
        server.close_room(room)
        for peer in [talker.peer for talker in talkers] + [hearer.peer for _, hearer in hearers]:
            peer.close()
    return recordings, counted, loop


def _counts(session: dict[str, Any], talker: Talker) -> Counts:
    seconds = len(talker.datagrams) * FRAME_S
    scaled_ms = session.get("accelerated_ms", 0.0) + session.get("decelerated_ms", 0.0)
    return Counts(
        frames=len(talker.datagrams),
        concealed=session.get("frames_concealed", 0),
        recovered=session.get("frames_recovered", 0),
        scaled=scaled_ms / 1000 / FRAME_S,
        asked=talker.asked,
        repeated=talker.repeated,
        kbps=talker.media_bytes * 8 / seconds / 1000,
    )
