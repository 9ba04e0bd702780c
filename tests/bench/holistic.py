"""Our Holistic beside MediaPipe's own, on the same video: CPU, frames per second, memory.

    make bench BENCH=holistic
    make bench BENCH=holistic ARGS="--video talk.mp4 --runs 5"

MediaPipe gets an environment of its own, `build/bench/reference-venv`, made on demand. Where that
cannot be done, the benchmark says so and tells our figures alone. The two sides take turns, each
time in a new process, so that whatever else the machine does meets both alike.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from dataclasses import dataclass, field
from pathlib import Path

import av
import cv2
from report import RESULTS, Row, report
from rich.progress import track
from sides import environment, run_worker

from posewatch.models.cache import InstalledModel, ModelCache
from posewatch.models.pull import pull

ROOT = Path(__file__).parents[2]
WORKER = Path(__file__).with_name("holistic_worker.py")
CLIP = ROOT / "tests" / "data" / "astronaut.mp4"
REFERENCE = RESULTS / "reference-venv"
MEDIAPIPE = "mediapipe==0.10.21"
HEIGHT = 720
REPEATS = 4  # of the clip of 24 frames


@dataclass(frozen=True, slots=True)
class Case:
    """What is measured.

    Attributes:
        mode: of Holistic, on both sides.
        batch: frames that ours is given at once ("by"); MediaPipe takes one at a time.
    """

    mode: str
    batch: int

    def __str__(self) -> str:
        return f"{self.mode} by {self.batch}"


CASES = tuple(Case(mode, batch) for mode in ("static", "tracking") for batch in (1, 8))


@dataclass(slots=True)
class Side:
    """The runs of one side in one case."""

    runs: list[dict[str, float]] = field(default_factory=list)

    def median(self, name: str, per: str = "") -> float:
        """Of a figure, or of its quotient by another one."""
        return statistics.median(run[name] / (run[per] if per else 1) for run in self.runs)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--video", type=Path, help="default: a clip made from tests/data")
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    video = arguments.video or make_clip(RESULTS / "astronaut-720p.mp4")
    model = pull("mediapipe-holistic", ModelCache(ROOT / "build" / "test-cache" / "models"))
    reference, why_not = reference_python()

    told = {case: (Side(), Side()) for case in CASES}
    for _ in track(range(arguments.runs), description="runs", transient=True):
        for case, (ours, theirs) in told.items():
            ours.runs.append(run_ours(case, video, model))
            if reference is not None:
                theirs.runs.append(run_theirs(case, video, reference))

    notes = [f"{video}: {told[CASES[0]][0].median('frames'):.0f} frames; one video at a time"]
    if reference is None:
        notes += [f"Without MediaPipe: {why_not}", *map(alone, told, [o for o, _ in told.values()])]
        rows = []
    else:
        rows = [row for case, sides in told.items() for row in compared(case, *sides)]
    report("holistic", rows, notes=notes)


def compared(case: Case, ours: Side, theirs: Side) -> list[Row]:
    """What each side needs."""
    runs, against = len(ours.runs), "MediaPipe"

    def row(unit: str, name: str, per: str = "", factor: float = 1.0, **more: bool) -> Row:
        figures = (side.median(name, per) * factor for side in (ours, theirs))
        return Row(str(case), against, unit, *figures, runs=runs, **more)

    return [
        row("CPU ms/frame", "cpu_seconds", "frames", 1e3),
        row("frames/s", "frames", "seconds", more_is_better=True),
        row("peak MB", "peak_bytes", factor=1e-6),
        row("s to load", "load_seconds"),
    ]


def alone(case: Case, ours: Side) -> str:
    """Our figures, in words."""
    return (
        f"{case}: {ours.median('cpu_seconds', 'frames') * 1e3:.1f} CPU ms/frame, "
        f"{ours.median('frames', 'seconds'):.1f} frames/s, "
        f"{ours.median('peak_bytes') / 1e6:.0f} MB"
    )


def run_ours(case: Case, video: Path, model: InstalledModel) -> dict[str, float]:
    """One video through our driver, in a new process."""
    arguments = ["ours", video, case.mode, str(case.batch), model.folder]
    return run_worker(Path(sys.executable), [WORKER, *arguments])


def run_theirs(case: Case, video: Path, python: Path) -> dict[str, float]:
    """The same through MediaPipe."""
    return run_worker(python, [WORKER, "theirs", video, case.mode])


def reference_python() -> tuple[Path | None, str]:
    """The interpreter of an environment with MediaPipe, or why there is none."""
    return environment(REFERENCE, "mediapipe.python.solutions.holistic", [MEDIAPIPE])


def make_clip(path: Path) -> Path:
    """The committed clip, enlarged to HD and repeated."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(CLIP)) as container:
        images = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "20"})
        stream.width, stream.height, stream.pix_fmt = HEIGHT * 16 // 9, HEIGHT, "yuv420p"
        beside = (stream.width - HEIGHT) // 2
        for image in images * REPEATS:
            large = cv2.resize(image, (HEIGHT, HEIGHT), interpolation=cv2.INTER_CUBIC)
            wide = cv2.copyMakeBorder(large, 0, 0, beside, beside, cv2.BORDER_REPLICATE)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(wide, format="rgb24")))
        container.mux(stream.encode())
    return path


if __name__ == "__main__":
    main()
