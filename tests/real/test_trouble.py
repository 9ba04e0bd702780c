"""Disks that are full or read-only, folders that go away: work waits, and goes on."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from real.daemons import assert_whole, digests, finished, leftovers, put_video, receipt_of, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from real.daemons import Daemon, Fleet, Settings

SETTINGS: Settings = {"claims": {"ttl": 3.0}, "work": {"videos_in_flight": 1, "prefetch": 0}}


def _mount(*arguments: str | Path) -> None:
    subprocess.run(["mount", *arguments], check=True, capture_output=True)  # noqa: S603, S607


def _unmount(path: Path) -> None:
    subprocess.run(["umount", "--lazy", path], check=True, capture_output=True)  # noqa: S603, S607


@contextmanager
def _small_disk(path: Path, size: str) -> Iterator[Path]:
    """A file system in memory at `path`, if that is permitted."""
    path.mkdir(exist_ok=True)
    try:
        _mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", path)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"mounting is not permitted here: {error}")
    try:
        yield path
    finally:
        _unmount(path)


def _fill(disk: Path) -> Path:
    """Take all the room that is left."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return ballast


def _undamaged(daemon: Daemon, folder: Path, before: dict[str, str]) -> None:
    """It was nobody's fault, and nothing was lost."""
    assert not daemon.said("failed")
    assert not [line for line in daemon.log() if "traceback" in line]
    assert digests(folder) == before
    until(lambda: not leftovers(folder), lambda: f"leftovers go: {leftovers(folder)}")


def test_a_disk_that_is_full_before_the_claim(folder: Path, fleet: Fleet) -> None:
    with _small_disk(folder, "1m"):
        video = put_video(folder / "a.mp4")
        before = digests(folder)
        daemon = fleet.daemon(folder, SETTINGS).start().ready()
        until(lambda: finished([video]), "there is room at first")
        late = put_video(folder / "b.mp4.part", container="mp4")
        ballast = _fill(folder)
        late = late.rename(folder / "b.mp4")
        before |= digests(folder)
        line = daemon.says("the folder is in trouble")
        assert "No space left" in line["message"]
        assert "Make room" in line["hint"]
        daemon.is_not_ready("folder: full. Make room")
        assert receipt_of(late) is None
        ballast.unlink()
        until(lambda: finished([late]), "it is done when there is room")
        assert_whole(late, 4)
        assert len(daemon.said("the folder is in trouble")) == 1, "told once"
        daemon.says("the folder works again")
        daemon.is_ready()
        _undamaged(daemon, folder, before)


def test_a_disk_that_fills_up_during_the_work(folder: Path, fleet: Fleet) -> None:
    with _small_disk(folder, "1m"):
        video = put_video(folder / "a.mp4", frames=60)
        before = digests(folder)
        daemon = fleet.daemon(folder, SETTINGS).start()
        daemon.says("claimed", video=video.name)
        ballast = _fill(folder)
        line = daemon.says("the folder is in trouble")
        assert "No space left" in line["message"]
        daemon.is_not_ready("folder: full. Make room")
        ballast.unlink()
        until(lambda: finished([video]), "it is done when there is room")
        # The poses were kept meanwhile.
        assert assert_whole(video, 60).attempt == 1
        assert len(daemon.said("claimed")) == 1
        daemon.is_ready()
        _undamaged(daemon, folder, before)


def test_a_disk_that_is_mounted_read_only(folder: Path, fleet: Fleet) -> None:
    with _small_disk(folder, "1m"):
        video = put_video(folder / "a.mp4", frames=60)
        before = digests(folder)
        daemon = fleet.daemon(folder, SETTINGS).start()
        daemon.says("claimed", video=video.name)
        _mount("-o", "remount,ro", folder)
        line = daemon.says("the folder is in trouble")
        assert "Read-only file system" in line["message"]
        daemon.is_not_ready("folder: read only. ")
        _mount("-o", "remount,rw", folder)
        until(lambda: finished([video]), "it is done when it may be")
        assert_whole(video, 60)
        daemon.is_ready()
        _undamaged(daemon, folder, before)


def test_a_folder_without_the_permission_to_write(folder: Path, plain_fleet: Fleet) -> None:
    video = put_video(folder / "a.mp4")
    daemon = plain_fleet.daemon(folder, SETTINGS).start().ready()
    until(lambda: finished([video]) and not leftovers(folder), "it may write at first")
    daemon.pause()
    put_video(folder / "late.mp4")
    before = digests(folder)
    folder.chmod(0o555)
    daemon.go_on()
    line = daemon.says("the folder is in trouble")
    assert "Permission denied" in line["message"]
    assert "permission" in line["hint"]
    daemon.is_not_ready("folder: denied. Give the user")
    folder.chmod(0o755)
    until(lambda: finished([folder / "late.mp4"]), "it is done when it may be")
    daemon.is_ready()
    _undamaged(daemon, folder, before)


def test_one_sub_folder_without_permission_stops_nobody_else(
    folder: Path, plain_fleet: Fleet
) -> None:
    locked = folder / "locked"
    locked.mkdir()
    denied = [put_video(locked / f"{n}.mp4") for n in range(3)]
    good = [put_video(folder / f"good-{n}.mp4") for n in range(6)]
    locked.chmod(0o555)
    daemon = plain_fleet.daemon(folder, SETTINGS).start()
    until(lambda: finished(good), "the others are done", seconds=30)
    daemon.is_not_ready("folder: denied. Give the user")
    assert len(daemon.said("the folder is in trouble")) == 1, "told once"
    locked.chmod(0o755)
    until(lambda: finished(denied), "they are done when they may be")
    daemon.is_ready()


def test_the_cache_is_on_a_full_disk(folder: Path, tmp_path: Path, fleet: Fleet) -> None:
    with _small_disk(tmp_path / "cache", "1m") as disk:
        video = put_video(folder / "a.mp4")
        before = digests(folder)
        settings: Settings = {**SETTINGS, "cache": {"path": os.fspath(disk)}}
        daemon = fleet.daemon(folder, settings).start().ready()
        until(lambda: finished([video]), "there is room at first")
        ballast = _fill(disk)
        late = put_video(folder / "b.mp4")
        before |= digests(folder)
        line = daemon.says("this machine is in trouble")
        assert "No space left" in line["message"]
        daemon.is_not_ready("machine: No space left on device")
        ballast.unlink()
        until(lambda: finished([late]), "it is done when there is room")
        daemon.is_ready()
        _undamaged(daemon, folder, before)


def test_a_folder_that_is_renamed_and_comes_back(folder: Path, fleet: Fleet) -> None:
    video = put_video(folder / "a.mp4")
    working = put_video(folder / "long.mp4", frames=400)
    before = digests(folder)
    daemon = fleet.daemon(folder, SETTINGS).start()
    until(lambda: finished([video]), "the first is done")
    daemon.says("claimed", video=working.name)
    away = folder.rename(folder.with_name("away"))
    line = daemon.says("the folder is in trouble")
    assert "not there any more" in line["message"]
    daemon.is_not_ready("folder: unmounted")
    assert digests(away) == before
    away.rename(folder)
    daemon.says("the folder works again")
    daemon.is_ready()
    until(lambda: finished([working]), "it works on")
    assert_whole(working, 400)
    _undamaged(daemon, folder, before)
    assert finished([video]), "what was done is not done again"
    assert len(daemon.said("claimed", video=video.name)) == 1


def test_a_folder_that_is_unmounted_and_mounted_again(
    folder: Path, tmp_path: Path, fleet: Fleet
) -> None:
    with _small_disk(tmp_path / "disk", "1m") as disk:
        _mount("--bind", disk, folder)
        try:
            video = put_video(folder / "a.mp4")
            before = digests(folder)
            settings: Settings = {**SETTINGS, "watch": {"scan_interval": 0.5}}
            daemon = fleet.daemon(folder, settings).start()
            until(lambda: finished([video]) and not leftovers(folder), "the first is done")
        finally:
            _unmount(folder)
        daemon.is_not_ready("folder: unmounted. ")
        # Below the mount there is another, empty folder: nothing is written there.
        put_video(folder / "hidden.mp4")
        _mount("--bind", disk, folder)
        try:
            daemon.is_ready()
            # Hints come again, too: the next scan is far away.
            daemon.configure({**SETTINGS, "watch": {"scan_interval": 3600.0}})
            daemon.send(signal.SIGHUP)
            daemon.says("the settings were read again")
            scans = daemon.metric("posewatch_scans_total", outcome="ok")
            late = put_video(folder / "b.mp4")
            until(lambda: finished([late]), "it works on")
            assert daemon.metric("posewatch_scans_total", outcome="ok") <= scans + 1
            until(lambda: not leftovers(folder), lambda: f"leftovers go: {leftovers(folder)}")
            assert len(daemon.said("claimed", video=video.name)) == 1
            assert before.items() <= digests(folder).items()
            assert daemon.stop() == 0
        finally:
            _unmount(folder)
        assert [path.name for path in folder.iterdir()] == ["hidden.mp4"]
