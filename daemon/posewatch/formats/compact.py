"""Coordinates and confidences as small integers, for big sets: about half of the bytes.

A coordinate is kept as its distance from the middle of the picture, in sixteenths of a pixel (in
eighths for pictures of 2,048 px and more, and so on), so that what lies up to half a picture
outside can be kept as well. docs/formats.md tells how it is read without posewatch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

NOBODY = -32768
"""Instead of NaN."""
NOT_FOUND = -32767
"""Instead of -1, which stands for a keypoint that was not found."""
_MOST = 32766

_PARTS = 16
"""Of a pixel."""

UNSURE = 255
"""Instead of NaN, in confidences."""
CONFIDENCE = 1 / 200
"""One step of a confidence; so they reach 1.27, for some networks give a little more than 1."""


@dataclass(frozen=True, slots=True)
class Compact:
    """How coordinates are kept: `stored * scale + offset`.

    Attributes:
        scale: (C,) for each coordinate.
        offset: (C,) likewise.
    """

    scale: NDArray[np.float64]
    offset: NDArray[np.float64]

    @classmethod
    def of(cls, size: tuple[int, int], coordinates: int) -> Self:
        """For normalised x and y, and z in units of the width.

        Args:
            size: width and height of the pictures, in pixels.
            coordinates: how many there are.
        """
        parts = float(_PARTS)
        while parts * max(size) > _MOST:
            parts /= 2
        sides = np.array([*size, size[0]], np.float64)[:coordinates]
        return cls(1 / (parts * sides), np.array([0.5, 0.5, 0.0])[:coordinates])

    def pack(self, frames: ArrayLike) -> NDArray[np.int16]:
        """Coordinates, (..., C), as integers; what is too far outside comes to lie at the limit."""
        given = np.asarray(frames, np.float64)
        missing = np.isnan(given)
        steps = np.round((np.where(missing, 0, given) - self.offset) / self.scale)
        packed = np.clip(steps, -_MOST, _MOST).astype("<i2")
        packed[(given[..., :2] == -1).all(axis=-1)] = NOT_FOUND
        packed[missing] = NOBODY
        return packed

    def unpack(self, stored: NDArray[np.int16]) -> NDArray[np.float32]:
        """The other way."""
        frames = stored * self.scale + self.offset
        frames[stored == NOT_FOUND] = -1
        frames[stored == NOBODY] = np.nan
        return frames.astype(np.float32)


def pack_confidences(confidences: ArrayLike) -> NDArray[np.uint8]:
    """Confidences as integers; above 1.27 they come to lie at the limit."""
    given = np.asarray(confidences, np.float64)
    missing = np.isnan(given)
    steps = np.round(np.where(missing, 0, given) / CONFIDENCE)
    packed = np.clip(steps, 0, UNSURE - 1).astype(np.uint8)
    packed[missing] = UNSURE
    return packed


def unpack_confidences(stored: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The other way."""
    confidences = (stored * CONFIDENCE).astype(np.float32)
    confidences[stored == UNSURE] = np.nan
    return confidences
