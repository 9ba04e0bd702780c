"""A bucket in memory: the twin that tests and simulations use."""

from __future__ import annotations

import hashlib
import threading
from bisect import bisect_right, insort
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from posewatch.base.errors import ChangedError, ExistsError, MissingError, UnmountedError
from posewatch.storage.s3_objects import Content, Found, Listed, Page

if TYPE_CHECKING:
    from collections.abc import Iterator

    from posewatch.storage.s3_objects import Body

PAGE: Final = 1000
"""Keys in one page of a listing, as S3 has it."""


@dataclass(frozen=True, slots=True)
class _Object:
    data: bytes
    found: Found


class MemoryObjects:
    """See `ObjectStore`. Every request is done at once, as the server would do it."""

    def __init__(self) -> None:
        self._objects: dict[str, _Object] = {}
        self._keys: list[str] = []
        self._there = True
        self._lock = threading.RLock()

    def exist(self, *, there: bool) -> None:
        """While it does not exist, every method raises `UnmountedError`."""
        self._there = there

    def write(self, key: str, data: bytes, mark: str = "") -> str:
        """Write an object as some other program would: over whatever is there; gives its ETag."""
        etag = hashlib.md5(data, usedforsecurity=False).hexdigest()
        with self._lock:
            if key not in self._objects:
                insort(self._keys, key)
            self._objects[key] = _Object(data, Found(len(data), etag, mark))
        return etag

    def put(self, key: str, body: Body, expected: str | None) -> str:
        """See `ObjectStore`."""
        data = body.source if isinstance(body.source, bytes) else body.source.read_bytes()
        with self._lock:
            there = self._object(key)
            if expected is None and there is not None:
                raise ExistsError(f"{key!r} is there already")
            if expected is not None and (there is None or there.found.etag != expected):
                raise ChangedError(f"{key!r} was changed by somebody else")
            return self.write(key, data, body.mark)

    def get(self, key: str, limit: int) -> Content | None:
        """See `ObjectStore`."""
        with self._lock:
            there = self._object(key)
        return None if there is None else Content(there.data[:limit], there.found)

    def pieces(self, key: str, etag: str, first: int, count: int) -> Iterator[bytes]:
        """See `ObjectStore`."""
        with self._lock:
            there = self._object(key)
        if there is None:
            raise MissingError(f"there is no {key!r}")
        if there.found.etag != etag or first >= there.found.size:
            raise ChangedError(f"{key!r} was changed")
        yield there.data[first : first + count]

    def head(self, key: str) -> Found | None:
        """See `ObjectStore`."""
        with self._lock:
            there = self._object(key)
        return None if there is None else there.found

    def list(self, prefix: str, page: str | None = None) -> Page:
        """See `ObjectStore`."""
        with self._lock:
            self._check()
            begin = bisect_right(self._keys, page) if page else 0
            keys = [key for key in self._keys[begin:] if key.startswith(prefix)]
            listed = [
                Listed(key, self._objects[key].found.size, self._objects[key].found.etag)
                for key in keys[:PAGE]
            ]
        return Page(listed, listed[-1].key if len(keys) > PAGE else None)

    def delete(self, key: str) -> None:
        """See `ObjectStore`."""
        with self._lock:
            self._check()
            if self._objects.pop(key, None) is not None:
                self._keys.remove(key)

    def _check(self) -> None:
        if not self._there:
            raise UnmountedError("there is no such bucket")

    def _object(self, key: str) -> _Object | None:
        self._check()
        return self._objects.get(key)
