"""Poses: 33 landmarks of a body, found anew in each frame or followed from the last one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from posewatch.vision.holistic import detections, networks, regions
from posewatch.vision.holistic.crops import cut
from posewatch.vision.holistic.filters import LowPass, OneEuro
from posewatch.vision.holistic.heatmaps import refined

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from posewatch.vision.engine import Engine
    from posewatch.vision.holistic.regions import Region

COUNT = 33
"""Landmarks of a pose."""

_USED = COUNT + 2
"""The network gives 39: the pose's, then two auxiliary points, then four that nobody reads."""

_ANCHORS = detections.anchors(networks.POSE_DETECTION.size, (8, 16, 32, 32, 32))
_PRESENCE = 0.5
_SCALE = 1.25


@dataclass(frozen=True, slots=True)
class Pose:
    """One body in one frame.

    Attributes:
        landmarks: (33, 3), px; z has the scale of x, from the hips, smaller is nearer.
        visibility: (33,), 0 to 1.
        auxiliary: (2, 3), px: the middle of the body and a point on a circle around it.
    """

    landmarks: NDArray[np.float64]
    visibility: NDArray[np.float64]
    auxiliary: NDArray[np.float64]


class PoseFinder(Protocol):
    """Finds the pose in each of a video's consecutive frames."""

    def find(self, images: Sequence[NDArray[np.uint8]]) -> list[Pose | None]:
        """One pose, or None, for each image."""
        ...


class SeparatePoses:
    """Looks for a body in each frame anew. All frames of a call go through each network at once."""

    def __init__(self, engine: Engine, width: int, height: int) -> None:
        self._engine = engine
        self._whole = regions.whole(width, height)

    def find(self, images: Sequence[NDArray[np.uint8]]) -> list[Pose | None]:
        """See `PoseFinder`."""
        found = detect(self._engine, images, self._whole)
        places = [(image, region) for image, region in zip(images, found, strict=True) if region]
        poses = iter(landmarks(self._engine, places))
        return [None if region is None else next(poses) for region in found]


class TrackedPoses:
    """Follows the body from frame to frame and smooths it; detects only when it is lost."""

    def __init__(self, engine: Engine, width: int, height: int) -> None:
        self._engine = engine
        self._whole = regions.whole(width, height)
        self._region: Region | None = None
        self._smoother = Smoother()

    def find(self, images: Sequence[NDArray[np.uint8]]) -> list[Pose | None]:
        """See `PoseFinder`."""
        return [self._find(image) for image in images]

    def _find(self, image: NDArray[np.uint8]) -> Pose | None:
        region = self._region or detect(self._engine, [image], self._whole)[0]
        found = landmarks(self._engine, [(image, region)])[0] if region else None
        pose = self._smoother(found)
        self._region = None if pose is None else around(pose.auxiliary)
        return pose


class Smoother:
    """Makes a body move smoothly. Fast movements are followed at once, small ones are damped."""

    def __init__(self) -> None:
        self._visibility = LowPass(0.1)
        self._landmarks = OneEuro(min_cutoff=0.05, beta=80.0)
        self._auxiliary = OneEuro(min_cutoff=0.01, beta=10.0)

    def __call__(self, pose: Pose | None) -> Pose | None:
        """The smoothed pose of the next frame; None, and a new start, where nobody is."""
        if pose is None:
            # Not the visibility: MediaPipe does not forget it either.
            self._landmarks.reset()
            self._auxiliary.reset()
            return None
        middle, rim = pose.auxiliary
        size = 2 * regions.step(middle, rim, target=0.0)[0]
        return Pose(
            self._landmarks(pose.landmarks, size),
            self._visibility(pose.visibility),
            self._auxiliary(pose.auxiliary, size),
        )


def detect(
    engine: Engine, images: Sequence[NDArray[np.uint8]], whole: Region
) -> list[Region | None]:
    """Where in each image a body is."""
    if not images:
        return []
    batch = cut(networks.POSE_DETECTION, [(image, whole) for image in images])
    boxes, logits = engine.infer(networks.POSE_DETECTION.name, batch)
    found: list[Region | None] = []
    for box, logit in zip(boxes, logits, strict=True):
        keypoints = detections.best_keypoints(box, logit, _ANCHORS, networks.POSE_DETECTION.size)
        found.append(None if keypoints is None else around(whole.to_image(keypoints)))
    return found


def landmarks(
    engine: Engine, places: Sequence[tuple[NDArray[np.uint8], Region]]
) -> list[Pose | None]:
    """The pose in each region of an image; None where there is none after all."""
    if not places:
        return []
    batch = cut(networks.POSE_LANDMARK, places)
    tensors, presence, heatmaps = engine.infer(networks.POSE_LANDMARK.name, batch)
    return [
        _decoded(tensor, heatmap, region) if present[0] > _PRESENCE else None
        for tensor, present, heatmap, (_, region) in zip(
            tensors, presence, heatmaps, places, strict=True
        )
    ]


def _decoded(tensor: NDArray[np.float32], heatmap: NDArray[np.float32], region: Region) -> Pose:
    """x, y, z, visibility logit and presence logit of each of 39 landmarks, made a pose."""
    rows = tensor.reshape(-1, 5)[:_USED].astype(np.float64)
    points = rows[:, :3] / networks.POSE_LANDMARK.size
    points[:, :2] = refined(points[:, :2], heatmap)
    placed = region.to_image(points)
    return Pose(placed[:COUNT], 1 / (1 + np.exp(-rows[:COUNT, 3])), placed[COUNT:])


def around(points: NDArray[np.float64]) -> Region:
    """The region of a body from its middle and a point on the circle around it, (2, ≥ 2) px."""
    radius, angle = regions.step(points[0], points[1], math.pi / 2)
    return regions.around(points[0], radius, angle, scale=_SCALE)
