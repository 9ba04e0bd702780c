"""A bucket that users see through s3fs: videos are copied to one mount, results read in another."""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING

import pytest

from real.buckets import PREFIX, Bucket
from real.daemons import assert_whole, failure_of, leftovers, receipt_of, until
from s3.mounts import Mount, mounting_missing, s3fs
from s3.servers import KEY, SECRET, Server
from videos import make_video

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from real.daemons import Fleet, Settings

FRAMES = 3
SETTINGS: Settings = {
    "watch": {"scan_interval": 0.5, "idle_interval": 2.0},
    "claims": {"ttl": 3.0},
}


@pytest.fixture(params=["moto", pytest.param("ceph", marks=pytest.mark.long)])
def server(request: pytest.FixtureRequest) -> Server:
    if missing := mounting_missing():
        pytest.skip(missing)
    found: Server = request.getfixturevalue(f"{request.param}_server")
    return found


@pytest.fixture
def bucket(server: Server, tmp_path: Path) -> Bucket:
    return Bucket(server, tmp_path)


@pytest.fixture
def here(server: Server, bucket: Bucket, tmp_path: Path) -> Iterator[Mount]:
    """Where videos are copied to."""
    passwd = tmp_path / "passwd"
    passwd.write_text(f"{KEY}:{SECRET}\n")
    passwd.chmod(0o600)
    with s3fs(server, bucket.name, tmp_path / "here", passwd) as mount:
        yield mount


@pytest.fixture
def there(server: Server, bucket: Bucket, here: Mount, tmp_path: Path) -> Iterator[Mount]:
    """Where results are read, as on another machine."""
    assert here.mounted()
    with s3fs(server, bucket.name, tmp_path / "there", tmp_path / "passwd") as mount:
        yield mount


def names_for(server: Server) -> list[str]:
    names = ["plain.mp4", "with spaces & signs+%20.mp4", "Gebärde für „Öl“.mp4", "talks/手話.mp4"]
    # moto finds no way for a path of two lines.
    return names if server.name == "moto" else [*names, "two\nlines.mp4"]


def finished(video: Path) -> bool:
    return receipt_of(video) is not None


def test_copied_to_one_mount_and_read_through_another(
    server: Server, here: Mount, there: Mount, fleet: Fleet, tmp_path: Path
) -> None:
    source = make_video(tmp_path / "source.mp4", frames=FRAMES)
    daemon = fleet.daemon(here.path, SETTINGS).start().ready()
    (here.path / "talks").mkdir()
    keys = names_for(server)
    for key in keys:
        shutil.copyfile(source, here.path / key)
    for key in keys:
        until(lambda key=key: finished(there.path / key), lambda: f"done\n{daemon.told()}")
        assert_whole(there.path / key, FRAMES)
    told = fleet.home.command("status", there.path, "--json")
    assert told.returncode == 0, told.stderr
    assert sorted(json.loads(told.stdout)["done"]) == sorted(keys)
    # One is removed, and one replaced.
    (here.path / keys[0]).unlink()
    shutil.copyfile(make_video(tmp_path / "other.mp4", frames=5), here.path / keys[1])
    until(lambda: _frames(there.path / keys[1]) == 5, lambda: f"done anew\n{daemon.told()}")
    told = fleet.home.command("status", there.path, "--json")
    assert sorted(json.loads(told.stdout)["done"]) == sorted(keys[1:])
    until(lambda: not leftovers(there.path), lambda: f"they go: {leftovers(there.path)}")
    assert not [line for line in daemon.log() if "traceback" in line]
    assert daemon.stop() == 0


def _frames(video: Path) -> int | None:
    receipt = receipt_of(video)
    return receipt.work.frames if receipt is not None else None


def test_a_failure_is_told_and_forgotten_through_a_mount(
    here: Mount, there: Mount, fleet: Fleet
) -> None:
    (here.path / "letter.mp4").write_bytes(b"this is no video")
    daemon = fleet.daemon(here.path, SETTINGS).start()
    until(lambda: failure_of(there.path / "letter.mp4"), lambda: f"it fails\n{daemon.told()}")
    status = fleet.home.command("status", there.path)
    assert "letter.mp4" in status.stdout
    assert "no video" in status.stdout
    retry = fleet.home.command("retry", there.path, there.path / "letter.mp4")
    assert retry.returncode == 0, retry.stderr
    assert "1 failure forgotten" in retry.stdout
    until(lambda: len(daemon.said("failed", video="letter.mp4")) == 2, "it is tried again")
    until(lambda: failure_of(there.path / "letter.mp4"), "and fails again")
    assert daemon.stop() == 0


def test_a_folder_of_the_mount_is_watched_by_its_own(
    bucket: Bucket, here: Mount, fleet: Fleet, tmp_path: Path
) -> None:
    source = make_video(tmp_path / "source.mp4", frames=FRAMES)
    folder = here.path / PREFIX
    folder.mkdir()
    shutil.copyfile(source, here.path / "outside.mp4")
    shutil.copyfile(source, folder / "inside.mp4")
    ran = fleet.home.command("run", folder, "--until-idle", "--config", _settings(fleet, folder))
    assert ran.returncode == 0, ran.stderr
    assert bucket.receipt("inside.mp4") is not None
    assert receipt_of(here.path / "outside.mp4") is None


def _settings(fleet: Fleet, folder: Path) -> Path:
    return fleet.daemon(folder, SETTINGS).settings_file


def test_the_mount_dies_and_work_goes_on(
    here: Mount, there: Mount, fleet: Fleet, tmp_path: Path
) -> None:
    source = make_video(tmp_path / "source.mp4", frames=FRAMES)
    daemon = fleet.daemon(here.path, SETTINGS).start().ready()
    here.kill()
    with pytest.raises(OSError, match="Transport endpoint is not connected"):
        os.listdir(here.path)  # noqa: PTH208 -- as anybody would
    shutil.copyfile(source, there.path / "later.mp4")
    until(lambda: finished(there.path / "later.mp4"), lambda: f"done\n{daemon.told()}")
    assert_whole(there.path / "later.mp4", FRAMES)
    assert daemon.get("/readyz")[0] == 200
    (line,) = daemon.said("only scans will find new videos")
    # Whoever was in the middle of a request is told the second, all others the first.
    words = ("Transport endpoint is not connected", "Software caused connection abort")
    assert line["message"].endswith(words)
    assert not [line for line in daemon.log() if "traceback" in line]
    # It cannot be started on what is left, and says why.
    dead = fleet.home.command("run", here.path, "--until-idle", "--config", daemon.settings_file)
    assert dead.returncode == 2, dead
    assert f"{here.path} is a mount of s3fs that does not answer: Transport" in dead.stderr
    assert "fusermount -u" in dead.stderr
    # Once it is mounted again, local writes are noticed again.
    here.again()
    copied = here.path / "noticed.mp4"
    shutil.copyfile(source, copied)
    until(lambda: finished(copied), lambda: f"done\n{daemon.told()}")
    hints = 'posewatch_hints_total{source="inotify"}'
    number = 0
    while daemon.metric("posewatch_hints_total", source="inotify") == 0:
        number += 1
        assert number < 10, f"{hints}\n{daemon.told()}"
        shutil.copyfile(source, here.path / f"noticed-{number}.mp4")
        until(lambda n=number: finished(here.path / f"noticed-{n}.mp4"), "it is done")
    assert daemon.stop() == 0
