"""Hints about real files in a real folder."""

from __future__ import annotations

import errno
import os
import queue
import shutil
import threading
from typing import TYPE_CHECKING, Self

import pytest
from watchdog.observers.inotify import InotifyObserver

from posewatch.base.errors import UnavailableError
from posewatch.watch import inotify
from posewatch.watch.inotify import LocalWrites

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType

PATIENCE = 20.0
"""Seconds until a hint is given up; it takes some milliseconds."""


class Ears:
    """Listens, and tells which hints have come."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._heard: queue.Queue[str] = queue.Queue()
        self.writes = LocalWrites(root, self._heard.put)
        self._marks = 0

    def hears(self, *keys: str) -> None:
        """Wait until all of these have come; others may come too."""
        missing = set(keys)
        while missing:
            missing.discard(self._heard.get(timeout=PATIENCE))

    def everything(self) -> set[str]:
        """What came until now: the hints are in order, so a mark tells that nothing is on its way.

        The mark is a file in the root; what happened before it was told before it.
        """
        self._marks += 1
        mark = f"mark-{self._marks}"
        (self.root / mark).write_bytes(b"")
        heard = set()
        while (key := self._heard.get(timeout=PATIENCE)) != mark:
            heard.add(key)
        return heard

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.writes.close()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "folder"
    root.mkdir()
    return root


@pytest.fixture
def ears(root: Path) -> Iterator[Ears]:
    with Ears(root) as ears:
        yield ears


def test_a_file_is_told_of_when_it_is_closed(root: Path, ears: Ears) -> None:
    with (root / "a.mp4").open("wb") as file:
        file.write(b"half")
        file.flush()
        assert ears.everything() == set()
        file.write(b"whole")
    assert ears.everything() == {"a.mp4"}


def test_reading_and_touching_give_no_hint(root: Path, ears: Ears) -> None:
    (root / "a.mp4").write_bytes(b"video")
    assert ears.everything() == {"a.mp4"}
    (root / "a.mp4").read_bytes()
    (root / "a.mp4").chmod(0o644)
    (root / "b.mp4").symlink_to("a.mp4")
    (root / "a.mp4").unlink()
    assert ears.everything() == set()


def test_a_rename_within_tells_the_new_name(root: Path, ears: Ears) -> None:
    (root / "a.mp4.part").write_bytes(b"video")
    (root / "a.mp4.part").rename(root / "a.mp4")
    assert ears.everything() == {"a.mp4.part", "a.mp4"}


def test_what_is_moved_in_from_outside_is_told(root: Path, tmp_path: Path, ears: Ears) -> None:
    (tmp_path / "a.mp4").write_bytes(b"video")
    (tmp_path / "a.mp4").rename(root / "a.mp4")
    ears.hears("a.mp4")


def test_what_is_moved_out_is_not(root: Path, tmp_path: Path, ears: Ears) -> None:
    (root / "a.mp4").write_bytes(b"video")
    assert ears.everything() == {"a.mp4"}
    (root / "a.mp4").rename(tmp_path / "a.mp4")
    assert ears.everything() == set()


def test_sub_folders_are_watched_those_of_the_start_and_new_ones(root: Path) -> None:
    (root / "old" / "deep").mkdir(parents=True)
    with Ears(root) as ears:
        (root / "old" / "deep" / "a.mp4").write_bytes(b"video")
        ears.hears("old/deep/a.mp4")
        (root / "new").mkdir()
        (root / "new" / "b.mp4").write_bytes(b"video")
        ears.hears("new/b.mp4")
        (root / "new" / "c.mp4").write_bytes(b"video")
        ears.hears("new/c.mp4")


def test_nothing_is_missed_in_a_tree_that_is_copied_in(
    root: Path, tmp_path: Path, ears: Ears
) -> None:
    source = tmp_path / "source"
    keys = {f"{a}/{b}/{c}.mp4" for a in range(3) for b in range(3) for c in range(3)}
    for key in keys:
        (source / key).parent.mkdir(parents=True, exist_ok=True)
        (source / key).write_bytes(b"video")
    for number in range(5):  # files race with the watch on their new folder
        shutil.copytree(source, root / f"tree{number}")
        ears.hears(*(f"tree{number}/{key}" for key in keys))


def test_nothing_is_missed_in_a_tree_that_is_moved_in(
    root: Path, tmp_path: Path, ears: Ears
) -> None:
    (tmp_path / "talks" / "deep").mkdir(parents=True)
    for name in ("a.mp4", "deep/b.mp4"):
        (tmp_path / "talks" / name).write_bytes(b"video")
    (tmp_path / "talks").rename(root / "talks")
    ears.hears("talks/a.mp4", "talks/deep/b.mp4")
    (root / "talks").rename(root / "lectures")
    ears.hears("lectures/a.mp4", "lectures/deep/b.mp4")
    (root / "lectures" / "deep" / "c.mp4").write_bytes(b"video")
    ears.hears("lectures/deep/c.mp4")


@pytest.mark.parametrize(
    "name", [b"a\nb.mp4", "übung ✓.mp4".encode(), b"\xff\xfe.mp4", b"-rf.mp4", b"a\x1b[2Jb.mp4"]
)
def test_any_name_is_told_as_the_scan_tells_it(root: Path, ears: Ears, name: bytes) -> None:
    folder = os.fsencode(root / "sub")
    os.mkdir(folder)  # noqa: PTH102 -- bytes
    with open(os.path.join(folder, name), "wb") as file:  # noqa: PTH118, PTH123 -- bytes
        file.write(b"video")
    ears.hears(os.fsdecode(b"sub/" + name))


def test_a_relative_root_will_do(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with Ears(root.relative_to(tmp_path)) as ears:
        (root / "a.mp4").write_bytes(b"video")
        ears.hears("a.mp4")


def test_after_the_end_there_are_no_hints_and_no_threads(root: Path) -> None:
    before = set(threading.enumerate())
    with Ears(root) as ears:
        (root / "a.mp4").write_bytes(b"video")
        ears.hears("a.mp4")
        assert set(threading.enumerate()) > before
    assert set(threading.enumerate()) == before
    (root / "b.mp4").write_bytes(b"video")
    assert ears._heard.qsize() == 0
    ears.writes.close()  # once more does no harm


@pytest.mark.parametrize(("name", "number"), [("start", errno.ENOSPC), ("__init__", errno.EMFILE)])
def test_a_kernel_that_refuses_is_told_and_leaves_no_threads(
    root: Path, monkeypatch: pytest.MonkeyPatch, name: str, number: int
) -> None:
    class Refused(InotifyObserver):
        pass

    def refuse(*_args: object, **_kwargs: object) -> None:
        raise OSError(number, os.strerror(number))

    before = set(threading.enumerate())
    monkeypatch.setattr(Refused, name, refuse)
    monkeypatch.setattr(inotify, "InotifyObserver", Refused)
    with pytest.raises(UnavailableError, match=os.strerror(number)) as caught:
        LocalWrites(root, lambda _key: None)
    assert "max_user_watches" in caught.value.hint
    for thread in set(threading.enumerate()) - before:
        thread.join(PATIENCE)
    assert set(threading.enumerate()) == before


def test_a_folder_that_is_replaced_is_followed(root: Path, tmp_path: Path) -> None:
    with Ears(root) as ears:
        root.rename(tmp_path / "away")
        with pytest.raises(UnavailableError, match="No such file"):
            ears.writes.follow()  # it is not there now
        root.mkdir()
        ears.writes.follow()
        (root / "a.mp4").write_bytes(b"video")
        ears.hears("a.mp4")
        ears.writes.follow()
        ears.writes.follow(anew=True)
        (root / "b.mp4").write_bytes(b"video")
        ears.hears("b.mp4")


def test_a_folder_that_was_away_is_listened_to_anew_though_it_looks_the_same(
    root: Path, tmp_path: Path
) -> None:
    with Ears(root) as ears:
        root.rename(tmp_path / "away")
        with pytest.raises(UnavailableError):
            ears.writes.follow()
        (tmp_path / "away").rename(root)
        # As when a file system is unmounted: the kernel forgets who listened.
        ears.writes.close()
        ears.writes.follow()
        (root / "a.mp4").write_bytes(b"video")
        ears.hears("a.mp4")


def test_following_is_tried_again_after_the_kernel_refused(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_args: object, **_kwargs: object) -> None:
        raise OSError(errno.ENOSPC, "no watches")

    with Ears(root) as ears:
        with monkeypatch.context() as patch:
            patch.setattr(InotifyObserver, "start", refuse)
            with pytest.raises(UnavailableError):
                ears.writes.follow(anew=True)
        ears.writes.follow()
        (root / "a.mp4").write_bytes(b"video")
        ears.hears("a.mp4")
