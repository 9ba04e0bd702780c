"""What a watched folder can do, whatever backs it.

A key is a path below the folder's root: `/` between the parts, no leading `/`. A name that is not
valid UTF-8 is carried with surrogate escapes, as `os.fsdecode` gives it.

Small files (lock records, receipts) are read and written whole, as bytes, and compared by their
content: every record carries a nonce, so equal bytes mean the same write. Large files (inputs,
results) travel between the folder and local files, and are compared by `Version`.

About the folder, all methods raise the subclasses of `posewatch.base.errors.StorageError` and
nothing else. What goes wrong with a *local* file (the target of `fetch`, the source of
`Staging.add`) passes as the plain `OSError` that it was: it is the cache's trouble, not that of the
folder.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from posewatch.base.errors import StorageError

SMALL_FILE_LIMIT = 1 << 20
"""Bytes that `read` returns at most: records are a few kilobytes; a larger one is not ours."""

HIDDEN_PREFIX = ".posewatch-"
"""How the names begin of everything in the folder that is neither claim, result nor receipt."""


STAGING_PREFIX = f"{HIDDEN_PREFIX}stage-"
"""How the names of the directories begin that `staging_key` gives."""


@dataclass(frozen=True, slots=True)
class Version:
    """Which content a key had.

    Attributes:
        size: in bytes.
        tag: changes whenever the content does (POSIX: the modification time in nanoseconds).
    """

    size: int
    tag: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of a listing.

    Attributes:
        key: where it is.
        version: None where a listing did not look (see `Storage.scan`).
        regular: False for a directory, FIFO, socket or device that has the name of a file.
    """

    key: str
    version: Version | None
    regular: bool = True


@dataclass(frozen=True, slots=True)
class Seen:
    """A small file at one moment.

    Attributes:
        version: of it.
        data: its content, as `Storage.read` gives it.
    """

    version: Version
    data: bytes


@dataclass(frozen=True, slots=True)
class Sighting:
    """What stood somewhere at one moment.

    Attributes:
        key: where.
        seen: the file; None where there was none.
    """

    key: str
    seen: Seen | None


@dataclass(frozen=True, slots=True)
class Skipped:
    """Something that a listing left out, though it may hold inputs.

    Attributes:
        key: where it is; a directory's ends with `/`.
        error: why it could not be listed; None for what is no file of the folder: a symbolic link
            that leaves it, an object whose key no mount could show.
    """

    key: str
    error: StorageError | None


def is_hidden(key: str) -> bool:
    """Whether this is a leftover or a working file of posewatch, see `HIDDEN_PREFIX`."""
    return posixpath.basename(key).startswith(HIDDEN_PREFIX)


def staging_key(beside: str) -> str:
    """The directory that holds the staging areas of all attempts at one input.

    It depends on the input's name alone, so that a newer attempt finds the areas of older ones
    without listing the folder.
    """
    folder, name = posixpath.split(beside)
    digest = hashlib.sha256(os.fsencode(name)).hexdigest()[:20]
    return posixpath.join(folder, f"{STAGING_PREFIX}{digest}")


class Staging(Protocol):
    """Results of one attempt, inside the folder but not yet under their names."""

    def add(self, key: str, source: Path | bytes) -> Version:
        """Take `source`, durably where it is copied in, to be published as `key` later.

        Args:
            key: its final name.
            source: the content. A local file stays as it is until it is published, or this area
                discarded: not every storage makes a copy of it.

        Returns:
            The version that `key` will have once it is published.

        Raises:
            FencedError: a newer attempt has closed this staging area.
        """

    def publish(self, key: str, expected: Version | None) -> Version:
        """Give what was added for `key` its final name, whole and at once.

        Args:
            key: as given to `add`.
            expected: None to create exclusively; else the version to replace.

        Raises:
            ExistsError: `expected` is None and the name is taken.
            ChangedError: the file there is not `expected`.
            FencedError: a newer attempt has closed this staging area; nothing was published.
        """

    def discard(self) -> None:
        """Remove whatever was not published."""


class Storage(Protocol):
    """The watched folder. Safe to use from several threads."""

    @property
    def tags_stay(self) -> bool:
        """Whether a published file has the tag that `Staging.add` told until it is changed.

        Times do not stay: who copies a folder loses them.
        """

    @property
    def conditional(self) -> bool:
        """Whether each write is judged by its condition where it is done (in a bucket).

        There a look before a write tells nothing that the answer does not, and costs a request; and
        a receipt is written only if nothing else was since its staging area was opened.
        """

    @property
    def readers(self) -> int:
        """How many small files are worth reading at the same time."""

    def scan(
        self,
        wants_version: Callable[[str], bool],
        on_skipped: Callable[[Skipped], None] | None = None,
    ) -> Iterator[Entry]:
        """Every file below the root, in no particular order.

        What begins with a dot is left out, except what has `HIDDEN_PREFIX`; a hidden directory is
        an entry, and is not entered. Other directories are entries (with `regular=False`) only when
        `wants_version` of their key says so. A link to a file is followed while that lies below the
        root; a link to a directory is not, since what is in there is listed under its own name.

        Args:
            wants_version: whether the version of this key is wanted. It costs a system call for
                each key on a POSIX folder, so it is asked for by name; a bucket is not asked, since
                its listing has all versions.
            on_skipped: told of each directory that could not be listed, or not to its end, and of
                each link that leaves the root. What is missing from the listing below such a
                directory must not be taken for deleted.

        Raises:
            UnmountedError: the root is not the folder that it was. Raised before the first entry
                or after the last, so a listing that ends without it, and of which nothing was
                skipped, is whole.
            StorageError: the root itself could not be listed.
        """

    def stat(self, key: str) -> Entry | None:
        """The file as it is now (its version is always given), or None.

        None also for a link that leaves the folder.
        """

    def read(self, key: str) -> bytes:
        """A small file whole, or the first `SMALL_FILE_LIMIT` bytes of a larger one.

        Raises:
            MissingError: there is none.
        """

    def look(self, key: str) -> Seen | None:
        """A small file with its version, or None; not dearer than `stat` and `read` together."""

    def create(self, key: str, data: bytes) -> None:
        """Create a small file, atomically and with its content; only one client can win.

        Raises:
            ExistsError: the name is taken.
        """

    def overwrite(self, key: str, old: bytes, new: bytes) -> None:
        """Replace the content of a small file that is still `old`; never brings back a removed one.

        `new` must be as long as `old`, so that nothing ever has to be cut off.

        Raises:
            MissingError: it was removed.
            ChangedError: its content is not `old`.
            ValueError: the lengths differ.
        """

    def remove(self, key: str, old: bytes, *, sure: bool = False) -> None:
        """Remove a small file whose content is still `old`; a missing one is fine.

        Args:
            key: where.
            old: what was seen or written there last.
            sure: whether nobody else writes there at this time, so that one need not look, where
                that costs a request.

        Raises:
            ChangedError: its content is not `old`.
        """

    def fetch(self, key: str, version: Version, target: Path, moved: Callable[[int], None]) -> str:
        """Copy an input into the local file `target`; returns its sha256 in hex.

        What is copied is `version` as a whole, which was still there after this was called.

        Args:
            key: the input.
            version: the version that is wanted.
            target: a local path; what is there is replaced, unless it is what an interrupted
                `fetch` of the same version has left there, which may be continued.
            moved: called with the number of bytes of each piece copied. What it raises, passes.

        Raises:
            ChangedError: the input is not, or no longer, `version`, or no regular file.
            MissingError: it is gone.
            OSError: `target` could not be written.
        """

    def stage(self, token: str, beside: str, sighting: Sighting | None = None) -> Staging:
        """Open the staging area of one attempt.

        Args:
            token: the nonce of the attempt's claim; letters and digits.
            beside: the key of the input, whose results will be published.
            sighting: what the attempt has seen under the name of the receipt, and decided by.

        Raises:
            FencedError: a newer attempt has closed this area for ever.
            ChangedError: (buckets) what stands there is not that of `sighting` any more.
        """

    def fence(self, tokens: Iterable[str], beside: str) -> Sighting | None:
        """Close the staging areas of all older attempts at one input.

        When this returns, nothing that had been staged for this input, by whomever, and was not yet
        published, ever will be; and nobody can open an area for one of `tokens` any more, until
        `sweep(staging_key(beside))`.

        Returns:
            What stood under the name of the receipt when all areas were closed, where a storage had
            to look at it for that; else None.
        """

    def sweep(self, key: str) -> None:
        """Remove a hidden leftover (`HIDDEN_PREFIX`), whatever it is; a missing one is fine.

        Raises:
            ValueError: `key` is not hidden.
        """


@dataclass(frozen=True, slots=True)
class QueueMessage:
    """What a queue has handed out.

    Attributes:
        body: its text.
        handle: by which it is removed.
    """

    body: str
    handle: str


class Queue(Protocol):
    """A queue of messages, each for one reader."""

    def receive(self) -> Sequence[QueueMessage]:
        """Wait for some, not for ever; none may have come.

        Raises:
            StorageError: the queue does not answer.
        """

    def remove(self, messages: Sequence[QueueMessage]) -> None:
        """Remove what was read.

        Raises:
            StorageError: the queue does not answer.
        """
