"""Place: where in the stereo image somebody sits, as the left and right gain of his cell."""

from __future__ import annotations

import math

WIDEST = 0.8
"""How far from the centre the outermost seats of an arc are. Wider: with earphones, who sits there is in one ear
only, which tires; narrower: seats are told apart less well."""


def pan_gains(pan: float) -> tuple[float, float]:
    """Left and right gain of a mono source at -1 (left) to 1 (right), of constant power: left² + right² = 2.

    At the centre both are exactly 1, so that who is not placed costs nothing and passes unchanged; at an end the one is
    √2 (+3 dB) and the other exactly 0. ValueError if pan is out of range or not a number.
    """
    if not -1 <= pan <= 1:
        raise ValueError(f"a pan of {pan:g} is not between -1 and 1")
    if pan == 0:
        return 1.0, 1.0
    if abs(pan) == 1:
        return (math.sqrt(2), 0.0) if pan < 0 else (0.0, math.sqrt(2))
    angle = (pan + 1) * math.pi / 4
    return math.sqrt(2) * math.cos(angle), math.sqrt(2) * math.sin(angle)


def arc(seats: int, widest: float = WIDEST) -> tuple[float, ...]:
    """The pan of each seat, on an arc in front of the listener, evenly spaced from -widest to widest.

    The first seat is the host's, in the middle; the others take places in turn to his right and left, outwards. With
    an even number of seats the last one's place has no counterpart on the left. ValueError for a negative number of
    seats or a width that is not between 0 and 1."""
    if seats < 0:
        raise ValueError(f"{seats} seats")
    if not 0 <= widest <= 1:
        raise ValueError(f"a width of {widest:g} is not between 0 and 1")
    steps = seats // 2  # on the side that has more
    return tuple(
        (1 if seat % 2 else -1) * widest * (((seat + 1) // 2) / steps) if seat else 0.0 for seat in range(seats)
    )
