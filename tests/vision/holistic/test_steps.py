"""Each step of MediaPipe's tracking mode, given what MediaPipe itself had before that step.

Left to itself the mode is chaotic, so that only its steps can be compared closely.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

import astronaut
from posewatch.vision.holistic import faces, hands, poses
from posewatch.vision.holistic.parts import Follower
from posewatch.vision.holistic.regions import Region

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from posewatch.vision.engine import OnnxEngine
    from posewatch.vision.holistic.poses import Pose

SIZE = 480  # of the clip, both ways
NETWORK_NOISE = 0.2  # px of the image
EXACT = 2e-3  # px: the other side counts in float32
SIDES = {"right": hands.RIGHT, "left": hands.LEFT}


@pytest.fixture(scope="module")
def images() -> NDArray[np.uint8]:
    return astronaut.frames()


@pytest.fixture(scope="module")
def said() -> dict[str, NDArray[np.float64]]:
    """MediaPipe's answers; landmarks and rectangles in px."""
    golden = {
        name: values.astype(np.float64) for name, values in astronaut.golden("tracking").items()
    }
    for values in golden.values():
        values[..., : 4 if values.ndim == 2 else 3] *= SIZE
    return golden


def present(values: NDArray[np.float64]) -> list[int]:
    return np.flatnonzero(~np.isnan(values.reshape(len(values), -1)[:, 0])).tolist()


def region(rectangle: NDArray[np.float64]) -> Region | None:
    if np.isnan(rectangle).any():
        return None
    x, y, width, height, angle = rectangle.tolist()
    assert width == pytest.approx(height)
    return Region(x, y, width, angle)


def assert_same(ours: Region | None, theirs: Region | None, atol: float) -> None:
    assert (ours is None) == (theirs is None)
    if ours is not None and theirs is not None:
        np.testing.assert_allclose(
            (ours.x, ours.y, ours.side), (theirs.x, theirs.y, theirs.side), atol=atol
        )
        assert ours.angle == pytest.approx(theirs.angle, abs=atol / theirs.side * 4 + 1e-6)


def pose_of(said: dict[str, NDArray[np.float64]], frame: int, *, smooth: bool) -> Pose | None:
    points = said["pose_landmarks" if smooth else "poselandmarkcpu.unfiltered_pose_landmarks"]
    kind = "auxiliary_landmarks" if smooth else "unfiltered_auxiliary_landmarks"
    if np.isnan(points[frame]).any():
        return None
    auxiliary = said[f"poselandmarkcpu.{kind}"][frame, :, :3]
    return poses.Pose(points[frame, :, :3], points[frame, :, 3], auxiliary)


def test_pose_landmarks_in_a_region(
    engine: OnnxEngine, images: NDArray[np.uint8], said: dict[str, NDArray[np.float64]]
) -> None:
    frames = present(said["poselandmarkcpu.pose_rect"])
    places = [(images[i], region(said["poselandmarkcpu.pose_rect"][i])) for i in frames]
    for frame, pose in zip(frames, poses.landmarks(engine, places), strict=True):
        expected = pose_of(said, frame, smooth=False)
        assert (pose is None) == (expected is None)
        if pose is None or expected is None:
            continue
        error = np.linalg.norm((pose.landmarks - expected.landmarks)[:, :2], axis=1)
        assert error.mean() < NETWORK_NOISE
        np.testing.assert_allclose(pose.visibility, expected.visibility, atol=2e-3)
    assert len(frames) == 23  # the last pose before the black frames was looked for once more


def test_the_body_is_detected_where_it_was_lost(
    engine: OnnxEngine, images: NDArray[np.uint8], said: dict[str, NDArray[np.float64]]
) -> None:
    whole = poses.regions.whole(SIZE, SIZE)
    for frame in (0, 10):
        (found,) = poses.detect(engine, [images[frame]], whole)
        assert_same(found, region(said["poselandmarkcpu.pose_rect"][frame]), NETWORK_NOISE)
    assert poses.detect(engine, [images[8]], whole) == [None]


def test_smoothing(said: dict[str, NDArray[np.float64]]) -> None:
    smoother = poses.Smoother()
    for frame in range(len(said["pose_landmarks"])):
        ours = smoother(pose_of(said, frame, smooth=False))
        theirs = pose_of(said, frame, smooth=True)
        assert (ours is None) == (theirs is None)
        if ours is None or theirs is None:
            continue
        np.testing.assert_allclose(ours.landmarks, theirs.landmarks, atol=EXACT)
        np.testing.assert_allclose(ours.visibility, theirs.visibility, atol=1e-6)
        np.testing.assert_allclose(ours.auxiliary, theirs.auxiliary, atol=EXACT)


def test_the_body_s_next_region(said: dict[str, NDArray[np.float64]]) -> None:
    auxiliary = said["poselandmarkcpu.auxiliary_landmarks"]
    for frame in present(auxiliary):
        assert_same(
            poses.around(auxiliary[frame]), region(said["pose_landmarks_roi"][frame]), EXACT
        )


@pytest.mark.parametrize("side", list(SIDES))
def test_regions_of_hands(
    engine: OnnxEngine,
    images: NDArray[np.uint8],
    said: dict[str, NDArray[np.float64]],
    side: str,
) -> None:
    rectangles = {
        kind: said[f"handlandmarksleftandrightcpu.{side}_hand_{kind}"]
        for kind in ("roi_from_pose", "roi_from_recrop", "tracking_roi")
    }
    for frame in present(said["pose_landmarks"]):
        pose = pose_of(said, frame, smooth=True)
        assert pose is not None
        rough, exact = (
            region(rectangles[kind][frame]) for kind in ("roi_from_pose", "roi_from_recrop")
        )
        assert_same(hands.suggest(pose, SIDES[side]), rough, EXACT)
        if rough is not None:
            (found,) = hands.recrop(engine, [(images[frame], rough)])
            assert_same(found, exact, NETWORK_NOISE)
    kept = check_following(
        said[f"{side}_hand_landmarks"],
        rectangles["roi_from_recrop"],
        rectangles["tracking_roi"],
        lambda: Follower(hands.COUNT, hands.around, hands.LIMITS),
    )
    assert 0 < kept < 20  # the clip has both


def test_regions_of_faces(
    engine: OnnxEngine, images: NDArray[np.uint8], said: dict[str, NDArray[np.float64]]
) -> None:
    rough, exact, tracked = (
        said[f"facelandmarksfromposecpu.face_{kind}"]
        for kind in ("roi_from_pose", "roi_from_detection", "tracking_roi")
    )
    for frame in present(said["pose_landmarks"]):
        pose = pose_of(said, frame, smooth=True)
        assert pose is not None
        assert_same(faces.suggest(pose), region(rough[frame]), EXACT)
        (found,) = faces.detect(engine, [(images[frame], region(rough[frame]))])
        assert_same(found, region(exact[frame]), NETWORK_NOISE)
    kept = check_following(
        said["face_landmarks"],
        exact,
        tracked,
        lambda: Follower(faces.COUNT, faces.around, faces.LIMITS),
    )
    assert kept > 10


def check_following(
    landmarks: NDArray[np.float64],
    suggested: NDArray[np.float64],
    used: NDArray[np.float64],
    make: Callable[[], Follower],
) -> int:
    """Whether the region of each frame is the one MediaPipe used; how often it was the last's."""
    kept = 0
    for frame in present(suggested):
        follower = make()
        if frame and not np.isnan(landmarks[frame - 1]).any():
            follower.seen(landmarks[frame - 1, :, :3])
        suggestion = region(suggested[frame])
        assert suggestion is not None
        chosen = follower.region(suggestion)
        assert_same(chosen, region(used[frame]), EXACT)
        kept += chosen is not suggestion
    return kept


@pytest.mark.parametrize(
    ("part", "find"),
    [
        ("handlandmarksleftandrightcpu.right_hand", hands.landmarks),
        ("handlandmarksleftandrightcpu.left_hand", hands.landmarks),
        ("facelandmarksfromposecpu.face", faces.landmarks),
    ],
)
def test_landmarks_in_a_region(
    engine: OnnxEngine,
    images: NDArray[np.uint8],
    said: dict[str, NDArray[np.float64]],
    part: str,
    find: Callable[..., list[NDArray[np.float64] | None]],
) -> None:
    regions = said[f"{part}_tracking_roi"]
    expected = said[f"{part.partition('.')[2]}_landmarks"]
    frames = present(regions)
    found = find(engine, [(images[frame], region(regions[frame])) for frame in frames])
    seen = [frame for frame, points in zip(frames, found, strict=True) if points is not None]
    assert seen == present(expected)
    for frame, points in zip(frames, found, strict=True):
        if points is not None:
            np.testing.assert_allclose(points, expected[frame, :, :3], atol=NETWORK_NOISE)
