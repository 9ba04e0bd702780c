"""What two networks find in the frames of one video."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from posewatch.base.errors import Fault, InputError
from posewatch.vision.topdown import crops, keypoints
from posewatch.vision.topdown.letterbox import letterbox, scale
from posewatch.vision.topdown.people import suppress

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from posewatch.vision.engine import Engine


_ABSURD = 1e6
"""Pixels, far outside of any picture. Neither infinity nor NaN is below it."""


@dataclass(frozen=True, slots=True)
class DetectorPlan:
    """How to ask a network for people.

    It takes uint8 RGB (n, height, width, 3) and answers (n, boxes, 5): left, top, right, bottom in
    pixels of its input, score; best first.

    Attributes:
        name: of the network, for the engine.
        size: width and height of its input.
        fill: value of its input where there is no picture.
        score: people below it are not believed.
        overlap: of two boxes that overlap by more (intersection over union), the better one stays.
    """

    name: str
    size: tuple[int, int]
    fill: int
    score: float
    overlap: float


@dataclass(frozen=True, slots=True)
class PosePlan:
    """How to ask a network for the keypoints of a person.

    It takes uint8 RGB (n, height, width, 3) and answers (n, keypoints, 3): x and y in pixels of its
    input, score.

    Attributes:
        name: of the network, for the engine.
        size: width and height of its input.
        padding: factor by which the box of the person is made larger.
        score: keypoints below it count as not found.
        keypoints: how many it finds.
        openpose: whether to put the 133 of COCO-WholeBody into the order of OpenPose, with a neck.
    """

    name: str
    size: tuple[int, int]
    padding: float
    score: float
    keypoints: int
    openpose: bool

    def __post_init__(self) -> None:
        if self.openpose and self.keypoints != keypoints.WHOLE_BODY:
            raise ValueError(
                f"OpenPose's order needs {keypoints.WHOLE_BODY} keypoints, not {self.keypoints}"
            )

    @property
    def results(self) -> int:
        """Keypoints of a result."""
        return keypoints.OPENPOSE if self.openpose else self.keypoints


class Finder:
    """The two networks, for frames of one size.

    Args:
        engine: runs them.
        detector: how to ask for people.
        pose: how to ask for keypoints.
        size: width and height of the frames.
    """

    def __init__(
        self, engine: Engine, detector: DetectorPlan, pose: PosePlan, size: tuple[int, int]
    ) -> None:
        self._engine = engine
        self._detector = detector
        self._pose = pose
        self._size = size

    def people(self, images: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.float32]]:
        """The people of each frame: (people, 5), best first; box in pixels of the frame, score.

        Args:
            images: (height, width, 3) RGB each; at least one.

        Raises:
            InputError: what the network gives is no boxes.
        """
        plan = self._detector
        width, height = self._size
        (found,) = self._engine.infer(plan.name, letterbox(list(images), plan.size, plan.fill))
        _check(plan.name, found[~(found[..., 4] <= plan.score)])
        boxes = found.copy()
        boxes[..., :4] /= np.float32(scale((width, height), plan.size))
        return [suppress(of_frame, plan.score, plan.overlap) for of_frame in boxes]

    def keypoints(
        self, images: Sequence[NDArray[np.uint8]], boxes: NDArray[np.float32]
    ) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """The keypoints of one person in each frame.

        Args:
            images: (height, width, 3) each.
            boxes: (n, 4 or more) of the people, in pixels of the frame.

        Returns:
            (n, keypoints, 2) in pixels of the frame, and (n, keypoints) scores.

        Raises:
            InputError: what the network gives is no keypoints.
        """
        plan = self._pose
        places = [crops.around(box, plan.padding, plan.size) for box in boxes]
        cut = crops.cut(list(zip(images, places, strict=True)), plan.size)
        (found,) = self._engine.infer(plan.name, cut)
        _check(plan.name, found)
        points = crops.in_frame(found[..., :2], places, plan.size)
        scores = found[..., 2]
        if plan.openpose:
            return keypoints.with_neck(points, scores, plan.score)
        return points, scores


def _check(network: str, found: NDArray[np.float32]) -> None:
    """Stop before nonsense becomes a result."""
    if not (np.abs(found) < _ABSURD).all():
        raise InputError(
            Fault.OVERFLOW,
            f"the network {network} gives numbers that mean nothing: {np.abs(found).max()}",
            hint="Sums can overflow in half precision: take the network in float32, then retry",
        )
