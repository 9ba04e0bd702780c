"""Where a person's box will be, without a detector: it goes where the keypoints go."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_KEPT = 0.5
"""Part of the keypoints which the last look found, and below which a person is lost."""

_ZOOM = 1.15
"""Factor by which a person may have grown or shrunk since the last look: the box would not fit."""

_SMOOTH = 0.2
"""Weight of a frame in the mean growth: arms that are raised look like growth for a moment."""

_JUMP = 0.1
"""Part of the box's width and height together that a person may move in one frame: somebody else
would be farther away."""

_LEAD = 0.5
"""Part of the way of the last frame that the box goes ahead. More overshoots where people turn."""

_FEW = 3
"""Keypoints that say how a person moves, at least."""

_PAIRS = (0.1, 0.2, 0.3, 0.4, 0.5)
"""How far on in the list of keypoints, as a part of it, are those that each one is paired with."""


class Doubt(StrEnum):
    """Why the keypoints no longer show where the person is, so that the detector has to look."""

    LOST = "lost"
    """Too few of the keypoints are found."""
    ZOOM = "zoom"
    """The person has become larger or smaller."""
    JUMP = "jump"
    """The keypoints moved farther than people do: they may be somebody else's."""


class Follower:
    """Follows the box of one person from frame to frame.

    The detector's box moves by the median way of the keypoints since the detector looked: hands,
    which move differently, are the fewer ones. Its shape stays; only where keypoints leave it, it
    is made larger. (To keep its distance from the outermost keypoints was tried: each hand that is
    not found for a moment makes such a box jump.)

    Args:
        score: keypoints below it are not looked at.
    """

    def __init__(self, score: float) -> None:
        self._score = score
        self._box = np.zeros(4, np.float32)
        self._points = np.zeros((0, 2))
        self._known = np.zeros(0, bool)
        self._way = np.zeros(2)
        self._step = np.zeros(2)
        self._growth = 1.0
        self.place = np.zeros(4, np.float32)
        """Left, top, right, bottom where the keypoints showed the person in the last frame."""
        self.expected: NDArray[np.float32] | None = None
        """The same for the next frame, and NaN for the score; None while nobody is followed."""

    def begin(
        self, box: NDArray[np.float32], points: NDArray[np.float64], scores: NDArray[np.float32]
    ) -> None:
        """The detector has found the person.

        Args:
            box: left, top, right, bottom in pixels.
            points: (keypoints, 2) in pixels.
            scores: (keypoints,).
        """
        self._known = scores >= self._score
        if self._known.sum() < _FEW:
            self.lose()
            return
        self._box, self._points = box[:4], points
        self._way, self._step, self._growth = np.zeros(2), np.zeros(2), 1.0
        self.expected = np.append(self._box, np.float32(np.nan))

    def follow(self, points: NDArray[np.float64], scores: NDArray[np.float32]) -> Doubt | None:
        """The pose network has looked where the person was expected.

        Returns:
            Why that cannot go on; None if it can, and `place` is for this frame, `expected` for the
            one after, then.
        """
        found = scores >= self._score
        both = found & self._known
        if found.sum() < _KEPT * self._known.sum() or both.sum() < _FEW:
            return Doubt.LOST
        before, now = self._points[both], points[both]
        self._growth += _SMOOTH * (_growth(before, now) - self._growth)
        if not 1 / _ZOOM <= self._growth <= _ZOOM:
            return Doubt.ZOOM
        way = np.median(now - before, axis=0)
        step = way - self._way
        if np.abs(step).max() > _JUMP * (self._box[2:] - self._box[:2]).sum():
            return Doubt.JUMP
        self._way, self._step = way, (self._step + step) / 2
        low, high = points[found].min(axis=0), points[found].max(axis=0)
        box = self._box + np.tile(way, 2)
        box = np.concatenate([np.minimum(box[:2], low), np.maximum(box[2:], high)])
        self.place = box.astype(np.float32)
        ahead = np.tile(_LEAD * self._step, 2)
        self.expected = np.append(box + ahead, np.nan).astype(np.float32)
        return None

    def lose(self) -> None:
        """Nobody is followed until `begin`."""
        self.expected = None


def _growth(before: NDArray[np.float64], now: NDArray[np.float64]) -> float:
    """The factor by which points moved apart: the median over many pairs of them.

    As the estimator of Theil and Sen does for slopes: hands, which move differently, count little.

    Args:
        before: (n, 2), n ≥ 2.
        now: (n, 2), the same points.
    """
    # As complex numbers, whose distance is one operation: this runs for each person in each frame.
    both = np.stack([before, now], dtype=np.float64).view(np.complex128)[..., 0]
    apart = np.concatenate(
        [
            np.abs(both - np.roll(both, by, axis=1))
            for by in {max(1, round(len(before) * part)) for part in _PAIRS}
        ],
        axis=1,
    )
    return float(np.median(apart[1] / np.maximum(apart[0], 1.0)))
