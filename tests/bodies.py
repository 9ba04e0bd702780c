"""Rectangular people on black, and networks that see them: where each is is known by construction.

A person is a rectangle of one grey of its own. Who is painted later hides who was painted before.
The detector sees each of whom enough is to be seen; the pose network finds the keypoints, spread
over what is to be seen, of whoever covers most of the middle of its crop.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from posewatch.vision.topdown import DetectorPlan, PosePlan, Rule, TopDown, TopDownResult

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from posewatch.vision.engine import Outputs

SIZE = (320, 240)
BODY = (40, 100)
KEYPOINTS = 16
GREYS = (255, 205, 155, 105)
"""Of the people, in the order of their numbers here."""
MARGINS = np.array([-4, -10, 6, 8])
"""By how much the detector's boxes are larger than people."""
FPS = 25
NAMES = ("frames", "confidences", "boxes", "box_scores", "track_ids")

_SEEN = 0.35
"""Part of a body that has to be seen by the detector."""


class Bodies:
    """An engine that counts the pictures that it is shown, and notes the size of its batches."""

    def __init__(self) -> None:
        self.shown: Counter[str] = Counter()
        self.batches: list[tuple[str, int]] = []

    def infer(self, network: str, batch: NDArray[np.uint8]) -> Outputs:
        self.shown[network] += len(batch)
        self.batches.append((network, len(batch)))
        answer = _people if network == "detector" else _keypoints
        return (np.stack([answer(picture[..., 0]) for picture in batch]),)


def frame(
    *people: tuple[int, float] | tuple[int, float, float], zoom: float = 1.0
) -> NDArray[np.uint8]:
    """People by number, left (px) and perhaps top; the last one is in front."""
    picture = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    for number, left, *top in people:
        above = top[0] if top else 60
        low = np.array([above, left]).clip(0)
        high = np.array([above + zoom * BODY[1], left + zoom * BODY[0]]).clip(0)
        (a, b), (c, d) = low.astype(int), high.astype(int)
        picture[a:c, b:d] = GREYS[number]
    return picture


def process(
    frames: Sequence[NDArray[np.uint8]],
    every: int | None,
    *,
    people: int = 1,
    rule: Rule = Rule.LARGEST,
    step: int = 1000,
) -> tuple[TopDownResult, Counter[str]]:
    """What is found in a video, `step` frames at a time, and how many pictures were looked at."""
    engine = Bodies()
    track = TopDown(engine, *plans(), rule=rule, every=every, people=people).start(*SIZE)
    parts = [
        track.process(
            np.stack(frames[at : at + step]), np.arange(at, min(at + step, len(frames))) / FPS
        )
        for at in range(0, len(frames), step)
    ]
    joined = (np.concatenate([getattr(part, name) for part in parts]) for name in NAMES)
    return TopDownResult(*joined), engine.shown


def plans() -> tuple[DetectorPlan, PosePlan]:
    return (
        DetectorPlan("detector", SIZE, fill=0, score=0.3, overlap=0.45),
        PosePlan("pose", (96, 128), padding=1.25, score=0.3, keypoints=KEYPOINTS, openpose=False),
    )


def _extent(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    rows, columns = np.nonzero(mask)
    return np.array([columns.min(), rows.min(), columns.max(), rows.max()], float)


def _people(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(people, 5), and rows of nothing where there are fewer."""
    rows = []
    for number, grey in enumerate(GREYS):
        mask = picture == grey
        seen = mask.sum() >= _SEEN * BODY[0] * BODY[1]
        row = [*(_extent(mask) + MARGINS), 0.9 - number / 10] if seen else [0.0] * 5
        rows.append(row)
    return np.array(rows, np.float32)


def _keypoints(crop: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(KEYPOINTS, 3): on the diagonal of a body, from its upper left to its lower right."""
    height, width = crop.shape
    middle = crop[height // 4 : -height // 4, width // 4 : -width // 4]
    masks = [np.abs(crop.astype(int) - grey) < 20 for grey in GREYS]  # crops are smoothed
    covered = [int((np.abs(middle.astype(int) - grey) < 20).sum()) for grey in GREYS]
    best = int(np.argmax(covered))
    if not covered[best]:
        return np.zeros((KEYPOINTS, 3), np.float32)
    low, high = _extent(masks[best]).reshape(2, 2)
    part = np.linspace(0, 1, KEYPOINTS)[:, None]
    points = low + part * (high - low)
    return np.hstack([points, np.full((KEYPOINTS, 1), 0.9)]).astype(np.float32)
