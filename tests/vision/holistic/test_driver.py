"""What goes where, and which network is asked how often; with an engine that needs no networks."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from posewatch.base.errors import ModelError
from posewatch.vision.holistic import Holistic, Mode
from posewatch.vision.holistic.fake import FakeEngine

WIDTH, HEIGHT = 160, 120
RIGHT_WRIST, LEFT_WRIST = 16, 15
RIGHT_HAND, LEFT_HAND, FACE = slice(33, 54), slice(54, 75), slice(75, 543)


def video(*brightness: int) -> np.ndarray:
    images = np.zeros((len(brightness), HEIGHT, WIDTH, 3), np.uint8)
    images += np.array(brightness, np.uint8)[:, None, None, None]
    return images


@pytest.mark.parametrize("mode", list(Mode))
def test_somebody_then_nobody_then_somebody(mode: Mode) -> None:
    result = Holistic(FakeEngine(), mode).start(WIDTH, HEIGHT).process(video(99, 99, 0, 0, 99))

    assert result.frames.shape == (5, 543, 3)
    assert result.visibility.shape == (5, 543)
    assert result.frames.dtype == result.visibility.dtype == np.float32
    assert np.isnan(result.frames).all(axis=(1, 2)).tolist() == [False, False, True, True, False]
    np.testing.assert_array_equal(np.isnan(result.frames[..., 0]), np.isnan(result.visibility))


@pytest.mark.parametrize("mode", list(Mode))
def test_the_published_order(mode: Mode) -> None:
    result = Holistic(FakeEngine(), mode).start(WIDTH, HEIGHT).process(video(99))
    x, y = result.frames[0, :, 0], result.frames[0, :, 1]

    assert x[RIGHT_WRIST] < 0.5 < x[LEFT_WRIST]
    assert (x[RIGHT_HAND] < 0.5).all()
    assert (x[LEFT_HAND] > 0.5).all()
    assert y[FACE].mean() < 0.4
    assert x[FACE].mean() == pytest.approx(0.5, abs=0.05)
    np.testing.assert_allclose(result.visibility[0, :33], 1 / (1 + np.exp(-3)), rtol=1e-6)
    assert not result.visibility[0, 33:].any()


def test_static_frames_of_a_call_share_batches() -> None:
    engine = FakeEngine()
    Holistic(engine, Mode.STATIC).start(WIDTH, HEIGHT).process(video(99, 99, 0, 99))
    assert engine.calls[:4] == [
        ("pose_detection", 4),
        ("pose_landmark", 3),
        ("hand_recrop", 6),
        ("hand_landmark", 2),
    ]
    assert Counter(engine.calls) == {
        ("pose_detection", 4): 1,
        ("pose_landmark", 3): 1,
        ("hand_recrop", 6): 1,
        ("hand_landmark", 2): 3,  # both hands of each frame
        ("face_detection", 3): 1,
        ("face_landmark", 1): 3,
    }


def test_independent_frames_share_every_batch() -> None:
    engine = FakeEngine()
    Holistic(engine, Mode.INDEPENDENT).start(WIDTH, HEIGHT).process(video(99, 99, 99))
    assert [count for _, count in engine.calls] == [3, 3, 6, 6, 3, 3]


def test_tracking_detects_only_who_was_lost() -> None:
    engine = FakeEngine()
    track = Holistic(engine, Mode.TRACKING).start(WIDTH, HEIGHT)
    for brightness, detections in ((99, 1), (99, 1), (99, 1), (0, 1), (0, 2), (99, 3), (99, 3)):
        track.process(video(brightness))
        asked = [network for network, _ in engine.calls]
        assert asked.count("pose_detection") == detections


def test_two_videos_know_nothing_of_each_other() -> None:
    holistic = Holistic(FakeEngine(), Mode.TRACKING)
    first, second = (holistic.start(WIDTH, HEIGHT) for _ in range(2))
    alone = holistic.start(WIDTH, HEIGHT).process(video(99, 99))
    first.process(video(99))
    second.process(video(0))
    np.testing.assert_array_equal(first.process(video(99)).frames[0], alone.frames[1])
    np.testing.assert_array_equal(second.process(video(99)).frames[0], alone.frames[0])


def test_no_frames() -> None:
    engine = FakeEngine()
    for mode in Mode:
        result = Holistic(engine, mode).start(WIDTH, HEIGHT).process(video())
        assert result.frames.shape == (0, 543, 3)
        assert result.visibility.shape == (0, 543)
    assert engine.calls == []


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((1, WIDTH, HEIGHT, 3), np.uint8),
        np.zeros((1, HEIGHT, WIDTH, 4), np.uint8),
        np.zeros((HEIGHT, WIDTH, 3), np.uint8),
        np.zeros((1, HEIGHT, WIDTH, 3), np.float32),
    ],
)
def test_other_images_are_refused(images: np.ndarray) -> None:
    track = Holistic(FakeEngine(), Mode.STATIC).start(WIDTH, HEIGHT)
    with pytest.raises(ValueError, match=r"expected uint8 images of shape \(n, 120, 160, 3\)"):
        track.process(images)


def test_a_failing_network_is_told() -> None:
    def fail(network: str) -> None:
        if network == "hand_recrop":
            raise ModelError("no hands today")

    track = Holistic(FakeEngine(fail), Mode.STATIC).start(WIDTH, HEIGHT)
    with pytest.raises(ModelError, match="no hands today"):
        track.process(video(99))


def test_the_fake_refuses_networks_that_holistic_has_not() -> None:
    with pytest.raises(ModelError, match="no network 'feet'"):
        FakeEngine().infer("feet", video(1))
