"""Listing a POSIX folder: few system calls for each file, and nothing missing without a word."""

from __future__ import annotations

import os
import stat as modes
from typing import TYPE_CHECKING

from posewatch.base.errors import MissingError, UnmountedError
from posewatch.storage.contract import HIDDEN_PREFIX, Entry, Skipped
from posewatch.storage.posix_files import version_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from posewatch.storage.files import Files
    from posewatch.storage.root import Root


def leaves(root: Root, path: str) -> bool:
    """Whether a path leads out of the folder, once its symbolic links are followed."""
    home = os.path.realpath(root.path).rstrip("/") + "/"
    return not (os.path.realpath(path).rstrip("/") + "/").startswith(home)


class PosixScan:
    """One listing, see `Storage.scan`.

    Each directory costs an open, a few `getdents` and a close; a file costs nothing, or one `stat`
    where its version is wanted. Only the names of directories still to be listed are held.
    """

    def __init__(
        self,
        root: Root,
        files: Files,
        wants_version: Callable[[str], bool],
        on_skipped: Callable[[Skipped], None] | None,
    ) -> None:
        self._root = root
        self._files = files
        self._wants_version = wants_version
        self._on_skipped = on_skipped
        self._pending = [""]

    def entries(self) -> Iterator[Entry]:
        """All of them."""
        identity = self._root.check()
        while self._pending:
            yield from self._directory(self._pending.pop())
        if self._root.check() != identity:
            raise UnmountedError(f"{self._root.path} was mounted anew while it was listed")

    def _directory(self, prefix: str) -> Iterator[Entry]:
        try:
            with self._files.scandir(self._root.of(prefix)) as listing:
                for item in listing:
                    name = item.name
                    if not name.startswith(".") or name.startswith(HIDDEN_PREFIX):
                        yield from self._item(prefix + name, item)
        except OSError as error:
            fault = self._root.fault(error, f"list {prefix or self._root.path!r}")
            if not prefix:
                raise fault from error
            # Gone since its parent was listed, or not to be listed: its parent's listing stands.
            if not isinstance(error, FileNotFoundError):
                self._skip(Skipped(prefix, fault))

    def _item(self, key: str, item: os.DirEntry[str]) -> Iterator[Entry]:
        try:
            yield from self._judged(key, item)
        except OSError as error:
            fault = self._root.fault(error, f"look at {key!r}")
            if not isinstance(fault, MissingError):  # removed since, or a link to nothing
                self._skip(Skipped(key, fault))

    def _judged(self, key: str, item: os.DirEntry[str]) -> Iterator[Entry]:
        if item.is_symlink():
            yield from self._link(key, item)
        elif not item.is_dir(follow_symlinks=False):
            if self._wants_version(key):
                yield _looked_at(key, item.stat())
            else:
                yield Entry(key, None, item.is_file(follow_symlinks=False))
        elif item.name.startswith(HIDDEN_PREFIX):
            yield _looked_at(key, item.stat())
        else:
            self._pending.append(key + "/")
            if self._wants_version(key):
                yield _looked_at(key, item.stat())

    def _link(self, key: str, item: os.DirEntry[str]) -> Iterator[Entry]:
        if leaves(self._root, item.path):
            self._skip(Skipped(key, None))
            return
        found = item.stat()
        if not modes.S_ISDIR(found.st_mode):
            yield _looked_at(key, found)

    def _skip(self, skipped: Skipped) -> None:
        if self._on_skipped is not None:
            self._on_skipped(skipped)


def _looked_at(key: str, found: os.stat_result) -> Entry:
    return Entry(key, version_of(found), modes.S_ISREG(found.st_mode))
