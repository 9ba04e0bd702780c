from __future__ import annotations

import math

import cv2
import numpy as np

from posewatch.vision.holistic.crops import cut, stay_on_calling_thread
from posewatch.vision.holistic.networks import Network
from posewatch.vision.holistic.regions import Region, whole

BLACK = Network("black", 16, border=False)
EDGE = Network("edge", 16, border=True)


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(7).integers(0, 256, (height, width, 3), np.uint8)


def test_a_crop_of_the_same_scale_is_the_image() -> None:
    image = noise(16, 16)
    np.testing.assert_array_equal(cut(EDGE, [(image, whole(16, 16))])[0], image)


def test_pixels_are_counted_from_their_corner() -> None:
    """At half the scale every second pixel is taken, not the mean of two."""
    image = noise(32, 32)
    np.testing.assert_array_equal(cut(EDGE, [(image, whole(32, 32))])[0], image[::2, ::2])


def test_a_turned_region_is_turned_upright() -> None:
    image = noise(16, 16)
    (crop,) = cut(EDGE, [(image, Region(8, 8, 16, math.pi / 2))])
    # Its x axis points down in the image; the first column lies on the image's right edge.
    np.testing.assert_array_equal(crop[1:], np.rot90(image)[:-1])


def test_outside_of_the_image_is_black_or_the_edge() -> None:
    image = np.full((8, 16, 3), 200, np.uint8)
    (black,) = cut(BLACK, [(image, whole(16, 8))])
    (edge,) = cut(EDGE, [(image, whole(16, 8))])
    assert not black[:4].any()
    assert (black[4:11] == 200).all()
    assert not black[12:].any()
    assert (edge == 200).all()


def test_one_crop_for_each_place() -> None:
    images = [noise(16, 16), 255 - noise(16, 16)]
    batch = cut(EDGE, [(image, whole(16, 16)) for image in images])
    assert batch.dtype == np.uint8
    np.testing.assert_array_equal(batch, images)
    assert cut(EDGE, []).shape == (0, 16, 16, 3)


def test_opencv_still_samples_as_mediapipe_s_does() -> None:
    """Neighbours weighed in steps of 1/32 px, as OpenCV 2 to 4 do.

    OpenCV 5 weighs them exactly, and with it hands were up to 0.02 of the image off. A failure
    here means that this OpenCV must not be used, whatever else it does better.
    """
    image, size, region = noise(90, 120), 64, Region(55, 40, 47.3, 0.4)
    (crop,) = cut(Network("any", size, border=True), [(image, region)])

    v, u = np.mgrid[0:size, 0:size]
    along, across = (u / size - 0.5) * region.side, (v / size - 0.5) * region.side
    cos, sin = math.cos(region.angle), math.sin(region.angle)
    x = np.rint(32 * (region.x + along * cos - across * sin)).astype(int)
    y = np.rint(32 * (region.y + along * sin + across * cos)).astype(int)
    expected = np.zeros((size, size, 3), int)
    for right in (0, 1):
        for down in (0, 1):
            weight = np.abs(32 * (1 - right) - x % 32) * np.abs(32 * (1 - down) - y % 32)
            expected += weight[..., None] * image[y // 32 + down, x // 32 + right]
    np.testing.assert_array_equal(crop, (expected + 512) // 1024, cv2.__version__)


def test_opencv_can_be_kept_to_one_thread() -> None:
    before = cv2.getNumThreads()
    try:
        stay_on_calling_thread()
        assert cv2.getNumThreads() == 1
    finally:
        cv2.setNumThreads(before)
