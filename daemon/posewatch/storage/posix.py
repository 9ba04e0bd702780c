"""A watched folder on a POSIX file system, local or NFS.

How each promise of the contract is kept, and why it holds over NFS, is told in
`docs/semantics.md`.
"""

from __future__ import annotations

import errno
import hashlib
import os
import posixpath
import secrets
import stat as modes
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from posewatch.base.errors import (
    ChangedError,
    DeniedError,
    ExistsError,
    MissingError,
    UnavailableError,
    UnsupportedError,
)
from posewatch.storage.contract import (
    HIDDEN_PREFIX,
    SMALL_FILE_LIMIT,
    Entry,
    Seen,
    Skipped,
    Version,
    is_hidden,
)
from posewatch.storage.files import Files
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
from posewatch.storage.posix_scan import PosixScan, leaves
from posewatch.storage.posix_staging import PosixStaging, fence, open_area, remove_tree
from posewatch.storage.root import Root

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from posewatch.storage.backing import Backing
    from posewatch.storage.contract import Sighting

NO_LINK: Final = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})
"""What `link` gives on a file system that has no second names."""


class PosixStorage:
    """See `Storage`.

    Args:
        root: the folder.
        files: the file operations.

    Raises:
        SettingsError: there is no such folder.
        StorageError: it cannot be opened.
    """

    conditional = False
    readers = 1
    tags_stay = False

    def __init__(self, root: Path, files: Files | None = None) -> None:
        self._files = files or Files()
        self._root = Root(root, self._files)

    @property
    def backing(self) -> Backing:
        """What backs the folder."""
        return self._root.backing

    def scan(
        self,
        wants_version: Callable[[str], bool],
        on_skipped: Callable[[Skipped], None] | None = None,
    ) -> Iterator[Entry]:
        """See `Storage`."""
        return PosixScan(self._root, self._files, wants_version, on_skipped).entries()

    def stat(self, key: str) -> Entry | None:
        """See `Storage`."""
        path = self._root.of(key)
        with self._root.about("look at", key):
            found = self._look(path)
            if found is None:
                refresh(self._files, path)
                found = self._look(path)
        if found is None:
            self._root.check()
            return None
        return Entry(key, version_of(found), modes.S_ISREG(found.st_mode))

    def _look(self, path: str) -> os.stat_result | None:
        with suppress(FileNotFoundError, NotADirectoryError):
            is_link = modes.S_ISLNK(self._files.lstat(path).st_mode)
            if not is_link or not leaves(self._root, path):
                return stat_fresh(self._files, path)
        return None

    def read(self, key: str) -> bytes:
        """See `Storage`."""
        path = self._root.of(key)
        with self._root.about("read", key):
            try:
                return self._read(path)
            except FileNotFoundError:
                refresh(self._files, path)
            return self._read(path)

    def _read(self, path: str) -> bytes:
        with opened(self._files, path, READ_FLAGS) as fd:
            return self._read_small(fd, path)[:SMALL_FILE_LIMIT]

    def look(self, key: str) -> Seen | None:
        """See `Storage`."""
        entry = self.stat(key)
        if entry is None or entry.version is None:
            return None
        try:
            return Seen(entry.version, self.read(key))
        except MissingError:
            return None

    def create(self, key: str, data: bytes) -> None:
        """See `Storage`."""
        path = self._root.of(key)
        self._root.check()
        with self._root.about("create", key):
            # Once more if somebody swept our new file away, taking it for a leftover.
            if not self._create(path, data) and not self._create(path, data):
                raise UnavailableError(f"could not create {key!r}: its new file vanished twice")

    def _create(self, path: str, data: bytes) -> bool:
        fresh = posixpath.join(
            posixpath.dirname(path), f"{HIDDEN_PREFIX}new-{secrets.token_hex(8)}"
        )
        fd = self._files.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        try:
            try:
                write_all(self._files, fd, memoryview(data))
            finally:
                self._files.close(fd)
            return self._link(fresh, path)
        finally:
            with suppress(OSError):
                self._files.unlink(fresh)

    def _link(self, fresh: str, path: str) -> bool:
        try:
            self._files.link(fresh, path)
        except FileNotFoundError:
            return False
        except FileExistsError:
            # NFS repeats a request whose answer does not come: the first try may have been ours.
            if not self._same(fresh, path):
                raise ExistsError(f"{path!r} is there already") from None
        except OSError as error:
            if error.errno not in NO_LINK:
                raise
            raise UnsupportedError(
                f"the file system of {path!r} cannot create a file exclusively: it has no link(2)"
            ) from error
        return True

    def _same(self, one: str, other: str) -> bool:
        with suppress(FileNotFoundError):
            return same_file(self._files.stat(one), self._files.stat(other))
        return False

    def overwrite(self, key: str, old: bytes, new: bytes) -> None:
        """See `Storage`."""
        if len(old) != len(new):
            raise ValueError(f"{key!r} has {len(old)} bytes, its new content {len(new)}")
        with (
            self._root.about("write", key),
            opened(self._files, self._root.of(key), os.O_RDWR | os.O_NONBLOCK) as fd,
        ):
            self._expect_content(fd, key, old)
            data, offset = memoryview(new), 0
            while offset < len(data):
                offset += self._files.pwrite(fd, data[offset:], offset)
            # The file lost its name while we wrote: what was written is in no folder.
            if self._files.fstat(fd).st_nlink == 0:
                raise MissingError(f"{key!r} was removed")

    def remove(self, key: str, old: bytes, *, sure: bool = False) -> None:  # noqa: ARG002 -- looks
        """See `Storage`."""
        path = self._root.of(key)
        with self._root.about("remove", key):
            try:
                with opened(self._files, path, READ_FLAGS) as fd:
                    self._expect_content(fd, key, old)
                self._files.unlink(path)
            except FileNotFoundError:
                self._root.check()

    def _expect_content(self, fd: int, key: str, old: bytes) -> None:
        if self._read_small(fd, key) != old:
            raise ChangedError(f"{key!r} was changed by somebody else")

    def _read_small(self, fd: int, name: str) -> bytes:
        """The content up to one byte more than `SMALL_FILE_LIMIT`."""
        if not modes.S_ISREG(self._files.fstat(fd).st_mode):
            raise DeniedError(f"{name!r} is not a regular file")
        data = b""
        while piece := self._files.read(fd, SMALL_FILE_LIMIT + 1 - len(data)):
            data += piece
        return data

    def fetch(self, key: str, version: Version, target: Path, moved: Callable[[int], None]) -> str:
        """See `Storage`."""
        path = self._root.of(key)
        try:
            with self._root.about("read", key):
                # Looked at before it is opened: opening a device may do something.
                self._expect_version(self._files.stat(path), key, version)
                fd = self._files.open(path, READ_FLAGS)
            try:
                digest = self._copy(fd, key, version, target, moved)
            finally:
                with suppress(OSError):
                    self._files.close(fd)
            with self._root.about("read", key):
                self._expect_version(stat_fresh(self._files, path), key, version)
        except BaseException:
            with suppress(OSError):
                target.unlink(missing_ok=True)
            raise
        return digest

    def _copy(
        self, fd: int, key: str, version: Version, target: Path, moved: Callable[[int], None]
    ) -> str:
        digest = hashlib.sha256()
        buffer, copied = memoryview(bytearray(PIECE)), 0
        with self._root.about("read", key):
            self._expect_version(self._files.fstat(fd), key, version)
        with target.open("wb", buffering=0) as local:
            while True:
                with self._root.about("read", key):
                    count = self._files.read_into(fd, buffer)
                if count == 0:
                    break
                piece = buffer[:count]
                digest.update(piece)
                while piece:
                    piece = piece[local.write(piece) :]
                copied += count
                moved(count)
        with self._root.about("read", key):
            self._expect_version(self._files.fstat(fd), key, version)
        if copied != version.size:
            raise ChangedError(f"{key!r} ended after {copied} of {version.size} bytes")
        return digest.hexdigest()

    def _expect_version(self, found: os.stat_result, key: str, version: Version) -> None:
        if not modes.S_ISREG(found.st_mode):
            raise ChangedError(f"{key!r} is not a regular file")
        if version_of(found) != version:
            raise ChangedError(f"{key!r} was changed")

    def stage(
        self,
        token: str,
        beside: str,
        sighting: Sighting | None = None,  # noqa: ARG002 -- the area itself can be closed
    ) -> PosixStaging:
        """See `Storage`."""
        return open_area(self._root, self._files, token, beside)

    def fence(self, tokens: Iterable[str], beside: str) -> None:
        """See `Storage`."""
        fence(self._root, self._files, tokens, beside)

    def sweep(self, key: str) -> None:
        """See `Storage`."""
        if not is_hidden(key):
            raise ValueError(f"{key!r} is not a leftover of posewatch")
        path = self._root.of(key)
        with self._root.about("remove", key):
            try:
                self._files.unlink(path)
            except IsADirectoryError:
                remove_tree(self._files, path)
            except FileNotFoundError:
                self._root.check()
