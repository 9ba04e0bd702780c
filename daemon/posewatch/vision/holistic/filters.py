"""Smoothing over time, for the tracking mode.

The one-euro filter of Casiez, Roussel and Vogel, "1 € Filter: A Simple Speed-based Low-pass Filter
for Noisy Input in Interactive Systems", CHI 2012.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    _Cutoff = TypeVar("_Cutoff", float, NDArray[np.float64])

_STEP = 0.033333
"""Seconds between two frames. MediaPipe's Python solution counts so, whatever the frame rate."""

_DERIVATIVE_CUTOFF = 1.0  # Hz


class LowPass:
    """Exponential smoothing: each value moves the mean by `alpha` of the difference."""

    def __init__(self, alpha: float) -> None:
        self._alpha = alpha
        self._mean: NDArray[np.float64] | None = None

    def __call__(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The smoothed values; the first are returned as they are."""
        if self._mean is None:
            self._mean = values
        else:
            self._mean = self._mean + self._alpha * (values - self._mean)
        return self._mean


class OneEuro:
    """The one-euro filter on an array of values.

    Args:
        min_cutoff: Hz, where nothing moves.
        beta: Hz for each unit per second of movement.
    """

    def __init__(self, *, min_cutoff: float, beta: float) -> None:
        self._min_cutoff = min_cutoff
        self._beta = beta
        self._last: NDArray[np.float64] | None = None
        self._mean: NDArray[np.float64] | None = None
        self._speed = LowPass(_alpha(_DERIVATIVE_CUTOFF))

    def __call__(self, values: NDArray[np.float64], scale: float) -> NDArray[np.float64]:
        """The smoothed values; the first are returned as they are.

        Args:
            values: any shape, the same each time.
            scale: the size of the object that moves, in the unit of the values: what counts as
                fast is relative to it.
        """
        if self._last is None or self._mean is None:
            self._speed(np.zeros_like(values))
            self._last = self._mean = values
            return values
        speed = self._speed((values - self._last) / (scale * _STEP))
        alpha = _alpha(self._min_cutoff + self._beta * np.abs(speed))
        self._last = values
        self._mean = self._mean + alpha * (values - self._mean)
        return self._mean

    def reset(self) -> None:
        """Forget everything."""
        self._last = self._mean = None
        self._speed = LowPass(_alpha(_DERIVATIVE_CUTOFF))


def _alpha(cutoff: _Cutoff) -> _Cutoff:
    """How much a new value counts, for a cutoff in Hz."""
    return 1 / (1 + 1 / (2 * math.pi * _STEP * cutoff))
