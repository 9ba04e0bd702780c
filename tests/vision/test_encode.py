"""What is written can be read again, at the times that were given."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import av
import numpy as np
import pytest

from posewatch.base.clock import SystemClock
from posewatch.vision.decoder import Decoder
from posewatch.vision.encode import VideoWriter
from posewatch.vision.video import DecodeLimits
from videos import number_of, picture

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray


def write(path: Path, times: Sequence[float], size: tuple[int, int], fps: float) -> None:
    with VideoWriter(path, size, fps) as writer:
        for number, time in enumerate(times):
            writer.write(picture(number, size), time)
        writer.finish()


def read(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    images, times = [], []
    with (
        Decoder(limits=DecodeLimits(), stall_seconds=30, clock=SystemClock()) as decoder,
        decoder.open(path) as video,
    ):
        for chunk in video.chunks(16):
            images.append(chunk.images.copy())
            times.append(chunk.times)
    return np.concatenate(images), np.concatenate(times)


@pytest.mark.parametrize(
    "times",
    [
        [n / 25 for n in range(40)],
        [n * 1001 / 30000 for n in range(40)],
        [0.0, 0.01, 0.5, 3.0, 3.001, 10.25],
        [0.0],
    ],
)
def test_frames_come_back_in_order_at_their_times(tmp_path: Path, times: list[float]) -> None:
    path = tmp_path / "a.mp4"
    write(path, times, (96, 64), 25.0)
    images, found = read(path)
    assert [number_of(image) for image in images] == list(range(len(times)))
    np.testing.assert_allclose(found, times, atol=1 / 90000)


@pytest.mark.parametrize(("size", "even"), [((97, 63), (98, 64)), ((96, 64), (96, 64))])
def test_odd_sizes_become_even(
    tmp_path: Path, size: tuple[int, int], even: tuple[int, int]
) -> None:
    path = tmp_path / "a.mp4"
    write(path, [0.0, 0.04], size, 25.0)
    images, _ = read(path)
    assert images.shape == (2, even[1], even[0], 3)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec.name, stream.pix_fmt) == ("h264", "yuv420p")


@pytest.mark.parametrize("fps", [math.nan, 0.0, 1e9, 23.976023976023978, 0.001])
def test_any_rate_will_do_for_planning(tmp_path: Path, fps: float) -> None:
    write(tmp_path / "a.mp4", [0.0, 0.5], (96, 64), fps)
    np.testing.assert_allclose(read(tmp_path / "a.mp4")[1], [0, 0.5], atol=1 / 90000)


def test_times_that_step_back_follow_at_once(tmp_path: Path) -> None:
    write(tmp_path / "a.mp4", [0.0, 1.0, 0.5, 0.5], (96, 64), 25.0)
    _, times = read(tmp_path / "a.mp4")
    assert (np.diff(times) > 0).all()
    assert times[-1] == pytest.approx(1.0, abs=0.001)


def test_a_picture_of_another_size_is_refused(tmp_path: Path) -> None:
    with (
        VideoWriter(tmp_path / "a.mp4", (96, 64), 25.0) as writer,
        pytest.raises(ValueError, match=r"\(64, 96, 3\)"),
    ):
        writer.write(picture(0, (64, 96)), 0.0)
