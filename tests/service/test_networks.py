"""Networks are loaded where the settings say, or it is said why not."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from posewatch.base.errors import ModelError
from posewatch.config import WorkSettings
from posewatch.service import networks
from posewatch.service.networks import Networks, open_networks
from posewatch.vision.gpus import find_gpus
from posewatch.vision.providers import CPU, CUDA, TENSORRT, Device
from vision.driver import Driver

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from posewatch.vision.engine import Outputs
    from posewatch.vision.gpus import Gpu

FILES = {"detector": Path("any.onnx")}


class Made:
    """An engine that tells where it was made."""

    all: list[Made]
    fails = ""

    def __init__(
        self,
        files: object,
        *,
        device: Device = Device.CPU,
        gpu: Gpu | None = None,
        engines: Path | None = None,
        batch: int = 1,
        tf32: bool = True,
    ) -> None:
        if self.fails and device is not Device.CPU:
            raise ModelError(self.fails)
        assert files == FILES
        self.provider = {Device.CPU: CPU, Device.CUDA: CUDA, Device.TENSORRT: TENSORRT}[device]
        self.gpu, self.engines, self.batch, self.tf32 = gpu, engines, batch, tf32
        self.left = "detector: MaxPool 1" if gpu else ""
        self.all.append(self)

    def infer(self, _network: str, batch: NDArray[np.uint8]) -> Outputs:
        return (np.full(len(batch), self.gpu.number if self.gpu else -1, np.float32),)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> type[Made]:
    class Fresh(Made):
        all: list[Made] = []  # noqa: RUF012 -- fresh each time

    monkeypatch.setattr(networks, "OnnxEngine", Fresh)
    return Fresh


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Driver:
    driver = Driver((("NVIDIA H100", (9, 0)), ("NVIDIA H100", (9, 0)), ("NVIDIA L4", (8, 9))))
    monkeypatch.setattr(networks, "find_gpus", lambda: find_gpus(driver.load))
    return driver


@pytest.fixture
def opened(stack: ExitStack, tmp_path: Path) -> object:
    def opened(**work: object) -> Networks:
        return open_networks(FILES, WorkSettings.model_validate(work), tmp_path / "kept", stack)

    return opened


@pytest.mark.usefixtures("driver")
def test_every_gpu_gets_the_networks_and_a_batcher(made: type[Made], opened: type) -> None:
    found = opened(device="auto", batch=4)
    assert (found.provider, found.fallback, found.on_cpu) == (CUDA, "", False)
    assert [(one.gpu.number, one.batch) for one in made.all] == [(0, 4), (1, 4), (2, 4)]
    assert found.gpus[2] == "NVIDIA L4 (compute capability 8.9) in TF32"
    assert found.left == "detector: MaxPool 1"
    (numbers,) = found.engine.infer("detector", np.zeros((4, 2, 2, 3), np.uint8))
    assert numbers.tolist() == [0, 0, 0, 0]


@pytest.mark.usefixtures("driver")
def test_only_the_gpus_that_were_named_are_used(made: type[Made], opened: type) -> None:
    found = opened(device="cuda", gpus=[2])
    assert [one.gpu.number for one in made.all] == [2]
    assert found.engine.infer("detector", np.zeros((1, 2, 2, 3), np.uint8))[0].tolist() == [2]
    with pytest.raises(ModelError, match="no GPU 7"):
        opened(device="auto", gpus=[7])


@pytest.mark.usefixtures("driver")
def test_full_float32_is_a_setting(made: type[Made], opened: type) -> None:
    assert opened(device="cuda", tf32=False).gpus[2] == "NVIDIA L4 (compute capability 8.9)"
    assert [one.tf32 for one in made.all] == [False] * 3


@pytest.mark.usefixtures("driver")
def test_tensorrt_keeps_what_it_compiles_for_each_kind_of_gpu(
    made: type[Made], opened: type, tmp_path: Path
) -> None:
    assert opened(device="tensorrt").provider == TENSORRT
    folders = [one.engines for one in made.all]
    assert folders[0] == folders[1] != folders[2]
    assert all(folder.is_dir() and folder.parent == tmp_path / "kept" for folder in folders)


def test_auto_takes_the_cpu_and_says_why(made: type[Made], opened: type, driver: Driver) -> None:
    made.fails = "libcudnn.so.9 is missing"
    found = opened(device="auto")
    assert (found.provider, found.fallback) == (CPU, "libcudnn.so.9 is missing")
    driver.failing["cuInit"] = 100
    assert "no CUDA-capable device" in opened(device="auto").fallback


@pytest.mark.parametrize(
    "work", [{"device": "cuda"}, {"device": "tensorrt"}, {"require_gpu": True}, {"gpus": [0]}]
)
def test_a_gpu_that_was_asked_for_and_fails_is_an_error(
    made: type[Made], opened: type, driver: Driver, work: dict[str, object]
) -> None:
    driver.failing["cuInit"] = 100
    with pytest.raises(ModelError, match="no CUDA-capable device is detected"):
        opened(**work)
    del driver.failing["cuInit"]
    made.fails = "libcudnn.so.9 is missing"
    with pytest.raises(ModelError, match="libcudnn"):
        opened(**work)
    assert made.all == []


def test_the_cpu_needs_no_excuse(made: type[Made], opened: type) -> None:
    found = opened(device="cpu")
    assert (found.provider, found.fallback, found.gpus) == (CPU, "", ())
    assert len(made.all) == 1
    with pytest.raises(ModelError, match=r"require_gpu is set, and work\.device is cpu"):
        opened(device="cpu", require_gpu=True)
    with pytest.raises(ModelError, match=r"gpus is set, and work\.device is cpu"):
        opened(device="cpu", gpus=[0])


def test_versions_of_missing_packages_are_unknown() -> None:
    assert networks.version_of("no-such-package", "numpy") != "unknown"
    assert networks.version_of("no-such-package") == "unknown"
