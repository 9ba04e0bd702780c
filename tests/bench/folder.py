"""A folder of videos from nothing to results, beside one MediaPipe process for each video.

    make bench BENCH=folder
    make bench BENCH=folder ARGS="--video talk.mp4 --videos 8 --runs 3"

That is how it is done today: as many processes at a time as there are cores, each of which imports,
loads its own copy of the networks and works on one video. Ours is the real daemon with everything
that it does besides: claims, copies, receipts. Both begin with nothing running, so starting counts.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import av
from holistic import RESULTS, ROOT, WORKER, make_clip, reference_python
from report import Row, report
from rich.progress import track

from posewatch.models.cache import ModelCache
from posewatch.models.pull import pull

if TYPE_CHECKING:
    from collections.abc import Callable

MODELS = ROOT / "build" / "test-cache" / "models"
CORES = len(os.sched_getaffinity(0))


@dataclass(frozen=True, slots=True)
class Cost:
    """What one way of working a folder off needed, with all its processes.

    Attributes:
        seconds: from start to end.
        cpu: seconds of CPU.
        mebibytes: the most memory at one time; what processes share is counted once.
    """

    seconds: float
    cpu: float
    mebibytes: float


def cost_of(work: Callable[[], None]) -> Cost:
    """Run `work`, whose processes are all children of this one."""
    peak, over = 0.0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not over.wait(0.1):
            peak = max(peak, memory_of_children())

    watcher = threading.Thread(target=watch)
    before, begun = os.times(), time.perf_counter()
    watcher.start()
    try:
        work()
    finally:
        over.set()
        watcher.join()
    after, seconds = os.times(), time.perf_counter() - begun
    cpu = after.children_user + after.children_system
    return Cost(seconds, cpu - before.children_user - before.children_system, peak)


def memory_of_children() -> float:
    """MiB of all descendants of this process: the sum of their proportional set sizes."""
    parents: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        parents.setdefault(parent, []).append(int(stat.parent.name))
    waiting, total = list(parents.get(os.getpid(), ())), 0
    while waiting:
        pid = waiting.pop()
        waiting += parents.get(pid, ())
        try:
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in rollup.splitlines() if line[:4] == "Pss:")
    return total / 1024


def daemon(folder: Path, mode: str) -> None:
    """Our way."""
    cache = folder.with_name(f"{folder.name}-cache")
    command = [sys.executable, "-m", "posewatch", "run", folder, "--until-idle", "--mode", mode]
    subprocess.run(  # noqa: S603 -- our own command
        command,
        check=True,
        capture_output=True,
        env={**os.environ, "POSEWATCH_MODELS": str(MODELS), "XDG_CACHE_HOME": str(cache)},
    )


def processes(folder: Path, mode: str, python: Path) -> None:
    """Their way."""

    def one(video: Path) -> None:
        command = [python, WORKER, "theirs", video, mode]
        subprocess.run(command, check=True, capture_output=True)  # noqa: S603 -- our own file

    with ThreadPoolExecutor(CORES) as pool:
        list(pool.map(one, folder.glob("*.mp4")))


def main() -> None:
    """Measure, report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--video", type=Path, help="default: a clip made from tests/data")
    parser.add_argument("--videos", type=int, default=6, help="copies of it in the folder")
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    video = options.video or make_clip(RESULTS / "astronaut-720p.mp4")
    pull("mediapipe-holistic", ModelCache(MODELS))
    python, why_not = reference_python()
    with av.open(str(video)) as container:
        frames = sum(1 for _ in container.decode(video=0)) * options.videos
    rows = []
    notes = [f"{options.videos} copies of {video}: {frames} frames; {CORES} cores"]
    for mode in ("static", "tracking"):
        ours: list[Cost] = []
        theirs: list[Cost] = []
        for _ in track(range(options.runs), mode, transient=True):
            with tempfile.TemporaryDirectory() as temporary:
                folder = Path(temporary, "videos")
                folder.mkdir()
                for number in range(options.videos):
                    shutil.copy(video, folder / f"{number}.mp4")
                ours.append(cost_of(lambda: daemon(folder, mode)))  # noqa: B023 -- called at once
                if python is not None:
                    theirs.append(cost_of(lambda: processes(folder, mode, python)))  # noqa: B023 -- called at once
        if not theirs:
            notes.append(f"{mode}: {ours}; without MediaPipe: {why_not}")
            continue

        def row(unit: str, figure: Callable[[Cost], float], *, more: bool = False) -> Row:
            mine, other = (statistics.median(map(figure, side)) for side in (ours, theirs))  # noqa: B023 -- called at once
            case, against = f"{mode}, whole folder", "one MediaPipe process a video"  # noqa: B023 -- called at once
            return Row(case, against, unit, mine, other, options.runs, more)

        rows.append(row("frames/s", lambda cost: frames / cost.seconds, more=True))
        rows.append(row("CPU ms/frame", lambda cost: cost.cpu / frames * 1000))
        rows.append(row("peak MiB", lambda cost: cost.mebibytes))
    report("folder", rows, notes=notes)


if __name__ == "__main__":
    main()
