"""From copy to claim: how long after its last write a video is claimed.

    make bench BENCH=latency

A real daemon watches a folder into which files are copied, one after the other. The time runs from
the moment when the copying program closes the file to the daemon's log line "claimed"; both clocks
are this machine's. The files are no videos, so that each ends at once.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from report import Row, report
from rich.progress import track

if TYPE_CHECKING:
    from collections.abc import Iterator


class Claimed:
    """A daemon, and what its log says.

    Args:
        root: an empty folder for everything.
        watch: settings of the section `watch`.
    """

    def __init__(self, root: Path, watch: str) -> None:
        self.folder = root / "folder"
        self.folder.mkdir(parents=True)
        settings = root / "settings.toml"
        settings.write_text(
            f'[watch]\n{watch}\n[http]\nport = 0\n[cache]\npath = "{root / "cache"}"\n'
        )
        self._daemon = subprocess.Popen(  # noqa: S603 -- our own command
            [sys.executable, "-m", "posewatch", "run", self.folder, "--config", settings],
            stderr=subprocess.PIPE,
            text=True,
        )
        self._log = self._lines()
        self.wait_for("watching")

    def _lines(self) -> Iterator[dict[str, str]]:
        if self._daemon.stderr is None:
            raise RuntimeError("the daemon's log is not there")
        for line in self._daemon.stderr:
            yield json.loads(line)
        raise RuntimeError(f"the daemon ended with status {self._daemon.wait()}")

    def wait_for(self, message: str, video: str | None = None) -> float:
        """Unix time of the next such line of the log."""
        for line in self._log:
            if line["message"] == message and video in {None, line.get("video")}:
                return datetime.fromisoformat(line["timestamp"]).timestamp()
        raise RuntimeError(f"the log never said {message!r}")

    def latencies(self, files: int, pause: float) -> Iterator[float]:
        """Seconds for each of so many files."""
        for number in track(range(files), self.folder.parent.name, transient=True):
            name = f"{number}.mp4"
            # So that the copies do not fall in step with the scans.
            time.sleep(pause * number / files)
            (self.folder / name).write_text("no video")
            closed = time.time()
            yield self.wait_for("claimed", name) - closed

    def stop(self) -> None:
        """End the daemon."""
        self._daemon.terminate()
        for _ in self._daemon.stderr or ():
            pass
        self._daemon.wait()


def main() -> None:
    """Measure with and without notices of the kernel, and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=20)
    parser.add_argument("--interval", type=float, default=2.0, help="of scans, seconds")
    options = parser.parse_args()
    ways = {"inotify": "true", "scans only": "false"}
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        for way, inotify in ways.items():
            settings = f"scan_interval = {options.interval}\ninotify = {inotify}"
            daemon = Claimed(Path(temporary, way), settings)
            try:
                found[way] = list(daemon.latencies(options.files, options.interval))
            finally:
                daemon.stop()
    limits = {"inotify": ("promise: 1 s", 1.0), "scans only": ("promise: two scan intervals", 2.0)}
    rows = []
    for way, seconds in found.items():
        against, factor = limits[way]
        limit = factor if way == "inotify" else factor * options.interval
        unit = "s from last write to claim"
        rows.append(
            Row(f"{way}, median", against, unit, statistics.median(seconds), limit, len(seconds))
        )
        rows.append(Row(f"{way}, slowest", against, unit, max(seconds), limit, len(seconds)))
    report("latency", rows)


if __name__ == "__main__":
    main()
