"""From frames to the keypoints of people."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from posewatch.vision.topdown import looks
from posewatch.vision.topdown.finder import Finder
from posewatch.vision.topdown.people import Rule
from posewatch.vision.topdown.tracking import Follower
from posewatch.vision.topdown.tracks import Tracks

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import TypeAlias

    from numpy.typing import NDArray

    from posewatch.vision.engine import Engine
    from posewatch.vision.topdown.finder import DetectorPlan, PosePlan

    Image: TypeAlias = NDArray[np.uint8]
    Box: TypeAlias = NDArray[np.float32]

MISSING = -1.0
"""Both coordinates of a keypoint that was not found on somebody who was."""


@dataclass(frozen=True, slots=True)
class TopDownResult:
    """P people in n consecutive frames; NaN throughout where there are fewer.

    Attributes:
        frames: (n, P, keypoints, 2) x and y in parts of the image's width and height; -1 where a
            keypoint was not found.
        confidences: (n, P, keypoints) as the network gives them.
        boxes: (n, P, 4) left, top, right, bottom in parts of the image's width and height; they
            may reach out of it.
        box_scores: (n, P); NaN as well where the box follows the keypoints of the frame before.
        track_ids: (n, P) whole numbers from 0, each of one person.
    """

    frames: NDArray[np.float32]
    confidences: NDArray[np.float32]
    boxes: NDArray[np.float32]
    box_scores: NDArray[np.float32]
    track_ids: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Found:
    """A person in a frame: number, box in pixels and score, keypoints in pixels, their scores."""

    number: int
    box: Box
    points: NDArray[np.float64]
    scores: NDArray[np.float32]


_Row = dict[int, _Found]
"""Who was found in a frame, by slots."""


class TopDown:
    """A detector and a pose network.

    Args:
        engine: runs the two networks.
        detector: how to ask the one.
        pose: how to ask the other.
        rule: who is followed, of several people.
        every: in every how manieth frame the detector looks for people; None: where `looks.due`
            says so. In between, each box follows the keypoints; where they are lost, the detector
            looks at once, and in every frame for a second.
        people: how many are followed, at most.
    """

    def __init__(
        self,
        engine: Engine,
        detector: DetectorPlan,
        pose: PosePlan,
        *,
        rule: Rule = Rule.LARGEST,
        every: int | None = 1,
        people: int = 1,
    ) -> None:
        self._engine = engine
        self._detector = detector
        self.pose = pose
        self.rule = rule
        self.every = every
        self.people = people

    def start(self, width: int, height: int) -> Track:
        """Begin a video whose frames are `width` by `height` px."""
        finder = Finder(self._engine, self._detector, self.pose, (width, height))
        tracks = Tracks(self.rule, width, self.people)
        followers = [Follower(self.pose.score) for _ in range(self.people)]
        return Track(
            *(finder, self.pose, tracks, followers), size=(width, height), every=self.every
        )


class Track:
    """One video on its way. Used by one thread at a time."""

    def __init__(
        self,
        finder: Finder,
        pose: PosePlan,
        tracks: Tracks,
        followers: Sequence[Follower],
        *,
        size: tuple[int, int],
        every: int | None,
    ) -> None:
        self._finder = finder
        self._pose = pose
        self._tracks = tracks
        self._followers = followers
        self._size = size
        self._every = every
        self._number = 0
        self._seen = [-math.inf] * len(followers)
        self._looked = -math.inf
        self._parts: NDArray[np.float32] | None = None
        self._shown: NDArray[np.float32] | None = None

    def process(self, images: NDArray[np.uint8], times: NDArray[np.float64]) -> TopDownResult:
        """The keypoints in the next frames.

        How the frames of a video are cut into calls makes no difference to the result, only to
        the size of the batches.

        Args:
            images: (n, height, width, 3) RGB, n ≥ 1.
            times: (n,) seconds.

        Raises:
            ValueError: the images are not of the size that the track was started with.
            InputError: a network gave numbers for it that mean nothing.
            ModelError: a network could not be run.
        """
        width, height = self._size
        if images.shape[1:] != (height, width, 3) or images.dtype != np.uint8:
            raise ValueError(
                f"expected uint8 images of shape (n, {height}, {width}, 3), "
                f"not {images.dtype} of shape {images.shape}"
            )
        find = self._look_always if self._every == 1 else self._follow
        return self._result(find(list(images), [float(time) for time in times]))

    def _look_always(self, images: Sequence[Image], times: Sequence[float]) -> list[_Row]:
        """Each network gets all frames at once."""
        places = [
            (frame, slot, self._tracks.number(slot), people[index])
            for frame, (people, time) in enumerate(
                zip(self._finder.people(images), times, strict=True)
            )
            for slot, index in self._tracks.see(people, time).items()
        ]
        rows: list[_Row] = [{} for _ in images]
        if places:
            points, scores = self._finder.keypoints(
                [images[frame] for frame, *_ in places], np.stack([box for *_, box in places])
            )
            for (frame, slot, number, box), *keypoints in zip(places, points, scores, strict=True):
                rows[frame][slot] = _Found(number, box, *keypoints)
        return rows

    def _follow(self, images: Sequence[Image], times: Sequence[float]) -> list[_Row]:
        """Frame by frame: where to look depends on what was found before."""
        turns = [
            index
            for index in range(len(images))
            if self._every is not None and (self._number + index) % self._every == 0
        ]
        self._number += len(images)
        people = self._finder.people([images[index] for index in turns]) if turns else []
        known = dict(zip(turns, people, strict=True))
        return [
            self._follow_one(image, time, known.get(index))
            for index, (image, time) in enumerate(zip(images, times, strict=True))
        ]

    def _follow_one(self, image: Image, time: float, people: NDArray[np.float32] | None) -> _Row:
        """Who is in a frame, in which the detector has seen `people` if it was its turn."""
        if people is None and not self._is_due(image, time):
            expected = {
                slot: follower.expected
                for slot, follower in enumerate(self._followers)
                if follower.expected is not None
            }
            row = self._look_at(image, expected)
            doubts = [self._followers[slot].follow(f.points, f.scores) for slot, f in row.items()]
            if not any(doubts):
                self._tracks.move({slot: self._followers[slot].place for slot in row}, time)
                for slot in row:
                    self._seen[slot] = time
                return row
        if people is None:
            (people,) = self._finder.people([image])
        return self._begin(image, time, people)

    def _is_due(self, image: Image, time: float) -> bool:
        gone = [
            abs(time - seen)  # in recordings that were joined, time may step back
            for seen, follower in zip(self._seen, self._followers, strict=True)
            if follower.expected is None
        ]
        lost, followed = min(gone, default=math.inf), len(self._followers) - len(gone)
        if self._every is not None:
            return lost <= looks.SOUGHT
        before, self._parts = self._parts, looks.parts(image)
        return looks.due(
            looks.Sight(
                since=abs(time - self._looked),
                lost=lost,
                followed=followed,
                full=not gone,
                crowded=self._tracks.crowded(self._looked) if followed else math.inf,
                change=0.0 if self._shown is None else np.abs(self._parts - self._shown).max(),
                jump=0.0 if before is None else np.abs(self._parts - before).mean(),
            )
        )

    def _begin(self, image: Image, time: float, people: NDArray[np.float32]) -> _Row:
        """The detector has looked."""
        self._looked = time
        boxes = {slot: people[index] for slot, index in self._tracks.see(people, time).items()}
        row = self._look_at(image, boxes)
        for slot, follower in enumerate(self._followers):
            if (found := row.get(slot)) is not None:
                follower.begin(found.box, found.points, found.scores)
                self._seen[slot] = time
            else:
                follower.lose()
        self._shown = self._parts
        return row

    def _look_at(self, image: Image, boxes: Mapping[int, Box]) -> _Row:
        if not boxes:
            return {}
        found = self._finder.keypoints([image] * len(boxes), np.stack(list(boxes.values())))
        return {
            slot: _Found(self._tracks.number(slot), box, points, scores)
            for (slot, box), points, scores in zip(boxes.items(), *found, strict=True)
        }

    def _result(self, rows: Sequence[_Row]) -> TopDownResult:
        width, height = self._size
        shape, points = (len(rows), len(self._followers)), self._pose.results
        result = TopDownResult(
            frames=np.full((*shape, points, 2), np.nan, np.float32),
            confidences=np.full((*shape, points), np.nan, np.float32),
            boxes=np.full((*shape, 4), np.nan, np.float32),
            box_scores=np.full(shape, np.nan, np.float32),
            track_ids=np.full(shape, np.nan, np.float32),
        )
        sides = np.array([width, height, width, height], np.float32)
        for frame, row in enumerate(rows):
            for slot, person in row.items():
                at = frame, slot
                result.frames[at] = person.points / (width, height)
                result.frames[at][person.scores < self._pose.score] = MISSING
                result.confidences[at] = person.scores
                result.boxes[at] = person.box[:4] / sides
                result.box_scores[at] = person.box[4]
                result.track_ids[at] = person.number
        return result
