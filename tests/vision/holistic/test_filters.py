from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from posewatch.vision.holistic.filters import LowPass, OneEuro

STEP = 0.033333
values = st.lists(st.floats(-1000, 1000), min_size=1, max_size=12)


def test_low_pass_moves_by_a_part_of_the_difference() -> None:
    smooth = LowPass(0.1)
    assert smooth(np.array([5.0, 0.0])).tolist() == [5, 0]
    np.testing.assert_allclose(smooth(np.array([15.0, 0.0])), [6, 0])
    np.testing.assert_allclose(smooth(np.array([6.0, 10.0])), [6, 1])


def one_euro(signal: list[float], min_cutoff: float, beta: float, scale: float) -> list[float]:
    """The filter of the paper, one number at a time."""

    def alpha(cutoff: float) -> float:
        tau = 1 / (2 * math.pi * cutoff)
        return 1 / (1 + tau / STEP)

    out, speed, mean, last = [], 0.0, signal[0], signal[0]
    for value in signal:
        speed += alpha(1.0) * ((value - last) / STEP / scale - speed)
        mean += alpha(min_cutoff + beta * abs(speed)) * (value - mean)
        last = value
        out.append(mean)
    return out


@given(values, st.floats(0.1, 500))
def test_one_euro_is_the_paper_s(signal: list[float], scale: float) -> None:
    smooth = OneEuro(min_cutoff=0.05, beta=80.0)
    ours = [smooth(np.array([value, 1.0]), scale)[0] for value in signal]
    np.testing.assert_allclose(ours, one_euro(signal, 0.05, 80.0, scale), rtol=1e-9, atol=1e-6)


@given(values)
def test_it_stays_between_what_it_was_and_what_it_is_given(signal: list[float]) -> None:
    smooth = OneEuro(min_cutoff=0.01, beta=10.0)
    before = signal[0]
    for value in signal:
        after = smooth(np.array(value), 100.0).item()
        assert min(before, value) - 1e-9 <= after <= max(before, value) + 1e-9
        before = after


def test_the_larger_the_object_the_less_a_movement_counts() -> None:
    def moved(scale: float) -> float:
        smooth = OneEuro(min_cutoff=0.05, beta=80.0)
        smooth(np.zeros(1), scale)
        return smooth(np.ones(1), scale).item()

    assert moved(10.0) > moved(1000.0)


def test_reset_forgets_everything() -> None:
    used, fresh = (OneEuro(min_cutoff=0.05, beta=80.0) for _ in range(2))
    for value in (0.0, 100.0, 50.0):
        used(np.array([value]), 10.0)
    used.reset()
    for value in (7.0, 8.0, 20.0):
        assert used(np.array([value]), 10.0) == fresh(np.array([value]), 10.0)
