"""DWPose on a GPU: the real daemon beside what people run today. One script, for the first GPU.

    make bench BENCH=dwpose-gpu                       where there are a GPU and a package index
    python3 tests/bench/dwpose_gpu.py pack            elsewhere: all that is needed, in pieces
    python3 tests/bench/dwpose_gpu.py run             and there, with the pieces and no index
    python3 tests/bench/dwpose_gpu.py run --small     tries it on a CPU with tiny networks

`pack` puts posewatch, onnxruntime-gpu and rtmlib, without what is not run, into pieces of 47 MiB at
most (`build/bench/gpu/pack.*`). CUDA and cuDNN are not among them: they are taken from wherever the
machine has them, PyTorch's too. `run` unpacks the pieces where there are any.

The networks and the video are those of `dwpose.py`. Videos in flight share one copy of the
networks; the others load one in each process, as they do. Starting does not count, and is told
apart. Memory, utilisation and power of the GPU are nvidia-smi's, looked at five times a second.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from importlib import util
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
HERE = ROOT / "build" / "bench" / "gpu"
SITE = HERE / "site"
PIECE = 47 << 20
PACKED = ("onnxruntime-gpu", "rtmlib==0.0.16", "flatbuffers", "packaging", "tqdm")
"""Without what else they ask for: that comes with posewatch, or is the machine's."""
LEFT_OUT = ("libonnxruntime_providers_tensorrt.so", "transformers", "quantization", "tools")


@dataclass(frozen=True, slots=True)
class Size:
    """How much is done.

    Attributes:
        nets: detector and pose network, as `standins` calls them.
        picture: width and height.
        frames: of a long video.
        videos: in flight.
        processes: of the others at the same time.
        short: frames of a short video, of which there are eight.
        device: of all sides.
    """

    nets: tuple[str, str]
    picture: tuple[int, int]
    frames: int
    videos: int
    processes: int
    short: int
    device: str


@dataclass(frozen=True, slots=True)
class Nets:
    """The networks: as published, and a folder with ours of them."""

    detector: Path
    pose: Path
    folded: Path


WHOLE = Size(("yolox_l", "rtmpose_l"), (1920, 1080), 500, 16, 25, 50, "cuda")
SMALL = Size(("yolox_nano", "rtmpose_t"), (640, 360), 12, 2, 2, 4, "cpu")


@dataclass(slots=True)
class Gpu:
    """What a GPU did meanwhile; empty where nobody tells.

    Attributes:
        memory: MiB.
        use: percent.
        power: watts.
    """

    memory: list[float] = field(default_factory=list)
    use: list[float] = field(default_factory=list)
    power: list[float] = field(default_factory=list)

    def words(self, frames: int, seconds: float) -> str:
        """All of it."""
        if not self.memory:
            return "no GPU was looked at"
        joules = statistics.mean(self.power) * seconds / frames if self.power else float("nan")
        return (
            f"{max(self.memory):.0f} MiB at most, {statistics.mean(self.use):.0f} % in use, "
            f"{joules:.3f} J/frame"
        )


@contextmanager
def watched() -> Iterator[Gpu]:
    """Look at the first GPU as long as this lasts."""
    seen = Gpu()
    smi = shutil.which("nvidia-smi")
    if smi is None:
        yield seen
        return
    query = "--query-gpu=memory.used,utilization.gpu,power.draw"
    command = [smi, "--id=0", query, "--format=csv,noheader,nounits", "--loop-ms=200"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 -- NVIDIA's

        def read() -> None:
            for line in process.stdout or ():
                for into, text in zip(
                    (seen.memory, seen.use, seen.power), line.split(","), strict=True
                ):
                    if text.strip().replace(".", "", 1).isdigit():
                        into.append(float(text))

        reader = threading.Thread(target=read)
        reader.start()
        try:
            yield seen
        finally:
            process.terminate()
            reader.join()


def pack(version: str) -> None:
    """Put what is needed into pieces."""
    shutil.rmtree(HERE, ignore_errors=True)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", SITE]
    wheels = ["--only-binary=:all:", "--python-version", version]
    with tempfile.TemporaryDirectory() as temporary:
        build = [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "--quiet",
            "--no-deps",
            "-w",
            temporary,
            ROOT,
        ]
        subprocess.run(build, check=True)  # noqa: S603 -- pip
        (ours,) = Path(temporary).glob("*.whl")
        subprocess.run([*pip, *wheels, ours], check=True)  # noqa: S603 -- pip
    subprocess.run([*pip, *wheels, "--no-deps", *PACKED], check=True)  # noqa: S603 -- pip
    for name in LEFT_OUT:
        for path in [*SITE.glob(f"onnxruntime/{name}"), *SITE.glob(f"onnxruntime/capi/{name}")]:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    whole = HERE / "pack.tar.xz"
    with tarfile.open(whole, "w:xz", preset=3) as archive:
        archive.add(SITE, "site")
    shutil.rmtree(SITE)
    with whole.open("rb") as file:
        for number in itertools.count():
            data = file.read(PIECE)
            if not data:
                break
            (HERE / f"pack.{number:02d}").write_bytes(data)
    whole.unlink()
    sys.stdout.write(f"{number} pieces in {HERE}\n")


def unpack() -> None:
    """Put the pieces together again, once; whoever runs afterwards finds what is in them."""
    pieces = sorted(HERE.glob("pack.*"))
    if pieces and not SITE.exists():
        whole = HERE / "whole.tar.xz"
        whole.write_bytes(b"".join(piece.read_bytes() for piece in pieces))
        with tarfile.open(whole) as archive:
            archive.extractall(HERE, filter="data")
        whole.unlink()
    if SITE.exists():
        sys.path.insert(0, str(SITE))


def environment() -> dict[str, str]:
    """For processes: they find our packages, and CUDA's libraries where pip or PyTorch has them."""
    found = [
        *(Path(entry).glob("nvidia/*/lib") for entry in sys.path if entry),
        [Path(spec.origin).parent / "lib"]
        if (spec := util.find_spec("torch")) and spec.origin
        else [],
    ]
    libraries = [str(path) for paths in found for path in paths]
    before = os.environ.get("LD_LIBRARY_PATH")
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry),
        "LD_LIBRARY_PATH": os.pathsep.join([*libraries, *([before] if before else [])]),
    }


@dataclass(frozen=True, slots=True)
class Took:
    """What a way of working took.

    Attributes:
        frames: of all videos.
        seconds: without starting.
        start: seconds of starting.
        gpu: meanwhile.
    """

    frames: int
    seconds: float
    start: float
    gpu: Gpu

    @property
    def fps(self) -> float:
        """Frames a second."""
        return self.frames / self.seconds

    def words(self, name: str) -> str:
        """All of it."""
        return (
            f"{name}: {self.fps:.1f} frames/s over {self.frames:,} frames, "
            f"start {self.start:.1f} s; {self.gpu.words(self.frames, self.seconds)}"
        )


def daemon(card: Path, video: Path, how: Size, detect: str, *, count: int, flight: int) -> Took:
    """The real daemon on copies of a video."""
    with tempfile.TemporaryDirectory(dir=HERE) as base:
        folder, settings = Path(base, "videos"), Path(base, "settings.toml")
        folder.mkdir()
        for number in range(count):
            shutil.copy(video, folder / f"{number}.mp4")
        settings.write_text(
            f'[recipe]\npose = "dwpose"\ncard = "{card}"\ndetect = "{detect}"\n'
            f'[work]\ndevice = "{how.device}"\nvideos_in_flight = {flight}\n'
            f'[watch]\nscan_interval = 0.5\n[cache]\npath = "{base}/cache"\n'
            '[http]\nenabled = false\n[log]\nstyle = "json"\n'
        )
        command = [sys.executable, "-m", "posewatch", "run", folder, "--until-idle"]
        with watched() as gpu:
            begun = time.time()
            done = subprocess.run(  # noqa: S603 -- our own
                [*command, "--config", settings],
                env=environment() | {"POSEWATCH_MODELS": str(HERE / "models")},
                capture_output=True,
                text=True,
                check=False,
            )
        if done.returncode:
            raise SystemExit(f"the daemon failed:\n{done.stderr}")
        told = [json.loads(line) for line in done.stderr.splitlines() if line[:1] == "{"]
        at = [
            (entry["message"], datetime.fromisoformat(entry["timestamp"]).timestamp())
            for entry in told
        ]
        claimed = min(time for message, time in at if message == "claimed")
        ended = max(time for message, time in at if message == "done")
        receipts = [json.loads(path.read_text()) for path in folder.glob("*.posewatch.json")]
        frames = sum(receipt["work"]["frames"] for receipt in receipts)
        return Took(frames, ended - claimed, claimed - begun, gpu)


def others(side: str, nets: Nets, video: Path, how: Size, *, frames: int, processes: int) -> Took:
    """So many processes of another pipeline at the same time, each with the same video."""
    worker = Path(__file__).with_name("dwpose_worker.py")

    def one(number: int) -> dict[str, float]:
        found = HERE / f"found-{number}.npy"
        told = nets.detector, nets.pose, nets.folded, video, str(frames), "1", found, how.device
        done = subprocess.run(  # noqa: S603 -- our own
            [sys.executable, worker, side, *told],
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SystemExit(f"{side} failed:\n{done.stderr}")
        figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
        return figures

    with watched() as gpu, ThreadPoolExecutor(processes) as pool:
        told = list(pool.map(one, range(processes)))
    # They start at different times; each is as fast as its own clock says while it works.
    slowest = max(run["seconds"] for run in told)
    total = round(sum(run["frames"] for run in told))
    return Took(total, slowest, statistics.mean(run["load_seconds"] for run in told), gpu)


def run(how: Size, name: str) -> None:
    """Measure, print, write."""
    unpack()
    sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "bench")]
    # Only now they can be found, where they were packed.
    from report import Row, report  # noqa: PLC0415 -- see above

    import planted  # noqa: PLC0415 -- see above
    from posewatch.models.cache import ModelCache  # noqa: PLC0415 -- see above
    from posewatch.models.pull import pull  # noqa: PLC0415 -- see above
    from topdown_nets import card_of  # noqa: PLC0415 -- see above

    HERE.mkdir(parents=True, exist_ok=True)
    published = planted.build(*how.nets, HERE)
    card = HERE / "bench.json"
    card.write_text(card_of(*published, name="bench", keypoint_order="network").model_dump_json())
    model = pull(str(card), ModelCache(HERE / "models"), given=[HERE])
    nets = Nets(*published, model.folder)
    long, short = HERE / f"long-{name}.mp4", HERE / f"short-{name}.mp4"
    planted.film(long, how.frames, how.picture)
    planted.film(short, how.short, how.picture)

    ours = {
        detect: daemon(card, long, how, detect, count=how.videos, flight=how.videos)
        for detect in ("always", "auto")
    }
    eight, alone = (daemon(card, short, how, "auto", count=8, flight=flight) for flight in (8, 1))
    few = max(2, how.frames // 10)
    rivals = {
        f"{side}, processes: {processes}": others(
            side, nets, long, how, frames=few, processes=processes
        )
        for side in (("today", "rtmlib 10") if util.find_spec("rtmlib") else ("today",))
        for processes in (1, how.processes)
    }
    floors = {
        network: others(f"alone {network}", nets, long, how, frames=16 * few, processes=1)
        for network in ("detector", "pose")
    }
    both = 1 / sum(1 / took.fps for took in floors.values())

    def row(case: str, against: str, mine: float, theirs: float) -> Row:
        return Row(case, against, "frames/s", mine, theirs, 1, more_is_better=True)

    rows = [
        row(f"{detect}, {how.videos} in flight", against, took.fps, theirs.fps)
        for detect, took in ours.items()
        for against, theirs in rivals.items()
    ]
    rows += [
        row("always", "both networks alone, by 16", ours["always"].fps, both),
        row("auto", "the pose network alone, by 16", ours["auto"].fps, floors["pose"].fps),
        row("8 short videos in flight", "one by one", eight.fps, alone.fps),
    ]
    each = alone.seconds / 8 - how.short / ours["auto"].fps
    notes = [
        f"{how.nets}, {how.picture[0]} x {how.picture[1]}, device {how.device}",
        *(took.words(what) for what, took in (ours | rivals | floors).items()),
        f"a further video takes {each:.2f} s more than its frames",
    ]
    report(name, rows, notes=notes)


def main() -> None:
    """Pack, or run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("pack", "run"), nargs="?", default="run")
    parser.add_argument("--small", action="store_true", help="on a CPU, with tiny networks")
    parser.add_argument(
        "--python", default=f"3.{sys.version_info.minor}", help="that of the machine with the GPU"
    )
    options = parser.parse_args()
    if options.what == "pack":
        pack(options.python)
    elif options.small:
        run(SMALL, "dwpose-gpu-small")
    else:
        run(WHOLE, "dwpose-gpu")


if __name__ == "__main__":
    main()
