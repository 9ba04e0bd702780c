"""The same landmarks as MediaPipe, within the distances that docs/mediapipe.md promises."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

import astronaut
from posewatch.vision.batching import BatchingEngine
from posewatch.vision.holistic import Holistic, HolisticResult, Mode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from posewatch.vision.engine import Engine

PARTS = {
    "pose_landmarks": slice(0, 33),
    "right_hand_landmarks": slice(33, 54),
    "left_hand_landmarks": slice(54, 75),
    "face_landmarks": slice(75, 543),
}


@pytest.fixture(scope="module")
def images() -> NDArray[np.uint8]:
    return astronaut.frames()


def run(
    engine: Engine, mode: Mode, images: NDArray[np.uint8], cuts: Sequence[int] = ()
) -> HolisticResult:
    track = Holistic(engine, mode).start(images.shape[2], images.shape[1])
    parts = [track.process(part) for part in np.split(images, list(cuts))]
    return HolisticResult(
        np.concatenate([part.frames for part in parts]),
        np.concatenate([part.visibility for part in parts]),
    )


def distances(
    result: HolisticResult, golden: NDArray[np.float32], part: str
) -> NDArray[np.float32]:
    """Of all landmarks of a part where both sides found it; x and y in parts of the image."""
    ours = result.frames[:, PARTS[part]]
    both = ~np.isnan(ours[:, 0, 0]) & ~np.isnan(golden[:, 0, 0])
    return np.linalg.norm(ours[both][..., :2] - golden[both][..., :2], axis=-1)


@pytest.fixture(scope="module")
def static(engine: Engine, images: NDArray[np.uint8]) -> HolisticResult:
    return run(engine, Mode.STATIC, images)


@pytest.mark.parametrize(
    ("part", "mean", "frames"),
    [
        ("pose_landmarks", 5e-4, 22),
        ("face_landmarks", 5e-4, 22),
        ("right_hand_landmarks", 5e-3, 19),
        ("left_hand_landmarks", 5e-3, 21),
    ],
)
def test_static_mode_agrees_with_mediapipe(
    static: HolisticResult, part: str, mean: float, frames: int
) -> None:
    golden = astronaut.golden("static")[part]
    found = ~np.isnan(static.frames[:, PARTS[part].start, 0])

    assert found.tolist() == (~np.isnan(golden[:, 0, 0])).tolist()
    assert found.sum() == frames
    assert distances(static, golden, part).mean() <= mean
    depth = static.frames[found, PARTS[part], 2] - golden[found, :, 2]
    assert np.abs(depth).mean() <= 10 * mean


def test_visibility_is_as_the_published_datasets_have_it(static: HolisticResult) -> None:
    golden = astronaut.golden("static")
    expected = np.concatenate([golden[part][..., 3] for part in PARTS], axis=1)

    np.testing.assert_allclose(static.visibility, expected, atol=5e-3)
    hands_and_face = expected[:, PARTS["pose_landmarks"].stop :]
    assert set(np.unique(hands_and_face[~np.isnan(hands_and_face)])) == {0.0}


def test_what_is_missing_is_nan_in_whole_parts(static: HolisticResult) -> None:
    for part in PARTS.values():
        missing = np.isnan(static.frames[:, part]).all(axis=2)
        np.testing.assert_array_equal(missing, np.isnan(static.visibility[:, part]))
        assert (missing.all(axis=1) | ~missing.any(axis=1)).all()


@pytest.mark.parametrize("mode", list(Mode))
def test_how_a_video_is_cut_into_calls_makes_no_difference(
    engine: Engine, images: NDArray[np.uint8], mode: Mode
) -> None:
    some = images[4:14]
    whole = run(engine, mode, some)
    for cuts in (range(1, 10), (3, 3, 7)):
        pieces = run(engine, mode, some, list(cuts))
        np.testing.assert_array_equal(whole.frames, pieces.frames)
        np.testing.assert_array_equal(whole.visibility, pieces.visibility)


def test_batches_make_no_difference(engine: Engine, images: NDArray[np.uint8]) -> None:
    alone = run(engine, Mode.STATIC, images[:6])
    with BatchingEngine(engine, max_batch=4) as batching:
        together = run(batching, Mode.STATIC, images[:6])
    np.testing.assert_array_equal(alone.frames, together.frames)


def test_independent_frames_do_not_depend_on_their_order(
    engine: Engine, images: NDArray[np.uint8]
) -> None:
    some = images[:4]
    forwards = run(engine, Mode.INDEPENDENT, some)
    backwards = run(engine, Mode.INDEPENDENT, some[::-1])
    np.testing.assert_array_equal(forwards.frames, backwards.frames[::-1])
    followed = run(engine, Mode.STATIC, some)
    assert not np.array_equal(forwards.frames, followed.frames, equal_nan=True)


def test_tracking_left_to_itself_stays_near_mediapipe(
    engine: Engine, images: NDArray[np.uint8]
) -> None:
    """Only near: a grey level somewhere changes all that follows, in MediaPipe itself too."""
    result = run(engine, Mode.TRACKING, images)
    golden = astronaut.golden("tracking")

    pose = golden["pose_landmarks"]
    assert np.isnan(result.frames[:, 0, 0]).tolist() == np.isnan(pose[:, 0, 0]).tolist()
    assert distances(result, pose, "pose_landmarks").mean() <= 0.03
    assert distances(result, golden["face_landmarks"], "face_landmarks").mean() <= 0.002
