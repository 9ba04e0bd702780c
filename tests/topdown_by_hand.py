"""The pipeline that docs/dwpose.md states, once more, slowly and with the published networks.

Shares no code with posewatch: one picture at a time, every class, every cell, plain loops.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    import onnxruntime
    from numpy.typing import NDArray


def people(
    session: onnxruntime.InferenceSession, rgb: NDArray[np.uint8], size: tuple[int, int]
) -> list[tuple[float, list[float]]]:
    """Score and box of each person, in pixels of the picture, best first."""
    height, width = rgb.shape[:2]
    ratio = min(size[0] / width, size[1] / height)
    canvas = np.full((size[1], size[0], 3), 114.0, np.float32)
    fitted = cv2.resize(rgb[:, :, ::-1], (int(width * ratio), int(height * ratio)))
    canvas[: fitted.shape[0], : fitted.shape[1]] = fitted
    (output,) = session.run(None, {"images": canvas.transpose(2, 0, 1)[None]})
    found = []
    row = 0
    for stride in (8, 16, 32):
        for y in range(size[1] // stride):
            for x in range(size[0] // stride):
                values = output[0, row].astype(float)
                row += 1
                score = values[4] * values[5]
                if score <= 0.3:
                    continue
                cx, cy = (values[0] + x) * stride, (values[1] + y) * stride
                w, h = np.exp(values[2]) * stride, np.exp(values[3]) * stride
                box = [cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2]
                found.append((score, [side / ratio for side in box]))
    kept: list[tuple[float, list[float]]] = []
    for score, box in sorted(found, key=lambda it: -it[0]):
        if all(overlap(box, other) <= 0.45 for _, other in kept):
            kept.append((score, box))
    return kept


def overlap(a: list[float], b: list[float]) -> float:
    """Intersection over union, the last pixel counted in."""

    def area(box: list[float]) -> float:
        return max(0.0, box[2] - box[0] + 1) * max(0.0, box[3] - box[1] + 1)

    common = area([max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])])
    return common / (area(a) + area(b) - common)


def keypoints(
    session: onnxruntime.InferenceSession,
    rgb: NDArray[np.uint8],
    box: list[float],
    size: tuple[int, int],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """OpenPose's 134 keypoints in pixels of the picture, and their scores."""
    left, top, right, bottom = box
    cx, cy = (left + right) / 2, (top + bottom) / 2
    w, h = (right - left) * 1.25, (bottom - top) * 1.25
    w, h = (w, w * size[1] / size[0]) if w / h > size[0] / size[1] else (h * size[0] / size[1], h)
    zoom = size[0] / w
    matrix = np.array([[zoom, 0, size[0] / 2 - zoom * cx], [0, zoom, size[1] / 2 - zoom * cy]])
    crop = cv2.warpAffine(rgb, matrix, size).astype(np.float32)
    crop = (crop - [123.675, 116.28, 103.53]) / [58.395, 57.12, 57.375]
    planes = crop.transpose(2, 0, 1)[None].astype(np.float32)
    along_x, along_y = (out[0] for out in session.run(None, {"input": planes}))
    points, scores = np.zeros((134, 2)), np.zeros(134)
    coco, sure = np.zeros((133, 2)), np.zeros(133)
    for number in range(133):
        x, y = int(along_x[number].argmax()), int(along_y[number].argmax())
        sure[number] = min(along_x[number, x], along_y[number, y])
        coco[number] = (x / 2 - size[0] / 2) / zoom + cx, (y / 2 - size[1] / 2) / zoom + cy
    named = {0: 0, 2: 6, 3: 8, 4: 10, 5: 5, 6: 7, 7: 9, 8: 12, 9: 14, 10: 16, 11: 11, 12: 13}
    named |= {13: 15, 14: 2, 15: 1, 16: 4, 17: 3} | {n + 1: n for n in range(17, 133)}
    for ours, theirs in named.items():
        points[ours], scores[ours] = coco[theirs], sure[theirs]
    points[1] = (coco[5] + coco[6]) / 2
    scores[1] = float(sure[5] > 0.3 and sure[6] > 0.3)
    return points, scores
