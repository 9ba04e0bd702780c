"""The root of a POSIX folder: whether it is still the one that was there at the start.

A mount that went away leaves an empty directory behind, which looks like a folder from which
everything was deleted, and into which locks and results could be written that nobody sees. So the
root's device and inode numbers are remembered. When they are others:

* the same thing was mounted again, or something was mounted on top: it is taken as the folder;
* the directory was removed and made anew where it was: it is the folder, and empty;
* anything else, a missing root, or an error that only a dead mount gives: `UnmountedError`.

A root that is empty but has kept its numbers is an empty folder, on every file system.
"""

from __future__ import annotations

import errno
import os
import posixpath
from contextlib import contextmanager
from typing import TYPE_CHECKING

from posewatch.base.errors import (
    MissingError,
    SettingsError,
    StorageError,
    UnavailableError,
    UnmountedError,
)
from posewatch.storage.backing import Backing, backing_of
from posewatch.storage.errnos import translate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from posewatch.storage.files import Files

Identity = tuple[int, int]
"""Device and inode number."""


class Root:
    """See above.

    Args:
        path: an existing directory.
        files: the file operations.
        look: says what backs the path.

    Raises:
        SettingsError: there is no such directory.
        StorageError: it cannot be opened.
    """

    def __init__(
        self, path: Path, files: Files, look: Callable[[Path], Backing] = backing_of
    ) -> None:
        self.path = os.path.abspath(path)  # noqa: PTH100 -- links and all, as it was given
        self._given = path
        self._files = files
        self._look = look
        try:
            self._identity = self._open()
        except (FileNotFoundError, NotADirectoryError) as error:
            raise SettingsError(
                f"{path} is not a folder", hint="Make it, or mount it, first"
            ) from error
        except OSError as error:
            raise translate(error, f"open the folder {path}") from error
        self._backing = look(path)

    @property
    def backing(self) -> Backing:
        """What backs the folder."""
        return self._backing

    def of(self, key: str) -> str:
        """The path of a key."""
        return posixpath.join(self.path, key)

    def check(self) -> Identity:
        """The root's device and inode number now.

        Raises:
            UnmountedError: see above.
        """
        try:
            now = self._files.stat(self.path)
            if (now.st_dev, now.st_ino) != self._identity:
                self._follow()
        except OSError as error:
            fault = translate(error, f"look at the folder {self.path}")
            if isinstance(fault, MissingError):
                raise UnmountedError(f"the folder {self.path} is not there any more") from error
            raise fault from error
        return self._identity

    def fault(self, error: OSError, doing: str) -> StorageError:
        """The error of ours for one of the operating system.

        Raises:
            UnmountedError: what explains `error` is that the folder itself is gone.
        """
        self.check()
        fault = translate(error, doing)
        if isinstance(fault, UnmountedError):  # only this file, or what is mounted in a sub-folder
            kind = MissingError if error.errno == errno.ESTALE else UnavailableError
            return kind(fault.message)
        return fault

    @contextmanager
    def about(self, doing: str, key: str) -> Iterator[None]:
        """Turn an `OSError` within into the error of ours."""
        try:
            yield
        except OSError as error:
            raise self.fault(error, f"{doing} {key!r}") from error

    def _follow(self) -> None:
        identity = self._open()  # which also wakes an automount
        backing = self._look(self._given)
        if backing.bucket and not self._backing.bucket:
            raise UnmountedError(
                f"a bucket was mounted at {self.path}, which was no bucket",
                hint="Restart posewatch, so that it goes to the bucket itself",
            )
        if identity != self._identity and not self._backing.came_back_as(backing):
            raise UnmountedError(
                f"{self.path} is not the folder that it was",
                hint=f"It was {_name(self._backing)}, now it is {_name(backing)}: mount it again, "
                "or restart posewatch if this is wanted",
            )
        self._identity, self._backing = identity, backing

    def _open(self) -> Identity:
        fd = self._files.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            now = self._files.fstat(fd)
        finally:
            self._files.close(fd)
        return now.st_dev, now.st_ino


def _name(backing: Backing) -> str:
    return f"{backing.source} ({backing.fstype}) at {backing.mount_point}"
