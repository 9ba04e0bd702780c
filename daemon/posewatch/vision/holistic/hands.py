"""Hands: 21 landmarks each, looked for where the pose has its wrists."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from posewatch.vision.holistic import networks, regions
from posewatch.vision.holistic.crops import cut
from posewatch.vision.holistic.regions import TrackingLimits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from posewatch.vision.engine import Engine
    from posewatch.vision.holistic.poses import Pose
    from posewatch.vision.holistic.regions import Region

COUNT = 21
"""Landmarks of a hand."""

RIGHT = (16, 18, 20)
"""Wrist, little finger and index finger of the right hand among the landmarks of a pose."""

LEFT = (15, 17, 19)

LIMITS = TrackingLimits(angle=math.radians(40), shift=0.2, scale=0.4, margin=-0.1)

_WRIST_VISIBILITY = 0.1
_PRESENCE = 0.5
_Z_SCALE = 0.4
_PALM = np.array([0, 1, 2, 3, 5, 6, 9, 10, 13, 14, 17, 18])
"""Landmarks of the palm and the fingers' first joints: they move less than the tips."""


def suggest(pose: Pose, hand: tuple[int, int, int]) -> Region | None:
    """Where the pose has this hand, roughly; None where its wrist is not to be seen."""
    wrist, little, index = hand
    if pose.visibility[wrist] <= _WRIST_VISIBILITY:
        return None
    middle = (2 * pose.landmarks[index] + pose.landmarks[little]) / 3
    radius, angle = regions.step(pose.landmarks[wrist], middle, math.pi / 2)
    return regions.around(middle, radius, angle, scale=2.7, shift=-0.1)


def recrop(engine: Engine, places: Sequence[tuple[NDArray[np.uint8], Region]]) -> list[Region]:
    """Where in each region the hand really is."""
    if not places:
        return []
    (tensors,) = engine.infer(networks.HAND_RECROP.name, cut(networks.HAND_RECROP, places))
    found = []
    for tensor, (_, region) in zip(tensors, places, strict=True):
        start, end = region.to_image(tensor.reshape(2, 2) / networks.HAND_RECROP.size)
        radius, angle = regions.step(start, end, -math.pi / 2)
        found.append(regions.around(start, radius, angle, scale=1.0, shift=-0.1))
    return found


def landmarks(
    engine: Engine, places: Sequence[tuple[NDArray[np.uint8], Region]]
) -> list[NDArray[np.float64] | None]:
    """The hand in each region, (21, 3) px; None where there is none after all."""
    if not places:
        return []
    tensors, presence = engine.infer(
        networks.HAND_LANDMARK.name, cut(networks.HAND_LANDMARK, places)
    )
    found: list[NDArray[np.float64] | None] = []
    for tensor, present, (_, region) in zip(tensors, presence, places, strict=True):
        if present[0] <= _PRESENCE:
            found.append(None)
            continue
        points = tensor.reshape(COUNT, 3).astype(np.float64) / networks.HAND_LANDMARK.size
        points[:, 2] /= _Z_SCALE
        found.append(region.to_image(points))
    return found


def around(hand: NDArray[np.float64]) -> Region:
    """The region around a hand's landmarks, (21, 3) px."""
    top = ((hand[5] + hand[13]) / 2 + hand[9]) / 2
    _, angle = regions.step(hand[0], top, math.pi / 2)
    return regions.boxed_turned(hand[_PALM], angle, scale=2.0, shift=-0.1)
