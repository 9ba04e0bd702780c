from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from posewatch.base.clock import ManualClock
from posewatch.base.errors import Fault, InputError, SettingsError
from posewatch.cache import KEPT, InputCache

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from posewatch.models.cache import InstalledModel


CLOCK = ManualClock()


def cache_at(
    root: Path, changed: Callable[[int, int], None] = lambda _used, _waiting: None
) -> InputCache:
    return InputCache(root, 100, changed, CLOCK)


def copies(root: Path) -> list[Path]:
    return [path for path in root.iterdir() if path.name != "lock"]


def go_on() -> None:
    pass


def test_a_reservation_is_a_private_folder_that_vanishes(tmp_path: Path) -> None:
    used: list[int] = []
    cache = cache_at(tmp_path, lambda now, _waiting: used.append(now))
    with cache.reserve("a", 60, go_on) as folder:
        (folder / "copy").write_bytes(b"x")
        assert folder.stat().st_mode & 0o777 == 0o700
    assert not folder.exists()
    assert used == [60, 0]
    cache.close()
    assert copies(tmp_path) == []


def test_it_may_vanish_between_two_jobs(tmp_path: Path) -> None:
    root = tmp_path / "posewatch" / "inputs"
    cache = cache_at(root)
    shutil.rmtree(root.parent)
    with cache.reserve("a", 60, go_on) as folder:
        (folder / "copy").write_bytes(b"x")
        cache_at(root).close()  # sweeps what the dead have left
        assert (folder / "copy").exists()
    cache.close()
    assert copies(root) == []


def test_what_never_fits_is_the_fault_of_the_input(tmp_path: Path) -> None:
    cache = cache_at(tmp_path)
    with (
        pytest.raises(InputError, match=r"101 bytes.*limit_bytes") as caught,
        cache.reserve("a", 101, go_on),
    ):
        pass
    assert caught.value.fault is Fault.TOO_LARGE
    cache.close()


def test_the_second_waits_for_the_first(tmp_path: Path) -> None:
    cache = cache_at(tmp_path)
    entered, order = threading.Event(), []

    def second() -> None:
        entered.set()
        with cache.reserve("b", 60, go_on):
            order.append("second")

    with cache.reserve("a", 60, go_on):
        thread = threading.Thread(target=second)
        thread.start()
        entered.wait(5)
        thread.join(0.05)
        order.append("first")
    thread.join(5)
    assert order == ["first", "second"]
    cache.close()


def test_waiting_is_given_up_when_the_job_is_cancelled(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    cache = cache_at(tmp_path, lambda used, waiting: told.append((used, waiting)))

    def cancelled() -> None:
        raise KeyboardInterrupt

    with (
        cache.reserve("a", 60, go_on),
        pytest.raises(KeyboardInterrupt),
        cache.reserve("b", 60, cancelled),
    ):
        pass
    cache.close()
    assert told == [(60, 0), (60, 1), (60, 0), (0, 0)], "one waited, and does no more"


def died(cache: InputCache, what: str, size: int) -> Path:
    """A copy whose user was stopped in the middle; where it is."""
    with (
        suppress(KeyboardInterrupt),
        cache.reserve(what, size, go_on, keep=(KeyboardInterrupt,)) as folder,
    ):
        (folder / "copy").write_text(what)
        raise KeyboardInterrupt
    return folder


def test_who_works_on_the_same_next_finds_what_is_left(tmp_path: Path) -> None:
    left = died(cache_at(tmp_path), "a", 60)
    with cache_at(tmp_path).reserve("a", 60, go_on) as folder:
        assert folder == left
        assert (folder / "copy").read_text() == "a"
        with cache_at(tmp_path).reserve("a", 40, go_on) as other:
            assert list(other.iterdir()) == [other / "lock"]
    assert copies(tmp_path) == []


def test_what_is_raised_otherwise_leaves_nothing(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match="broken"),
        cache_at(tmp_path).reserve("a", 60, go_on, keep=(KeyboardInterrupt,)),
    ):
        raise ValueError("broken")
    assert copies(tmp_path) == []


def test_two_that_work_on_the_same_do_not_share(tmp_path: Path) -> None:
    one, two = cache_at(tmp_path), cache_at(tmp_path)
    with one.reserve("a", 40, go_on) as first, two.reserve("a", 40, go_on) as second:
        assert first != second
    assert copies(tmp_path) == []


def test_all_processes_share_the_limit(tmp_path: Path) -> None:
    def cancelled() -> None:
        raise KeyboardInterrupt

    with (
        cache_at(tmp_path).reserve("a", 60, go_on),
        pytest.raises(KeyboardInterrupt),
        cache_at(tmp_path).reserve("b", 60, cancelled),
    ):
        pass


def test_what_nobody_uses_makes_room_the_oldest_first(tmp_path: Path) -> None:
    cache = cache_at(tmp_path)
    old, new = died(cache, "old", 40), died(cache, "new", 40)
    os.utime(old, (1, 1))
    with cache.reserve("b", 60, go_on):
        assert not old.exists()
        assert new.exists()
    assert died(cache, "new", 40) == new
    assert copies(tmp_path) == [new]


def test_what_is_left_for_a_day_is_removed_at_the_next_start(tmp_path: Path) -> None:
    cache = cache_at(tmp_path)
    left, other = died(cache, "a", 40), died(cache, "b", 40)
    os.utime(left, (CLOCK.wall() - KEPT - 1,) * 2)
    os.utime(other, (CLOCK.wall() - KEPT + 1,) * 2)
    with cache.reserve("c", 20, go_on) as used:
        os.utime(used, (1, 1))
        cache_at(tmp_path)
        assert used.exists()
    assert copies(tmp_path) == [other]


def test_an_empty_video_needs_a_folder_too(tmp_path: Path) -> None:
    with cache_at(tmp_path).reserve("a", 0, go_on) as folder:
        assert folder.is_dir()
    assert copies(tmp_path) == []


def test_a_cache_that_cannot_be_is_a_wrong_setting(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match=r"\[cache\] path"):
        cache_at(tmp_path / "file" / "cache")


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
