"""Whether the daemon's memory grows with the number of videos: DWPose's recipe on 1,000 short ones.

    make bench BENCH=many
    make bench BENCH=many ARGS="--videos 100"

The networks are small ones of the same form (`tests/topdown_nets.py`): what would leak is around
them. The real daemon works them off; the sum of the proportional set sizes of all its processes is
looked at ten times a second, and the median over the last tenth of the videos is compared with that
over the second tenth, when everything is loaded.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from folder import memory_of_children
from report import RESULTS, Row, report

sys.path.append(str(Path(__file__).parents[1]))  # what the tests have as well
from posewatch.models.cache import ModelCache
from posewatch.models.pull import pull
from topdown_nets import card_of, simcc, yolox
from videos import make_video


def main() -> None:
    """Measure, report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=int, default=1000)
    options = parser.parse_args()
    RESULTS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=RESULTS) as base:
        seconds, seen = work_off(Path(base), options.videos)
    tenth = max(1, options.videos // 10)
    early = [memory for done, memory in seen if tenth <= done < 2 * tenth]
    late = [memory for done, memory in seen if done >= options.videos - tenth]
    report(
        "many",
        [
            Row(
                f"after {options.videos:,} videos",
                f"after {tenth:,}",
                "MiB",
                statistics.median(late),
                statistics.median(early),
                runs=1,
            )
        ],
        notes=[
            f"{seconds:.0f} s; at most {max(memory for _, memory in seen):.0f} MiB",
            "by tenths: "
            + ", ".join(
                f"{statistics.median(part):.1f}"
                for start in range(0, options.videos, tenth)
                if (part := [memory for done, memory in seen if start <= done < start + tenth])
            ),
        ],
    )


def work_off(base: Path, count: int) -> tuple[float, list[tuple[int, float]]]:
    """How long it takes; and how many videos were done when so many MiB were seen."""
    published, folder = base / "published", base / "videos"
    published.mkdir()
    folder.mkdir()
    own = base / "small.json"
    detector, pose = yolox(published / "d.onnx"), simcc(published / "p.onnx")
    own.write_text(card_of(detector, pose, name="small").model_dump_json())
    pull(str(own), ModelCache(base / "models"), given=[published])
    video = make_video(base / "short.mp4", frames=5).read_bytes()
    for number in range(count):
        (folder / f"{number:04d}.mp4").write_bytes(video)
    settings = base / "settings.toml"
    settings.write_text(
        f'[recipe]\npose = "dwpose"\ncard = "{own}"\n[work]\ndevice = "cpu"\nvideos_in_flight = 2\n'
        f'[cache]\npath = "{base}/cache"\n[http]\nenabled = false\n[log]\nlevel = "warning"\n'
    )
    command = [sys.executable, "-m", "posewatch", "run", folder, "--until-idle"]
    environ = {**os.environ, "POSEWATCH_MODELS": str(base / "models")}
    seen, begun = [], time.perf_counter()
    with subprocess.Popen([*command, "--config", settings], env=environ) as daemon:  # noqa: S603 -- ours
        while daemon.poll() is None:
            time.sleep(0.1)
            done = sum(entry.name.endswith(".posewatch.json") for entry in os.scandir(folder))
            if memory := memory_of_children():
                seen.append((done, memory))
    if daemon.returncode:
        raise SystemExit("the daemon failed")
    return time.perf_counter() - begun, seen


if __name__ == "__main__":
    main()
