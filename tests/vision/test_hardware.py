"""Decoding on a GPU, without one: a fake gives what NVDEC gives, and fails as it may."""

from __future__ import annotations

import math
import resource
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np
import pytest
from av.video.reformatter import VideoReformatter

from posewatch.base.clock import ManualClock, SystemClock
from posewatch.base.errors import (
    DecoderCrashedError,
    Fault,
    HardwareFailedError,
    InputError,
)
from posewatch.vision import decoder_messages as messages
from posewatch.vision.decoder import Decoder
from posewatch.vision.video import DecodedBy, DecodeLimits, VideoInfo
from videos import make_video

if TYPE_CHECKING:
    import socket

    from numpy.typing import NDArray

FRAMES = 20


def make_decoder(hardware: str, limits: DecodeLimits | None = None) -> Decoder:
    return Decoder(
        limits=limits or DecodeLimits(),
        stall_seconds=30,
        clock=SystemClock(),
        hardware=hardware,
    )


def read(decoder: Decoder, path: Path) -> tuple[VideoInfo, NDArray[np.uint8], NDArray[np.float64]]:
    with decoder.open(path) as video:
        chunks = [(chunk.images.copy(), chunk.times) for chunk in video.chunks(8)]
        images, times = zip(*chunks, strict=True)
        return video.info, np.concatenate(images), np.concatenate(times)


def noise(path: Path, codec: str, pixel_format: str, size: tuple[int, int] = (320, 180)) -> Path:
    """A video with all colours side by side, which shows how they are converted."""
    random = np.random.default_rng(1)
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=25, options={"crf": "10"})
        stream.width, stream.height = size
        stream.pix_fmt = pixel_format
        for _ in range(3):
            image = random.integers(0, 256, (size[1], size[0], 3), np.uint8)
            output.mux(stream.encode(av.VideoFrame.from_ndarray(image)))
        output.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format"),
    [
        ("a.mp4", "libx264", "yuv420p"),
        ("full.mp4", "libx264", "yuvj420p"),
        ("ten.mp4", "libx264", "yuv420p10le"),
        ("a.webm", "libvpx-vp9", "yuv420p"),
    ],
)
def test_the_pictures_do_not_tell_who_decoded_them(
    tmp_path: Path, name: str, codec: str, pixel_format: str
) -> None:
    path = noise(tmp_path / name, codec, pixel_format)
    with make_decoder("fake:") as gpu, make_decoder("") as cpu:
        info, images, times = read(gpu, path)
        plain, expected, expected_times = read(cpu, path)
    assert (info.decoder, info.fallback, plain.decoder) == (DecodedBy.NVDEC, "", DecodedBy.CPU)
    np.testing.assert_array_equal(images, expected)
    np.testing.assert_array_equal(times, expected_times)


def test_swscale_makes_other_colours_of_what_a_gpu_gives(tmp_path: Path) -> None:
    """Why the pictures are put into planes first. When this fails, that may go."""
    with av.open(str(noise(tmp_path / "a.mp4", "libx264", "yuv420p"))) as video:
        frame = next(video.decode(video=0))
    given = VideoReformatter().reformat(frame, format="nv12")
    assert frame.format.name == "yuv420p"
    apart = np.abs(frame.to_ndarray(format="rgb24").astype(int) - given.to_ndarray(format="rgb24"))
    assert apart.max() > 20


def test_turns_and_times_are_those_of_the_cpu(tmp_path: Path) -> None:
    path = make_video(tmp_path / "v.mp4", times=[0.5, 0.6, 0.9, 1.7], rotation=90)
    with make_decoder("fake:") as gpu, make_decoder("") as cpu:
        info, images, times = read(gpu, path)
        plain, expected, expected_times = read(cpu, path)
    assert (info.rotation, info.decoder) == (plain.rotation, DecodedBy.NVDEC) == (90, "nvdec")
    np.testing.assert_array_equal(images, expected)
    np.testing.assert_array_equal(times, expected_times)


@pytest.mark.parametrize(
    ("name", "options", "why"),
    [
        ("a.mp4", {"codec": "mpeg4"}, "mpeg4 is left to the CPU"),
        ("a.webm", {"codec": "libvpx", "size": (97, 64)}, "odd size"),
        ("a.mp4", {"pixel_format": "yuv444p"}, "High 4:4:4 Predictive"),
        ("a.mp4", {"options": {"x264-params": "tff=1"}}, "interlaced"),
        ("a.ts", {}, "only its pictures tell"),
    ],
)
def test_what_a_gpu_would_decode_otherwise_is_left_to_the_cpu(
    tmp_path: Path, name: str, options: dict[str, object], why: str
) -> None:
    path = make_video(tmp_path / name, **options)  # type: ignore[arg-type]
    with make_decoder("fake:") as gpu, make_decoder("") as cpu:
        info, images, _ = read(gpu, path)
        _, expected, _ = read(cpu, path)
    assert info.decoder is DecodedBy.CPU
    assert why in info.fallback
    np.testing.assert_array_equal(images, expected)


@pytest.mark.parametrize("picture", [0, 9])
@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ("fail", "the GPU is gone"),
        ("complain", "an illegal memory access was encountered"),
        ("crash", "SIGABRT"),
    ],
)
def test_a_gpu_that_fails_leaves_the_whole_video_to_the_cpu(
    tmp_path: Path, fault: str, why: str, picture: int
) -> None:
    """And another process asks it about the next one: what it failed in may be unfit for that."""
    path = make_video(tmp_path / "v.mp4", frames=FRAMES)
    with make_decoder(f"fake:{fault}@{picture}") as decoder:
        with pytest.raises(HardwareFailedError, match=why) as caught:
            read(decoder, path)
        assert decoder._child is None
        decoder.fallback = caught.value.message
        info, images, _ = read(decoder, path)
        assert (info.decoder, info.fallback) == (DecodedBy.CPU, caught.value.message)
        assert len(images) == FRAMES
        decoder.fallback = ""
        with pytest.raises(HardwareFailedError):
            read(decoder, path)


@pytest.mark.parametrize("at", [0.3, 0.9])
def test_only_the_cpu_says_what_is_wrong_with_a_video(tmp_path: Path, at: float) -> None:
    whole = make_video(
        tmp_path / "v.mp4", frames=FRAMES, container_options={"movflags": "faststart"}
    )
    data = whole.read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(data[: int(len(data) * at)])
    faults = []
    for hardware in ("fake:", ""):
        with make_decoder(hardware) as decoder, pytest.raises(InputError) as caught:
            read(decoder, cut)
        faults.append((caught.value.fault, caught.value.message, caught.value.readable_frames))
    assert faults[0] == faults[1]
    assert faults[0][0] is Fault.TRUNCATED


def test_nvdec_itself_decodes_the_same_or_says_why_not(tmp_path: Path) -> None:
    """The real one: where there is no GPU, that is the reason."""
    path = make_video(tmp_path / "v.mp4", frames=FRAMES, size=(320, 240))
    with make_decoder("nvdec:0") as gpu, make_decoder("") as cpu:
        info, images, _ = read(gpu, path)
        _, expected, _ = read(cpu, path)
    np.testing.assert_array_equal(images, expected)
    if info.decoder is DecodedBy.CPU:
        assert "it cannot be opened for a GPU: " in info.fallback
        assert "CUDA" in info.fallback


class Silent:
    """A process that says nothing more."""

    progress = 0
    channel: socket.socket

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock

    def wait_readable(self, _milliseconds: int) -> bool:
        self._clock.advance(1)
        return False


def test_a_gpu_that_hangs_is_not_the_video_s_fault() -> None:
    clock = ManualClock()
    with Decoder(limits=DecodeLimits(), stall_seconds=60, clock=clock, hardware="fake:") as decoder:
        decoder._on_hardware = True
        with pytest.raises(HardwareFailedError, match="no progress for 60 s"):
            decoder._receive(Silent(clock))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "lie", [{"kind": "hardware", "reason": "again"}, {"kind": "info", "decoder": "nvdec"}]
)
def test_a_process_that_has_no_gpu_cannot_blame_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lie: messages.Message
) -> None:
    """Or a hostile video could be tried for ever."""
    path = make_video(tmp_path / "v.mp4")
    true = messages.receive
    said: list[messages.Message] = []

    def receive(channel: socket.socket) -> messages.Message:
        said.append(true(channel))
        return said[-1] if said[-1]["kind"] == "ready" else said[-1] | lie

    monkeypatch.setattr(messages, "receive", receive)
    with make_decoder("fake:") as decoder:
        decoder.fallback = "it failed before"
        with pytest.raises(DecoderCrashedError, match="makes no sense"):
            read(decoder, path)


@pytest.mark.parametrize("reason", ["", "x" * 10_000])
def test_why_a_gpu_failed_is_never_empty_and_never_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reason: str
) -> None:
    """No reason would mean that it did not fail, and the next try would ask it again."""
    path = make_video(tmp_path / "v.mp4")
    true = messages.receive

    def receive(channel: socket.socket) -> messages.Message:
        said = true(channel)
        return said if said["kind"] == "ready" else messages.hardware_message(reason)

    monkeypatch.setattr(messages, "receive", receive)
    with make_decoder("fake:") as decoder, pytest.raises(HardwareFailedError) as caught:
        read(decoder, path)
    assert 0 < len(caught.value.message) < 1_000


def test_what_a_gpu_s_process_talks_is_not_the_video_s_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_video(tmp_path / "v.mp4")
    true = messages.receive

    def receive(channel: socket.socket) -> messages.Message:
        said = true(channel)
        return said | {"frames": math.inf} if said["kind"] == "chunk" else said

    monkeypatch.setattr(messages, "receive", receive)
    with make_decoder("fake:") as decoder, pytest.raises(HardwareFailedError, match="no sense"):
        read(decoder, path)


def limit_of(decoder: Decoder, which: int) -> int:
    assert decoder._child is not None
    return resource.prlimit(decoder._child._process.pid, which)[0]


def test_memory_is_limited_as_cuda_bears_it(tmp_path: Path) -> None:
    path = make_video(tmp_path / "v.mp4")
    limits = DecodeLimits(memory_bytes=1 << 30)
    ours = resource.getrlimit(resource.RLIMIT_AS)[0]
    with make_decoder("fake:", limits) as gpu, make_decoder("", limits) as cpu:
        read(gpu, path)
        read(cpu, path)
        assert limit_of(gpu, resource.RLIMIT_DATA) == limit_of(cpu, resource.RLIMIT_AS) == 1 << 30
        assert limit_of(gpu, resource.RLIMIT_AS) == ours


def test_what_takes_too_much_memory_is_stopped_under_that_limit_too(tmp_path: Path) -> None:
    options = {"preset": "ultrafast", "refs": "4"}
    path = make_video(tmp_path / "v.mp4", frames=4, size=(7680, 4320), options=options)
    small = make_video(tmp_path / "small.mp4")
    with make_decoder("fake:", DecodeLimits(memory_bytes=400 << 20, ring_bytes=1 << 20)) as decoder:
        decoder.fallback = "the GPU failed"
        with pytest.raises((InputError, DecoderCrashedError)) as caught:
            read(decoder, path)
        if isinstance(caught.value, InputError):
            assert caught.value.fault is Fault.TOO_LARGE
        assert len(read(decoder, small)[1]) == 10


def test_gpus_are_counted_as_the_owner_counts_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    with make_decoder("fake:") as decoder:
        read(decoder, make_video(tmp_path / "v.mp4"))
        assert decoder._child is not None
        told = Path(f"/proc/{decoder._child._process.pid}/environ").read_bytes().split(b"\0")
    assert b"CUDA_VISIBLE_DEVICES=2,3" in told
