"""Benchmarks measure what they say they do, on numbers so small that they tell nothing of speed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mediaserver.voices import VoiceEffect

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("credentials", [[], ["--signed"]], ids=["basic", "signed"])
def test_the_control_benchmark_runs_and_gives_its_figures(tmp_path: Path, credentials: list[str]) -> None:
    written = tmp_path / "figures.json"
    load = ["--seconds", "0.7", "--rate", "40", "--seats", "5", "--connections", "2", "--probes", "4"]
    command = [sys.executable, "-m", "bench.control", "--json", str(written), *load, *credentials]
    shown = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=100).stdout
    figures = json.loads(written.read_text())
    assert f"calls reached            {figures['control_calls_per_s']:.0f} per second" in shown
    wanted = (
        *("calls_per_s", "call_p50_ms", "call_p99_ms", "effect_p50_ms", "effect_p99_ms", "idle_effect_p99_ms"),
        *("tick_late_max_ms", "cpu_ms_per_call", "floor_cpu_ms_per_call", "calls_per_commit"),
    )
    assert all(figures[f"control_{name}"] > 0 for name in wanted), figures
    assert all(figures[name] for name in ("machine", "kernel", "commit", "command"))


@pytest.mark.parametrize(
    ("mixes", "voices"), [([], [*VoiceEffect]), (["--stereo"], [VoiceEffect.HALL])], ids=["mono", "stereo"]
)
def test_the_benchmark_of_music_runs_and_gives_a_figure_for_everything_that_can_be_added(
    tmp_path: Path, mixes: list[str], voices: list[VoiceEffect]
) -> None:
    written = tmp_path / "figures.json"
    load = ["--quick", "--rounds", "1", "--rooms", "1", "--seconds", "0.2", "--voices", *voices, *mixes]
    command = [sys.executable, "-m", "bench.music", "--json", str(written), *load]
    shown = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=200).stdout
    figures = json.loads(written.read_text())
    assert figures["stereo"] == bool(mixes)
    results = {result["what"]: result for result in figures["results"]}
    cares = ["high-pass", "denoise", "gate", "AGC"]
    assert list(results) == [
        "the room without",
        "player, mp3",
        "effect",
        *cares,
        *(f"voice: {voice}" for voice in voices),
    ]
    assert results["the room without"]["plane_us"] > 0
    assert results["player, mp3"]["children_us"] > 0
    assert all(f"\n{name} " in shown for name in results)
