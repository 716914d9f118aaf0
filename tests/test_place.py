"""The pan law and the arc of seats, and what they sound like through the gain matrix."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediaserver import kernels
from mediaserver.place import WIDEST, arc, pan_gains
from tests.sound import loudness_db, noise

PANS = st.floats(-1, 1)


@given(PANS)
def test_power_is_the_same_everywhere(pan: float) -> None:
    left, right = pan_gains(pan)
    assert left**2 + right**2 == pytest.approx(2)
    assert min(left, right) >= 0


@given(PANS)
def test_left_and_right_are_mirror_images(pan: float) -> None:
    assert pan_gains(-pan) == pytest.approx(pan_gains(pan)[::-1])


@given(PANS, PANS)
def test_further_right_is_louder_on_the_right(one: float, other: float) -> None:
    assert pan_gains(max(one, other))[1] >= pan_gains(min(one, other))[1]


def test_centre_is_unity_and_ends_are_one_ear() -> None:
    assert pan_gains(0) == (1.0, 1.0)
    assert pan_gains(-0.0) == (1.0, 1.0)
    assert pan_gains(-1) == (math.sqrt(2), 0.0)
    assert pan_gains(1) == (0.0, math.sqrt(2))


@pytest.mark.parametrize("pan", [-1.01, 2, math.nan, math.inf])
def test_pan_out_of_range_is_refused(pan: float) -> None:
    with pytest.raises(ValueError, match="pan"):
        pan_gains(pan)


@pytest.mark.parametrize("pan", [-1, -0.5, 0, 0.25, 0.9])
def test_panned_source_has_its_level_difference_in_the_mix(pan: float) -> None:
    mono = noise(1, 960, 1)
    out, gains = np.empty((1, 960, 2), np.float32), np.array([[pan_gains(pan)]], np.float32)
    kernels.mix(out, mono.repeat(2, axis=1)[None], gains, gains)
    expected = 20 * math.log10(math.tan((pan + 1) * math.pi / 4)) if abs(pan) < 1 else -math.inf
    heard = loudness_db(out[0, :, 1]) - loudness_db(out[0, :, 0])
    assert heard == pytest.approx(expected, abs=0.01) if abs(pan) < 1 else heard < -200
    assert loudness_db(out[0]) == pytest.approx(loudness_db(mono), abs=0.01)


@given(st.integers(1, 100))
def test_seats_are_evenly_spaced_around_the_host(seats: int) -> None:
    places = arc(seats)
    assert places[0] == 0
    assert len(set(places)) == seats
    assert max(abs(place) for place in places) <= WIDEST
    assert np.allclose(np.diff(np.diff(sorted(places))), 0)


def test_arcs() -> None:
    assert arc(0) == ()
    assert arc(1) == (0.0,)
    assert arc(3) == (0.0, 0.8, -0.8)
    assert arc(5, 1) == (0.0, 0.5, -0.5, 1.0, -1.0)
    assert arc(4, 1) == (0.0, 0.5, -0.5, 1.0)


@pytest.mark.parametrize(("seats", "widest"), [(-1, 0.5), (3, 1.1), (3, math.nan)])
def test_impossible_arcs_are_refused(seats: int, widest: float) -> None:
    with pytest.raises(ValueError, match=r"seats|width"):
        arc(seats, widest)
