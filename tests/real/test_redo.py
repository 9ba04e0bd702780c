"""What is done again, what is not, and that it gives the same bytes."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from real.daemons import (
    assert_whole,
    digest,
    failure_of,
    finished,
    leftovers,
    put_video,
    receipt_of,
    until,
    write_settings,
)

if TYPE_CHECKING:
    from posewatch.formats.receipt import Receipt
    from real.daemons import Fleet

ASTRONAUT = Path(__file__).parents[1] / "data" / "astronaut.mp4"
RESULT = "a.pose-mediapipe.npz"


def _another_receipt(video: Path, old: Receipt) -> Receipt:
    """Wait until a new receipt stands, and nothing beside it."""

    def found() -> Receipt | None:
        now = receipt_of(video)
        return now if now is not None and now.nonce != old.nonce else None

    fresh = until(found, "it is done again")
    until(lambda: not leftovers(video.parent), "leftovers go")
    assert fresh is not None
    return fresh


def test_what_is_done_again_and_what_is_not(folder: Path, tmp_path: Path, fleet: Fleet) -> None:
    video = put_video(folder / "a.mp4", frames=3)
    other = put_video(tmp_path / "other.mp4", frames=5)
    result = folder / RESULT
    daemon = fleet.daemon(folder).start()
    until(lambda: finished([video]), "it is done")
    receipt = assert_whole(video, 3)

    shutil.copyfile(other, video)
    receipt = _another_receipt(video, receipt)
    assert assert_whole(video, 5) == receipt

    result.unlink()
    receipt = _another_receipt(video, receipt)
    assert assert_whole(video, 5) == receipt

    whole = digest(result)
    os.truncate(result, 100)
    receipt = _another_receipt(video, receipt)
    assert assert_whole(video, 5) == receipt
    assert digest(result) == whole

    video.with_name("a.posewatch.json").unlink()
    receipt = _another_receipt(video, receipt)
    assert assert_whole(video, 5) == receipt

    made_at = result.stat().st_mtime_ns
    video.touch()
    receipt = _another_receipt(video, receipt)
    assert assert_whole(video, 5) == receipt
    assert result.stat().st_mtime_ns == made_at, "only its time was changed: the results stand"

    video.write_text("no video any more")
    receipt = _another_receipt(video, receipt)
    assert receipt.failure is not None

    shutil.copyfile(other, video)
    receipt = _another_receipt(video, receipt)
    assert assert_whole(video, 5) == receipt

    assert daemon.stop() == 0
    daemon.start()
    until(lambda: daemon.metric("posewatch_scans_total", outcome="ok") > 3, "scans", every=0.2)
    assert receipt_of(video) == receipt, "a restart is no reason"
    assert daemon.stop() == 0

    daemon.configure({"recipe": {"mode": "tracking"}})
    daemon.start()
    tracked = _another_receipt(video, receipt)
    assert assert_whole(video, 5) == tracked
    assert tracked.recipe.hash != receipt.recipe.hash
    assert daemon.stop() == 0


def test_a_video_that_is_replaced_again_and_again_ends_with_results_of_the_last(
    folder: Path, tmp_path: Path, fleet: Fleet
) -> None:
    random = Random(7)
    sources = [put_video(tmp_path / f"{n}.mp4", frames=20 + n) for n in range(4)]
    video = folder / "a.mp4"
    daemons = [fleet.daemon(folder).start() for _ in range(2)]
    for daemon in daemons:
        daemon.ready()
    last = 0
    for number in range(25):
        last = number % len(sources)
        # By turns whole at once, and in place, which others see half done.
        if number % 2:
            shutil.copyfile(sources[last], tmp_path / "new").rename(video)
        else:
            data = sources[last].read_bytes()
            with video.open("wb", buffering=0) as file:
                file.write(data[:700])
                time.sleep(random.uniform(0.0, 0.04))
                file.write(data[700:])
        time.sleep(random.uniform(0.0, 0.4))
    until(lambda: finished([video]), "it is done")
    assert_whole(video, 20 + last)
    until(lambda: not leftovers(folder), lambda: f"leftovers go: {leftovers(folder)}")
    assert failure_of(video) is None
    for daemon in daemons:
        assert not [line for line in daemon.log() if "traceback" in line]
        assert daemon.stop() == 0


def test_two_runs_give_the_same_bytes(tmp_path: Path, fleet: Fleet) -> None:
    results = []
    for name, batch, in_flight in (("one", 16, 1), ("two", 3, 4)):
        folder = tmp_path / name / "inbox"
        folder.mkdir(parents=True)
        for copy in range(3):
            shutil.copyfile(ASTRONAUT, folder / f"astronaut-{copy}.mp4")
        settings = tmp_path / f"{name}.toml"
        work = {"batch": batch, "videos_in_flight": in_flight}
        write_settings(settings, {"work": work}, tmp_path / f"{name}-cache")
        ended = fleet.home.command("run", folder, "--until-idle", "--config", settings)
        assert ended.returncode == 0, ended.stderr
        results += [digest(path) for path in folder.glob("*.npz")]
    assert len(results) == 6
    assert len(set(results)) == 1
