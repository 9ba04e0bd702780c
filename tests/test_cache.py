from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from posewatch.base.errors import Fault, InputError, SettingsError
from posewatch.cache import InputCache

if TYPE_CHECKING:
    from pathlib import Path

    from posewatch.models.cache import InstalledModel


def go_on() -> None:
    pass


def test_a_reservation_is_a_private_folder_that_vanishes(tmp_path: Path) -> None:
    used: list[int] = []
    cache = InputCache(tmp_path, 100, used.append)
    with cache.reserve(60, go_on) as folder:
        (folder / "copy").write_bytes(b"x")
        assert folder.stat().st_mode & 0o777 == 0o700
    assert not folder.exists()
    assert used == [60, 0]
    cache.close()
    assert list(tmp_path.iterdir()) == []


def test_it_may_vanish_between_two_jobs(tmp_path: Path) -> None:
    root = tmp_path / "posewatch" / "inputs"
    cache = InputCache(root, 100, lambda _used: None)
    shutil.rmtree(root.parent)
    with cache.reserve(60, go_on) as folder:
        (folder / "copy").write_bytes(b"x")
        InputCache(root, 100, lambda _used: None).close()  # sweeps what the dead have left
        assert (folder / "copy").exists()
    cache.close()
    assert list(root.iterdir()) == []


def test_a_folder_that_is_swept_while_it_is_made_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock, tries = fcntl.flock, []

    def swept_at_first(handle: int, how: int) -> None:
        tries.append(how)
        if len(tries) == 1:  # another process, between the making of the lock file and its locking
            raise BlockingIOError
        if len(tries) == 2:
            shutil.rmtree(tmp_path)
        flock(handle, how)

    monkeypatch.setattr(fcntl, "flock", swept_at_first)
    cache = InputCache(tmp_path, 100, lambda _used: None)
    with cache.reserve(60, go_on) as folder:
        (folder / "copy").write_bytes(b"x")
    cache.close()
    assert len(tries) >= 3


def test_what_never_fits_is_the_fault_of_the_input(tmp_path: Path) -> None:
    cache = InputCache(tmp_path, 100, lambda _used: None)
    with (
        pytest.raises(InputError, match=r"101 bytes.*limit_bytes") as caught,
        cache.reserve(101, go_on),
    ):
        pass
    assert caught.value.fault is Fault.TOO_LARGE
    cache.close()


def test_the_second_waits_for_the_first(tmp_path: Path) -> None:
    cache = InputCache(tmp_path, 100, lambda _used: None)
    entered, order = threading.Event(), []

    def second() -> None:
        entered.set()
        with cache.reserve(60, go_on):
            order.append("second")

    with cache.reserve(60, go_on):
        thread = threading.Thread(target=second)
        thread.start()
        entered.wait(5)
        thread.join(0.05)
        order.append("first")
    thread.join(5)
    assert order == ["first", "second"]
    cache.close()


def test_waiting_is_given_up_when_the_job_is_cancelled(tmp_path: Path) -> None:
    cache = InputCache(tmp_path, 100, lambda _used: None)

    def cancelled() -> None:
        raise KeyboardInterrupt

    with cache.reserve(60, go_on), pytest.raises(KeyboardInterrupt), cache.reserve(60, cancelled):
        pass
    cache.close()


def test_copies_of_the_dead_are_removed_and_those_of_the_living_are_not(tmp_path: Path) -> None:
    living = InputCache(tmp_path, 100, lambda _used: None)
    dead = tmp_path / "run-dead"
    dead.mkdir()
    (dead / "lock").touch()
    (dead / "copy").touch()
    with living.reserve(10, go_on) as folder:
        other = InputCache(tmp_path, 100, lambda _used: None)
        assert not dead.exists()
        assert folder.exists()
        other.close()
    living.close()


def test_a_cache_that_cannot_be_is_a_wrong_setting(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match=r"\[cache\] path"):
        InputCache(tmp_path / "file" / "cache", 100, lambda _used: None)


def test_a_cache_inside_of_the_watched_folder_is_refused(
    tmp_path: Path, holistic_model: InstalledModel
) -> None:
    """Each copy of a video would be a new video, for ever."""
    done = subprocess.run(  # noqa: S603 -- our own command
        [sys.executable, "-m", "posewatch", "run", tmp_path, "--until-idle"],
        env={
            **os.environ,
            "POSEWATCH_MODELS": str(holistic_model.folder.parent),
            "XDG_CACHE_HOME": str(tmp_path),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert "inside of the watched folder" in done.stderr
    assert "[cache] path" in done.stderr
