"""How soon a video is claimed after its last write."""

from __future__ import annotations

import shutil
import time
from datetime import datetime
from statistics import median
from typing import TYPE_CHECKING

from real.daemons import put_video, until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from real.daemons import Daemon, Fleet


def _latencies(
    daemon: Daemon, folder: Path, put: Callable[[Path], object], names: list[str]
) -> list[float]:
    """Seconds from the end of `put` to the claim, for each name in turn."""
    found = []
    for name in names:
        put(folder / name)
        written = time.time()
        line = daemon.says("claimed", video=name)
        found.append(datetime.fromisoformat(line["timestamp"]).timestamp() - written)
        daemon.says("done", video=name)
    return found


def test_what_is_written_on_this_machine_is_claimed_within_a_second(
    folder: Path, tmp_path: Path, fleet: Fleet
) -> None:
    source = put_video(tmp_path / "source.mp4", frames=2)
    # No scan will help, and files rest for as long as they do by default.
    settings = {"watch": {"scan_interval": 3600.0, "settle": 0.3}}
    (folder / "sub").mkdir()
    daemon = fleet.daemon(folder, settings).start().ready()
    until(lambda: daemon.get("/readyz")[0] == 200, "the first scan is over")

    def copied(video: Path) -> None:
        shutil.copyfile(source, video)

    def copied_in_pieces(video: Path) -> None:
        data = source.read_bytes()
        with video.open("wb", buffering=0) as file:
            for start in range(0, len(data), 300):
                file.write(data[start : start + 300])
                time.sleep(0.1)  # longer in all than a closed file has to rest

    def moved_in(video: Path) -> None:
        outside = shutil.copyfile(source, tmp_path / "outside.mp4")
        outside.rename(video)

    def renamed(video: Path) -> None:
        shutil.copyfile(source, video.with_suffix(".mp4.part")).rename(video)

    for number, put in enumerate((copied, copied_in_pieces, moved_in, renamed)):
        names = [f"{number}a.mp4", f"sub/{number}b.mp4", f"{number}c.mp4"]
        latencies = _latencies(daemon, folder, put, names)
        # The middle one: the machine that runs the tests may be busy for a moment.
        assert median(latencies) <= 1.0, f"{put.__name__}: {latencies}"
        assert min(latencies) > 0.0
    assert daemon.metric("posewatch_claim_latency_seconds_count") == 12


def test_without_inotify_two_scans_are_enough(folder: Path, tmp_path: Path, fleet: Fleet) -> None:
    source = put_video(tmp_path / "source.mp4", frames=2)
    interval = 0.5
    settings = {"watch": {"scan_interval": interval, "inotify": False}}
    daemon = fleet.daemon(folder, settings).start().ready()
    latencies = _latencies(
        daemon,
        folder,
        lambda video: shutil.copyfile(source, video),
        [f"{number}.mp4" for number in range(6)],
    )
    assert median(latencies) <= 2 * interval, latencies
    assert max(latencies) <= 3 * interval, latencies
