"""Daemons that are killed and paused at any moment lose nothing and do nothing twice."""

from __future__ import annotations

import time
from random import Random
from typing import TYPE_CHECKING

import pytest

from real.daemons import (
    Commits,
    Daemon,
    assert_whole,
    digests,
    failure_of,
    finished,
    leftovers,
    put_video,
    receipt_of,
    until,
)

if TYPE_CHECKING:
    from pathlib import Path

    from real.daemons import Fleet, Settings

VIDEOS = 32
FRAMES = 40
KILLS = 7

# The lease is short, so that much is taken over; and nobody is to blame a video for the killings.
SETTINGS: Settings = {"claims": {"ttl": 2.0, "max_attempts": 50}, "work": {"videos_in_flight": 2}}


@pytest.mark.parametrize(
    "seed", [1, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(2, 6))]
)
def test_three_daemons_one_killed_again_and_again_and_one_paused(
    folder: Path, fleet: Fleet, seed: int
) -> None:
    random = Random(seed)
    folders = [folder / name for name in "abcd"]
    for path in folders:
        path.mkdir()
    videos = [
        put_video(folders[number % 4] / f"{number:02}.mp4", frames=FRAMES)
        for number in range(VIDEOS)
    ]
    inputs = digests(folder)
    assert len(inputs) == VIDEOS
    with Commits(*folders) as commits:
        killed, paused, steady = (
            fleet.daemon(folder, SETTINGS, name=name).start()
            for name in ("killed", "paused", "steady")
        )
        held = _pause_at_work(paused, folder)
        for _ in range(KILLS):
            time.sleep(random.uniform(0.1, 2.5))  # any moment: also before it has begun
            killed.kill()
            killed.start()
        until(lambda: finished(held), "others finish what the paused one held")
        paused.go_on()
        until(lambda: finished(videos), lambda: f"all are finished\n{steady.told()}")
        paused.says("the claim was lost")
        until(lambda: not leftovers(folder), lambda: f"leftovers go: {leftovers(folder)}")
        for daemon in fleet.daemons:
            assert daemon.ready().stop() == 0
    assert leftovers(folder) == []
    receipts = [assert_whole(video, FRAMES) for video in videos]
    assert commits == {f"{video.stem}.posewatch.json": 1 for video in videos}
    assert digests(folder) == inputs
    assert len({found.nonce for found in receipts}) == VIDEOS
    # It was not for nothing: some were taken over.
    assert any(found.attempt > 1 for found in receipts)


def _pause_at_work(daemon: Daemon, folder: Path) -> list[Path]:
    """Stop a daemon that is in the middle of videos; those."""

    def working() -> list[Path]:
        return [
            folder / line["video"]
            for line in daemon.said("claimed")
            if receipt_of(folder / line["video"]) is None
        ]

    daemon.says("claimed")
    until(working, "it holds a video")
    daemon.pause()
    # What it held may have been done just before it stood; look again.
    return working() or _pause_again(daemon, folder)


def _pause_again(daemon: Daemon, folder: Path) -> list[Path]:
    daemon.go_on()
    return _pause_at_work(daemon, folder)


def test_a_video_that_kills_every_daemon_is_recorded_as_failed(folder: Path, fleet: Fleet) -> None:
    video = put_video(folder / "deadly.mp4", frames=200)
    daemon = fleet.daemon(folder, {"claims": {"ttl": 1.0, "max_attempts": 2}})
    for attempt in (1, 2):
        daemon.start().says("claimed", video=video.name, attempt=attempt)
        daemon.kill()
    daemon.start().says("failed", video=video.name, fault="crashed")
    failure = until(lambda: failure_of(video), "the failure is recorded")
    assert failure is not None
    assert failure.message == "2 workers died while they worked on it"
    until(lambda: not leftovers(folder), lambda: f"leftovers go: {leftovers(folder)}")
    assert daemon.stop() == 0


def test_a_video_on_which_one_daemon_died_by_chance_is_done(folder: Path, fleet: Fleet) -> None:
    video = put_video(folder / "unlucky.mp4", frames=60)
    daemon = fleet.daemon(folder, {"claims": {"ttl": 1.0, "max_attempts": 2}})
    daemon.start().says("claimed")
    daemon.kill()
    daemon.start()
    until(lambda: finished([video]), lambda: f"it is done\n{daemon.told()}")
    assert assert_whole(video, 60).attempt == 2
    until(lambda: not leftovers(folder), lambda: f"leftovers go: {leftovers(folder)}")
