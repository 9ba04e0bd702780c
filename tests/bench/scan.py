"""A scan of 100,000 files, beside the polling observer that watchdog offers for the same purpose.

    make bench BENCH=scan

Each measurement is a fresh process on the same folder, the two in turn. A scan of ours is what the
daemon does: list, read what is new, judge every video. System calls are counted by strace, in runs
of their own, where that is installed.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from report import Row, report
from rich.progress import track

from posewatch.base.clock import SystemClock
from posewatch.catalog import Catalog, Rules
from posewatch.config import WatchSettings
from posewatch.formats import names, receipt
from posewatch.formats.receipt import InputRecord, Receipt, RecipeRecord, ResultRecord
from posewatch.storage.posix import PosixStorage
from posewatch.watch.scan import FolderReader

SUFFIXES = WatchSettings().suffixes
RULES = Rules(SUFFIXES, "0123456789abcdef", settle=0.3)


def make_folder(root: Path, files: int, *, done: bool) -> None:
    """So many files in folders of 1,000; videos only, or each with its result and receipt."""
    videos = files // 3 if done else files
    for number in track(range(videos), f"Making {files:,} files", transient=True):
        folder = root / f"{number // 1000:04}"
        folder.mkdir(exist_ok=True)
        video = folder / f"{number:06}.mp4"
        video.write_bytes(b"x")
        if not done:
            continue
        pose = Path(names.pose_key(str(video), "mediapipe"))
        pose.write_bytes(b"y")
        content = Receipt(
            outcome="done",
            input=InputRecord(name=video.name, size=1, tag=str(video.stat().st_mtime_ns)),
            recipe=RecipeRecord(name="mediapipe", hash=RULES.recipe_hash or ""),
            attempt=1,
            nonce=f"{number:032x}",
            results=(ResultRecord(name=pose.name, size=1, sha256="0" * 64),),
        )
        Path(names.receipt_key(str(video))).write_bytes(receipt.encode(content))


def ours(root: Path, scans: int) -> list[float]:
    """CPU seconds of each scan."""
    clock = SystemClock()
    reader, catalog, spent = FolderReader(PosixStorage(root), SUFFIXES, clock), Catalog(RULES), []
    for _ in range(scans):
        begun = time.process_time()
        scan = reader.scan()
        catalog.scanned(scan.listing, clock.monotonic())
        for key, told in scan.receipts.items():
            catalog.receipt_read(key, told)
        catalog.settle_up({}, clock.monotonic())
        spent.append(time.process_time() - begun)
    return spent


def polling_observer(root: Path, scans: int) -> list[float]:
    """CPU seconds of what watchdog's PollingObserver does at each interval."""
    from watchdog.utils.dirsnapshot import DirectorySnapshot, DirectorySnapshotDiff  # noqa: PLC0415

    spent, before = [], None
    for _ in range(scans):
        begun = time.process_time()
        now = DirectorySnapshot(str(root), recursive=True)
        if before is not None:
            DirectorySnapshotDiff(before, now)
        before = now
        spent.append(time.process_time() - begun)
    return spent


WAYS = {"posewatch": ours, "PollingObserver": polling_observer}


def one(way: str, root: Path, scans: int) -> None:
    """What the child processes run."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    spent = WAYS[way](root, scans)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    json.dump({"first": spent[0], "later": spent[-1], "kib": after - before}, sys.stdout)


def measure(way: str, root: Path) -> dict[str, float]:
    """One fresh process."""
    command = [sys.executable, __file__, "--one", way, "--folder", str(root), "--scans", "3"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 -- our own file
    found: dict[str, float] = json.loads(done.stdout)
    return found


def system_calls(way: str, root: Path, files: int) -> float | None:
    """System calls for each file, of one more scan; None where strace is missing."""
    strace = shutil.which("strace")
    if strace is None:
        return None
    counts = Counter[int]()
    for scans in (2, 3):
        command = [strace, "-f", "-qq", "-c", "-U", "calls", "-o", "/dev/stderr", sys.executable]
        command += [__file__, "--one", way, "--folder", str(root), "--scans", str(scans)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 -- our own file
        calls = [line.split() for line in done.stderr.splitlines()]
        counts[scans] = sum(int(c[0]) for c in calls[:-1] if c and c[0].isdigit())
    return (counts[3] - counts[2]) / files


def main() -> None:
    """Make the folders, measure, report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--one", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--scans", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        one(options.one, options.folder, options.scans)
        return
    rows = []
    for title, done in (("videos, all new", False), ("files of videos that are done", True)):
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            make_folder(root, options.files, done=done)
            runs = [{way: measure(way, root) for way in WAYS} for _ in range(options.runs)]
            medians = {
                (way, what): statistics.median(run[way][what] for run in runs)
                for way in WAYS
                for what in ("first", "later", "kib")
            }
            for what, unit, scale in (
                ("first", "CPU s, first scan", 1.0),
                ("later", "CPU s, each later scan", 1.0),
                ("kib", "MiB of memory", 1 / 1024),
            ):
                mine, theirs = (medians[way, what] * scale for way in WAYS)
                case = f"{options.files:,} {title}"
                rows.append(Row(case, "watchdog PollingObserver", unit, mine, theirs, options.runs))
            calls = [system_calls(way, root, options.files) for way in WAYS]
            if calls[0] is not None and calls[1] is not None:
                unit = "system calls a file, later scan"
                rows.append(Row(case, "watchdog PollingObserver", unit, calls[0], calls[1], 1))
    report("scan", rows)


if __name__ == "__main__":
    main()
