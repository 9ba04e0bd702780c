"""What the two detectors (pose, face) say: anchors, decoding, and the best detection.

Both look for boxes with key points, relative to a fixed grid of anchors. Holistic uses only the
key points of the best detection, so nothing else is worked out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_OVERLAP = 0.3
_SCORE_LIMIT = 100.0


def anchors(size: int, strides: Sequence[int]) -> NDArray[np.float64]:
    """Centres of the anchors, (a, 2) x and y in parts of the input, in the order of the outputs.

    Each layer has two anchors in each cell; layers of one stride share their cells.

    Args:
        size: of the network's input, px.
        strides: of the layers, px, equal ones side by side.
    """
    grids = []
    for stride in dict.fromkeys(strides):
        cells = size // stride
        centres = (np.arange(cells) + 0.5) / cells
        grid = np.stack(np.meshgrid(centres, centres), axis=-1).reshape(-1, 2)
        grids.append(np.repeat(grid, 2 * strides.count(stride), axis=0))
    return np.concatenate(grids)


def best_keypoints(
    boxes: NDArray[np.float32],
    logits: NDArray[np.float32],
    centres: NDArray[np.float64],
    size: int,
) -> NDArray[np.float64] | None:
    """Key points of the best detection, or None where none has a score of at least 0.5.

    They are the mean, weighted by score, over all boxes that overlap the best one by more than
    0.3 (intersection over union): MediaPipe's weighted non-maximum suppression, of which only the
    first result is wanted.

    Args:
        boxes: (a, 4 + 2k): x, y, width, height, then k key points; px from the anchor.
        logits: (a, 1) or (a,).
        centres: of the anchors, (a, 2).
        size: of the network's input, px.

    Returns:
        (k, 2), in parts of the input.
    """
    (likely,) = np.nonzero(logits.reshape(-1) >= 0)
    if not likely.size:
        return None
    raw = boxes[likely].astype(np.float64) / size
    scores = logits.reshape(-1)[likely].astype(np.float64)
    scores = 1 / (1 + np.exp(-np.minimum(scores, _SCORE_LIMIT)))
    centre = centres[likely] + raw[:, 0:2]
    near = _overlaps(centre - raw[:, 2:4] / 2, centre + raw[:, 2:4] / 2, int(scores.argmax()))
    points = raw[near, 4:].reshape(np.count_nonzero(near), -1, 2) + centres[likely][near][:, None]
    weights = scores[near]
    mean: NDArray[np.float64] = np.tensordot(weights, points, axes=1) / weights.sum()
    return mean


def _overlaps(low: NDArray[np.float64], high: NDArray[np.float64], best: int) -> NDArray[np.bool_]:
    """Which boxes (n, 2) corners overlap box number `best` enough; it does so itself."""
    edges = np.minimum(high, high[best]) - np.maximum(low, low[best])
    shared = np.prod(np.maximum(edges, 0), axis=1)
    areas = np.prod(high - low, axis=1)
    near: NDArray[np.bool_] = shared > _OVERLAP * (areas + areas[best] - shared)
    near[best] = True
    return near
