"""What the POSIX storage does with files in more than one place."""

from __future__ import annotations

import os
import posixpath
import stat as modes
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from posewatch.storage.contract import Version

if TYPE_CHECKING:
    from collections.abc import Iterator

    from posewatch.storage.files import Files

PIECE: Final = 1 << 20
"""Bytes that are copied at a time: enough for a network mount to stream, and few enough for
progress and cancellation to be quick."""

READ_FLAGS: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY
"""A FIFO or a device that took the place of a file must not block, or become our terminal."""


def version_of(found: os.stat_result) -> Version:
    """Which content a file has."""
    return Version(found.st_size, str(found.st_mtime_ns))


def same_file(one: os.stat_result, other: os.stat_result) -> bool:
    """Whether two names lead to one file."""
    return (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)


@contextmanager
def opened(files: Files, path: str, flags: int) -> Iterator[int]:
    """An open file. An error of `close` is raised, unless another one is under way."""
    fd = files.open(path, flags)
    try:
        yield fd
    except BaseException:
        with suppress(OSError):
            files.close(fd)
        raise
    files.close(fd)


def write_all(files: Files, fd: int, data: memoryview) -> None:
    """Write the whole of `data`."""
    while data:
        data = data[files.write(fd, data) :]


def stat_fresh(files: Files, path: str) -> os.stat_result:
    """What a name leads to, asking the server.

    An NFS client answers `stat` from its memory for 3 to 60 s, but asks the server on each `open`.
    """
    found = files.stat(path)
    if modes.S_ISREG(found.st_mode):
        # Not readable by us: what is remembered must do.
        with suppress(PermissionError), opened(files, path, READ_FLAGS) as fd:
            return files.fstat(fd)
    return found


def refresh(files: Files, path: str) -> None:
    """Make sure that the next look for `path` finds it if it is there.

    An NFS client remembers for about 30 s that a name was missing, until it learns that the
    directory was changed; it asks the server for that on each `open` of the directory.
    """
    with (
        suppress(FileNotFoundError, NotADirectoryError, PermissionError),
        opened(files, posixpath.dirname(path), os.O_RDONLY | os.O_DIRECTORY),
    ):
        pass
