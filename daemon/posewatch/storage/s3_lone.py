"""A bucket whose server keeps no conditions, for those who promise to be its only writers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from posewatch.base.errors import ChangedError, ExistsError
from posewatch.storage.s3_objects import ObjectStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from posewatch.storage.s3_objects import Body, Content, Found, Page


class Unconditional(ObjectStore, Protocol):
    """A bucket that can be written to without a condition."""

    conditional: bool
    """Whether `put` sends its condition."""


class LoneObjects:
    """See `ObjectStore`. Looks before it writes: one request more, and no help against rivals.

    Args:
        store: the bucket.
    """

    def __init__(self, store: Unconditional) -> None:
        store.conditional = False
        self._store = store

    def put(self, key: str, body: Body, expected: str | None) -> str:
        """See `ObjectStore`."""
        found = self._store.head(key)
        if expected is None and found is not None:
            raise ExistsError(f"{key!r} is there already")
        if expected is not None and (found is None or found.etag != expected):
            raise ChangedError(f"{key!r} was changed")
        return self._store.put(key, body, expected)

    def get(self, key: str, limit: int) -> Content | None:
        """See `ObjectStore`."""
        return self._store.get(key, limit)

    def pieces(self, key: str, etag: str, first: int, count: int) -> Iterator[bytes]:
        """See `ObjectStore`."""
        return self._store.pieces(key, etag, first, count)

    def head(self, key: str) -> Found | None:
        """See `ObjectStore`."""
        return self._store.head(key)

    def list(self, prefix: str, page: str | None = None) -> Page:
        """See `ObjectStore`."""
        return self._store.list(prefix, page)

    def delete(self, key: str) -> None:
        """See `ObjectStore`."""
        self._store.delete(key)
