"""Where to look: square regions of an image, and how they follow from points.

Everything here is in pixels of the image, x to the right and y downwards. An angle is in radians,
clockwise as seen. The constants of each region stand in `poses`, `hands` and `faces`; they were
found by watching MediaPipe 0.10.21: see docs/mediapipe.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Region:
    """A square, turned about its centre.

    Attributes:
        x: of its centre, px.
        y: of its centre, px.
        side: px.
        angle: by which it is turned, radians in [-π, π).
    """

    x: float
    y: float
    side: float
    angle: float

    def to_image(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """Points of the region, in pixels of the image.

        Args:
            points: (k, 2) or (k, 3); x and y go from 0 to 1 over the region, z has their scale.

        Returns:
            The same shape; x, y, z in px.
        """
        cos, sin = math.cos(self.angle) * self.side, math.sin(self.angle) * self.side
        out = np.empty(points.shape)
        x, y = points[:, 0] - 0.5, points[:, 1] - 0.5
        out[:, 0] = x * cos - y * sin + self.x
        out[:, 1] = x * sin + y * cos + self.y
        out[:, 2:] = points[:, 2:] * self.side
        return out

    def from_image(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Where points of the image, (k, ≥ 2) px, lie in the region.

        Returns:
            (2, k): x and y from the region's centre, along its edges, in parts of its side.
        """
        cos, sin = math.cos(self.angle) / self.side, math.sin(self.angle) / self.side
        x, y = points[:, 0] - self.x, points[:, 1] - self.y
        return np.stack((x * cos + y * sin, y * cos - x * sin))


@dataclass(frozen=True, slots=True)
class TrackingLimits:
    """How far a region that follows the last frame may be from the one found in this frame.

    Attributes:
        angle: radians.
        shift: of the centre along either edge, as a part of the found region's side.
        scale: of the side, as a part of the found region's side.
        margin: the last landmarks must lie within the found region made larger by this part.
    """

    angle: float
    shift: float
    scale: float
    margin: float


def whole(width: int, height: int) -> Region:
    """The smallest centred square that holds an image of this size."""
    return Region(width / 2, height / 2, float(max(width, height)), 0.0)


def normalized(angle: float) -> float:
    """The same angle in [-π, π)."""
    return (angle + math.pi) % (2 * math.pi) - math.pi


def step(
    start: NDArray[np.float64], end: NDArray[np.float64], target: float
) -> tuple[float, float]:
    """How far it is from one point to another, and how a region must be turned to go that way.

    Args:
        start: (x, y, …) px.
        end: the same.
        target: which way the step is to point within the region, radians, anticlockwise from its
            x axis as in mathematics.

    Returns:
        The distance in px, and the angle by which to turn the region.
    """
    dx, dy = (end - start)[:2].tolist()
    return math.hypot(dx, dy), normalized(target - math.atan2(-dy, dx))


def around(
    centre: NDArray[np.float64],
    radius: float,
    angle: float,
    *,
    scale: float,
    shift: float = 0.0,
) -> Region:
    """The region that holds a circle.

    Args:
        centre: (x, y, …) px.
        radius: px.
        angle: by which the region is turned, radians.
        scale: of its side.
        shift: downwards within the region, as a part of the side before scaling.
    """
    x, y = centre[:2].tolist()
    return _region(x, y, 2 * radius, 2 * radius, angle, scale=scale, shift=shift)


def boxed(points: NDArray[np.float64], angle: float, *, scale: float, shift: float = 0.0) -> Region:
    """The region of the upright box around `points`, (k, 2) px, turned by `angle`.

    Its side is the box's longer one; `shift` is a part of the box's height.
    """
    left, top = points.min(axis=0)[:2].tolist()
    right, bottom = points.max(axis=0)[:2].tolist()
    return _region(
        (left + right) / 2,
        (top + bottom) / 2,
        right - left,
        bottom - top,
        angle,
        scale=scale,
        shift=shift,
    )


def boxed_turned(
    points: NDArray[np.float64], angle: float, *, scale: float, shift: float = 0.0
) -> Region:
    """As `boxed`, but the box around the points is itself turned by `angle`."""
    cos, sin = math.cos(angle), math.sin(angle)
    along = points[:, 0] * cos + points[:, 1] * sin
    across = points[:, 1] * cos - points[:, 0] * sin
    left, right = float(along.min()), float(along.max())
    top, bottom = float(across.min()), float(across.max())
    u, v = (left + right) / 2, (top + bottom) / 2
    return _region(
        u * cos - v * sin,
        u * sin + v * cos,
        right - left,
        bottom - top,
        angle,
        scale=scale,
        shift=shift,
    )


def follows(
    tracked: Region, landmarks: NDArray[np.float64], found: Region, limits: TrackingLimits
) -> bool:
    """Whether the region that follows the last frame may be used instead of the one found now.

    Args:
        tracked: the region around the last frame's landmarks.
        landmarks: the last frame's landmarks, (k, 2) px.
        found: what this frame alone suggests.
        limits: how far they may be apart.
    """
    dx, dy = tracked.x - found.x, tracked.y - found.y
    cos, sin = math.cos(found.angle), math.sin(found.angle)
    if not (
        abs(normalized(tracked.angle - found.angle)) <= limits.angle
        and abs(dx * cos + dy * sin) <= limits.shift * found.side
        and abs(dy * cos - dx * sin) <= limits.shift * found.side
        and abs(tracked.side - found.side) <= limits.scale * found.side
    ):
        return False
    return float(np.abs(found.from_image(landmarks)).max()) <= 0.5 * (1 + limits.margin)


def _region(
    x: float, y: float, width: float, height: float, angle: float, *, scale: float, shift: float
) -> Region:
    """The square of a turned box: shifted along the box's own height, then made square."""
    down = shift * height
    return Region(
        x - down * math.sin(angle),
        y + down * math.cos(angle),
        max(width, height) * scale,
        angle,
    )
