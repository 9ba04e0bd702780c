"""The detector looks now and then; in between, the box follows the keypoints."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pytest

from posewatch.vision.topdown import DetectorPlan, PosePlan, TopDown
from posewatch.vision.topdown.tracking import Follower

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from posewatch.vision.engine import Outputs
    from posewatch.vision.topdown import TopDownResult

SIZE = (320, 240)
KEYPOINTS = 16
MARGINS = np.array([-4, -10, 6, 8])
"""By how much the detector's boxes are larger than the white body that both networks see."""


class Body:
    """An engine that sees one white body on black, and counts the pictures that it is shown."""

    def __init__(self) -> None:
        self.shown: Counter[str] = Counter()

    def infer(self, network: str, batch: NDArray[np.uint8]) -> Outputs:
        self.shown[network] += len(batch)
        bodies = [body_in(picture) for picture in batch]
        if network == "detector":
            rows = [[0.0] * 5 if b is None else [*(b + MARGINS), 0.9] for b in bodies]
            return (np.array(rows, np.float32)[:, None],)
        corners = [np.zeros(4) if b is None else b for b in bodies]
        part = np.linspace(0, 1, KEYPOINTS)
        return (
            np.stack(
                [
                    np.stack(
                        [
                            b[0] + part * (b[2] - b[0]),
                            b[1] + part * (b[3] - b[1]),
                            np.full(KEYPOINTS, 0.9 if b.any() else 0.1),
                        ],
                        axis=1,
                    )
                    for b in corners
                ]
            ).astype(np.float32),
        )


def body_in(picture: NDArray[np.uint8]) -> NDArray[np.float64] | None:
    rows, columns = np.nonzero(picture[..., 0] > 127)
    if not len(rows):
        return None
    return np.array([columns.min(), rows.min(), columns.max(), rows.max()], float)


def frame(*lefts: int) -> NDArray[np.uint8]:
    """A body of 40 by 100 px at each place."""
    picture = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    for left in lefts:
        picture[60:160, left : left + 40] = 255
    return picture


def process(
    frames: list[NDArray[np.uint8]], every: int, step: int = 1000
) -> tuple[TopDownResult, Counter[str]]:
    engine = Body()
    track = TopDown(
        engine,
        DetectorPlan("detector", SIZE, fill=0, score=0.3, overlap=0.45),
        PosePlan("pose", (96, 128), padding=1.25, score=0.3, keypoints=KEYPOINTS, openpose=False),
        every=every,
    ).start(*SIZE)
    parts = [
        track.process(
            np.stack(frames[at : at + step]), np.arange(at, min(at + step, len(frames))) / 25
        )
        for at in range(0, len(frames), step)
    ]
    names = ("frames", "confidences", "boxes", "box_scores")
    joined = (np.concatenate([getattr(part, name) for part in parts]) for name in names)
    return type(parts[0])(*joined), engine.shown


def test_a_body_that_moves_is_followed_with_few_looks() -> None:
    frames = [frame(40 + 4 * number) for number in range(40)]
    always, shown = process(frames, every=1)
    assert shown == {"detector": 40, "pose": 40}
    followed, shown = process(frames, every=10)
    assert shown == {"detector": 4, "pose": 40}
    apart = np.abs(followed.frames - always.frames) * SIZE
    assert apart.max() <= 1.5, "a pixel of the crop is 1.2 px"
    boxes = np.abs(followed.boxes - always.boxes) * np.tile(SIZE, 2)
    assert boxes.max() <= 4 + 2.5, "the box is that of the frame before"
    looked = np.isfinite(followed.box_scores)
    assert np.flatnonzero(looked).tolist() == [0, 10, 20, 30]
    np.testing.assert_allclose(followed.boxes[looked], always.boxes[looked])


@pytest.mark.parametrize("step", [1, 3, 7])
def test_how_a_video_is_cut_makes_no_difference(step: int) -> None:
    frames = [frame(40 + 6 * number) if number % 11 else frame() for number in range(30)]
    whole, cut = process(frames, every=4)[0], process(frames, every=4, step=step)[0]
    for name in ("frames", "confidences", "boxes", "box_scores"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(cut, name))


def test_who_jumps_away_is_found_in_the_same_frame() -> None:
    frames = [frame(20)] * 3 + [frame(240)] * 3
    found, shown = process(frames, every=100)
    assert np.isfinite(found.frames).all()
    assert shown == {"detector": 2, "pose": 7}
    assert (found.boxes[3:, 0] * SIZE[0]).tolist() == pytest.approx([236] * 3, abs=2)


def test_who_vanishes_for_a_moment_is_looked_for_in_every_frame() -> None:
    frames = [frame(20)] * 2 + [frame()] * 5 + [frame(20)] * 3
    found, shown = process(frames, every=100)
    assert np.isfinite(found.box_scores).tolist() == [True, *[False] * 6, True, False, False]
    assert (
        np.isnan(found.frames).all(axis=(1, 2)).tolist() == [False] * 2 + [True] * 5 + [False] * 3
    )
    assert shown["detector"] == 1 + 5 + 1


def test_where_nobody_is_the_detector_waits_for_its_turn() -> None:
    frames = [frame()] * 25 + [frame(20)] * 15
    found, shown = process(frames, every=10)
    assert shown["detector"] == 4
    there = np.isfinite(found.frames).all(axis=(1, 2))
    assert there.tolist() == [False] * 30 + [True] * 10, "up to nine frames of an entry are missed"


def test_after_a_second_the_detector_waits_for_its_turn_again() -> None:
    _, shown = process([frame(20)] + [frame()] * 60, every=50)
    assert shown["detector"] == 1 + 25 + 1


class TestFollower:
    POINTS = np.array([[10.0, 20.0], [30.0, 80.0], [20.0, 50.0], [500.0, 500.0]])
    SCORES = np.array([0.9, 0.8, 0.7, 0.1], np.float32)

    def test_the_box_keeps_its_distance_from_the_keypoints(self) -> None:
        follower = Follower(0.3)
        assert follower.expected is None
        follower.begin(np.float32([5, 10, 40, 90, 0.9]), self.POINTS, self.SCORES)
        assert follower.follow(self.POINTS + np.array([7, -3]), self.SCORES)
        assert follower.expected is not None
        assert follower.expected[:4].tolist() == [12, 7, 47, 87]
        assert np.isnan(follower.expected[4])

    def test_who_shows_less_than_half_of_the_keypoints_is_lost(self) -> None:
        follower = Follower(0.3)
        follower.begin(np.float32([5, 10, 40, 90, 0.9]), self.POINTS, self.SCORES)
        assert follower.follow(self.POINTS, np.float32([0.9, 0.8, 0.1, 0.1]))
        assert not follower.follow(self.POINTS, np.float32([0.9, 0.1, 0.1, 0.1]))

    def test_nobody_is_followed_without_keypoints(self) -> None:
        follower = Follower(0.3)
        follower.begin(np.float32([5, 10, 40, 90, 0.9]), self.POINTS, self.SCORES * 0)
        assert follower.expected is None
