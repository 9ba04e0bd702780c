"""From frames to the keypoints of one person."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from posewatch.vision.topdown.finder import Finder
from posewatch.vision.topdown.people import Rule, Signer
from posewatch.vision.topdown.tracking import Follower

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from posewatch.vision.engine import Engine
    from posewatch.vision.topdown.finder import DetectorPlan, PosePlan

    Images = Sequence[NDArray[np.uint8]]

MISSING = -1.0
"""Both coordinates of a keypoint that was not found on somebody who was."""


_LOOKED_FOR = 1.0
"""Seconds for which the detector looks in every frame for somebody who was lost."""


@dataclass(frozen=True, slots=True)
class TopDownResult:
    """One person in n consecutive frames; NaN throughout in a frame in which nobody was found.

    Attributes:
        frames: (n, keypoints, 2) x and y in parts of the image's width and height; -1 where a
            keypoint was not found.
        confidences: (n, keypoints) as the network gives them.
        boxes: (n, 4) left, top, right, bottom in parts of the image's width and height; they may
            reach out of it.
        box_scores: (n,); NaN as well where the box follows the keypoints of the frame before.
    """

    frames: NDArray[np.float32]
    confidences: NDArray[np.float32]
    boxes: NDArray[np.float32]
    box_scores: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Found:
    """A person in a frame: box in pixels and score, keypoints in pixels, and their scores."""

    box: NDArray[np.float32]
    points: NDArray[np.float64]
    scores: NDArray[np.float32]


class TopDown:
    """A detector and a pose network.

    Args:
        engine: runs the two networks.
        detector: how to ask the one.
        pose: how to ask the other.
        rule: who is followed, of several people.
        every: in every how manieth frame the detector looks for people. In between, the box
            follows the keypoints; where they are lost, the detector looks at once, and in every
            frame for a second.
    """

    def __init__(
        self,
        engine: Engine,
        detector: DetectorPlan,
        pose: PosePlan,
        rule: Rule = Rule.LARGEST,
        every: int = 1,
    ) -> None:
        self._engine = engine
        self._detector = detector
        self.pose = pose
        self.rule = rule
        self.every = every

    def start(self, width: int, height: int) -> Track:
        """Begin a video whose frames are `width` by `height` px."""
        finder = Finder(self._engine, self._detector, self.pose, (width, height))
        signer = Signer(self.rule, width)
        return Track(finder, self.pose, signer, (width, height), self.every)


class Track:
    """One video on its way. Used by one thread at a time."""

    def __init__(
        self, finder: Finder, pose: PosePlan, signer: Signer, size: tuple[int, int], every: int
    ) -> None:
        self._finder = finder
        self._pose = pose
        self._signer = signer
        self._size = size
        self._every = every
        self._number = 0
        self._follower = Follower(pose.score)
        self._seen = -math.inf

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
        width, height = self._size
        if images.shape[1:] != (height, width, 3) or images.dtype != np.uint8:
            raise ValueError(
                f"expected uint8 images of shape (n, {height}, {width}, 3), "
                f"not {images.dtype} of shape {images.shape}"
            )
        find = self._look_always if self._every == 1 else self._follow
        return self._result(find(list(images), times))

    def _look_always(self, images: Images, times: NDArray[np.float64]) -> list[_Found | None]:
        """Each network gets all frames at once."""
        boxes = [
            self._choose(people, time)
            for people, time in zip(self._finder.people(images), times, strict=True)
        ]
        seen = [(image, box) for image, box in zip(images, boxes, strict=True) if box is not None]
        if not seen:
            return [None] * len(images)
        points, scores = self._finder.keypoints(
            [image for image, _ in seen], np.stack([box for _, box in seen])
        )
        found = iter(zip(points, scores, strict=True))
        return [None if box is None else _Found(box, *next(found)) for box in boxes]

    def _follow(self, images: Images, times: NDArray[np.float64]) -> list[_Found | None]:
        """Frame by frame: where to look depends on what was found before."""
        looks = [index for index in range(len(images)) if (self._number + index) % self._every == 0]
        self._number += len(images)
        people = self._finder.people([images[index] for index in looks]) if looks else []
        known = dict(zip(looks, people, strict=True))
        return [
            self._follow_one(image, float(time), known.get(index))
            for index, (image, time) in enumerate(zip(images, times, strict=True))
        ]

    def _follow_one(
        self, image: NDArray[np.uint8], time: float, people: NDArray[np.float32] | None
    ) -> _Found | None:
        if people is None:
            expected = self._follower.expected
            if expected is None and not time - self._seen <= _LOOKED_FOR:
                return None
            if expected is not None:
                found = self._look_at(image, expected)
                if self._follower.follow(found.points, found.scores):
                    self._signer.see(found.box, time)
                    self._seen = time
                    return found
            (people,) = self._finder.people([image])
        box = self._choose(people, time)
        if box is None:
            self._follower.lose()
            return None
        self._seen = time
        found = self._look_at(image, box)
        self._follower.begin(box, found.points, found.scores)
        return found

    def _look_at(self, image: NDArray[np.uint8], box: NDArray[np.float32]) -> _Found:
        points, scores = self._finder.keypoints([image], box[None])
        return _Found(box, points[0], scores[0])

    def _choose(self, people: NDArray[np.float32], time: float) -> NDArray[np.float32] | None:
        chosen = self._signer.choose(people, float(time))
        return None if chosen is None else people[chosen]

    def _result(self, found: Sequence[_Found | None]) -> TopDownResult:
        width, height = self._size
        count, points = len(found), self._pose.results
        result = TopDownResult(
            frames=np.full((count, points, 2), np.nan, np.float32),
            confidences=np.full((count, points), np.nan, np.float32),
            boxes=np.full((count, 4), np.nan, np.float32),
            box_scores=np.full(count, np.nan, np.float32),
        )
        for index, person in enumerate(found):
            if person is None:
                continue
            result.frames[index] = person.points / (width, height)
            result.frames[index, person.scores < self._pose.score] = MISSING
            result.confidences[index] = person.scores
            sides = np.array([width, height, width, height], np.float32)
            result.boxes[index] = person.box[:4] / sides
            result.box_scores[index] = person.box[4]
        return result
