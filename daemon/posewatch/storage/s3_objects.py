"""The few requests that the S3 storage is made of, one method each.

Everything goes through this seam: `posewatch.storage.s3_client` sends them to a server,
`posewatch.storage.s3_memory` is the twin in memory, and `posewatch.storage.faulty.HookedObjects`
fails, delays and repeats them.

What is assumed of a server, and asked of it at the start (`posewatch.storage.s3_probe`): a `PUT`
is done as a whole or not at all, its condition is judged together with it, and whoever asks after
an answer sees what was done. Conditions of `DELETE`, `COPY` and of completing a multipart upload
are ignored by some servers without a word, and are not used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Found:
    """An object, as it is told by its headers.

    Attributes:
        size: in bytes.
        etag: without quotes.
        mark: what `ObjectStore.put` was given; empty for what other programs have written.
    """

    size: int
    etag: str
    mark: str = ""


@dataclass(frozen=True, slots=True)
class Content:
    """A small object.

    Attributes:
        data: its first bytes.
        found: its headers.
    """

    data: bytes
    found: Found


class Listed(NamedTuple):
    """One object of a listing; see `Found`. A tuple: there may be many."""

    key: str
    size: int
    etag: str


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a listing.

    Attributes:
        objects: in the order of their names.
        following: what to ask the next page with; None after the last.
    """

    objects: Sequence[Listed]
    following: str | None


@dataclass(frozen=True, slots=True)
class Body:
    """What is to be written.

    Attributes:
        source: the bytes, or the local file that has them.
        size: how many.
        md5: their digest: what the server must have received, and the ETag that most give.
        mark: a nonce that is kept beside the object: it tells our own write from everybody else's,
            also where equal bytes were written, and whatever the server makes of ETags.
    """

    source: bytes | Path
    size: int
    md5: bytes
    mark: str


class ObjectStore(Protocol):
    """One bucket. Each method sends one request. Safe to use from several threads.

    All methods raise the subclasses of `posewatch.base.errors.StorageError`; `UnavailableError`
    where there is no telling whether the request was done.
    """

    def put(self, key: str, body: Body, expected: str | None) -> str:
        """Write an object whole, if it still is what it was.

        Args:
            key: where.
            body: what.
            expected: the ETag of the object to replace; None to create it.

        Returns:
            Its new ETag.

        Raises:
            ExistsError: `expected` is None, and there is one.
            ChangedError: there is none, or another one than `expected`.
            OSError: the local file could not be read.
        """

    def get(self, key: str, limit: int) -> Content | None:
        """The first `limit` bytes of an object."""

    def pieces(self, key: str, etag: str, first: int, count: int) -> Iterator[bytes]:
        """Some bytes of one version of an object, piece by piece.

        Args:
            key: where.
            etag: of the version.
            first: offset of the first byte.
            count: how many bytes, at least 1; fewer come where the object ends before.

        Raises:
            MissingError: there is no such object.
            ChangedError: it is another version, or ends before `first`.
        """

    def head(self, key: str) -> Found | None:
        """What there is to know about an object."""

    def list(self, prefix: str, page: str | None = None) -> Page:
        """Up to 1,000 of the objects whose keys begin with `prefix`.

        Args:
            prefix: how the keys begin.
            page: `Page.following` of the page before; None for the first.
        """

    def delete(self, key: str) -> None:
        """Remove an object; a missing one is fine."""
