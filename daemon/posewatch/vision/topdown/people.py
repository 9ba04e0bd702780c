"""Out of a detector's boxes, the people; out of the people, the one that is followed."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Box = NDArray[np.float32]

_SAME = 0.3
"""Intersection over union from which a box shows the person of the last frame's box."""

_PATIENCE = 1.0
"""Seconds for which a person who is not to be seen is waited for, while others are there."""

_PIXEL = np.float32(1.0)
"""YOLOX's demo counts the last pixel of a box in when it looks for overlaps."""


def suppress(found: NDArray[np.float32], score: float, overlap: float) -> NDArray[np.float32]:
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
        best, left = left[0], left[1:]
        kept.append(best)
        left = left[_overlaps(best, left, _PIXEL) <= overlap]
    return np.array(kept, np.float32).reshape(-1, 5)


def _overlaps(box: Box, others: NDArray[np.float32], pixel: np.float32) -> NDArray[np.float32]:
    """Intersection over union of a box with each of the others, (n,)."""
    low = np.maximum(others[:, :2], box[:2])
    high = np.minimum(others[:, 2:4], box[2:4])
    common = np.prod(np.maximum(high - low + pixel, 0), axis=1)
    areas = np.prod(others[:, 2:4] - others[:, :2] + pixel, axis=1)
    union = np.prod(box[2:4] - box[:2] + pixel) + areas - common
    # Two boxes without an area have nothing in common.
    return np.asarray(np.divide(common, union, out=np.zeros_like(common), where=union > 0))


class Rule(StrEnum):
    """Who is followed, of several people."""

    LARGEST = "largest"
    """Whose box has the largest area."""
    CENTRAL = "central"
    """Whose box has its middle closest to the middle of the picture, sideways."""
    FIRST = "first"
    """Of whom the detector is most sure: what public code calls person 0."""


class Signer:
    """Follows one person: chosen by a rule at first, and then whoever is where that person was.

    The person is recognised by the overlap of the boxes. Where none overlaps, somebody who is alone
    as the person was is taken for the same one, who moved quickly or was filmed anew; among several
    people the person is waited for, and after a second the rule chooses again.

    Args:
        rule: how to choose.
        width: of the picture, in pixels.
    """

    def __init__(self, rule: Rule, width: int) -> None:
        self._rule = rule
        self._middle = width / 2
        self._box: Box | None = None
        self._alone = False
        self._seen = 0.0

    def choose(self, people: NDArray[np.float32], time: float) -> int | None:
        """Which of the people of the next frame it is.

        Args:
            people: (n, 5) as `suppress` gives them.
            time: of the frame, in seconds.

        Returns:
            An index; None if the person is not among them.
        """
        if not len(people):
            return None
        chosen = self._choose(people, time)
        if chosen is not None:
            self._box = people[chosen]
            self._alone = len(people) == 1
            self._seen = time
        return chosen

    def _choose(self, people: NDArray[np.float32], time: float) -> int | None:
        if self._box is None:
            return self._by_rule(people)
        overlaps = _overlaps(self._box, people, np.float32(0))
        if overlaps.max() >= _SAME:
            return int(overlaps.argmax())
        if self._alone and len(people) == 1:
            return 0
        return self._by_rule(people) if abs(time - self._seen) > _PATIENCE else None

    def _by_rule(self, people: NDArray[np.float32]) -> int:
        if self._rule is Rule.FIRST:
            return int(people[:, 4].argmax())
        if self._rule is Rule.CENTRAL:
            return int(np.abs(people[:, [0, 2]].mean(axis=1) - self._middle).argmin())
        return int(np.prod(people[:, 2:4] - people[:, :2], axis=1).argmax())
