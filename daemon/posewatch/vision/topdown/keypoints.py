"""The keypoints of COCO-WholeBody in the order of OpenPose, with a neck."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

WHOLE_BODY = 133
"""Keypoints of COCO-WholeBody: body 17, feet 6, face 68, left hand 21, right hand 21."""

OPENPOSE = WHOLE_BODY + 1

NECK = 1
_SHOULDERS = (5, 6)  # of COCO: left, right

_BODY = (0, WHOLE_BODY, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3)
"""COCO's number of each of OpenPose's 18 body keypoints; the neck stands behind all of COCO's."""

_ORDER = np.array((*_BODY, *range(17, WHOLE_BODY)))
_ORDER.flags.writeable = False


def with_neck(
    points: NDArray[np.float64], scores: NDArray[np.float32], score: float
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Put keypoints into the order of OpenPose, and add a neck between the shoulders.

    The neck's score is not one: 1 if both shoulders were found, else 0. So is it in the published
    datasets.

    Args:
        points: (n, 133, 2).
        scores: (n, 133).
        score: a shoulder above it was found.

    Returns:
        (n, 134, 2) and (n, 134).
    """
    neck = points[:, _SHOULDERS].mean(axis=1, keepdims=True)
    found = (scores[:, _SHOULDERS] > score).all(axis=1, keepdims=True).astype(np.float32)
    return (
        np.concatenate([points, neck], axis=1)[:, _ORDER],
        np.concatenate([scores, found], axis=1)[:, _ORDER],
    )
