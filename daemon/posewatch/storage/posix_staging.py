"""Staging areas on a POSIX file system.

All attempts at one input stage their results in one hidden directory beside it, each in an area of
its own: a directory named by the attempt's token. A result gets its final name by `link` or
`rename` out of the area. Both need the staged file, so whoever removes the files of an older
attempt has made sure that they are never published, wherever that attempt has been paused, and
without asking any server. An ordinary file in the place of the area keeps it closed.
"""

from __future__ import annotations

import errno
import os
import posixpath
import secrets
import stat as modes
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from posewatch.base.errors import ChangedError, ExistsError, FencedError, UnavailableError
from posewatch.storage.contract import Version, staging_key
from posewatch.storage.posix_files import (
    PIECE,
    READ_FLAGS,
    opened,
    refresh,
    same_file,
    stat_fresh,
    version_of,
    write_all,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from posewatch.storage.files import Files
    from posewatch.storage.root import Root

TRIES: Final = 100
"""How often an operation starts again when rivals make and remove the same directory: each of them
does so a few times at most."""

CLOSED: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ESTALE})
"""What an operation on a staged file gives when the area was closed; NFS says ESTALE."""


def open_area(root: Root, files: Files, token: str, beside: str) -> PosixStaging:
    """See `Storage.stage`."""
    shelf = root.of(staging_key(beside))
    area = posixpath.join(shelf, token)
    root.check()
    with root.about("stage results of", beside):
        for _ in range(TRIES):
            with suppress(FileExistsError):
                files.mkdir(shelf)
            try:
                files.mkdir(area)
            except FileExistsError:
                raise FencedError(f"the work on {beside!r} was taken over") from None
            except FileNotFoundError:  # somebody swept the empty shelf away just now
                continue
            return PosixStaging(root, files, area)
    raise UnavailableError(f"could not stage results of {beside!r}: its directory keeps vanishing")


@dataclass(frozen=True, slots=True)
class _Staged:
    path: str
    found: os.stat_result


class PosixStaging:
    """See `Staging`; made by `open_area`."""

    def __init__(self, root: Root, files: Files, area: str) -> None:
        self._root = root
        self._files = files
        self._area = area
        self._staged: dict[str, _Staged] = {}
        self._made = 0

    def add(self, key: str, source: Path | bytes) -> Version:
        """See `Staging`."""
        path = posixpath.join(self._area, str(self._made))
        self._made += 1
        with self._root.about("stage", key):
            fd = self._unless_closed(path)
        try:
            try:
                for piece in _pieces(source):
                    with self._root.about("stage", key):
                        write_all(self._files, fd, piece)
                with self._root.about("stage", key):
                    self._files.fsync(fd)
            finally:
                with self._root.about("stage", key):
                    self._files.close(fd)
            with self._root.about("stage", key):
                found = self._found(path)
        except BaseException:
            with suppress(OSError):
                self._files.unlink(path)
            raise
        self._staged[key] = _Staged(path, found)
        return version_of(found)

    def publish(self, key: str, expected: Version | None) -> Version:
        """See `Staging`."""
        staged, target = self._staged[key], self._root.of(key)
        self._root.check()
        with self._root.about("publish", key):
            if expected is None:
                self._publish_new(key, staged, target)
            else:
                self._replace(key, staged, target, expected)
            with opened(
                self._files, posixpath.dirname(target), os.O_RDONLY | os.O_DIRECTORY
            ) as folder:
                self._files.fsync(folder)
        return version_of(staged.found)

    def discard(self) -> None:
        """See `Staging`."""
        with self._root.about("clean up", self._area):
            remove_tree(self._files, self._area)
            with suppress(OSError):  # others have their areas there
                self._files.rmdir(posixpath.dirname(self._area))

    def _publish_new(self, key: str, staged: _Staged, target: str) -> None:
        try:
            self._files.link(staged.path, target)
        except FileExistsError:
            if not self._is_there(staged, target):
                raise ExistsError(f"{key!r} is there already") from None
        except OSError as error:
            if error.errno not in CLOSED:
                raise
            raise self._fenced(key) from None

    def _replace(self, key: str, staged: _Staged, target: str, expected: Version) -> None:
        try:
            found = stat_fresh(self._files, target)
        except FileNotFoundError:
            raise ChangedError(f"{key!r} was removed") from None
        if same_file(found, staged.found):
            return
        if version_of(found) != expected:
            raise ChangedError(f"{key!r} was changed by somebody else")
        try:
            self._files.rename(staged.path, target)
        except OSError as error:
            if error.errno not in CLOSED:
                raise
            if not self._is_there(staged, target):
                raise self._fenced(key) from None

    def _is_there(self, staged: _Staged, target: str) -> bool:
        """Whether the target is our file already: the operation was done, but its answer got lost.

        NFS repeats a request whose answer does not come, and the second try finds what the first
        one did.
        """
        with suppress(FileNotFoundError):
            return same_file(self._files.stat(target), staged.found)
        return False

    def _unless_closed(self, path: str) -> int:
        try:
            return self._files.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        except OSError as error:
            if error.errno not in CLOSED:
                raise
            raise self._fenced(path) from None

    def _found(self, path: str) -> os.stat_result:
        try:
            with opened(self._files, path, READ_FLAGS) as fd:
                return self._files.fstat(fd)
        except OSError as error:
            if error.errno not in CLOSED:
                raise
            raise self._fenced(path) from None

    def _fenced(self, what: str) -> FencedError:
        self._root.check()
        return FencedError(f"could not publish {what!r}: the work was taken over")


def _pieces(source: Path | bytes) -> Iterator[memoryview]:
    if isinstance(source, bytes):
        yield memoryview(source)
        return
    buffer = memoryview(bytearray(PIECE))
    with source.open("rb", buffering=0) as local:
        while count := local.readinto(buffer):
            yield buffer[:count]


def fence(root: Root, files: Files, tokens: Iterable[str], beside: str) -> None:
    """See `Storage.fence`."""
    shelf = root.of(staging_key(beside))
    with root.about("take over the work on", beside):
        closing = {*tokens, *_areas(files, shelf)}
        for token in sorted(closing):
            _close(files, shelf, token)


def _areas(files: Files, shelf: str) -> list[str]:
    try:
        return files.listdir(shelf)
    except FileNotFoundError:
        refresh(files, shelf)
    try:
        return files.listdir(shelf)
    except FileNotFoundError:
        return []


def _close(files: Files, shelf: str, token: str) -> None:
    """Put an ordinary file in the place of an area, after emptying that."""
    area = posixpath.join(shelf, token)
    for _ in range(TRIES):
        try:
            with opened(files, area, os.O_WRONLY | os.O_CREAT | os.O_EXCL):
                return
        except FileNotFoundError:
            with suppress(FileExistsError):
                files.mkdir(shelf)
            continue
        except FileExistsError:
            pass
        with suppress(FileNotFoundError):
            if not modes.S_ISDIR(files.lstat(area).st_mode):
                return
            if not remove_tree(files, area):
                # A process on this very machine holds a file in it open. On NFS such a file cannot
                # be removed, only lose its name, and it has lost that: nobody can publish it.
                files.rename(area, posixpath.join(shelf, f"held-{secrets.token_hex(8)}"))
    raise UnavailableError(f"could not close {area!r}: somebody keeps opening it")


def remove_tree(files: Files, path: str) -> bool:
    """Remove a directory and what is in it, unless rivals keep adding to it.

    Returns:
        False when something in it is held open by a process on this machine, on NFS.
    """
    held = False
    for _ in range(TRIES):
        try:
            for name in files.listdir(path):
                held = not _remove(files, posixpath.join(path, name)) or held
            files.rmdir(path)
        except (FileNotFoundError, NotADirectoryError):  # gone, or closed by a rival
            return True
        except OSError as error:
            if error.errno != errno.ENOTEMPTY:
                raise
            if held:
                return False
        else:
            return True
    return True


def _remove(files: Files, path: str) -> bool:
    try:
        files.unlink(path)
    except FileNotFoundError:
        return True
    except IsADirectoryError:
        return remove_tree(files, path)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        return False
    return True
