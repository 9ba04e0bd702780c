"""DWPose on a GPU: the real daemon beside what people run today, for the first GPU there is.

    make bench BENCH=dwpose-gpu ARGS=pack     where there is a package index, with or without a GPU
    python3 tests/bench/dwpose_gpu.py run     where the GPU is; nothing is asked of a network
    python3 tests/bench/dwpose_gpu.py run --small     tries it on a CPU, with tiny networks

`pack` puts all packages that are needed into files `build/bench/gpu/pack.K-of-N` of 56 MiB at
most, for machines that are reached by small transfers. They are put into the same folder there;
`--python` says which Python is there. CUDA 13, cuDNN 9 and a driver are not packed: they are taken
from wherever the machine has them, PyTorch's too. Nothing else of that machine's packages is seen.

`run` does one step after the other, those that tell most first. What each found is printed and
kept at once, one that fails is told, and the table is made of what is there. `run --minutes 8` ends
after so long, and `run --minutes 8 --resume` goes on where that ended.

This file needs Python alone; what is measured is in `gpu_measure.py`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tarfile
from configparser import RawConfigParser
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

ROOT = Path(__file__).resolve().parents[2]
HERE = ROOT / "build" / "bench" / "gpu"
PIECE = 56 << 20
ONNXRUNTIME = "onnxruntime-gpu==1.31.1"
"""Of its CUDA 13. For an older driver: 1.26.0, the last for CUDA 12."""
MORE = (ONNXRUNTIME, "packaging", "rtmlib==0.0.16", "tqdm")
"""Besides what posewatch needs; without what these ask for, which is among that."""
LEFT_OUT = (
    "onnxruntime/capi/libonnxruntime_providers_tensorrt.so",
    "onnxruntime/tools",
    "onnxruntime/quantization",
    "onnxruntime/capi/libonnxruntime.so.*",  # for programs in C
    "onnx/backend/test",
    "botocore/data",
    "pip",
    "bin",
    "**/__pycache__",
    "**/tests",
)
"""Of the packages: what is not run here."""


class PackError(Exception):
    """The pack is not whole."""


def pack(into: Path, version: str) -> int:
    """Put all packages into pieces.

    Args:
        into: folder of the pieces, which replace those that are there.
        version: of the Python that will run them, such as `3.12`.

    Returns:
        How many pieces.
    """
    site, whole = into / "packing", into / "whole.tar.xz"
    shutil.rmtree(site, ignore_errors=True)
    for old in into.glob("pack.*-of-*"):
        old.unlink()
    config = RawConfigParser()
    config.read(ROOT / "setup.cfg")
    needs = config["options"]["install_requires"].splitlines()
    pip: list[str | Path] = [sys.executable, "-m", "pip", "install", "--quiet", "--target", site]
    pip += ["--no-compile", "--only-binary=:all:", "--python-version", version]
    known = ["--constraint", ROOT / "packaging" / "constraints.txt"]
    for wanted in (
        [*known, *(line for line in needs if line and not line.startswith("#"))],
        ["--no-deps", *MORE],
    ):
        subprocess.run([*pip, *wanted], check=True)  # noqa: S603 -- pip
    for name in LEFT_OUT:
        for path in list(site.glob(name)):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    with tarfile.open(whole, "w:xz", preset=3) as archive:
        archive.add(site, "site")
    shutil.rmtree(site)
    return cut(whole, PIECE)


def cut(whole: Path, size: int) -> int:
    """Replace a file by pieces beside it.

    Returns:
        How many.
    """
    count = -(-whole.stat().st_size // size)
    with whole.open("rb") as file:
        for number in range(1, count + 1):
            whole.with_name(f"pack.{number}-of-{count}").write_bytes(file.read(size))
    whole.unlink()
    return count


def unpack(folder: Path) -> Path | None:
    """Put the pieces together again, once.

    Returns:
        The folder of the packages; None where nothing was packed.

    Raises:
        PackError: there are pieces, and one is missing.
    """
    site, part = folder / "site", folder / "part"
    pieces = {path.name: path for path in folder.glob("pack.*-of-*")}
    if site.exists() or not pieces:
        return site if site.exists() else None
    count = int(next(iter(pieces)).rpartition("-")[2])
    wanted = [f"pack.{number}-of-{count}" for number in range(1, count + 1)]
    if missing := [name for name in wanted if name not in pieces]:
        raise PackError(f"{', '.join(missing)} must be put into {folder}")
    whole = folder / "whole.tar.xz"
    with whole.open("wb") as file:
        for name in wanted:
            file.write(pieces[name].read_bytes())
    shutil.rmtree(part, ignore_errors=True)
    with tarfile.open(whole) as archive:
        if hasattr(tarfile, "data_filter"):  # not yet in Debian 12's Python 3.11.2
            archive.extraction_filter = tarfile.data_filter
        archive.extractall(part)  # noqa: S202 -- our own pack
    (part / "site").rename(site)
    part.rmdir()
    whole.unlink()
    return site


def libraries(path: Iterable[str]) -> list[str]:
    """Folders of CUDA's libraries among Python packages: those of NVIDIA's wheels, and PyTorch's.

    Args:
        path: folders of packages, as in `sys.path`.
    """
    return [
        str(found)
        for pattern in ("nvidia/*/lib", "torch/lib")
        for entry in path
        if entry
        for found in sorted(Path(entry).glob(pattern))
    ]


def environment(path: Sequence[str], site: Path | None) -> dict[str, str]:
    """For processes: they find posewatch, what was packed, and CUDA's libraries.

    Args:
        path: where this Python looks for packages; CUDA's libraries may be there.
        site: the packages that were packed; None stands for those of `path`.
    """
    ours = [ROOT / "daemon", ROOT / "tests", *([site] if site else [])]
    before = os.environ.get("LD_LIBRARY_PATH")
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, ours)),
        "LD_LIBRARY_PATH": os.pathsep.join([*libraries(path), *([before] if before else [])]),
    }


def main() -> None:
    """Pack, or run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    packs = commands.add_parser("pack", help="make the pieces")
    packs.add_argument("--python", default="3.12", help="that of the machine with the GPU")
    runs = commands.add_parser("run", help="measure")
    runs.add_argument("--small", action="store_true", help="on a CPU, with tiny networks")
    runs.add_argument("--device", choices=("cpu", "cuda"), default="", help="another one")
    runs.add_argument("--minutes", type=float, default=120, help="begin nothing that takes longer")
    runs.add_argument("--resume", action="store_true", help="only what was not tried yet")
    runs.add_argument("--only", nargs="+", default=[], help="only steps with such a word, again")
    options = vars(parser.parse_args(sys.argv[1:] or ["run"]))
    if options.pop("command") == "pack":
        sys.stdout.write(f"{pack(HERE, options['python'])} pieces in {HERE}\n")
        return
    try:
        site = unpack(HERE)
    except PackError as error:
        raise SystemExit(f"the pack is not whole: {error}") from None
    # Without the machine's packages, so that no other version of anything is mixed in.
    apart = [] if site is None else ["-S"]
    steps = Path(__file__).with_name("gpu_measure.py")
    os.execve(  # noqa: S606 -- ourselves, where the packages are found
        sys.executable,
        [sys.executable, *apart, str(steps), json.dumps(options)],
        environment(sys.path, site),
    )


if __name__ == "__main__":
    main()
