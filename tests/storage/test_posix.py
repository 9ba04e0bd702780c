"""What only a real folder can show: links, odd files, lost answers, failing disks."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from posewatch.base.errors import (
    ChangedError,
    DeniedError,
    ExistsError,
    FencedError,
    FullError,
    MissingError,
    StorageError,
    UnavailableError,
    UnsupportedError,
)
from posewatch.storage.contract import Skipped, staging_key
from posewatch.storage.faulty import HookedFiles, Operation
from posewatch.storage.posix import PosixStorage

if TYPE_CHECKING:
    from collections.abc import Callable

VIDEO = "talks/0042.mp4"
RESULT = "talks/0042.npz"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "folder"
    (root / "talks").mkdir(parents=True)
    (root / VIDEO).write_bytes(b"a video")
    return root


class Once:
    """Does something at one operation: the n-th of its name."""

    def __init__(
        self, name: str, act: Callable[[], object], *, nth: int = 1, after: bool = False
    ) -> None:
        self.name, self.act, self.left, self.after = name, act, nth, after
        self.armed = False

    def __call__(self, operation: Operation) -> None:
        if self.armed and (operation.name, operation.after) == (self.name, self.after):
            self.left -= 1
            if self.left == 0:
                self.act()


def fail(number: int) -> Callable[[], object]:
    def act() -> object:
        raise OSError(number, os.strerror(number))

    return act


def hooked(root: Path, hook: Once) -> PosixStorage:
    storage = PosixStorage(root, HookedFiles(hook))
    hook.armed = True
    return storage


def keys(storage: PosixStorage, skipped: list[Skipped] | None = None) -> set[str]:
    on_skipped = None if skipped is None else skipped.append
    return {entry.key for entry in storage.scan(lambda _key: False, on_skipped)}


# --- links and odd files


def test_links_to_files_in_the_folder_are_followed_and_others_are_told(
    root: Path, tmp_path: Path
) -> None:
    (tmp_path / "outside.mp4").write_bytes(b"not ours")
    (tmp_path / "folder-twin").mkdir()
    (root / "inside.mp4").symlink_to("talks/0042.mp4")
    (root / "outside.mp4").symlink_to(tmp_path / "outside.mp4")
    (root / "out").symlink_to(tmp_path)
    (root / "twin").symlink_to(tmp_path / "folder-twin")
    (root / "alias").symlink_to("talks")
    (root / "loop").symlink_to(".")
    (root / "talks" / "up").symlink_to("..")
    (root / "nowhere.mp4").symlink_to("no/such/file")
    (root / "self").symlink_to("self")
    storage, skipped = PosixStorage(root), list[Skipped]()
    assert keys(storage, skipped) == {VIDEO, "inside.mp4"}
    assert {s.key for s in skipped} == {"outside.mp4", "out", "twin"}
    assert all(s.error is None for s in skipped)
    assert storage.stat("outside.mp4") is None
    assert storage.stat("nowhere.mp4") is None
    inside, video = storage.stat("inside.mp4"), storage.stat(VIDEO)
    assert inside is not None
    assert video is not None
    assert inside.version == video.version


def test_a_folder_that_is_given_by_a_link(root: Path, tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to(root)
    (root / "inside.mp4").symlink_to("talks/0042.mp4")
    assert keys(PosixStorage(tmp_path / "alias")) == {VIDEO, "inside.mp4"}


def test_a_fifo_blocks_nobody(root: Path, tmp_path: Path) -> None:
    os.mkfifo(root / "x.mp4")
    storage = PosixStorage(root)
    entry = storage.stat("x.mp4")
    assert entry is not None
    assert entry.version is not None
    assert not entry.regular
    with pytest.raises(DeniedError, match="not a regular file"):
        storage.read("x.mp4")
    with pytest.raises(ChangedError, match="not a regular file"):
        storage.fetch("x.mp4", entry.version, tmp_path / "local", lambda _count: None)
    with pytest.raises((DeniedError, ChangedError)):
        storage.overwrite("x.mp4", b"1", b"2")


def test_a_file_that_becomes_a_fifo_blocks_nobody(root: Path, tmp_path: Path) -> None:
    def swap() -> None:
        (root / VIDEO).unlink()
        os.mkfifo(root / VIDEO)

    storage = hooked(root, Once("open", swap))
    version = PosixStorage(root).stat(VIDEO)
    assert version is not None
    assert version.version is not None
    with pytest.raises(ChangedError, match="not a regular file"):
        storage.fetch(VIDEO, version.version, tmp_path / "local", lambda _count: None)


# --- listings that cannot be finished


def test_a_directory_that_cannot_be_listed_is_told(root: Path) -> None:
    (root / "other").mkdir()
    (root / "other" / "x.mp4").write_bytes(b"x")

    def deny(operation: Operation) -> None:
        if operation.name == "scandir" and operation.target.endswith("other/"):
            raise PermissionError(errno.EACCES, "no")

    skipped: list[Skipped] = []
    assert keys(PosixStorage(root, HookedFiles(deny)), skipped) == {VIDEO}
    assert [s.key for s in skipped] == ["other/"]
    assert isinstance(skipped[0].error, DeniedError)


def test_a_directory_that_vanishes_while_it_is_listed_is_no_trouble(root: Path) -> None:
    def vanish(operation: Operation) -> None:
        if operation.name == "scandir" and operation.target.endswith("talks/"):
            (root / VIDEO).unlink(missing_ok=True)
            (root / "talks").rmdir()

    skipped: list[Skipped] = []
    assert keys(PosixStorage(root, HookedFiles(vanish)), skipped) == set()
    assert skipped == []


def test_a_root_that_cannot_be_listed_is_an_error(root: Path) -> None:
    with pytest.raises(UnavailableError):
        keys(hooked(root, Once("scandir", fail(errno.EIO))))


# --- answers that got lost: NFS repeats the request, and sees what its first try did


def test_a_creation_whose_answer_was_lost_is_still_ours(root: Path) -> None:
    storage = hooked(root, Once("link", fail(errno.EEXIST), after=True))
    storage.create("a.lock", b"mine")
    assert storage.read("a.lock") == b"mine"
    with pytest.raises(ExistsError):
        storage.create("a.lock", b"theirs")


@pytest.mark.parametrize("replace", [False, True])
def test_a_publication_whose_answer_was_lost_is_still_ours(root: Path, *, replace: bool) -> None:
    name, number = ("rename", errno.ENOENT) if replace else ("link", errno.EEXIST)
    storage = hooked(root, Once(name, fail(number), after=True))
    area = storage.stage("t1", VIDEO)
    old = None
    if replace:
        (root / RESULT).write_bytes(b"old")
        entry = storage.stat(RESULT)
        assert entry is not None
        old = entry.version
    area.add(RESULT, b"mine")
    area.publish(RESULT, old)
    assert storage.read(RESULT) == b"mine"


@pytest.mark.parametrize("number", [errno.ENOENT, errno.ESTALE, errno.ENOTDIR])
@pytest.mark.parametrize("name", ["link", "rename"])
def test_what_a_server_says_about_a_closed_area(root: Path, name: str, number: int) -> None:
    storage = hooked(root, Once(name, fail(number)))
    (root / RESULT).write_bytes(b"old")
    entry = storage.stat(RESULT)
    assert entry is not None
    area = storage.stage("t1", VIDEO)
    area.add(RESULT, b"mine")
    area.add("talks/other.npz", b"mine")
    key, expected = ("talks/other.npz", None) if name == "link" else (RESULT, entry.version)
    with pytest.raises(FencedError):
        area.publish(key, expected)


# --- rivals between two system calls


def test_a_lock_that_is_removed_while_it_is_overwritten_is_reported(root: Path) -> None:
    storage = hooked(root, Once("pwrite", (root / "a.lock").unlink))
    storage.create("a.lock", b"beat 1")
    with pytest.raises(MissingError):
        storage.overwrite("a.lock", b"beat 1", b"beat 2")
    assert not (root / "a.lock").exists()


def test_a_lock_that_is_replaced_while_it_is_overwritten_stays_the_others(root: Path) -> None:
    def replace() -> None:
        (root / "a.lock").unlink()
        (root / "a.lock").write_bytes(b"theirs")

    storage = hooked(root, Once("pwrite", replace))
    storage.create("a.lock", b"beat 1")
    with pytest.raises(MissingError):
        storage.overwrite("a.lock", b"beat 1", b"beat 2")
    assert (root / "a.lock").read_bytes() == b"theirs"


def test_a_removed_lock_on_nfs_is_a_missing_one(root: Path) -> None:
    storage = hooked(root, Once("pwrite", fail(errno.ESTALE)))
    storage.create("a.lock", b"beat 1")
    with pytest.raises(MissingError):
        storage.overwrite("a.lock", b"beat 1", b"beat 2")


def test_an_error_on_close_is_an_error(root: Path) -> None:
    storage = hooked(root, Once("close", fail(errno.EDQUOT), nth=2, after=True))
    storage.create("a.lock", b"beat 1")
    with pytest.raises(FullError):
        storage.overwrite("a.lock", b"beat 1", b"beat 2")


def test_a_new_file_that_is_swept_away_is_made_again(root: Path) -> None:
    def sweep() -> None:
        for leftover in root.glob(".posewatch-*"):
            leftover.unlink()

    storage = hooked(root, Once("link", sweep))
    storage.create("a.lock", b"mine")
    assert storage.read("a.lock") == b"mine"


def test_a_shelf_that_is_swept_while_it_is_made_is_made_again(root: Path) -> None:
    def sweep() -> None:
        (root / staging_key(VIDEO)).rmdir()

    storage = hooked(root, Once("mkdir", sweep, nth=2))
    storage.stage("t1", VIDEO).add(RESULT, b"mine")


def test_a_file_that_is_added_while_its_area_is_closed_is_removed_too(root: Path) -> None:
    rival = PosixStorage(root).stage("t1", VIDEO)
    storage = hooked(root, Once("rmdir", lambda: rival.add(RESULT, b"mine")))
    storage.fence(["t1"], VIDEO)
    with pytest.raises(FencedError):
        rival.publish(RESULT, None)


def test_a_file_that_nfs_will_not_remove_cannot_be_published(root: Path) -> None:
    """Removing a file that a process on this machine holds open, NFS renames it in its place."""
    rival = PosixStorage(root).stage("t1", VIDEO)
    rival.add(RESULT, b"mine")
    area = root / staging_key(VIDEO) / "t1"

    def refuse(operation: Operation) -> None:
        if operation.name == "unlink" and not operation.after:
            path = Path(operation.target)
            if path.parent == area:
                silly = area / ".nfs0001"
                if path != silly:
                    path.rename(silly)
                    silly.with_name("decoy").touch()
                    silly.with_name("decoy").rename(path)
                else:
                    raise OSError(errno.EBUSY, "busy")

    PosixStorage(root, HookedFiles(refuse)).fence(["t1"], VIDEO)
    assert area.is_file()
    with pytest.raises(FencedError):
        rival.publish(RESULT, None)
    PosixStorage(root).sweep(staging_key(VIDEO))
    assert not area.parent.exists()


def test_an_input_that_grows_while_it_is_copied(root: Path, tmp_path: Path) -> None:
    def grow() -> None:
        with (root / VIDEO).open("ab") as file:
            file.write(b"more")

    storage = hooked(root, Once("read_into", grow))
    entry = storage.stat(VIDEO)
    assert entry is not None
    assert entry.version is not None
    with pytest.raises(ChangedError):
        storage.fetch(VIDEO, entry.version, tmp_path / "local", lambda _count: None)


def test_an_input_of_which_less_can_be_read_than_it_has(root: Path, tmp_path: Path) -> None:
    class Short(HookedFiles):
        def read_into(self, fd: int, buffer: memoryview) -> int:
            return min(super().read_into(fd, buffer), 3)

    storage = PosixStorage(root, Short())
    entry = storage.stat(VIDEO)
    assert entry is not None
    assert entry.version is not None
    with pytest.raises(ChangedError, match="ended after 3 of 7 bytes"):
        storage.fetch(VIDEO, entry.version, tmp_path / "local", lambda _count: None)


# --- every operation fails once, with every kind of error


def life(storage: PosixStorage, local: Path) -> None:
    """All that a storage is used for, once."""
    list(storage.scan(lambda _key: True))
    entry = storage.stat(VIDEO)
    assert entry is not None
    assert entry.version is not None
    storage.create("talks/a.lock", b"beat 1")
    storage.fence(["t0"], VIDEO)
    storage.fetch(VIDEO, entry.version, local, lambda _count: None)
    area = storage.stage("t1", VIDEO)
    version = area.add(RESULT, local)
    area.publish(RESULT, None)
    area.add(RESULT, b"again")
    area.publish(RESULT, version)
    area.discard()
    storage.overwrite("talks/a.lock", b"beat 1", b"beat 2")
    storage.remove("talks/a.lock", storage.read("talks/a.lock"))
    storage.sweep(staging_key(VIDEO))


class Unsynced(HookedFiles):
    """Waits for no disk: there are hundreds of lives to live."""

    def fsync(self, fd: int) -> None:  # noqa: ARG002 -- see above
        self.hook(Operation("fsync", ""))


@pytest.mark.parametrize(
    "number", [errno.EIO, errno.ENOSPC, errno.EROFS, errno.ESTALE, errno.EACCES, errno.ENOENT]
)
def test_whatever_fails_is_an_error_of_ours_and_the_next_life_is_whole(
    root: Path, tmp_path: Path, number: int
) -> None:
    local, nth, failed, count = tmp_path / "local", 0, 0, 1
    while count >= nth:  # until a life has fewer operations than that
        nth, count = nth + 1, 0
        files = Unsynced()
        storage = PosixStorage(root, files)

        def hook(operation: Operation, nth: int = nth) -> None:
            nonlocal count
            count += not operation.after
            if count == nth and not operation.after:
                raise OSError(number, os.strerror(number))

        files.hook = hook
        try:
            life(storage, local)
        except StorageError:
            failed += 1
        assert (root / VIDEO).read_bytes() == b"a video"
        storage = PosixStorage(root, Unsynced())
        for key in keys(storage) - {VIDEO}:
            if key.endswith(".lock") or key == RESULT:
                (root / key).unlink()
            else:
                storage.sweep(key)
        assert {path.name for path in root.rglob("*")} == {"talks", "0042.mp4"}
        life(storage, local)
        (root / RESULT).unlink()
    assert failed > 20


def test_a_file_system_without_links_is_named(root: Path) -> None:
    for number in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS):
        with pytest.raises(UnsupportedError, match="link"):
            hooked(root, Once("link", fail(number))).create("a.lock", b"mine")
    assert not (root / "a.lock").exists()


# --- what a server and a disk are asked, and when


def recorded(root: Path) -> tuple[PosixStorage, list[tuple[str, str]]]:
    order: list[tuple[str, str]] = []
    files = HookedFiles()
    storage = PosixStorage(root, files)
    files.hook = lambda op: None if op.after else order.append((op.name, Path(op.target).name))
    return storage, order


@pytest.mark.parametrize("replace", [False, True])
def test_a_result_is_on_the_disk_before_it_has_its_name(root: Path, *, replace: bool) -> None:
    (root / RESULT).write_bytes(b"old")
    storage, order = recorded(root)
    entry = storage.stat(RESULT)
    assert entry is not None
    if not replace:
        (root / RESULT).unlink()
    area = storage.stage("t1", VIDEO)
    area.add(RESULT, b"result")
    area.publish(RESULT, entry.version if replace else None)
    step = "rename" if replace else "link"
    named = order.index((step, "0042.npz"))
    names = [name for name, _target in order]
    assert "write" in names[: names.index("fsync")]
    assert names.index("fsync") < named
    assert names[named:] == [step, "open", "fsync", "close"]
    assert order[named + 1] == ("open", "talks")


def test_a_version_is_asked_for_by_opening_the_file(root: Path) -> None:
    storage, order = recorded(root)
    storage.stat(VIDEO)
    assert [name for name, _target in order] == ["lstat", "stat", "open", "fstat", "close"]


def test_a_file_that_may_not_be_opened_has_a_version_too(root: Path) -> None:
    storage = hooked(root, Once("open", fail(errno.EACCES)))
    entry = storage.stat(VIDEO)
    assert entry is not None
    assert entry.version is not None
    assert entry.version.size == len(b"a video")


@pytest.mark.parametrize("name", ["read", "stat", "fence"])
def test_nothing_is_missing_before_its_directory_was_opened(root: Path, name: str) -> None:
    """An NFS client may remember for 30 s that there was no such file."""
    path = str(root / staging_key(VIDEO)) if name == "fence" else str(root / "talks/a.lock")
    appeared = False
    order: list[str] = []

    def hook(operation: Operation) -> None:
        nonlocal appeared
        if operation.after:
            return
        if operation.name == "open" and operation.target == str(root / "talks"):
            appeared = True
        elif operation.target == path and not appeared:
            raise FileNotFoundError(errno.ENOENT, "remembered")
        elif operation.target == path:
            order.append(operation.name)

    storage = PosixStorage(root, HookedFiles(hook))
    (root / "talks/a.lock").write_bytes(b"theirs")
    rival = PosixStorage(root).stage("t1", VIDEO)
    rival.add(RESULT, b"mine")
    if name == "read":
        assert storage.read("talks/a.lock") == b"theirs"
    elif name == "stat":
        assert storage.stat("talks/a.lock") is not None
    else:
        storage.fence([], VIDEO)
        with pytest.raises(FencedError):
            rival.publish(RESULT, None)
    assert order


def test_closing_an_area_removes_its_files(root: Path) -> None:
    """An NFS client may hold the handle of a file, and link that: it must not exist any more."""
    area = PosixStorage(root).stage("t1", VIDEO)
    area.add(RESULT, b"mine")
    (staged,) = (root / staging_key(VIDEO) / "t1").iterdir()
    with staged.open("rb") as handle:
        PosixStorage(root).fence(["t1"], VIDEO)
        assert os.fstat(handle.fileno()).st_nlink == 0
