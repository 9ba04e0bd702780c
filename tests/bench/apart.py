"""How far keypoints are from true ones, and how often they are somebody else's or nobody's."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

ASTRAY = 0.25
"""Of the diagonal: where half of the keypoints are farther from the true ones, it is not the same
person."""


@dataclass(frozen=True, slots=True)
class Told:
    """How one way of looking did on a clip.

    Attributes:
        apart: of all keypoints that it and `always` found, in per cent of the diagonal.
        frames: of the clip.
        looks: frames in which the detector looked.
        points: keypoints that `always` found.
        gone: of these, keypoints that were not found.
        seen: frames in which `always` found some.
        missing: of these, frames in which none were found.
        wrong: of these, frames in which half of the keypoints are astray.
        extra: frames in which keypoints were found where `always` found none.
    """

    apart: NDArray[np.float64]
    frames: int
    looks: int
    points: int
    gone: int
    seen: int
    missing: int
    wrong: int
    extra: int

    def __str__(self) -> str:
        parts = np.percentile(self.apart, (50, 95, 99)) if len(self.apart) else ()
        return (
            f"{' / '.join(f'{part:.1f}' for part in parts) or '-'} %, "
            f"looks {100 * self.looks / self.frames:.1f} %, "
            f"keypoints gone {100 * self.gone / max(self.points, 1):.1f} %, of {self.seen} frames "
            f"{self.missing} missing, {self.wrong} wrong, {self.extra} more"
        )


def compared(
    ours: NDArray[np.float32],
    truth: tuple[NDArray[np.float32], NDArray[np.float32]],
    size: tuple[int, int],
    looks: int,
) -> Told:
    """How far keypoints (n, keypoints, 2) are from true ones."""
    true, boxes = truth
    there, seen = ((points != -1).any(-1) & np.isfinite(points).all(-1) for points in (ours, true))
    diagonal = np.linalg.norm((boxes[:, 2:] - boxes[:, :2]) * size, axis=-1)
    away = np.linalg.norm((ours - true) * size, axis=-1) / diagonal[:, None]
    both = there & seen
    halfway = [np.median(frame[of]) for frame, of in zip(away, both, strict=True) if of.any()]
    return Told(
        apart=100 * away[both].astype(np.float64),
        frames=len(ours),
        looks=looks,
        points=int(seen.sum()),
        gone=int((seen & ~there).sum()),
        seen=int(seen.any(-1).sum()),
        missing=int((seen.any(-1) & ~there.any(-1)).sum()),
        wrong=int(np.greater(halfway, ASTRAY).sum()),
        extra=int((there.any(-1) & ~seen.any(-1)).sum()),
    )


def together(parts: Sequence[Told]) -> Told:
    """All clips as one."""
    counts = (field.name for field in fields(Told) if field.name != "apart")
    sums = {name: sum(getattr(part, name) for part in parts) for name in counts}
    return Told(apart=np.concatenate([part.apart for part in parts]), **sums)
