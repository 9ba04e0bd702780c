"""The file operations that the POSIX storage is made of, one method each.

Everything goes through this seam, so that `posewatch.storage.faulty.HookedFiles` can fail any
operation, or let a rival act before it.
"""

# System calls one by one are what this file is about:
# ruff: noqa: PTH102, PTH104, PTH106, PTH108, PTH116, PTH208

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager


class Files:
    """The operations of the operating system; all of them raise `OSError`."""

    def open(self, path: str, flags: int) -> int:
        """A file descriptor; a new file gets the permissions that the umask leaves."""
        return os.open(path, flags | os.O_CLOEXEC, 0o666)

    def close(self, fd: int) -> None:
        """Also where a network file system reports that data could not be written."""
        os.close(fd)

    def read_into(self, fd: int, buffer: memoryview) -> int:
        """How many bytes were read; 0 at the end."""
        return os.readv(fd, [buffer])

    def read(self, fd: int, count: int) -> bytes:
        """At most `count` bytes; empty at the end."""
        return os.read(fd, count)

    def write(self, fd: int, data: memoryview) -> int:
        """How many bytes were written."""
        return os.write(fd, data)

    def pwrite(self, fd: int, data: memoryview, offset: int) -> int:
        """How many bytes were written."""
        return os.pwrite(fd, data, offset)

    def fsync(self, fd: int) -> None:
        """Wait until the content, or the directory's entries, are on the disk."""
        os.fsync(fd)

    def fstat(self, fd: int) -> os.stat_result:
        """What an open file is."""
        return os.fstat(fd)

    def stat(self, path: str) -> os.stat_result:
        """What a name leads to."""
        return os.stat(path)

    def lstat(self, path: str) -> os.stat_result:
        """What a name is, not following a symbolic link."""
        return os.lstat(path)

    def link(self, source: str, target: str) -> None:
        """Give a file a second name, if that is free: the one atomic step all claims rest on."""
        os.link(source, target, follow_symlinks=False)

    def rename(self, source: str, target: str) -> None:
        """Give a file another name, whether that is free or not."""
        os.rename(source, target)

    def unlink(self, path: str) -> None:
        """Remove a name."""
        os.unlink(path)

    def mkdir(self, path: str) -> None:
        """Make a directory, if the name is free."""
        os.mkdir(path)

    def rmdir(self, path: str) -> None:
        """Remove an empty directory."""
        os.rmdir(path)

    def listdir(self, path: str) -> list[str]:
        """The names in a small directory."""
        return os.listdir(path)

    def scandir(self, path: str) -> AbstractContextManager[Iterator[os.DirEntry[str]]]:
        """The entries of a directory of any size."""
        return os.scandir(path)
