"""What a watched folder can do, whatever backs it.

A key is a path below the folder's root: `/` between the parts, no leading `/`. A name that is not
valid UTF-8 is carried with surrogate escapes, as `os.fsdecode` gives it.

Small files (lock records, receipts) are read and written whole, as bytes, and compared by their
content: every record carries a nonce, so equal bytes mean the same write. Large files (inputs,
results) travel between the folder and local files, and are compared by `Version`.

All methods raise the subclasses of `posewatch.base.errors.StorageError` and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SMALL_FILE_LIMIT = 1 << 20
"""Bytes that `read` returns at most: records are a few kilobytes; a larger one is not ours."""

HIDDEN_PREFIX = ".posewatch-"
"""How the names begin of everything in the folder that is neither claim, result nor receipt."""


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
        version: None where the listing did not look (see `Storage.scan`).
        regular: False for a directory, FIFO, socket or device that has the name of a file.
    """

    key: str
    version: Version | None
    regular: bool = True


class Staging(Protocol):
    """Results of one attempt, inside the folder but not yet under their names."""

    def add(self, key: str, source: Path | bytes) -> None:
        """Copy `source` in, durably, to be published as `key` later.

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

    def scan(self, wants_version: Callable[[str], bool]) -> Iterator[Entry]:
        """Every file below the root, in no particular order.

        Files whose name begins with a dot are left out, except those with `HIDDEN_PREFIX`.
        Directories are entries (with `regular=False`) only when `wants_version` of their key says
        so. A symbolic link is followed while it stays below the root; one that leaves it is left
        out.

        Args:
            wants_version: whether the version of this key is wanted. It costs a system call for
                each key on a POSIX folder, so it is asked for by name.

        Raises:
            UnmountedError: the root is not the folder that it was. Raised before the first entry
                or after the last, so a listing that ends without it is whole.
        """

    def stat(self, key: str) -> Entry | None:
        """The file as it is now (its version is always given), or None."""

    def read(self, key: str) -> bytes:
        """A small file whole. Raises `MissingError`."""

    def create(self, key: str, data: bytes) -> None:
        """Create a small file, atomically and with its content; only one client can win.

        Raises:
            ExistsError: the name is taken.
        """

    def overwrite(self, key: str, old: bytes, new: bytes) -> None:
        """Replace the content of a small file that is still `old`; never brings back a removed one.

        Raises:
            MissingError: it was removed.
            ChangedError: its content is not `old`.
        """

    def remove(self, key: str, old: bytes) -> None:
        """Remove a small file whose content is still `old`; a missing one is fine.

        Raises:
            ChangedError: its content is not `old`.
        """

    def fetch(self, key: str, version: Version, target: Path, moved: Callable[[int], None]) -> str:
        """Copy an input into the local file `target`; returns its sha256 in hex.

        Args:
            key: the input.
            version: the version that is wanted.
            target: a local path; what is there is replaced. Removed when this fails.
            moved: called with the number of bytes of each piece copied. What it raises, passes.

        Raises:
            ChangedError: the input is not, or no longer, `version`.
            MissingError: it is gone.
        """

    def stage(self, token: str, beside: str) -> Staging:
        """Open the staging area of one attempt.

        Args:
            token: the nonce of the attempt's claim; letters and digits.
            beside: the key of the input, whose results will be published.

        Raises:
            FencedError: a newer attempt has closed this area for ever.
        """

    def fence(self, token: str, beside: str) -> None:
        """Close the staging area of an older attempt.

        When this returns, nothing that was staged under `token` and is not yet published ever
        will be.
        """

    def sweep(self, key: str) -> None:
        """Remove a hidden leftover (`HIDDEN_PREFIX`), whatever it is; a missing one is fine."""
