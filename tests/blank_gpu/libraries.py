"""Libraries of CUDA for a GPU that computes nothing, so that the real onnxruntime-gpu can be run.

onnxruntime decides where each node of a network runs, copies, binds and allocates without asking
what the GPU has computed. With these libraries it does all that as on a machine that has one.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_name("blank.c")
PROVIDER = Path("onnxruntime", "capi", "libonnxruntime_providers_cuda.so")

_DRIVER = (
    *("cuInit", "cuGetErrorString", "cuDriverGetVersion", "cuDeviceGetCount", "cuDeviceGet"),
    *("cuDeviceGetName", "cuDeviceGetAttribute", "cuDevicePrimaryCtxRetain"),
    *("cuCtxPushCurrent_v2", "cuCtxPopCurrent_v2", "cuMemHostRegister_v2", "cuMemHostUnregister"),
)
"""What `posewatch.vision.gpus` calls."""


def build(onnxruntime: Path, folder: Path) -> None:
    """Compile them, with every function that the CUDA provider calls.

    Args:
        onnxruntime: folder into which onnxruntime-gpu was installed.
        folder: for the libraries, to be named by LD_LIBRARY_PATH.
    """
    provider = onnxruntime / PROVIDER
    listed = _said("nm", "-D", "--undefined-only", "--format=posix", str(provider))
    wanted = {line.split("@")[0].split()[0] for line in listed.splitlines()}
    # cuDNN is looked up by name when it is there.
    cudnn = {
        name.decode() for name in re.findall(rb"\0(cudnn[A-Z]\w+)(?=\0)", provider.read_bytes())
    }
    needed = _said("readelf", "-d", str(provider))
    libraries = set(re.findall(r"\[(lib(?:cu\w+)\.so\.\d+)\]", needed)) | {"libcudnn.so.9"}
    for library in sorted(libraries):
        stem = library.partition(".")[0]
        names = {
            "libcuda": {*_DRIVER, *(name for name in wanted if re.match(r"cu[A-Z]", name))},
            "libcudart": {name for name in wanted if re.match(r"(__)?cuda", name)},
            "libcublas": {name for name in wanted if re.match(r"cublas(?!Lt)", name)},
            "libcublasLt": {name for name in wanted if name.startswith("cublasLt")},
            "libcudnn": cudnn,
        }.get(stem, set())
        _compile(folder / library, names)


def _compile(library: Path, names: set[str]) -> None:
    stem = library.name.partition(".")[0]
    text = SOURCE.read_text(encoding="utf-8")
    text += "".join(
        f"long {name}() {{ return 0; }}\n"
        for name in sorted(names)
        if not re.search(rf"^[^/#\n]*\b{name}\(", text, re.MULTILINE)
    )
    _said(
        *("cc", "-w", "-shared", "-fPIC", "-x", "c", "-", f"-D{stem.upper()}"),
        *("-o", str(library), f"-Wl,-soname,{library.name}"),
        given=text,
    )


def _said(*command: str, given: str = "") -> str:
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)  # noqa: S603 -- tools of a compiler
    assert done.returncode == 0, done.stderr
    return done.stdout
