"""Twins that fail, pause or are raced on purpose: around a storage, or below one.

A hook is told of each operation before it is done, and after. It may raise an error in its place,
let a rival act, or wait; an error raised after an operation is an answer that got lost.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from posewatch.storage.files import Files

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from posewatch.storage.contract import Entry, Seen, Sighting, Skipped, Staging, Storage, Version
    from posewatch.storage.s3_objects import Body, Content, Found, ObjectStore, Page


@dataclass(frozen=True, slots=True)
class Operation:
    """What is about to be done, or was.

    Attributes:
        name: of the method.
        target: the key or path that it is about; empty for an open file.
        after: whether it was done.
    """

    name: str
    target: str
    after: bool = False


def nothing(_operation: Operation) -> None:
    """The hook that lets everything pass."""


@contextmanager
def _hooked(hook: Callable[[Operation], None], name: str, target: str) -> Iterator[None]:
    hook(Operation(name, target))
    yield
    hook(Operation(name, target, after=True))


class FaultyStorage:
    """See `Storage`.

    Args:
        inner: does the work.
        hook: told of each call of a method, also of the staging areas'.
    """

    def __init__(self, inner: Storage, hook: Callable[[Operation], None] = nothing) -> None:
        self.inner = inner
        self.hook = hook

    @property
    def tags_stay(self) -> bool:
        """See `Storage`."""
        return self.inner.tags_stay

    @property
    def conditional(self) -> bool:
        """See `Storage`."""
        return self.inner.conditional

    @property
    def readers(self) -> int:
        """See `Storage`."""
        return self.inner.readers

    def scan(
        self,
        wants_version: Callable[[str], bool],
        on_skipped: Callable[[Skipped], None] | None = None,
    ) -> Iterator[Entry]:
        """See `Storage`."""
        with _hooked(self.hook, "scan", ""):
            yield from self.inner.scan(wants_version, on_skipped)

    def stat(self, key: str) -> Entry | None:
        """See `Storage`."""
        with _hooked(self.hook, "stat", key):
            return self.inner.stat(key)

    def read(self, key: str) -> bytes:
        """See `Storage`."""
        with _hooked(self.hook, "read", key):
            return self.inner.read(key)

    def look(self, key: str) -> Seen | None:
        """See `Storage`."""
        with _hooked(self.hook, "look", key):
            return self.inner.look(key)

    def create(self, key: str, data: bytes) -> None:
        """See `Storage`."""
        with _hooked(self.hook, "create", key):
            self.inner.create(key, data)

    def overwrite(self, key: str, old: bytes, new: bytes) -> None:
        """See `Storage`."""
        with _hooked(self.hook, "overwrite", key):
            self.inner.overwrite(key, old, new)

    def remove(self, key: str, old: bytes, *, sure: bool = False) -> None:
        """See `Storage`."""
        with _hooked(self.hook, "remove", key):
            self.inner.remove(key, old, sure=sure)

    def fetch(self, key: str, version: Version, target: Path, moved: Callable[[int], None]) -> str:
        """See `Storage`."""
        with _hooked(self.hook, "fetch", key):
            return self.inner.fetch(key, version, target, moved)

    def stage(self, token: str, beside: str, sighting: Sighting | None = None) -> FaultyStaging:
        """See `Storage`."""
        with _hooked(self.hook, "stage", beside):
            return FaultyStaging(self.inner.stage(token, beside, sighting), self.hook)

    def fence(self, tokens: Iterable[str], beside: str) -> Sighting | None:
        """See `Storage`."""
        with _hooked(self.hook, "fence", beside):
            return self.inner.fence(tokens, beside)

    def sweep(self, key: str) -> None:
        """See `Storage`."""
        with _hooked(self.hook, "sweep", key):
            self.inner.sweep(key)


class FaultyStaging:
    """See `Staging`; made by `FaultyStorage.stage`."""

    def __init__(self, inner: Staging, hook: Callable[[Operation], None]) -> None:
        self._inner = inner
        self._hook = hook

    def add(self, key: str, source: Path | bytes) -> Version:
        """See `Staging`."""
        with _hooked(self._hook, "add", key):
            return self._inner.add(key, source)

    def publish(self, key: str, expected: Version | None) -> Version:
        """See `Staging`."""
        with _hooked(self._hook, "publish", key):
            return self._inner.publish(key, expected)

    def discard(self) -> None:
        """See `Staging`."""
        with _hooked(self._hook, "discard", ""):
            self._inner.discard()


class HookedObjects:
    """See `ObjectStore`; the requests of a bucket with a hook around each of them.

    Args:
        inner: does the work.
        hook: told of each request.
    """

    def __init__(self, inner: ObjectStore, hook: Callable[[Operation], None] = nothing) -> None:
        self.inner = inner
        self.hook = hook

    def put(self, key: str, body: Body, expected: str | None) -> str:
        """See `ObjectStore`."""
        with _hooked(self.hook, "put", key):
            return self.inner.put(key, body, expected)

    def get(self, key: str, limit: int) -> Content | None:
        """See `ObjectStore`."""
        with _hooked(self.hook, "get", key):
            return self.inner.get(key, limit)

    def pieces(self, key: str, etag: str, first: int, count: int) -> Iterator[bytes]:
        """See `ObjectStore`."""
        with _hooked(self.hook, "pieces", key):
            yield from self.inner.pieces(key, etag, first, count)

    def head(self, key: str) -> Found | None:
        """See `ObjectStore`."""
        with _hooked(self.hook, "head", key):
            return self.inner.head(key)

    def list(self, prefix: str, page: str | None = None) -> Page:
        """See `ObjectStore`."""
        with _hooked(self.hook, "list", prefix):
            return self.inner.list(prefix, page)

    def delete(self, key: str) -> None:
        """See `ObjectStore`."""
        with _hooked(self.hook, "delete", key):
            self.inner.delete(key)


class HookedFiles(Files):
    """File operations with a hook around each of them; for `PosixStorage`."""

    def __init__(self, hook: Callable[[Operation], None] = nothing) -> None:
        self.hook = hook

    def open(self, path: str, flags: int) -> int:
        """See `Files`."""
        with _hooked(self.hook, "open", path):
            return super().open(path, flags)

    def close(self, fd: int) -> None:
        """See `Files`; closes in any case."""
        try:
            self.hook(Operation("close", ""))
        finally:
            super().close(fd)
        self.hook(Operation("close", "", after=True))

    def read_into(self, fd: int, buffer: memoryview) -> int:
        """See `Files`."""
        with _hooked(self.hook, "read_into", ""):
            return super().read_into(fd, buffer)

    def read(self, fd: int, count: int) -> bytes:
        """See `Files`."""
        with _hooked(self.hook, "read", ""):
            return super().read(fd, count)

    def write(self, fd: int, data: memoryview) -> int:
        """See `Files`."""
        with _hooked(self.hook, "write", ""):
            return super().write(fd, data)

    def pwrite(self, fd: int, data: memoryview, offset: int) -> int:
        """See `Files`."""
        with _hooked(self.hook, "pwrite", ""):
            return super().pwrite(fd, data, offset)

    def fsync(self, fd: int) -> None:
        """See `Files`."""
        with _hooked(self.hook, "fsync", ""):
            super().fsync(fd)

    def fstat(self, fd: int) -> os.stat_result:
        """See `Files`."""
        with _hooked(self.hook, "fstat", ""):
            return super().fstat(fd)

    def stat(self, path: str) -> os.stat_result:
        """See `Files`."""
        with _hooked(self.hook, "stat", path):
            return super().stat(path)

    def lstat(self, path: str) -> os.stat_result:
        """See `Files`."""
        with _hooked(self.hook, "lstat", path):
            return super().lstat(path)

    def link(self, source: str, target: str) -> None:
        """See `Files`."""
        with _hooked(self.hook, "link", target):
            super().link(source, target)

    def rename(self, source: str, target: str) -> None:
        """See `Files`."""
        with _hooked(self.hook, "rename", target):
            super().rename(source, target)

    def unlink(self, path: str) -> None:
        """See `Files`."""
        with _hooked(self.hook, "unlink", path):
            super().unlink(path)

    def mkdir(self, path: str) -> None:
        """See `Files`."""
        with _hooked(self.hook, "mkdir", path):
            super().mkdir(path)

    def rmdir(self, path: str) -> None:
        """See `Files`."""
        with _hooked(self.hook, "rmdir", path):
            super().rmdir(path)

    def listdir(self, path: str) -> list[str]:
        """See `Files`."""
        with _hooked(self.hook, "listdir", path):
            return super().listdir(path)

    def scandir(self, path: str) -> AbstractContextManager[Iterator[os.DirEntry[str]]]:
        """See `Files`."""
        with _hooked(self.hook, "scandir", path):
            return super().scandir(path)
