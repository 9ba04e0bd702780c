"""Where a person's box will be, without a detector: around the keypoints, as it was before."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_KEPT = 0.5
"""Part of the keypoints which the detector's own box showed, and below which a person is lost."""


class Follower:
    """Follows the box of one person from frame to frame.

    The detector's box is not that of the keypoints: it has hair and clothes in it. How far its
    sides lie from those of the keypoints is remembered from the frame in which the detector looked,
    and kept until it looks again, so that the pose network gets what it was trained with.

    Args:
        score: keypoints below it are not looked at.
    """

    def __init__(self, score: float) -> None:
        self._score = score
        self._margins = np.zeros(4)
        self._count = 0
        self.expected: NDArray[np.float32] | None = None
        """Left, top, right, bottom where the person is expected in the next frame, and NaN for the
        score; None while nobody is followed."""

    def begin(
        self, box: NDArray[np.float32], points: NDArray[np.float64], scores: NDArray[np.float32]
    ) -> None:
        """The detector has found the person.

        Args:
            box: left, top, right, bottom in pixels.
            points: (keypoints, 2) in pixels.
            scores: (keypoints,).
        """
        around = self._around(points, scores)
        if around is None:
            self.lose()
            return
        self._count = int((scores >= self._score).sum())
        self._margins = box[:4] - around
        self._expect(around)

    def follow(self, points: NDArray[np.float64], scores: NDArray[np.float32]) -> bool:
        """The pose network has looked where the person was expected.

        Returns:
            Whether the person is still there; `expected` is for the frame after, then.
        """
        around = self._around(points, scores)
        if around is None or (scores >= self._score).sum() < _KEPT * self._count:
            return False
        self._expect(around)
        return True

    def lose(self) -> None:
        """Nobody is followed until `begin`."""
        self.expected = None

    def _expect(self, around: NDArray[np.float64]) -> None:
        self.expected = np.append(around + self._margins, np.nan).astype(np.float32)

    def _around(
        self, points: NDArray[np.float64], scores: NDArray[np.float32]
    ) -> NDArray[np.float64] | None:
        """The box of the keypoints that were found; None if it has no area."""
        found = points[scores >= self._score]
        if len(found) == 0:
            return None
        low, high = found.min(axis=0), found.max(axis=0)
        return np.concatenate([low, high]) if (high > low).all() else None
