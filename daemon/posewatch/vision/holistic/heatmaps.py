"""Pose landmarks, refined by the network's heat maps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_REACH = 4
"""Cells on either side of the landmark's own.

MediaPipe is configured with a kernel of 7 and behaves as with one of 9: measured, error 3e-5
against 9.5e-4.
"""

_MIN_CONFIDENCE = 0.5


def refined(points: NDArray[np.float64], heatmaps: NDArray[np.float32]) -> NDArray[np.float64]:
    """Points moved to the centre of mass of the heat around them.

    A point keeps its place where it lies outside of the map, or where no cell around it reaches a
    confidence of 0.5.

    Args:
        points: (k, 2), x and y in parts of the crop.
        heatmaps: (rows, columns, ≥ k) logits.

    Returns:
        (k, 2).
    """
    rows, columns = heatmaps.shape[:2]
    count = len(points)
    cell = np.floor(points * (columns, rows)).astype(np.int64)
    inside = ((cell >= 0) & (cell < (columns, rows))).all(axis=1)
    around = np.arange(-_REACH, _REACH + 1)
    x = cell[:, 0, None] + around
    y = cell[:, 1, None] + around
    logits = heatmaps[
        np.clip(y, 0, rows - 1)[:, :, None],
        np.clip(x, 0, columns - 1)[:, None, :],
        np.arange(count)[:, None, None],
    ].astype(np.float64)
    heat = 1 / (1 + np.exp(-logits))
    heat *= ((y >= 0) & (y < rows))[:, :, None] & ((x >= 0) & (x < columns))[:, None, :]
    moved = inside & (heat.max(axis=(1, 2)) >= _MIN_CONFIDENCE)
    across, down = heat.sum(axis=1), heat.sum(axis=2)
    total = np.where(moved, across.sum(axis=1), 1.0)
    out = points.copy()
    out[moved, 0] = ((across * x).sum(axis=1) / total / columns)[moved]
    out[moved, 1] = ((down * y).sum(axis=1) / total / rows)[moved]
    return out
