"""What is to decode shows that it can before the first video, or posewatch does not start."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from posewatch.base.clock import SystemClock
from posewatch.base.errors import ModelError
from posewatch.config import DecodeSettings, WorkSettings
from posewatch.service import decoding
from posewatch.service.decoding import open_decoding
from posewatch.vision import hardware
from posewatch.vision.decoder import Decoder
from posewatch.vision.gpus import find_gpus
from posewatch.vision.video import DecodeLimits
from vision.driver import Driver

if TYPE_CHECKING:
    from collections.abc import Callable

NVDEC = DecodeSettings(device="nvdec")


def making(*gpus: str) -> Callable[[str], Decoder]:
    """Makes decoders; for GPU n, the n-th of these instead."""

    def make(name: str) -> Decoder:
        gpu = gpus[int(name.removeprefix("nvdec:"))] if name else ""
        clock = SystemClock()
        return Decoder(limits=DecodeLimits(), stall_seconds=30, clock=clock, hardware=gpu)

    return make


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Driver:
    driver = Driver((("NVIDIA H100", (9, 0)),) * 2)
    monkeypatch.setattr(decoding, "find_gpus", lambda: find_gpus(driver.load))
    return driver


def test_the_cpu_needs_no_trial() -> None:
    assert open_decoding(DecodeSettings(), WorkSettings(), making()) == ("",)


@pytest.mark.usefixtures("driver")
def test_every_gpu_that_is_to_be_used_decodes() -> None:
    made = making("fake:", "fake:")
    assert open_decoding(NVDEC, WorkSettings(), made) == ("nvdec:0", "nvdec:1")
    assert open_decoding(NVDEC, WorkSettings(gpus=(1,)), made) == ("nvdec:1",)
    with pytest.raises(ModelError, match="no GPU 7"):
        open_decoding(NVDEC, WorkSettings(gpus=(7,)), made)


def test_without_a_driver_that_is_the_reason(driver: Driver) -> None:
    driver.failing["cuInit"] = 100
    with pytest.raises(ModelError, match="no CUDA-capable device is detected"):
        open_decoding(NVDEC, WorkSettings(), making())


@pytest.mark.usefixtures("driver")
def test_a_pyav_without_cuda_is_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "hwdevices_available", lambda: ["vaapi"])
    with pytest.raises(ModelError, match="this PyAV was built without CUDA"):
        open_decoding(NVDEC, WorkSettings(), making("fake:", "fake:"))


def test_the_pyav_at_hand_knows_cuda() -> None:
    """As its own wheels do, on which this rests."""
    hardware.check_build()


@pytest.mark.usefixtures("driver")
@pytest.mark.parametrize(
    ("gpu", "why"),
    [
        ("fake:differ@29", "its pictures are not those of the CPU"),
        ("fake:fail@0", "the GPU is gone"),
        ("fake:fail@9", "the GPU is gone"),
        ("fake:crash@9", "SIGABRT"),
    ],
)
def test_a_gpu_that_does_not_decode_rightly_is_an_error(gpu: str, why: str) -> None:
    with pytest.raises(ModelError, match=f"GPU 1, NVIDIA H100 .*cannot decode: .*{why}") as caught:
        open_decoding(NVDEC, WorkSettings(), making("fake:", gpu))
    assert "decode.device = cpu" in str(caught.value)


@pytest.mark.usefixtures("driver")
def test_ffmpeg_itself_says_why_there_is_no_nvdec() -> None:
    """The driver only pretends, so FFmpeg finds none; with a real one, this machine has a GPU."""
    try:
        assert open_decoding(NVDEC, WorkSettings(gpus=(0,)), making("nvdec:0")) == ("nvdec:0",)
    except ModelError as error:
        assert "cannot be opened for a GPU: " in error.message  # noqa: PT017  # or all is well
