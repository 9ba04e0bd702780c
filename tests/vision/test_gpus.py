"""What the driver tells of GPUs, or why there are none."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

from posewatch.base.errors import ModelError
from posewatch.vision.gpus import Gpu, choose, find_gpus, pin
from vision.driver import Driver

TWO = (("NVIDIA H100 80GB HBM3", (9, 0)), ("Tesla V100", (7, 0)))


def test_each_gpu_is_told_with_what_decides_whether_it_can_be_used() -> None:
    gpus = find_gpus(Driver(TWO, cuda=12040).load)
    assert gpus == (
        Gpu(0, "NVIDIA H100 80GB HBM3", (9, 0), (12, 4)),
        Gpu(1, "Tesla V100", (7, 0), (12, 4)),
    )
    assert str(gpus[1]) == "Tesla V100 (compute capability 7.0)"


def test_without_a_driver_that_is_said() -> None:
    def load(name: str) -> object:
        return ctypes.CDLL(f"{name}-that-is-not-there")

    with pytest.raises(ModelError, match=r"no NVIDIA driver: libcuda\.so\.1-that-is-not-there"):
        find_gpus(load)


@pytest.mark.parametrize(
    ("driver", "said"),
    [
        (Driver(failing={"cuInit": 100}), r"no CUDA-capable device is detected \(cuInit: 100\)"),
        (Driver(failing={"cuInit": 803}), r"unknown error \(cuInit: 803\)"),
        (Driver(gpus=()), "shows no GPU.*CUDA_VISIBLE_DEVICES"),
    ],
)
def test_a_driver_that_shows_nothing_says_why(driver: Driver, said: str) -> None:
    with pytest.raises(ModelError, match=said):
        find_gpus(driver.load)


def test_gpus_are_chosen_by_their_numbers() -> None:
    gpus = find_gpus(Driver(TWO).load)
    assert choose(gpus, ()) == gpus
    assert choose(gpus, (1,)) == gpus[1:]
    with pytest.raises(ModelError, match=r"no GPU 2\. There are: 0: NVIDIA H100 .*, 1: Tesla"):
        choose(gpus, (0, 2))


def test_a_buffer_is_pinned_for_as_long_as_it_lives() -> None:
    driver = Driver()
    (gpu,) = find_gpus(driver.load)
    buffer = np.empty((4, 8, 8, 3), np.uint8)
    pin(buffer, gpu, driver.load)
    assert driver.pinned == {buffer.ctypes.data: buffer.nbytes}
    del buffer
    assert (driver.pinned, driver.contexts) == ({}, 0)


def test_a_driver_that_pins_nothing_is_left_as_it_was() -> None:
    driver = Driver(failing={"cuMemHostRegister_v2": 2})
    (gpu,) = find_gpus(driver.load)
    with pytest.raises(ModelError, match="cuMemHostRegister_v2: 2"):
        pin(np.empty(8, np.uint8), gpu, driver.load)
    assert driver.contexts == 0
