"""Out of a detector's boxes, the people; out of several people, the one who is followed."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Boxes = NDArray[np.float32]

_PIXEL = 1.0
"""YOLOX's demo counts the last pixel of a box in when it looks for overlaps."""


class Rule(StrEnum):
    """Who is followed, of several people."""

    LARGEST = "largest"
    """Whose box has the largest area."""
    CENTRAL = "central"
    """Whose box has its middle closest to the middle of the picture, sideways."""
    MOST_MOTION = "most-motion"
    """Who moves hands, arms and face most; known at the end of a video only."""
    FIRST = "first"
    """Of whom the detector is most sure: what public code calls person 0."""


def suppress(found: Boxes, score: float, overlap: float) -> Boxes:
    """Leave one box for each person: greedy non-maximum suppression, as in YOLOX's demo.

    Args:
        found: (n, 5): left, top, right, bottom in pixels of the frame, score; best first.
        score: boxes that are not above it are left out.
        overlap: so is a box whose intersection over union with a better one is above this.

    Returns:
        (m, 5), best first.
    """
    left = found[found[:, 4] > score]
    kept = []
    while len(left):
        best, left = left[:1], left[1:]
        kept.append(best[0])
        left = left[overlaps(best, left, _PIXEL)[0] <= overlap]
    return np.array(kept, np.float32).reshape(-1, 5)


def overlaps(boxes: Boxes, others: Boxes, pixel: float = 0.0) -> NDArray[np.float32]:
    """Intersection over union of each box with each of the others.

    Args:
        boxes: (n, 4 or more): left, top, right, bottom.
        others: (m, 4 or more).
        pixel: what is added to each side.

    Returns:
        (n, m); 0 for two boxes without an area.
    """
    a, b, one = boxes[:, None, :4], others[None, :, :4], np.float32(pixel)
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]) + one
    common = np.prod(np.maximum(sides, 0), axis=-1)
    areas = [np.prod(box[..., 2:] - box[..., :2] + one, axis=-1) for box in (a, b)]
    union = areas[0] + areas[1] - common
    return np.asarray(np.divide(common, union, out=np.zeros_like(common), where=union > 0))


def ranked(people: Boxes, rule: Rule, width: int) -> list[int]:
    """The people of one frame in the order in which a rule would follow them.

    For `MOST_MOTION`, which one frame does not tell, as for `LARGEST`.

    Args:
        people: (n, 5) as `suppress` gives them.
        rule: how to choose.
        width: of the picture, in pixels.

    Returns:
        Indices.
    """
    if rule is Rule.FIRST:
        worth = people[:, 4]
    elif rule is Rule.CENTRAL:
        worth = -np.abs(people[:, [0, 2]].mean(axis=1) - width / 2)
    else:
        worth = np.prod(people[:, 2:4] - people[:, :2], axis=1)
    return [int(index) for index in np.argsort(-worth, kind="stable")]
