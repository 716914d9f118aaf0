"""The comparison with other servers, the ramp and the growth: their arithmetic, what stands between WHEP and Janus, and
each of them for real, on numbers so small that they tell nothing of speed."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from bench import capacity, growth
from bench.fitting import line, power
from bench.loads import Charge, Part
from bench.peers import comparison, description, janus
from bench.peers.comparison import AUDIOBRIDGE, OURS, RELAY, VIDEOROOM, Findings, Price, Sizes
from bench.processes import Histogram
from mediaserver.dtls import Fingerprint
from mediaserver.loadgen.description import Ice, offer, parse_answer

# ---- arithmetic


def test_a_line_is_found_through_noise_that_is_a_share_of_what_is_measured() -> None:
    x = [1, 50, 100, 200]
    random = np.random.default_rng(1)
    found = line(x * 5, [(0.03 + 0.0004 * each) * random.uniform(0.98, 1.02) for each in x * 5])
    assert found.start == pytest.approx(0.03, rel=0.05)
    assert found.slope == pytest.approx(0.0004, rel=0.05)
    assert found.at(1000) == found.start + 1000 * found.slope
    with pytest.raises(ValueError, match="two points"):
        line([3, 3], [1, 1])


@pytest.mark.parametrize("exponent", [0.5, 1.0, 2.0])
def test_an_exponent_is_found_with_its_confidence(exponent: float) -> None:
    x = [1, 4, 8, 16, 32]
    random = np.random.default_rng(2)
    rounds = [[(100 + 7 * each**exponent) * random.uniform(0.99, 1.01) for _ in range(7)] for each in x]
    found = power(x, rounds)
    assert found.low <= found.exponent <= found.high
    assert found.exponent == pytest.approx(exponent, abs=0.15)
    assert found.at(32) == pytest.approx(100 + 7 * 32**exponent, rel=0.05)


def test_what_does_not_grow_rises_by_nothing() -> None:
    found = power([1, 10, 100, 1000], [[5.0, 5.01, 4.99]] * 4)
    assert found.rise < growth.FREE


def charged(
    listeners: int, cores: float, *, lost: int = 0, generator: float = 0.2, late_ms: float = 1.0, absent: int = 0
) -> Charge:
    parts = [Part(5.0, 5 * cores * share, 250 * listeners) for share in (0.9, 1.1)]
    bounds: Mapping[float, float] = {late_ms / 1000: 1000.0, float("inf"): 1000.0}
    lateness = Histogram(bounds)
    return Charge(listeners, listeners + 1, parts, lost, generator, absent=absent, lateness=lateness)


def test_a_charge_is_per_listener_and_per_packet() -> None:
    found = charged(100, 0.05)
    assert found.ms_per_listener_second == pytest.approx(0.5)
    assert found.us_per_packet == pytest.approx(10)
    assert [part.us_per_packet for part in found.parts] == pytest.approx([9, 11])
    assert found.troubles == []
    assert charged(100, 0.05, lost=5_000).troubles == ["9.1% lost"]
    assert charged(100, 0.05, absent=2).troubles == []
    assert charged(100, 0.05, absent=3).troubles == ["3 peers did not get in"]


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (charged(100, 0.5), ""),
        (charged(100, 0.98), "server: its core is full (98%)"),
        (charged(100, 0.5, late_ms=7.0), "server: ticks 6.9 ms late at p99"),
        (charged(100, 0.5, lost=500), "server: 0.99% lost"),
        (charged(100, 0.5, lost=500, generator=0.95), "generator: its core is full (95%), and 0.99% lost"),
        (charged(100, 0.5, generator=0.95), "generator: its core is full (95%)"),
        (charged(100, 0.5, absent=2), "server: 0.00% lost, 2 did not get in"),
    ],
)
def test_a_step_says_whose_end_it_is(found: Charge, verdict: str) -> None:
    assert capacity.verdict(found) == verdict


def climbed(cores: Callable[[int], float], generator: Callable[[int], float], late: int = 10**9) -> capacity.Ramp:
    """A ramp of a server and a generator that cost so much, and are late from so many on."""
    ramp = capacity.Ramp(capacity.WAYS[0], ())
    while (units := capacity.next_units(ramp)) is not None:
        full = generator(units) > 1
        found = charged(
            units,
            min(1.0, cores(units)),
            generator=min(1.0, generator(units)),
            lost=10**6 if full else 0,
            late_ms=8.0 if units >= late else 1.0,
        )
        ramp = capacity.Ramp(ramp.way, (*ramp.steps, capacity.Step(units, found, capacity.verdict(found))))
    return ramp


def test_a_ramp_ends_where_the_servers_core_is_full() -> None:
    ramp = climbed(lambda n: 0.02 + n / 5000, lambda n: n / 20_000)
    assert ramp.by_server
    assert 4500 <= ramp.measured <= 4850
    assert ramp.extrapolated == pytest.approx(4900, rel=0.01)
    assert len(ramp.steps) <= 8


def test_a_ramp_encloses_a_server_that_is_late_before_its_core_is_full() -> None:
    ramp = climbed(lambda n: 0.02 + n / 5000, lambda n: n / 20_000, late=2700)
    assert ramp.end.startswith("server: ticks")
    assert 2450 <= ramp.measured < 2700
    assert len(ramp.steps) <= 10


def test_a_ramp_that_the_generator_ends_says_so_and_is_extrapolated_by_its_line() -> None:
    ramp = climbed(lambda n: 0.02 + n / 5000, lambda n: n / 2000)
    assert ramp.end.startswith("generator")
    assert not ramp.by_server
    assert 1800 <= ramp.measured <= 2000
    assert ramp.extrapolated == pytest.approx(4900, rel=0.01)
    assert ramp.noise == pytest.approx(0.1, abs=0.02)


def test_what_a_full_generator_loses_was_not_shown_to_work() -> None:
    found = charged(1000, 0.5, lost=5000, generator=0.99)
    step = capacity.Step(1000, found, capacity.verdict(found))
    assert not step.shown
    assert capacity.Ramp(capacity.WAYS[0], (step,)).measured == 0


def test_ratios_are_of_what_both_coped_with_and_beyond_it_by_the_line() -> None:
    def prices(name: str, kind: comparison.Kind, cores: Mapping[int, float], trouble: str = "") -> list[Price]:
        return [Price(name, kind, n, charged(n, share), trouble) for n, share in cores.items()]

    found = Findings(
        [
            *prices(OURS, "forward", {100: 0.025, 200: 0.05, 1000: 0.25}),
            *prices(VIDEOROOM, "forward", {100: 0.25, 200: 0.6}),
            *prices(OURS, "mix", {1: 0.021, 50: 0.035, 100: 0.05, 200: 0.08}),
            *prices(AUDIOBRIDGE, "mix", {1: 0.05, 50: 0.5}),
            *prices(AUDIOBRIDGE, "mix", {100: 1.0}, trouble="30% lost"),
        ],
        {1000: [4.0]},
        [],
    )
    found.to_floor()
    found.to_janus("videoroom", VIDEOROOM, "forward")
    found.to_janus("audiobridge", AUDIOBRIDGE, "mix")
    assert found.keys["ratio_forward_to_floor"] == pytest.approx(5.0 / 4.0)
    assert found.keys["videoroom"] == pytest.approx(12)
    at_200 = 0.05 + 0.45 / 49 * 199
    assert found.keys["audiobridge"] == pytest.approx(at_200 / 0.08, rel=0.01)
    assert found.keys["audiobridge_marginal"] == pytest.approx(0.45 / 49 / 0.0003, rel=0.03)
    assert any("extrapolated" in remark for remark in found.remarks)


# ---- between WHEP and Janus

JANUS_OFFER = """v=0
o=- 1 1 IN IP4 192.0.2.2
s=VideoRoom lobby
t=0 0
a=group:BUNDLE a b
a=ice-options:trickle
a=fingerprint:sha-256 {fingerprint}
a=msid-semantic: WMS *
a=ice-lite
""" + "".join(
    f"""m=audio 9 UDP/TLS/RTP/SAVPF 111
c=IN IP4 192.0.2.2
a=sendonly
a=mid:{mid}
a=rtcp-mux
a=ice-ufrag:abcd
a=ice-pwd:0123456789012345678901
a=setup:actpass
a=rtpmap:111 opus/48000/2
a=extmap:4 urn:ietf:params:rtp-hdrext:ssrc-audio-level
a=candidate:1 1 udp 2015363327 192.0.2.2 40000 typ host
"""
    for mid in "ab"
)
FINGERPRINT = ":".join(["0A"] * 32)


def descriptions(sections: int) -> tuple[description.Description, description.Description]:
    client = offer(
        Ice("ours", "9" * 24), Fingerprint("sha-256", FINGERPRINT), sends=False, sections=sections, ssrc=7, cname="me"
    )
    return description.parse(JANUS_OFFER.format(fingerprint=FINGERPRINT)), description.parse(client)


@pytest.mark.parametrize("sections", [1, 2, 4])
def test_an_offer_of_the_server_becomes_an_answer_that_the_client_can_use(sections: int) -> None:
    server, client = descriptions(sections)
    text = description.answer_to_client(server, client)
    answer = parse_answer(text, ipv6=False)
    assert answer.ice.pair == ("abcd", "0123456789012345678901")
    assert answer.candidates == (("192.0.2.2", 40000),)
    assert (answer.payload_type, answer.level_id) == (111, 4)
    parsed = description.parse(text)
    assert [section.mid for section in parsed.sections] == [str(n) for n in range(max(2, sections))][:sections]
    assert "actpass" not in text
    assert text.count("m=audio 0 ") == max(0, sections - 2)
    assert f"a=group:BUNDLE {' '.join(['0', '1'][:sections])}\r\n" in text


@pytest.mark.parametrize("sections", [1, 2])
def test_the_server_gets_the_answer_that_it_waits_for(sections: int) -> None:
    server, client = descriptions(sections)
    text = description.answer_to_server(server, client)
    answer = description.parse(text)
    assert [section.mid for section in answer.sections] == ["a", "b"]  # its own
    assert text.count("a=recvonly") == sections
    assert text.count("m=audio 0 ") == 2 - sections
    assert answer.value("ice-ufrag") == "ours"
    assert answer.value("setup") == "active"
    assert "trickle" not in description.without_trickle(text)


def test_janus_is_configured_without_what_is_not_used(tmp_path: Path) -> None:
    plugins = tmp_path / "plugins"
    for folder, names in (("plugins", ["videoroom", "audiobridge", "sip"]), ("transports", ["http", "mqtt"])):
        (tmp_path / folder).mkdir()
        for name in names:
            (tmp_path / folder / f"libjanus_{name}.so").touch()
    files = janus.configuration(tmp_path, plugins, "192.0.2.2", 8088)
    assert 'plugins: { disable = "libjanus_sip.so" }' in files["janus.jcfg"]
    assert 'transports: { disable = "libjanus_mqtt.so" }' in files["janus.jcfg"]
    assert 'ice_enforce_list = "192.0.2.2"' in files["janus.jcfg"]
    assert 'ip = "127.0.0.1"' in files["janus.transport.http.jcfg"]


# ---- for real


def test_the_comparison_measures_all_that_is_there_and_names_what_is_not() -> None:
    sizes = Sizes(
        forward=(3,),
        videoroom=(3,),
        as_installed=(),
        mix=(2,),
        audiobridge=(2,),
        relay=(1,),
        floor=(3,),
        rounds=1,
        seconds=1.0,
    )
    found = comparison.measure(True, sizes=sizes)
    assert (found.keys["ratio_forward_to_floor"] or 0) > 0, found
    rows = {str(row[0]): row for table in found.tables for row in table.rows}
    for name in (OURS, RELAY, "the floor"):
        assert rows[name][4] > 0, rows  # type: ignore[operator]
    assert rows[OURS][-1] == rows[RELAY][-1] == "all", rows
    if janus.version() is None or janus.own_address() is None:
        assert any(remark.startswith("Janus ") for remark in found.remarks)
        assert found.keys["ratio_janus_videoroom"] is None
    else:
        assert rows[VIDEOROOM][-1] == rows[AUDIOBRIDGE][-1] == "all", rows
        assert (found.keys["ratio_janus_videoroom"] or 0) > 0
        assert (found.keys["ratio_janus_audiobridge"] or 0) > 0


def test_the_ramp_charges_each_step() -> None:
    found = capacity.measure(True, units=(3, 6), seconds=1.0, only=("mixed_60ms",))
    assert (found.keys["mixed_60ms_cpu_ms_per_listener_s"] or 0) > 0, found
    one_core, steps = found.tables
    assert len(one_core.rows) == 1
    assert [row[0] for row in steps.rows] == [3, 6]
    assert all(row[1] > 0 and row[3] == 0 for row in steps.rows), steps  # type: ignore[operator]


def test_growth_is_measured_and_fitted() -> None:
    of = [growth.Dimension("listeners", (1, 2, 3), lambda n: growth.Scene(listeners=n))]
    found = growth.measure(True, of=of, rounds=1, ticks=5)
    assert (found.keys["growth_listeners_us"] or 0) > 0
    assert found.keys["growth_listeners_exponent"] is not None
    assert [series.kind for series in found.series] == ["growth", "growth"]
    assert len(found.tables[0].rows) == 1
