"""From frames to the keypoints of one person."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from posewatch.vision.topdown import crops, keypoints
from posewatch.vision.topdown.letterbox import letterbox, scale
from posewatch.vision.topdown.people import Rule, Signer, suppress

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from posewatch.vision.engine import Engine

MISSING = -1.0
"""Both coordinates of a keypoint that was not found on somebody who was."""


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


@dataclass(frozen=True, slots=True)
class TopDownResult:
    """One person in n consecutive frames; NaN throughout in a frame in which nobody was found.

    Attributes:
        frames: (n, keypoints, 2) x and y in parts of the image's width and height; -1 where a
            keypoint was not found.
        confidences: (n, keypoints) as the network gives them.
        boxes: (n, 4) left, top, right, bottom in parts of the image's width and height; they may
            reach out of it.
        box_scores: (n,).
    """

    frames: NDArray[np.float32]
    confidences: NDArray[np.float32]
    boxes: NDArray[np.float32]
    box_scores: NDArray[np.float32]


class TopDown:
    """A detector and a pose network.

    Args:
        engine: runs the two networks.
        detector: how to ask the one.
        pose: how to ask the other.
        rule: who is followed, of several people.
    """

    def __init__(
        self, engine: Engine, detector: DetectorPlan, pose: PosePlan, rule: Rule = Rule.LARGEST
    ) -> None:
        self._engine = engine
        self._detector = detector
        self.pose = pose
        self.rule = rule

    def start(self, width: int, height: int) -> Track:
        """Begin a video whose frames are `width` by `height` px."""
        return Track(
            self._engine, self._detector, self.pose, Signer(self.rule, width), (width, height)
        )


class Track:
    """One video on its way. Used by one thread at a time."""

    def __init__(
        self,
        engine: Engine,
        detector: DetectorPlan,
        pose: PosePlan,
        signer: Signer,
        size: tuple[int, int],
    ) -> None:
        self._engine = engine
        self._detector = detector
        self._pose = pose
        self._signer = signer
        width, height = size
        self._shape = (height, width, 3)

    def process(self, images: NDArray[np.uint8], times: NDArray[np.float64]) -> TopDownResult:
        """The keypoints in the next frames.

        How the frames of a video are cut into calls makes no difference to the result, only to
        the size of the batches.

        Args:
            images: (n, height, width, 3) RGB, n ≥ 1.
            times: (n,) seconds.

        Raises:
            ValueError: the images are not of the size that the track was started with.
            ModelError: a network could not be run.
        """
        if images.shape[1:] != self._shape or images.dtype != np.uint8:
            raise ValueError(
                f"expected uint8 images of shape (n, {', '.join(map(str, self._shape))}), "
                f"not {images.dtype} of shape {images.shape}"
            )
        people = self._find_people(images)
        chosen = [
            self._signer.choose(found, float(time))
            for found, time in zip(people, times, strict=True)
        ]
        seen = [index for index, choice in enumerate(chosen) if choice is not None]
        rows = np.array(
            [
                found[choice]
                for found, choice in zip(people, chosen, strict=True)
                if choice is not None
            ],
            np.float32,
        ).reshape(-1, 5)
        count = self._pose.results
        result = TopDownResult(
            frames=np.full((len(images), count, 2), np.nan, np.float32),
            confidences=np.full((len(images), count), np.nan, np.float32),
            boxes=np.full((len(images), 4), np.nan, np.float32),
            box_scores=np.full(len(images), np.nan, np.float32),
        )
        if seen:
            height, width, _ = self._shape
            points, scores = self._find_keypoints([images[index] for index in seen], rows)
            points /= (width, height)
            points[scores < self._pose.score] = MISSING
            result.frames[seen] = points
            result.confidences[seen] = scores
            result.boxes[seen] = rows[:, :4] / np.array([width, height, width, height], np.float32)
            result.box_scores[seen] = rows[:, 4]
        return result

    def _find_people(self, images: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """The people of each frame, (n, 5), in pixels of the frame."""
        plan = self._detector
        height, width, _ = self._shape
        (found,) = self._engine.infer(plan.name, letterbox(list(images), plan.size, plan.fill))
        boxes = found.copy()
        boxes[..., :4] /= np.float32(scale((width, height), plan.size))
        return [suppress(of_frame, plan.score, plan.overlap) for of_frame in boxes]

    def _find_keypoints(
        self, images: list[NDArray[np.uint8]], boxes: NDArray[np.float32]
    ) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """Keypoints in pixels of the frame, and their scores."""
        plan = self._pose
        places = [crops.around(box, plan.padding, plan.size) for box in boxes]
        cut = crops.cut(list(zip(images, places, strict=True)), plan.size)
        (found,) = self._engine.infer(plan.name, cut)
        points = crops.in_frame(found[..., :2], places, plan.size)
        scores = found[..., 2]
        if plan.openpose:
            return keypoints.with_neck(points, scores, plan.score)
        return points, scores
