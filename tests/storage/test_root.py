"""Whether the folder is still the one that was there at the start."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from posewatch.base.errors import MissingError, SettingsError, UnavailableError, UnmountedError
from posewatch.storage import root as root_module
from posewatch.storage.backing import Backing
from posewatch.storage.contract import Version, staging_key
from posewatch.storage.faulty import HookedFiles, Operation
from posewatch.storage.posix import PosixStorage

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from posewatch.storage.files import Files

DISK = Backing("/", "ext4", "/dev/vda", "/")
SHARE = Backing("/mnt/videos", "nfs4", "server:/videos", "/")


class Mounts:
    """A directory that looks like a mount point: two directories take turns at one path."""

    def __init__(self, base: Path) -> None:
        self.path = base / "videos"
        self.path.mkdir()
        (self.path / "x.mp4").write_bytes(b"video")
        self.backing = SHARE
        self._aside = base / "aside"
        self._aside.mkdir()

    def swap(self, backing: Backing) -> None:
        middle = self.path.with_name("middle")
        self.path.rename(middle)
        self._aside.rename(self.path)
        middle.rename(self._aside)
        self.backing = backing


@pytest.fixture
def mounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mounts:
    mounts = Mounts(tmp_path)
    real = root_module.Root.__init__

    def init(self: root_module.Root, path: Path, files: Files) -> None:
        real(self, path, files, lambda _path: mounts.backing)

    monkeypatch.setattr(root_module.Root, "__init__", init)
    return mounts


def every_method(storage: PosixStorage, local: Path) -> dict[str, Callable[[], object]]:
    return {
        "scan": lambda: list(storage.scan(lambda _key: False)),
        "stat": lambda: storage.stat("x.mp4"),
        "read": lambda: storage.read("x.mp4"),
        "create": lambda: storage.create("x.mp4.lock", b"mine"),
        "overwrite": lambda: storage.overwrite("x.mp4.lock", b"1", b"2"),
        "remove": lambda: storage.remove("x.mp4.lock", b"1"),
        "fetch": lambda: storage.fetch("x.mp4", Version(5, "1"), local, lambda _count: None),
        "stage": lambda: storage.stage("t1", "x.mp4"),
        "sweep": lambda: storage.sweep(staging_key("x.mp4")),
    }


def test_an_unmounted_folder_is_not_an_empty_one(mounts: Mounts, tmp_path: Path) -> None:
    storage = PosixStorage(mounts.path)
    area = storage.stage("t0", "x.mp4")
    area.add("x.npz", b"result")
    mounts.swap(DISK)
    for method in every_method(storage, tmp_path / "local").values():
        with pytest.raises(UnmountedError):
            method()
    with pytest.raises(UnmountedError):
        area.publish("x.npz", None)
    with pytest.raises(UnmountedError):
        area.add("x.npz", b"result")
    assert list(mounts.path.iterdir()) == []


def test_a_folder_that_is_gone_is_unmounted(mounts: Mounts, tmp_path: Path) -> None:
    storage = PosixStorage(mounts.path)
    mounts.path.rename(tmp_path / "elsewhere")
    for method in every_method(storage, tmp_path / "local").values():
        with pytest.raises(UnmountedError):
            method()
    assert not mounts.path.exists()


def test_the_same_mount_that_comes_back_is_the_folder(mounts: Mounts) -> None:
    storage = PosixStorage(mounts.path)
    mounts.swap(DISK)
    with pytest.raises(UnmountedError):
        list(storage.scan(lambda _key: False))
    mounts.swap(SHARE)
    assert [entry.key for entry in storage.scan(lambda _key: False)] == ["x.mp4"]
    # A network file system gets another device number each time it is mounted.
    mounts.swap(SHARE)
    storage.create("y.mp4.lock", b"mine")
    assert [entry.key for entry in storage.scan(lambda _key: False)] == ["y.mp4.lock"]


def test_a_mount_that_comes_after_the_start_is_the_folder(mounts: Mounts) -> None:
    mounts.swap(DISK)
    storage = PosixStorage(mounts.path)
    assert list(storage.scan(lambda _key: False)) == []
    mounts.swap(SHARE)
    assert [entry.key for entry in storage.scan(lambda _key: False)] == ["x.mp4"]


def test_another_mount_in_its_place_is_not_the_folder(mounts: Mounts) -> None:
    storage = PosixStorage(mounts.path)
    mounts.swap(Backing("/mnt/videos", "nfs4", "server:/others", "/"))
    with pytest.raises(UnmountedError, match="server:/others"):
        storage.stat("x.mp4")


def test_a_folder_that_is_removed_and_made_again_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "inbox"
    path.mkdir()
    (path / "x.mp4").write_bytes(b"video")
    storage = PosixStorage(path)
    (path / "x.mp4").unlink()
    (tmp_path / "keeps-the-inode-number-taken").mkdir()
    path.rename(tmp_path / "old")
    path.mkdir()
    assert list(storage.scan(lambda _key: False)) == []
    storage.create("y.lock", b"mine")


def test_an_emptied_folder_is_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "x.mp4").write_bytes(b"video")
    storage = PosixStorage(tmp_path)
    (tmp_path / "x.mp4").unlink()
    assert list(storage.scan(lambda _key: False)) == []


def test_a_mount_that_is_swapped_while_it_is_listed(mounts: Mounts) -> None:
    storage = PosixStorage(mounts.path)
    listing = storage.scan(lambda _key: False)
    next(listing)
    mounts.swap(SHARE)
    with pytest.raises(UnmountedError):
        list(listing)


def failing(number: int) -> Callable[[Operation], None]:
    def hook(operation: Operation) -> None:
        if operation.name == "stat" and hook.armed:  # type: ignore[attr-defined]
            raise OSError(number, os.strerror(number))

    hook.armed = False  # type: ignore[attr-defined]
    return hook


@pytest.mark.parametrize("number", [errno.ENOTCONN, errno.ESTALE, errno.ENODEV])
def test_a_dead_mount_is_unmounted(tmp_path: Path, number: int) -> None:
    hook = failing(number)
    storage = PosixStorage(tmp_path, HookedFiles(hook))
    hook.armed = True  # type: ignore[attr-defined]
    for method in every_method(storage, tmp_path / "local").values():
        with pytest.raises(UnmountedError):
            method()


def test_a_dead_mount_in_a_sub_folder_is_not_the_end(tmp_path: Path) -> None:
    def hook(operation: Operation) -> None:
        if operation.name in {"open", "lstat"} and "/dead" in operation.target:
            raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))

    storage = PosixStorage(tmp_path, HookedFiles(hook))
    with pytest.raises(UnavailableError):
        storage.read("dead/x.lock")
    with pytest.raises(UnavailableError):
        storage.stat("dead/x.lock")
    with pytest.raises(MissingError):
        storage.read("x.lock")


@pytest.mark.parametrize("make", [None, "file"])
def test_what_is_no_folder_is_a_wrong_setting(tmp_path: Path, make: str | None) -> None:
    if make:
        (tmp_path / "x").write_bytes(b"")
    with pytest.raises(SettingsError, match="not a folder"):
        PosixStorage(tmp_path / "x")


def test_a_folder_that_cannot_be_opened(tmp_path: Path) -> None:
    def hook(_operation: Operation) -> None:
        raise OSError(errno.EIO, "io")

    with pytest.raises(UnavailableError):
        PosixStorage(tmp_path, HookedFiles(hook))
