"""Faces: 468 landmarks, looked for where the pose has its head."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from posewatch.vision.holistic import detections, networks, regions
from posewatch.vision.holistic.crops import cut
from posewatch.vision.holistic.regions import TrackingLimits

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from posewatch.vision.engine import Engine
    from posewatch.vision.holistic.poses import Pose
    from posewatch.vision.holistic.regions import Region

COUNT = 468
"""Landmarks of a face."""

LIMITS = TrackingLimits(angle=math.radians(15), shift=0.1, scale=0.3, margin=-0.2)

_ANCHORS = detections.anchors(networks.FACE_DETECTION.size, (8, 16, 16, 16))
_HEAD = slice(0, 11)  # nose, eyes, ears and mouth among the landmarks of a pose
_POSE_EYES = (5, 2)  # the right eye, then the left: from left to right as seen
_FACE_EYES = (33, 263)  # the outer corners, in the same order


def suggest(pose: Pose) -> Region:
    """Where the pose has its face, roughly."""
    head = pose.landmarks[_HEAD]
    return regions.boxed(head, _tilt(head, *_POSE_EYES), scale=3.0)


def detect(
    engine: Engine, places: Sequence[tuple[NDArray[np.uint8], Region]]
) -> list[Region | None]:
    """Where in each region the face really is; None where there is none."""
    if not places:
        return []
    boxes, logits = engine.infer(networks.FACE_DETECTION.name, cut(networks.FACE_DETECTION, places))
    found: list[Region | None] = []
    for box, logit, (_, region) in zip(boxes, logits, places, strict=True):
        keypoints = detections.best_keypoints(box, logit, _ANCHORS, networks.FACE_DETECTION.size)
        if keypoints is None:
            found.append(None)
            continue
        points = region.to_image(keypoints)
        found.append(regions.boxed(points, _tilt(points, 0, 1), scale=2.0, shift=-0.1))
    return found


def landmarks(
    engine: Engine, places: Sequence[tuple[NDArray[np.uint8], Region]]
) -> list[NDArray[np.float64] | None]:
    """The face in each region, (468, 3) px; None where there is none after all."""
    if not places:
        return []
    tensors, presence = engine.infer(
        networks.FACE_LANDMARK.name, cut(networks.FACE_LANDMARK, places)
    )
    return [
        region.to_image(tensor.reshape(COUNT, 3) / networks.FACE_LANDMARK.size)
        if present[0] > 0  # a logit
        else None
        for tensor, present, (_, region) in zip(tensors, presence, places, strict=True)
    ]


def around(face: NDArray[np.float64]) -> Region:
    """The region around a face's landmarks, (468, 3) px."""
    return regions.boxed(face, _tilt(face, *_FACE_EYES), scale=1.5)


def _tilt(points: NDArray[np.float64], left: int, right: int) -> float:
    """By how much the line between two points is turned from the horizontal, radians."""
    return regions.step(points[left], points[right], 0.0)[1]
