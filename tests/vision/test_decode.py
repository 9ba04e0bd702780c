"""Whole videos are read whole: every frame, its time, upright."""

from __future__ import annotations

import gc
import math
import os
import struct
import weakref
from contextlib import contextmanager
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import pytest

from posewatch.base.errors import Fault, InputError
from posewatch.vision.decode import VideoReader
from posewatch.vision.video import DecodeLimits, average_fps
from videos import make_video, number_of, picture

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

LIMITS = DecodeLimits()


@contextmanager
def reading(path: Path, limits: DecodeLimits = LIMITS) -> Iterator[VideoReader]:
    fd = os.open(path, os.O_RDONLY)
    try:
        reader = VideoReader(fd, limits)
        try:
            yield reader
        finally:
            reader.close()
    finally:
        os.close(fd)


def read(path: Path) -> tuple[NDArray[np.uint8], list[float]]:
    """All pictures (T, H, W, 3) and times."""
    with reading(path) as reader:
        images, times = [], []
        while True:
            image = np.zeros((reader.info.height, reader.info.width, 3), np.uint8)
            time = reader.read_into(image)
            if time is None:
                return np.array(images), times
            images.append(image)
            times.append(time)


WHOLE = [
    *((suffix, None) for suffix in (".mp4", ".mov", ".mkv", ".webm", ".avi", ".ts", ".m2ts")),
    *((suffix, None) for suffix in (".mpg", ".vob", ".flv", ".wmv", ".ogv", ".mxf", ".3gp")),
    *((".mp4", codec) for codec in ("libx265", "libsvtav1", "mpeg4", "mjpeg", "libvpx-vp9")),
    *((".mov", codec) for codec in ("prores_ks", "png", "qtrle")),
    *((".mkv", codec) for codec in ("libx265", "ffv1", "mpeg2video", "libsvtav1")),
    *((".avi", codec) for codec in ("mjpeg", "rawvideo", "ffv1", "libx264", "wmv2")),
    *((".ts", codec) for codec in ("libx265", "mpeg2video", "mpeg4")),
    *((".webm", codec) for codec in ("libvpx-vp9", "libsvtav1")),
]
FORMATS = {"prores_ks": "yuv422p10le", "png": "rgb24", "qtrle": "rgb24"}


@pytest.mark.parametrize("audio", [False, True])
@pytest.mark.parametrize("frames", [1, 2, 31])
@pytest.mark.parametrize(("suffix", "codec"), WHOLE)
def test_every_frame_of_a_whole_video_is_read_once_in_order(
    tmp_path: Path, suffix: str, codec: str | None, frames: int, *, audio: bool
) -> None:
    if suffix == ".mxf" and audio:
        pytest.skip("no tone is made for MXF")
    if codec == "libx265" and frames < 3:
        pytest.skip("x265 gives so few frames times that fit into no container")
    path = make_video(
        tmp_path / f"video{suffix}",
        frames=frames,
        codec=codec,
        audio=audio,
        pixel_format=FORMATS.get(codec or "", "yuv420p"),
    )
    images, times = read(path)
    assert [number_of(image) for image in images] == list(range(frames))
    np.testing.assert_allclose(times, np.arange(frames) / 25, atol=0.0011)


@pytest.mark.parametrize(
    "options",
    [
        {"movflags": "faststart"},
        {"movflags": "frag_keyframe+empty_moov"},
        {"movflags": "frag_keyframe+empty_moov+default_base_moof+global_sidx"},
        {"movflags": "cmaf"},
    ],
)
def test_every_way_to_arrange_an_mp4_is_read(tmp_path: Path, options: dict[str, str]) -> None:
    path = make_video(tmp_path / "v.mp4", frames=31, audio=True, container_options=options)
    images, _ = read(path)
    assert [number_of(image) for image in images] == list(range(31))


def test_recordings_of_browsers_that_know_no_size_beforehand_are_whole(tmp_path: Path) -> None:
    path = make_video(tmp_path / "v.webm", frames=31, audio=True, container_options={"live": "1"})
    with reading(path) as reader:
        assert reader.info.duration is None
        assert reader.info.frames is None
    assert len(read(path)[0]) == 31


def test_gif_and_dv_are_read(tmp_path: Path) -> None:
    assert len(read(make_video(tmp_path / "v.gif", frames=7))[0]) == 7
    dv = make_video(tmp_path / "v.dv", frames=3, size=(720, 576), pixel_format="yuv420p")
    assert len(read(dv)[0]) == 3


def test_times_are_exact_fractions_of_a_second(tmp_path: Path) -> None:
    path = make_video(tmp_path / "v.mp4", frames=200, fps=Fraction(30000, 1001))
    _, times = read(path)
    assert times == [float(Fraction(1001 * i, 30000)) for i in range(200)]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
def test_a_variable_frame_rate_keeps_its_times(tmp_path: Path, suffix: str) -> None:
    wanted = [0.0, 0.04, 0.05, 0.4, 2.0, 2.001, 7.125]
    images, times = read(make_video(tmp_path / f"v{suffix}", times=wanted))
    np.testing.assert_allclose(times, wanted, atol=0.0005)
    assert [number_of(image) for image in images] == list(range(7))


def test_times_count_from_the_first_frame_and_the_start_is_told(tmp_path: Path) -> None:
    path = make_video(tmp_path / "v.mkv", times=[3.0, 3.5, 4.0])
    with reading(path) as reader:
        assert reader.info.start == 3.0
    assert read(path)[1] == [0.0, 0.5, 1.0]


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_pictures_are_turned_as_players_show_them(tmp_path: Path, rotation: int) -> None:
    path = make_video(tmp_path / "v.mp4", frames=3, rotation=rotation)
    images, _ = read(path)
    for number, image in enumerate(images):
        wanted = np.rot90(picture(number, (96, 64)), rotation // 90)
        assert image.shape == wanted.shape
        assert np.abs(image.astype(int) - wanted).mean() < 8
    with reading(path) as reader:
        assert reader.info.rotation == rotation
        assert (reader.info.height, reader.info.width) == images.shape[1:3]


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        ((-1, 0, 0, 1), lambda p: p[:, ::-1]),
        ((1, 0, 0, -1), lambda p: p[::-1]),
        ((0, 1, 1, 0), lambda p: p.transpose(1, 0, 2)),
        ((0, -1, -1, 0), lambda p: p.transpose(1, 0, 2)[::-1, ::-1]),
    ],
)
def test_mirrored_pictures_are_mirrored_back(tmp_path: Path, matrix, expected) -> None:  # noqa: ANN001
    path = make_video(tmp_path / "v.mp4", frames=2, rotation=180)
    data = bytearray(path.read_bytes())
    at = data.rindex(b"tkhd") + 4 + 40  # ISO/IEC 14496-12, 8.3.2, version 0
    a, b, c, d = (value << 16 for value in matrix)
    struct.pack_into(">9i", data, at, a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    images, _ = read(path)
    wanted = expected(picture(1, (96, 64)))
    assert np.abs(images[1].astype(int) - wanted).mean() < 8


def test_frames_that_change_size_are_scaled_to_the_first(tmp_path: Path) -> None:
    small = make_video(tmp_path / "small.ts", frames=5)
    large = make_video(tmp_path / "large.ts", frames=5, size=(192, 160))
    path = tmp_path / "both.ts"
    path.write_bytes(small.read_bytes() + large.read_bytes())
    images, _ = read(path)
    assert images.shape == (10, 64, 96, 3)
    assert [number_of(image) for image in images] == [0, 1, 2, 3, 4] * 2


def test_frames_that_an_edit_list_hides_are_not_missed(tmp_path: Path) -> None:
    path = make_video(tmp_path / "v.mp4", frames=20, options={"bf": "0", "g": "5"})
    data = bytearray(path.read_bytes())
    at = data.rindex(b"elst") + 4
    duration, start = struct.unpack_from(">Ii", data, at + 8)
    (scale,) = struct.unpack_from(">I", data, data.rindex(b"mdhd") + 16)
    struct.pack_into(">Ii", data, at + 8, duration // 2, start + scale * 5 // 25)
    path.write_bytes(data)
    images, times = read(path)
    assert [number_of(image) for image in images] == list(range(5, 15))
    assert times[0] == 0.0


@pytest.mark.parametrize("suffix", [".ts", ".mpg"])
@pytest.mark.parametrize("codec", ["libx264", "mpeg2video", "mpeg4"])
def test_a_broadcast_that_begins_anywhere_is_read_from_its_first_key_frame(
    tmp_path: Path, suffix: str, codec: str
) -> None:
    if suffix == ".mpg" and codec != "mpeg2video":
        pytest.skip("not in this container")
    options = {"g": "12", "bf": "2"}
    whole = tmp_path / f"v{suffix}"
    data = make_video(whole, frames=60, size=(320, 240), codec=codec, options=options).read_bytes()
    pack = 188 if suffix == ".ts" else 2048
    # what tells the streams apart comes again and again in a broadcast, once only here
    head = data[: 3 * pack] if suffix == ".ts" else b""
    path = tmp_path / f"cut{suffix}"
    step = 3 * pack if suffix == ".ts" else pack
    for start in range(2 * step, len(data) * 7 // 10, step):
        path.write_bytes(head + data[start:])
        numbers = [number_of(image) for image in read(path)[0]]
        assert 0 < len(numbers) <= 60
        assert numbers == [*range(numbers[0], 60)]


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_times_of_an_avi_whose_frames_are_stored_out_of_order_are_counted(
    tmp_path: Path, codec: str
) -> None:
    path = make_video(tmp_path / "v.avi", frames=30, codec=codec, options={"bf": "2"})
    images, times = read(path)
    assert [number_of(image) for image in images] == list(range(30))
    np.testing.assert_allclose(times, np.arange(30) / 25, atol=1e-9)


def test_what_a_video_says_about_itself(tmp_path: Path) -> None:
    path = make_video(tmp_path / "v.mp4", frames=50, fps=Fraction(24000, 1001), rotation=90)
    with reading(path) as reader:
        info = reader.info
    assert (info.width, info.height, info.rotation) == (64, 96, 90)
    assert info.fps == 24000 / 1001
    assert info.frames == 50
    assert info.duration == pytest.approx(50 * 1001 / 24000, abs=0.001)
    assert (info.codec, info.pixel_format) == ("h264", "yuv420p")
    assert "mp4" in info.container


def test_a_declared_rate_that_is_a_mistake_is_not_believed(tmp_path: Path) -> None:
    with reading(make_video(tmp_path / "v.mp4", fps=5000)) as reader:
        assert math.isnan(reader.info.fps)


def test_the_average_rate_is_exact_where_it_was_declared_and_measured_elsewhere() -> None:
    assert average_fps(30000 / 1001, 300, 299 * 1001 / 30000) == 30000 / 1001
    assert average_fps(25.0, 101, 10.0) == 10.0
    assert average_fps(math.nan, 101, 10.0) == 10.0
    assert average_fps(25.0, 1, 0.0) == 25.0
    assert math.isnan(average_fps(math.nan, 1, 0.0))


def test_a_picture_larger_than_allowed_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    path = make_video(tmp_path / "v.mp4", size=(128, 96))
    with pytest.raises(InputError) as caught, reading(path, DecodeLimits(max_pixels=12_000)):
        pass
    assert caught.value.fault is Fault.TOO_LARGE
    assert "128 by 96" in str(caught.value)


def test_colours_are_those_of_the_stream(tmp_path: Path) -> None:
    path = make_video(tmp_path / "v.mkv", frames=1, codec="ffv1", pixel_format="bgr0")
    images, _ = read(path)
    np.testing.assert_array_equal(images[0], picture(0, (96, 64)))


@pytest.mark.parametrize("matrix", ["bt709", "smpte170m", "bt2020nc", "YCgCo", "bt2020c"])
def test_odd_colour_spaces_are_no_reason_to_fail(tmp_path: Path, matrix: str) -> None:
    options = {"x264-params": f"colormatrix={matrix}"}
    images, _ = read(make_video(tmp_path / "v.mp4", frames=2, options=options))
    assert [number_of(image) for image in images] == [0, 1]


def test_sound_that_is_longer_or_shorter_than_the_pictures_is_no_fault(tmp_path: Path) -> None:
    for suffix in (".flv", ".mkv", ".mp4", ".avi", ".ts"):
        path = make_video(tmp_path / f"v{suffix}", frames=10, audio=True, audio_seconds=5)
        assert len(read(path)[0]) == 10
        path = make_video(tmp_path / f"w{suffix}", frames=100, audio=True, audio_seconds=0.5)
        assert len(read(path)[0]) == 100


def test_each_error_quotes_what_ffmpeg_said_about_this_file(tmp_path: Path) -> None:
    data = bytearray(make_video(tmp_path / "v.mp4").read_bytes())
    data[data.rindex(b"stsc") : data.rindex(b"stsc") + 4] = b"free"
    (tmp_path / "bad.mp4").write_bytes(data)
    quotes = set()
    for _ in range(3):
        with pytest.raises(InputError) as caught, reading(tmp_path / "bad.mp4"):
            pass
        quotes.add(str(caught.value))
    assert len(quotes) == 1
    assert "(FFmpeg: " in quotes.pop()


def test_a_closed_reader_lets_its_frames_go(tmp_path: Path) -> None:
    fd = os.open(make_video(tmp_path / "v.mp4"), os.O_RDONLY)
    gc.disable()
    try:
        reader = VideoReader(fd, LIMITS)
        alive = weakref.ref(reader)
        reader.close()
        del reader
        assert alive() is None
    finally:
        gc.enable()
        os.close(fd)


def test_the_error_tells_how_many_frames_could_be_read(tmp_path: Path) -> None:
    whole = make_video(
        tmp_path / "v.mp4",
        frames=40,
        options={"g": "4"},
        container_options={"movflags": "faststart"},
    ).read_bytes()
    counts = []
    for percent in (50, 70, 90):
        path = tmp_path / "cut.mp4"
        path.write_bytes(whole[: len(whole) * percent // 100])
        with pytest.raises(InputError) as caught, reading(path):
            pass
        assert caught.value.fault is Fault.TRUNCATED
        readable = caught.value.readable_frames
        assert f"{readable} of 40 frames" in caught.value.message
        counts.append(readable)
    assert counts == sorted(counts)
    assert 0 < counts[0] < counts[-1] < 40
