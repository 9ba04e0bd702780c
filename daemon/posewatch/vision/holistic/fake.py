"""An engine without networks: sees the same person wherever a crop is not black. For tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from posewatch.base.errors import ModelError
from posewatch.vision.holistic import networks

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from posewatch.vision.engine import Outputs

_SURE = 20.0  # a logit
_POSE_ANCHORS, _FACE_ANCHORS = 2254, 896


class FakeEngine:
    """An `Engine` whose person fills the middle of the image, and raises both hands.

    Args:
        before: called with the network's name before each answer; what it raises, `infer` raises.

    Attributes:
        calls: network and number of crops of each call, in order.
    """

    def __init__(self, before: Callable[[str], None] = lambda _network: None) -> None:
        self._before = before
        self.calls: list[tuple[str, int]] = []

    def infer(self, network: str, batch: NDArray[np.uint8]) -> Outputs:
        """See `posewatch.vision.engine.Engine`."""
        self._before(network)
        self.calls.append((network, len(batch)))
        answer = _ANSWERS.get(network)
        if answer is None:
            raise ModelError(f"no network {network!r}")
        seen = batch.max(axis=(1, 2, 3)) > 0
        return tuple(output.astype(np.float32) for output in answer(seen))


def _detected(
    seen: NDArray[np.bool_], anchors: int, keypoints: NDArray[np.float64], size: int
) -> tuple[NDArray[np.floating], ...]:
    """One sure box at the first anchor, whose centre lies half a cell of 8 px from the corner."""
    boxes = np.zeros((len(seen), anchors, 4 + keypoints.size))
    boxes[:, 0, 4:] = (keypoints * size - 4).ravel()
    boxes[:, 0, 2:4] = size / 2
    logits = np.full((len(seen), anchors, 1), -_SURE)
    logits[seen, 0] = _SURE
    return boxes, logits


def _pose_detection(seen: NDArray[np.bool_]) -> tuple[NDArray[np.floating], ...]:
    """The hips in the middle, the circle around the body up to the image's edge."""
    keypoints = np.array([[0.5, 0.5], [0.5, 0.1], [0.5, 0.3], [0.5, 0.2]])
    return _detected(seen, _POSE_ANCHORS, keypoints, networks.POSE_DETECTION.size)


def _pose_landmark(seen: NDArray[np.bool_]) -> tuple[NDArray[np.floating], ...]:
    """A body whose head and hands are where the other networks will look for them."""
    points = np.zeros((39, 5))
    points[:, 0:2] = 0.5
    points[0:11, 0] = 0.5 + np.array([0, 1, 2, 3, -1, -2, -3, 4, -4, 1, -1]) * 0.01
    points[0:11, 1] = 0.2 + np.array([0, -2, -2, -2, -2, -2, -2, 0, 0, 2, 2]) * 0.01
    for left, y in ((15, 0.5), (17, 0.45), (19, 0.44)):
        points[left, 0:2] = 0.7, y
        points[left + 1, 0:2] = 0.3, y
    points[34, 1] = 0.1  # above the hips, which are point 33
    points[:, 0:2] *= networks.POSE_LANDMARK.size
    points[:, 3] = 3.0  # a logit
    return (
        np.tile(points.ravel(), (len(seen), 1)),
        seen[:, None] * 1.0,
        np.full((len(seen), 64, 64, 39), -_SURE),
    )


def _hand_recrop(seen: NDArray[np.bool_]) -> tuple[NDArray[np.floating], ...]:
    """The middle of the hand, and the middle of the edge below it."""
    points = np.array([0.5, 0.5, 0.5, 0.9]) * networks.HAND_RECROP.size
    return (np.tile(points, (len(seen), 1)),)


def _hand_landmark(seen: NDArray[np.bool_]) -> tuple[NDArray[np.floating], ...]:
    """The wrist below, the fingers side by side above it."""
    points = np.zeros((21, 3))
    points[0, :2] = 0.5, 0.7
    for finger in range(5):
        for joint in range(4):
            points[1 + 4 * finger + joint, :2] = 0.4 + 0.05 * finger, 0.6 - 0.08 * joint
    points *= networks.HAND_LANDMARK.size
    return np.tile(points.ravel(), (len(seen), 1)), seen[:, None] * 1.0


def _face_detection(seen: NDArray[np.bool_]) -> tuple[NDArray[np.floating], ...]:
    """Eyes, nose, mouth and ears."""
    x, y = [0.4, 0.6, 0.5, 0.5, 0.3, 0.7], [0.4, 0.4, 0.5, 0.6, 0.45, 0.45]
    keypoints = np.stack([x, y], axis=1)
    return _detected(seen, _FACE_ANCHORS, keypoints, networks.FACE_DETECTION.size)


def _face_landmark(seen: NDArray[np.bool_]) -> tuple[NDArray[np.floating], ...]:
    """An oval; the outer corners of the eyes, 33 and 263, on one level."""
    turn = np.linspace(0, 2 * np.pi, 468, endpoint=False)
    points = np.stack([0.5 + 0.3 * np.cos(turn), 0.5 + 0.35 * np.sin(turn), 0 * turn], axis=1)
    points[33, :2], points[263, :2] = (0.4, 0.4), (0.6, 0.4)
    points *= networks.FACE_LANDMARK.size
    return np.tile(points.ravel(), (len(seen), 1)), np.where(seen, _SURE, -_SURE)[:, None]


_ANSWERS: dict[str, Callable[[NDArray[np.bool_]], tuple[NDArray[np.floating], ...]]] = {
    networks.POSE_DETECTION.name: _pose_detection,
    networks.POSE_LANDMARK.name: _pose_landmark,
    networks.HAND_RECROP.name: _hand_recrop,
    networks.HAND_LANDMARK.name: _hand_landmark,
    networks.FACE_DETECTION.name: _face_detection,
    networks.FACE_LANDMARK.name: _face_landmark,
}
