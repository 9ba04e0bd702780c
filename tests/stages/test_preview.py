"""Looking at results: the summary's numbers, and what is drawn over a video."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

from posewatch.base.clock import SystemClock
from posewatch.base.errors import InputError, PosewatchError, SettingsError
from posewatch.formats.pose_npz import PoseFileError, PoseWriter
from posewatch.stages.preview import choose, longest_gap, render, summarise, video_beside
from posewatch.vision.decoder import Decoder
from posewatch.vision.skeleton import Part
from posewatch.vision.video import DecodeLimits
from videos import make_video, number_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    with Decoder(limits=DecodeLimits(), stall_seconds=30, clock=SystemClock()) as one:
        yield one


def person(frames: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Somebody who is found in all frames, in both halves of the picture."""
    rng = np.random.default_rng(0)
    return rng.random((frames, 543, 3), np.float32), np.ones((frames, 543), np.float32)


def write_result(path: Path, frames: int, fps: float = 25.0, **other: Any) -> Path:  # noqa: ANN401  # passed on
    points, visibility = other.get("person", person(frames))
    with PoseWriter(path) as writer:
        writer.append(points, visibility, other.get("times", np.arange(frames) / 25))
        writer.close(
            fps=fps, size=(96, 64), provenance=other.get("provenance", '{"producer": "x"}')
        )
    return path


def test_the_summary_counts_what_was_found(tmp_path: Path) -> None:
    points, visibility = person(600)
    points[:150, Part.RIGHT_HAND.value] = np.nan
    points[:, Part.LEFT_HAND.value] = np.nan
    points[100:200] = np.nan
    points[500:, Part.FACE.value] = np.nan
    provenance = {"producer": "x", "models": {"a": "0" * 64, "b": 1}}
    result = write_result(
        tmp_path / "a.npz", 600, person=(points, visibility), provenance=json.dumps(provenance)
    )
    summary = summarise(result)
    assert (summary.frames, summary.width, summary.height) == (600, 96, 64)
    assert summary.fps == 25.0
    assert summary.seconds == pytest.approx(599 / 25)
    assert summary.found == {
        "pose": pytest.approx(500 / 600),
        "right hand": pytest.approx(400 / 600),
        "left hand": 0.0,
        "face": pytest.approx(400 / 600),
    }
    assert summary.longest_gap == pytest.approx(4.0)
    assert summary.provenance == provenance
    assert json.loads(json.dumps(summary.to_json()))["frames"] == 600
    lines = dict(summary.lines())
    assert lines["frames"] == "600"
    assert lines["pose"] == "found in 83.3% of the frames"
    assert lines["producer"] == "x"
    assert lines["models"] == "a 000000000000…, b 1"


def test_a_result_without_frames_has_a_summary(tmp_path: Path) -> None:
    result = write_result(tmp_path / "a.npz", 0, fps=float("nan"), provenance="not JSON")
    summary = summarise(result)
    assert (summary.frames, summary.seconds, summary.longest_gap) == (0, 0.0, 0.0)
    assert dict(summary.lines())["frames a second"] == "unknown"
    assert summary.to_json()["fps"] is None
    json.dumps(summary.to_json(), allow_nan=False)


def test_results_with_other_keypoints_have_a_summary(tmp_path: Path) -> None:
    with PoseWriter(tmp_path / "a.npz", points=(1, 17, 2), confidences="confidences") as writer:
        frames = np.zeros((4, 1, 17, 2))
        frames[:2] = np.nan
        writer.append(frames, np.zeros((4, 1, 17)), np.arange(4))
        writer.close(fps=1.0, size=(96, 64), provenance="{}")
    summary = summarise(tmp_path / "a.npz")
    assert summary.found == {"anybody": 0.5}
    assert summary.keypoints == (1, 17, 2)


def write_openpose(path: Path, frames: int, *, hands_from: int = 0) -> Path:
    """Somebody in the middle of the picture, whose hands are found from some frame on."""
    rng = np.random.default_rng(0)
    points = 0.25 + rng.random((frames, 1, 134, 2), np.float32) / 2
    confidences = np.ones((frames, 1, 134), np.float32)
    confidences[:hands_from, :, 92:] = 0.2
    points[confidences < 0.3] = -1
    with PoseWriter(path, points=(1, 134, 2), confidences="confidences") as writer:
        writer.append(points, confidences, np.arange(frames) / 25)
        writer.close(fps=25.0, size=(96, 64), provenance="{}")
    return path


def test_what_is_at_minus_one_was_not_found(tmp_path: Path) -> None:
    summary = summarise(write_openpose(tmp_path / "a.npz", 4, hands_from=3))
    assert summary.found == {
        "body": 1.0,
        "feet": 1.0,
        "face": 1.0,
        "left hand": 0.25,
        "right hand": 0.25,
    }
    assert summary.longest_gap == 0.0


def test_the_keypoints_of_openpose_are_drawn(tmp_path: Path, decoder: Decoder) -> None:
    video = make_video(tmp_path / "a.mp4", frames=4)
    result = write_openpose(tmp_path / "a.npz", 4, hands_from=4)
    render(result, video, tmp_path / "a.png", decoder, lambda _done, _total: None)
    empty = write_openpose(tmp_path / "empty.npz", 0)
    with pytest.raises(PosewatchError, match="no frame"):
        render(empty, video, tmp_path / "b.png", decoder, lambda _done, _total: None)
    assert (tmp_path / "a.png").stat().st_size > 1000


@pytest.mark.parametrize(
    ("found", "seconds"),
    [("", 0), ("1", 0), ("0", 0), ("11", 0), ("00", 1), ("1001", 2), ("10010001", 3), ("1000", 2)],
)
def test_the_longest_gap_is_the_longest(found: str, seconds: float) -> None:
    mask = np.array([digit == "1" for digit in found], bool)
    assert longest_gap(mask, np.arange(len(found), dtype=float)) == seconds


def test_frames_that_show_most_are_chosen_from_each_piece() -> None:
    found = np.zeros((90, 4), bool)
    assert choose(found, 9) == [4, 14, 24, 34, 44, 54, 64, 74, 84]
    found[[3, 17, 18]] = True
    found[29, :2] = True
    assert choose(found, 9)[:3] == [3, 17, 29]
    assert choose(found[:3], 9) == [0, 1, 2]
    assert choose(found[:0], 9) == []


def test_the_video_is_found_by_its_name(tmp_path: Path) -> None:
    for name in ("a.MP4", "a.txt", "b.mp4", "a.b.mkv"):
        (tmp_path / name).touch()
    suffixes = (".mp4", ".mkv")
    assert video_beside(tmp_path / "a.pose-mediapipe.npz", suffixes).name == "a.MP4"
    assert video_beside(tmp_path / "a.b.pose-mediapipe.npz", suffixes).name == "a.b.mkv"
    for name in ("c.pose-mediapipe.npz", "a.npz"):
        with pytest.raises(SettingsError, match="--video"):
            video_beside(tmp_path / name, suffixes)


def test_a_video_is_drawn_frame_by_frame_at_its_own_times(tmp_path: Path, decoder: Decoder) -> None:
    times = [0.0, 0.04, 0.05, 0.4, 2.0, 2.5]
    video = make_video(tmp_path / "a.mkv", times=times)
    result = write_result(tmp_path / "a.npz", 6, times=np.array(times))
    output = tmp_path / "out.mp4"
    output.write_bytes(b"an older one")
    told: list[tuple[int, int | None]] = []
    render(result, video, output, decoder, lambda done, total: told.append((done, total)))
    assert told == [(n, 6) for n in range(1, 7)]
    with decoder.open(output) as opened:
        chunks = list(opened.chunks(16))
        np.testing.assert_allclose(chunks[0].times, times, atol=0.001)
        assert chunks[0].images.shape == (6, 64, 96, 3)
    with decoder.open(video) as opened:
        plain = next(opened.chunks(16)).images.astype(int)
    with decoder.open(output) as opened:
        drawn = next(opened.chunks(16)).images.astype(int)
    assert np.abs(plain - drawn).mean() > 10
    assert {path.name for path in tmp_path.iterdir()} == {"a.mkv", "a.npz", "out.mp4"}


def test_the_skeleton_lies_where_the_points_are(tmp_path: Path, decoder: Decoder) -> None:
    video = make_video(tmp_path / "a.mp4", frames=3)
    points, visibility = person(3)
    points[:] = np.nan
    points[:, [11, 12], :2] = (0.1, 0.75), (0.9, 0.75)
    result = write_result(tmp_path / "a.npz", 3, person=(points, visibility))
    render(result, video, tmp_path / "out.mp4", decoder, lambda _done, _total: None)
    with decoder.open(tmp_path / "out.mp4") as opened:
        images = next(opened.chunks(16)).images
    assert [number_of(image) for image in images] == [0, 1, 2]
    yellow = images[1, 48, 30:70].astype(int).mean(axis=0)
    assert yellow[0] > 150
    assert yellow[1] > 150
    assert yellow[2] < 160


@pytest.mark.parametrize("frames", [1, 30])
def test_some_frames_are_drawn_side_by_side(tmp_path: Path, decoder: Decoder, frames: int) -> None:
    video = make_video(tmp_path / "a.mp4", frames=frames)
    result = write_result(tmp_path / "a.npz", frames)
    output = tmp_path / "out.png"
    render(result, video, output, decoder, lambda _done, _total: None)
    sheet = cv2.imread(str(output))
    assert sheet is not None
    tiles = 1 if frames == 1 else 3
    assert sheet.shape == (tiles * 68 - 4, tiles * 100 - 4, 3)


@pytest.mark.parametrize("suffix", [".mp4", ".png"])
@pytest.mark.parametrize("frames", [9, 11])
def test_a_result_of_another_video_is_refused_and_leaves_nothing(
    tmp_path: Path, decoder: Decoder, suffix: str, frames: int
) -> None:
    video = make_video(tmp_path / "a.mp4", frames=10)
    result = write_result(tmp_path / "a.npz", frames)
    output = tmp_path / f"out{suffix}"
    with pytest.raises(PosewatchError, match="not one of this video"):
        render(result, video, output, decoder, lambda _done, _total: None)
    assert {path.name for path in tmp_path.iterdir()} == {"a.mp4", "a.npz"}


def test_other_times_are_another_video(tmp_path: Path, decoder: Decoder) -> None:
    video = make_video(tmp_path / "a.mp4", frames=10)
    result = write_result(tmp_path / "a.npz", 10, times=np.arange(10) / 24)
    with pytest.raises(PosewatchError, match="from frame 1 on"):
        render(result, video, tmp_path / "o.mp4", decoder, lambda _done, _total: None)


def test_the_video_itself_is_never_replaced(tmp_path: Path, decoder: Decoder) -> None:
    result = write_result(tmp_path / "a.pose-mediapipe.npz", 10)
    video = make_video(tmp_path / "a.mp4")
    before = video.read_bytes()
    (tmp_path / "link.mp4").symlink_to(video)
    for output in (video, tmp_path / "link.mp4"):
        with pytest.raises(SettingsError, match="the video itself"):
            render(result, video, output, decoder, lambda _done, _total: None)
    assert video.read_bytes() == before


def test_wrong_arguments_are_told_apart(tmp_path: Path, decoder: Decoder) -> None:
    video = make_video(tmp_path / "a.mp4", frames=2)
    result = write_result(tmp_path / "a.npz", 2)

    def drawing(result: Path, video: Path, output: str) -> None:
        render(result, video, tmp_path / output, decoder, lambda _done, _total: None)

    with pytest.raises(SettingsError, match=r"o\.avi"):
        drawing(result, video, "o.avi")
    with pytest.raises(PoseFileError):
        drawing(video, video, "o.mp4")
    with pytest.raises(InputError):
        drawing(result, result, "o.mp4")
    with PoseWriter(tmp_path / "other.npz", points=(1, 17, 2)) as writer:
        writer.close(fps=1.0, size=(96, 64), provenance="{}")
    with pytest.raises(PosewatchError, match="other keypoints"):
        drawing(tmp_path / "other.npz", video, "o.mp4")
