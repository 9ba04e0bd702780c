"""The real onnxruntime-gpu on a GPU that computes nothing: make test-blank-gpu.

All that comes out is zero. Where its nodes run, what is copied and pinned, and how the daemon
gets there are as they would be on a GPU.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx
import pytest

import kernels
from blank_gpu import libraries
from posewatch.formats import names
from topdown_nets import Graph
from videos import make_video

if TYPE_CHECKING:
    from posewatch.models.cache import InstalledModel

TOP = Path(__file__).parents[2]
ONNXRUNTIME = TOP / "build" / "onnxruntime-gpu"
INSIDE = Path(__file__).with_name("inside.py")

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def environ(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Of a process that sees the GPU."""
    missing = [tool for tool in ("cc", "nm", "readelf") if shutil.which(tool) is None]
    if missing or not (ONNXRUNTIME / libraries.PROVIDER).exists():
        assert "POSEWATCH_REQUIRE_TOOLS" not in os.environ, missing
        pytest.skip("needs a C compiler, binutils, and onnxruntime-gpu in build/onnxruntime-gpu")
    folder = tmp_path_factory.mktemp("cuda")
    libraries.build(ONNXRUNTIME, folder)
    added = {
        "LD_LIBRARY_PATH": folder,
        "PYTHONPATH": ONNXRUNTIME,
        "BLANK_GPU_LOG": folder / "log",
        "HOME": folder,
    }
    return os.environ | {name: str(value) for name, value in added.items()}


def told(environ: dict[str, str], *networks: Path) -> dict[str, Any]:
    done = subprocess.run(  # noqa: S603 -- our own file
        [sys.executable, INSIDE, *networks],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_all_that_posewatch_runs_is_run_by_cuda(
    environ: dict[str, str], tmp_path: Path, holistic_model: InstalledModel
) -> None:
    networks = kernels.networks(tmp_path, holistic_model)
    found = told(environ, *networks.values())
    wanted: set[str] = set()
    for name, path in networks.items():
        network = found["networks"][str(path)]
        assert network.pop("on_cpu") == [], name
        if network:
            assert (network["provider"], network["left"]) == ("CUDAExecutionProvider", "")
            assert network["pinned"] == [network["expected"][0].replace("in", "pinned")]
            assert sorted(network["copies"]) == sorted(network["expected"]), name
        wanted |= kernels.needed(path)
    head = (
        f"# What CUDA has kernels for, in onnxruntime-gpu {found['version']}: make test-blank-gpu"
    )
    text = "\n".join([head, *sorted(wanted)])
    recorded = kernels.TABLE.read_text(encoding="utf-8").strip()
    assert recorded == text, f"{kernels.TABLE} should be:\n{text}"


def test_what_cuda_has_no_kernel_for_is_told(environ: dict[str, str], tmp_path: Path) -> None:
    graph = Graph()
    pixels = graph.add("Cast", "input", to=onnx.TensorProto.FLOAT)
    graph.add("Neg", graph.add("MaxPool", pixels, kernel_shape=[2, 2]), output="out")
    path = graph.save(tmp_path / "a.onnx", ("input", ["N", 8, 64, 3]), {"out": ["N", 8, 63, 2]}, 22)
    model = onnx.load(path)
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.UINT8
    onnx.save(model, path)
    network = told(environ, path)["networks"][str(path)]
    assert network["on_cpu"] == ["MaxPool"]
    assert network["left"] == "it: MaxPool 1"
    assert len(network["copies"]) > len(network["expected"])


def test_cudnn_that_is_missing_is_told_at_the_start(
    environ: dict[str, str], tmp_path: Path, holistic_model: InstalledModel
) -> None:
    """CUDA is loaded without it, and misses it at the first convolution."""
    folder = tmp_path / "cuda"
    shutil.copytree(environ["LD_LIBRARY_PATH"], folder)
    (folder / "libcudnn.so.9").unlink()
    done = subprocess.run(  # noqa: S603 -- our own file
        [sys.executable, INSIDE, holistic_model.network("hand_recrop")],
        env=environ | {"LD_LIBRARY_PATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    last = done.stderr.rstrip().rpartition("ModelError: ")[2]
    assert "CUDAExecutionProvider cannot be used" in last
    assert "cuDNN is" in last
    assert "the extra posewatch[gpu] brings them" in last


def test_the_daemon_works_on_it(
    environ: dict[str, str], tmp_path: Path, holistic_model: InstalledModel
) -> None:
    folder = tmp_path / "inbox"
    folder.mkdir()
    make_video(folder / "a.mp4", frames=3)
    settings = tmp_path / "posewatch.toml"
    settings.write_text('[work]\ndevice = "cuda"\n')
    environ = environ | {"POSEWATCH_MODELS": str(holistic_model.folder.parent)}

    def posewatch(*arguments: str) -> str:
        program = Path(sys.executable).with_name("posewatch")
        done = subprocess.run(  # noqa: S603 -- our own program
            [program, *arguments, folder, "--config", settings],
            env=environ,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    said = posewatch("run", "--until-idle")
    assert "1 done, 0 failed" in said
    assert "onnxruntime:" not in said, "its own log is no JSON"
    receipt = json.loads((folder / names.receipt_key("a.mp4")).read_text())
    assert receipt["work"]["software"]["gpu"] == "NVIDIA Blank (compute capability 9.0) in TF32"
    assert "they run on NVIDIA Blank" in posewatch("doctor")
