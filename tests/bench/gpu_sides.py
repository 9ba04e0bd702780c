"""What `dwpose_gpu.py` compares, in processes of their own: the real daemon, and everyone else.

Each is killed when its time is over, and says why it failed by a `SideError`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING

import numpy as np

import planted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from bench.gpu_made import Figures, Work

BENCH = Path(__file__).parent
PYTHON = [sys.executable, *(["-S"] if sys.flags.no_site else [])]
_LOOK_EVERY = 0.3  # seconds
_LAST_WORDS = 3000  # characters


class SideError(Exception):
    """A side failed.

    Args:
        reason: in a few words.
        said: what it wrote last.
    """

    def __init__(self, reason: str, said: str) -> None:
        super().__init__(reason)
        self.said = said.strip()[-_LAST_WORDS:]


class Watch:
    """Looks at the first GPU again and again, where `nvidia-smi` tells of one."""

    def __init__(self) -> None:
        self._seen: list[tuple[float, float, float, float]] = []
        self._end = threading.Event()

    def keep_looking(self) -> None:
        """Until the end."""
        smi = shutil.which("nvidia-smi")
        while smi and not self._end.wait(_LOOK_EVERY):
            self.look(smi)

    def look(self, smi: str) -> None:
        """Once."""
        query = "--query-gpu=memory.used,utilization.gpu,power.draw"
        command = [smi, "--id=0", query, "--format=csv,noheader,nounits"]
        try:
            said = subprocess.check_output(command, text=True, timeout=10)  # noqa: S603 -- NVIDIA's
            memory, use, power = (float(text) for text in said.split(","))
        except (ValueError, subprocess.SubprocessError):  # "[N/A]", or an error
            return
        self._seen.append((time.time(), memory, use, power))

    def end(self) -> None:
        """Look no more."""
        self._end.set()

    def figures(self, begun: float, ended: float, frames: float) -> Figures:
        """What was seen between two times, for so many frames; empty where nothing was."""
        seen = [values for at, *values in self._seen if begun <= at <= ended]
        if not seen:
            return {}
        memory, use, power = zip(*seen, strict=True)
        return {
            "gpu_mib": max(memory),
            "gpu_use_percent": mean(use),
            "joules_per_frame": mean(power) * (ended - begun) / frames,
        }


@contextmanager
def watched() -> Iterator[Watch]:
    """Look at the GPU as long as this lasts."""
    watch = Watch()
    thread = threading.Thread(target=watch.keep_looking)
    thread.start()
    try:
        yield watch
    finally:
        watch.end()
        thread.join()


def daemon(
    work: Work,
    videos: Sequence[Path],
    detect: str,
    *,
    flight: int,
    batch: int,
    limit: float,
    more: str = "",
) -> Figures:
    """The real daemon on some videos, from the first claim to the last receipt.

    Args:
        work: what all sides are given.
        videos: to be worked on.
        detect: as in its settings.
        flight: videos in flight.
        batch: as in its settings.
        limit: seconds after which it is killed.
        more: settings, of `[work]` first.
    """
    with tempfile.TemporaryDirectory(dir=work.folder) as base:
        folder, settings = Path(base, "videos"), Path(base, "settings.toml")
        folder.mkdir()
        for number, video in enumerate(videos):
            shutil.copy(video, folder / f"{number}.mp4")
        settings.write_text(
            f'[recipe]\npose = "dwpose"\ncard = "{work.card}"\ndetect = "{detect}"\n'
            f'[work]\ndevice = "{work.device}"\nvideos_in_flight = {flight}\nbatch = {batch}\n'
            f"{more}\n"
            f'[watch]\nscan_interval = 0.5\n[cache]\npath = "{base}/cache"\n'
            '[http]\nenabled = false\n[log]\nstyle = "json"\n'
        )
        command = [*PYTHON, "-m", "posewatch", "run", folder, "--until-idle", "--config", settings]
        with watched() as watch:
            begun = time.time()
            said = _said(command, limit, POSEWATCH_MODELS=str(work.models))
        told = [json.loads(line) for line in said.splitlines() if line[:1] == "{"]
        at = [
            (entry["message"], datetime.fromisoformat(entry["timestamp"]).timestamp())
            for entry in told
        ]
        claimed = min(time for message, time in at if message == "claimed")
        ended = max(time for message, time in at if message == "done")
        receipts = [json.loads(path.read_text()) for path in folder.glob("*.posewatch.json")]
        frames = sum(receipt["work"]["frames"] for receipt in receipts)
        with np.load(next(folder.glob("0.pose-*.npz"))) as result:
            dots = result["frames"][:, 0, : planted.DOTS].astype(float)
        dots[(dots == -1).any(axis=-1)] = np.nan
    return {
        "fps": frames / (ended - claimed),
        "frames": frames,
        "seconds": ended - claimed,
        "start_seconds": claimed - begun,
        **work.distances(dots * work.size),
        **watch.figures(claimed, ended, frames),
    }


def _said(command: Sequence[object], limit: float, **environ: str) -> str:
    """All that a process of ours writes."""
    try:
        done = subprocess.run(  # noqa: S603 -- our own
            [str(part) for part in command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=limit,
            env=os.environ | environ,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        said = (error.stdout or b"").decode(errors="replace")
        raise SideError(f"killed after {limit:.0f} s", said) from None
    if done.returncode:
        raise SideError(f"ended with {done.returncode}", done.stdout)
    return done.stdout


def alone(what: str, *, limit: float, **arguments: object) -> Figures:
    """What `gpu_worker.py` finds."""
    told = json.dumps(arguments, default=str)
    said = _said([*PYTHON, str(BENCH / "gpu_worker.py"), what, told], limit)
    figures: Figures = json.loads(said.splitlines()[-1])
    return figures


def others(work: Work, side: str, *, frames: int, processes: int, limit: float) -> Figures:
    """So many processes of a side of `dwpose_worker.py`, each with the same video.

    They begin together when all have loaded.
    """
    running: list[subprocess.Popen[str]] = []

    def kill() -> None:
        for process in running:
            process.kill()

    loaded = threading.Barrier(processes)
    clock = threading.Timer(limit, kill)
    clock.start()

    def one(number: int) -> tuple[Figures, NDArray[np.float64]]:
        found = work.folder / f"found-{number}.npy"
        told = *work.published, work.folded, work.film, frames, 1, found, work.device, "together"
        command = [*PYTHON, str(BENCH / "dwpose_worker.py"), side, *map(str, told)]
        with subprocess.Popen(  # noqa: S603 -- our own
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            running.append(process)
            said: list[str] = []
            for line in process.stdout or ():
                said.append(line)
                if line == "loaded\n" and process.stdin:
                    loaded.wait()
                    process.stdin.write("begin\n")
                    process.stdin.flush()
        if process.returncode:
            kill()  # the others wait for this one
            loaded.abort()
            raise SideError(f"ended with {process.returncode}", "".join(said))
        return json.loads(said[-1]), np.load(found)

    try:
        with watched() as watch, ThreadPoolExecutor(processes) as pool:
            tasks = [pool.submit(one, number) for number in range(processes)]
        errors = [error for task in tasks if (error := task.exception())]
        if errors:
            true = [error for error in errors if isinstance(error, SideError)]
            raise (true or errors)[0]
    finally:
        clock.cancel()
    runs = [task.result()[0] for task in tasks]
    ended = max(run["ended"] for run in runs)
    seconds, total = max(run["seconds"] for run in runs), sum(run["frames"] for run in runs)
    return {
        "fps": total / seconds,
        "frames": total,
        "seconds": seconds,
        "start_seconds": mean(run["load_seconds"] for run in runs),
        "host_mib": sum(run["peak_bytes"] for run in runs) / 2**20,
        **({} if side.startswith("decode") else work.distances(tasks[0].result()[1])),
        **watch.figures(ended - seconds, ended, total),
    }
