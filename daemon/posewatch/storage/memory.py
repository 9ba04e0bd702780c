"""A watched folder in memory: the twin that tests and simulations use."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from posewatch.base.errors import (
    ChangedError,
    DeniedError,
    ExistsError,
    FencedError,
    MissingError,
    UnmountedError,
)
from posewatch.storage.contract import (
    HIDDEN_PREFIX,
    SMALL_FILE_LIMIT,
    Entry,
    Seen,
    Skipped,
    Version,
    is_hidden,
    staging_key,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from posewatch.storage.contract import Sighting


@dataclass(frozen=True, slots=True)
class _File:
    data: bytes
    tag: int
    regular: bool = True

    @property
    def version(self) -> Version:
        return Version(len(self.data), str(self.tag))


@dataclass(slots=True)
class _Area:
    staged: dict[str, _File] = field(default_factory=dict)


@dataclass(slots=True)
class _Folder:
    """What the storage and its staging areas share.

    Attributes:
        files: by key.
        shelves: the areas of one input by their tokens, by `staging_key`; a closed one is None.
        writes: counts them, for the versions.
        mounted: see `MemoryStorage`.
        lock: held while any of these is used.
    """

    files: dict[str, _File] = field(default_factory=dict)
    shelves: dict[str, dict[str, _Area | None]] = field(default_factory=dict)
    writes: int = 0
    mounted: bool = True
    lock: threading.RLock = field(default_factory=threading.RLock)

    def new(self, data: bytes, *, regular: bool = True) -> _File:
        self.writes += 1
        return _File(data, self.writes, regular)

    def check(self) -> None:
        if not self.mounted:
            raise UnmountedError("the folder is not there any more")


class MemoryStorage:
    """See `Storage`. Directories exist as long as something is in them."""

    conditional = False
    readers = 1
    tags_stay = False

    def __init__(self) -> None:
        self._folder = _Folder()
        self._lock = self._folder.lock

    def mount(self, *, mounted: bool) -> None:
        """While it is not mounted, every method raises `UnmountedError`."""
        self._folder.mounted = mounted

    def put(self, key: str, data: bytes, *, regular: bool = True) -> Version:
        """Write a file as some other program would: over whatever is there."""
        with self._lock:
            file = self._folder.files[key] = self._folder.new(data, regular=regular)
            return file.version

    def delete(self, key: str) -> None:
        """Remove a file as some other program would."""
        with self._lock:
            self._folder.files.pop(key, None)

    def scan(
        self,
        wants_version: Callable[[str], bool],
        on_skipped: Callable[[Skipped], None] | None = None,  # noqa: ARG002 -- nothing ever is
    ) -> Iterator[Entry]:
        """See `Storage`."""
        self._folder.check()
        with self._lock:
            files, shelves = dict(self._folder.files), list(self._folder.shelves)
        for key, file in files.items():
            if not any(_is_left_out(part) for part in key.split("/")):
                yield Entry(key, file.version if wants_version(key) else None, file.regular)
        for key in shelves:
            yield Entry(key, Version(0, ""), regular=False)
        self._folder.check()

    def stat(self, key: str) -> Entry | None:
        """See `Storage`."""
        with self._lock:
            self._folder.check()
            file = self._folder.files.get(key)
            return Entry(key, file.version, file.regular) if file is not None else None

    def read(self, key: str) -> bytes:
        """See `Storage`."""
        with self._lock:
            return self._file(key).data[:SMALL_FILE_LIMIT]

    def look(self, key: str) -> Seen | None:
        """See `Storage`."""
        with self._lock:
            self._folder.check()
            file = self._folder.files.get(key)
            return Seen(file.version, self.read(key)) if file is not None else None

    def create(self, key: str, data: bytes) -> None:
        """See `Storage`."""
        with self._lock:
            self._folder.check()
            if key in self._folder.files:
                raise ExistsError(f"{key!r} is there already")
            self._folder.files[key] = self._folder.new(data)

    def overwrite(self, key: str, old: bytes, new: bytes) -> None:
        """See `Storage`."""
        if len(old) != len(new):
            raise ValueError(f"{key!r} has {len(old)} bytes, its new content {len(new)}")
        with self._lock:
            self._expect_content(key, old)
            self._folder.files[key] = self._folder.new(new)

    def remove(self, key: str, old: bytes, *, sure: bool = False) -> None:  # noqa: ARG002 -- looks
        """See `Storage`."""
        with self._lock:
            self._folder.check()
            if key in self._folder.files:
                self._expect_content(key, old)
                del self._folder.files[key]

    def fetch(self, key: str, version: Version, target: Path, moved: Callable[[int], None]) -> str:
        """See `Storage`."""
        with self._lock:
            file = self._expect_version(key, version)
        try:
            target.write_bytes(file.data)
            moved(len(file.data))
            with self._lock:
                self._expect_version(key, version)
        except BaseException:
            target.unlink(missing_ok=True)
            raise
        return hashlib.sha256(file.data).hexdigest()

    def stage(
        self,
        token: str,
        beside: str,
        sighting: Sighting | None = None,  # noqa: ARG002 -- the area itself can be closed
    ) -> MemoryStaging:
        """See `Storage`."""
        with self._lock:
            self._folder.check()
            shelf = self._folder.shelves.setdefault(staging_key(beside), {})
            if token in shelf:
                raise FencedError(f"the work on {beside!r} was taken over")
            area = shelf[token] = _Area()
            return MemoryStaging(self._folder, staging_key(beside), token, area)

    def fence(self, tokens: Iterable[str], beside: str) -> None:
        """See `Storage`."""
        with self._lock:
            self._folder.check()
            shelf = self._folder.shelves.get(staging_key(beside), {})
            closed = dict.fromkeys([*shelf, *tokens])
            if closed:
                self._folder.shelves[staging_key(beside)] = closed

    def sweep(self, key: str) -> None:
        """See `Storage`."""
        if not is_hidden(key):
            raise ValueError(f"{key!r} is not a leftover of posewatch")
        with self._lock:
            self._folder.check()
            self._folder.shelves.pop(key, None)
            self._folder.files.pop(key, None)

    def _file(self, key: str) -> _File:
        self._folder.check()
        file = self._folder.files.get(key)
        if file is None:
            raise MissingError(f"there is no {key!r}")
        if not file.regular:
            raise DeniedError(f"{key!r} is not a regular file")
        return file

    def _expect_content(self, key: str, old: bytes) -> None:
        if self._file(key).data != old:
            raise ChangedError(f"{key!r} was changed by somebody else")

    def _expect_version(self, key: str, version: Version) -> _File:
        self._folder.check()
        file = self._folder.files.get(key)
        if file is None:
            raise MissingError(f"there is no {key!r}")
        if file.version != version or not file.regular:
            raise ChangedError(f"{key!r} was changed")
        return file


class MemoryStaging:
    """See `Staging`; made by `MemoryStorage.stage`."""

    def __init__(self, folder: _Folder, shelf: str, token: str, area: _Area) -> None:
        self._folder = folder
        self._shelf = shelf
        self._token = token
        self._area = area

    def add(self, key: str, source: Path | bytes) -> Version:
        """See `Staging`."""
        data = source.read_bytes() if isinstance(source, Path) else source
        with self._folder.lock:
            self._check(key)
            file = self._area.staged[key] = self._folder.new(data)
            return file.version

    def publish(self, key: str, expected: Version | None) -> Version:
        """See `Staging`."""
        with self._folder.lock:
            self._check(key)
            staged, found = self._area.staged[key], self._folder.files.get(key)
            if found is not staged:
                if expected is None and found is not None:
                    raise ExistsError(f"{key!r} is there already")
                if expected is not None and (found is None or found.version != expected):
                    raise ChangedError(f"{key!r} was changed by somebody else")
                self._folder.files[key] = staged
            return staged.version

    def discard(self) -> None:
        """See `Staging`."""
        with self._folder.lock:
            self._folder.check()
            shelf = self._folder.shelves.get(self._shelf, {})
            if shelf.get(self._token) is self._area:
                del shelf[self._token]
                if not shelf:
                    del self._folder.shelves[self._shelf]

    def _check(self, key: str) -> None:
        self._folder.check()
        if self._folder.shelves.get(self._shelf, {}).get(self._token) is not self._area:
            raise FencedError(f"could not publish {key!r}: the work was taken over")


def _is_left_out(part: str) -> bool:
    return part.startswith(".") and not part.startswith(HIDDEN_PREFIX)
