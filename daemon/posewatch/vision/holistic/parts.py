"""What hands and faces have in common: landmarks in a region that follows them.

Each frame suggests a region by itself (from the pose, then a network that finds the part more
exactly). The region around the last frame's landmarks is steadier, so it is preferred while it
agrees with the suggestion.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from posewatch.vision.holistic import regions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from posewatch.vision.holistic.regions import Region, TrackingLimits

    Landmarks = NDArray[np.float64]
    Places = Sequence[tuple[NDArray[np.uint8], Region]]


class Follower:
    """Where one part of the body was, and so where to look for it next.

    Args:
        count: of its landmarks.
        around: the region around the last frame's landmarks, (count, 3) px.
        limits: how far it may be from the suggested one.
    """

    def __init__(
        self, count: int, around: Callable[[Landmarks], Region], limits: TrackingLimits
    ) -> None:
        self.count = count
        self._around = around
        self._limits = limits
        self._last: Landmarks | None = None

    def region(self, suggested: Region) -> Region:
        """Where to look in this frame."""
        if self._last is None:
            return suggested
        tracked = self._around(self._last)
        if regions.follows(tracked, self._last, suggested, self._limits):
            return tracked
        return suggested

    def seen(self, landmarks: Landmarks | None) -> None:
        """Note what was found in this frame."""
        self._last = landmarks


def follow(
    images: Sequence[NDArray[np.uint8]],
    followers: Sequence[Follower],
    suggestions: Sequence[Sequence[Region | None]],
    find: Callable[[Places], Sequence[Landmarks | None]],
) -> Landmarks:
    """Find the parts frame by frame; those of one frame go through the network together.

    Args:
        images: n consecutive frames.
        followers: one for each part, all with the same count of landmarks.
        suggestions: for each frame, where each part may be; None where it is not looked for.
        find: the landmarks at each place, px, or None.

    Returns:
        (n, parts, count, 3), px; NaN where a part was not found.
    """
    out = np.full((len(images), len(followers), followers[0].count, 3), np.nan)
    for image, suggested, rows in zip(images, suggestions, out, strict=True):
        looked = [part for part, region in enumerate(suggested) if region is not None]
        found = find(
            [
                (image, follower.region(region))
                for follower, region in zip(followers, suggested, strict=True)
                if region is not None
            ]
        )
        landmarks = dict(zip(looked, found, strict=True))
        for part, follower in enumerate(followers):
            follower.seen(landmarks.get(part))
            if (points := landmarks.get(part)) is not None:
                rows[part] = points
    return out


def find_apart(
    images: Sequence[NDArray[np.uint8]],
    followers: Sequence[Follower],
    suggestions: Sequence[Sequence[Region | None]],
    find: Callable[[Places], Sequence[Landmarks | None]],
) -> Landmarks:
    """As `follow`, but no frame knows of the last: all frames go through the network together."""
    out = np.full((len(images), len(followers), followers[0].count, 3), np.nan)
    wanted = [
        (frame, part, region)
        for frame, suggested in enumerate(suggestions)
        for part, region in enumerate(suggested)
        if region is not None
    ]
    found = find([(images[frame], region) for frame, _, region in wanted])
    for (frame, part, _), points in zip(wanted, found, strict=True):
        if points is not None:
            out[frame, part] = points
    return out
