"""Our DWPose beside what people run today, on the same networks and the same video.

    make bench BENCH=dwpose
    make bench BENCH=dwpose ARGS="--frames 100 --runs 3"

The networks have the layers of YOLOX-L and DWPose-L 384 x 288, and answers that are known
(`tests/planted.py`), so what is told is CPU time of true size, and true distances, of a drawn
figure. rtmlib gets an environment of its own, `build/bench/rtmlib-venv`, made on demand; where that
cannot be done, the benchmark says so and compares with the others. Each side runs in a new process.
"""

from __future__ import annotations

import argparse
import math
import sys
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

import numpy as np
from report import RESULTS, Row, report
from rich.progress import track
from sides import environment, run_worker

sys.path.insert(0, str(Path(__file__).parents[1]))  # what the tests have as well
import planted
from posewatch.models.cache import FOLD_VERSION
from posewatch.models.cards import WHOLE_BODY, Component
from posewatch.models.fold import fold
from posewatch.models.verify_fold import verify_fold
from topdown_nets import card_of

WORKER = Path(__file__).with_name("dwpose_worker.py")
RTMLIB = "rtmlib==0.0.16"
REFERENCE = RESULTS / "rtmlib-venv"

OURS = ("always", "every 10", "auto")
DEAR = frozenset({"always", "today", "rtmlib 1"})
"""Sides whose detector looks at every frame. A few frames tell what one costs."""


@dataclass(frozen=True, slots=True)
class Nets:
    """The networks, on all sides.

    Attributes:
        detector: as published.
        pose: as published.
        folded: folder of ours, with a card.
    """

    detector: Path
    pose: Path
    folded: Path


@dataclass(slots=True)
class Side:
    """The runs of one side."""

    name: str
    runs: list[dict[str, float]] = field(default_factory=list)
    found: np.ndarray = field(default_factory=lambda: np.empty((0, planted.DOTS, 2)))

    def run(self, nets: Nets, video: Path, frames: int, threads: int, python: Path) -> None:
        """Once more, in a new process."""
        found = video.with_suffix(".npy")
        how = nets.detector, nets.pose, nets.folded, video, str(frames), str(threads), found
        self.runs.append(run_worker(python, [WORKER, self.name, *how]))
        self.found = np.load(found)

    @property
    def cost(self) -> float:
        """CPU milliseconds of a frame: the least of the runs, since what else runs only adds."""
        return 1e3 * min(run["cpu_seconds"] / run["frames"] for run in self.runs)

    def distances(self, truth: np.ndarray) -> np.ndarray:
        """Pixels from the truth, of each dot in each frame."""
        apart = np.linalg.norm(self.found - truth[: len(self.found)], axis=-1)
        return apart[np.isfinite(apart)]


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--dear", type=int, default=4, help="frames, with a detector in each")
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--threads", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--small", action="store_true", help="try it: tiny networks, no rtmlib")
    options = parser.parse_args()
    for name in ("frames", "dear"):  # ours works on two at a time
        setattr(options, name, 2 * math.ceil(getattr(options, name) / 2))
    names = ("yolox_nano", "rtmpose_t") if options.small else ("yolox_l", "rtmpose_l")
    nets = networks(*names, RESULTS / "dwpose")
    video, size = RESULTS / "dwpose" / f"{names[0]}.mp4", (640, 360)
    truth = planted.film(video, options.frames, size if options.small else planted.SIZE)
    python, why_not = (None, "not tried") if options.small else rtmlib_python()
    sides = (*OURS, "today", *(("rtmlib 10", "rtmlib 1") if python else ()), "floor")
    rows, notes = [], [f"{video}: {len(truth)} frames; {names}; onnxruntime {version()}"]
    if python is None:
        notes.append(f"Without {RTMLIB}: {why_not}")
    for threads in options.threads:
        told = {name: Side(name) for name in sides}
        for _ in track(range(options.runs), f"{threads} threads", transient=True):
            for name, side in told.items():
                frames = min(options.dear, options.frames) if name in DEAR else options.frames
                interpreter = python if python and name.startswith("rtmlib") else None
                side.run(nets, video, frames, threads, interpreter or Path(sys.executable))
        rows += compared(told, threads, truth)
        notes += [words(side, threads, truth) for side in told.values()]
    report("dwpose-small" if options.small else "dwpose", rows, notes=notes)


def networks(detector: str, pose: str, folder: Path) -> Nets:
    """The networks as published, and ours of them, made once."""
    published = planted.build(detector, pose, folder)
    dots = Component(name="dots", count=WHOLE_BODY, names=())
    card = card_of(*published, keypoint_order="network", components=(dots,))
    folded = folder / f"{detector}-{pose}-{FOLD_VERSION}"
    folded.mkdir(exist_ok=True)
    for network, path in zip(card.networks, published, strict=True):
        made = folded / f"{network.name}.onnx"
        if not made.exists():
            made.write_bytes(fold(path.read_bytes(), network, loosen=True))
            verify_fold(path, made, network)
    (folded / "card.json").write_text(card.model_dump_json())
    return Nets(*published, folded)


def compared(told: dict[str, Side], threads: int, truth: np.ndarray) -> list[Row]:
    """Each of ours beside each other side."""
    rows = []
    for name in OURS:
        ours, case = told[name], f"{name}, threads: {threads}"
        for other in ("today", "rtmlib 10", "floor"):
            if other in told:
                figures = ours.cost, told[other].cost
                rows.append(Row(case, other, "CPU ms/frame", *figures, runs=len(ours.runs)))
        if "rtmlib 10" in told:
            theirs = told["rtmlib 10"].distances(truth)
            figures = ours.distances(truth).mean(), theirs.mean()
            rows.append(Row(case, "rtmlib 10", "px from truth", *figures, runs=len(ours.runs)))
    return rows


def words(side: Side, threads: int, truth: np.ndarray) -> str:
    """The figures of one side."""
    last, apart = side.runs[-1], side.distances(truth)
    text = (
        f"{side.name}, threads: {threads}: {last['frames']:.0f} frames, "
        f"{side.cost:.1f} CPU ms/frame, "
        f"{1e3 * last['seconds'] / last['frames']:.1f} ms/frame by the clock, "
        f"{last['peak_bytes'] / 1e6:.0f} MB"
    )
    if not len(apart):
        return text
    spread = ", ".join(f"{part} % {np.percentile(apart, part):.2f}" for part in (50, 95, 100))
    return f"{text}; px from the truth: mean {apart.mean():.2f}, {spread}"


def version() -> str:
    """Of onnxruntime, whichever package it came in."""
    try:
        return metadata.version("onnxruntime")
    except metadata.PackageNotFoundError:
        return metadata.version("onnxruntime-gpu")


def rtmlib_python() -> tuple[Path | None, str]:
    """The interpreter of an environment with rtmlib, or why there is none.

    rtmlib asks for OpenCV with windows, which cannot be imported on a bare machine: it gets the
    same one without, and the same onnxruntime as ours.
    """
    same = [
        f"{package}=={metadata.version(package)}" for package in ("opencv-python-headless", "numpy")
    ]
    return environment(
        REFERENCE,
        "rtmlib",
        ["--no-deps", RTMLIB],
        [*same, f"onnxruntime=={version()}", "tqdm"],
    )


if __name__ == "__main__":
    main()
