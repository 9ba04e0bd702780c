"""One listing of the folder, reduced to what decisions need."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from posewatch.catalog.records import versions
from posewatch.catalog.verdict import NOT_REGULAR
from posewatch.claims.names import input_of_lock
from posewatch.formats import names
from posewatch.storage.contract import Entry, Version, is_hidden

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, MutableMapping


@dataclass(slots=True)
class Listing:
    """One whole listing of the folder, reduced to what matters.

    Attributes:
        videos: the inputs and their versions, by name.
        kept: receipts and results, and their versions.
        locks: the keys of all lock files.
        hidden: hidden leftovers, and their versions.
    """

    videos: Mapping[str, Version] = field(default_factory=versions)
    kept: MutableMapping[str, Version] = field(default_factory=versions)
    locks: list[str] = field(default_factory=list)
    hidden: dict[str, Version | None] = field(default_factory=dict)

    @classmethod
    def of(cls, entries: Iterable[Entry], suffixes: tuple[str, ...]) -> Listing:
        """Sort the entries of `Storage.scan` by what they are; others are dropped."""
        listing, videos = cls(), versions()
        last, in_order = "", True
        for entry in entries:
            key = entry.key
            if names.is_input(key, suffixes):
                videos[key] = version_of(entry)
                last, in_order = key, in_order and last < key
            elif is_hidden(key):
                listing.hidden[key] = entry.version
            elif names.is_kept(key):
                if entry.version is not None and entry.regular:
                    listing.kept[key] = entry.version
            # Only the lock of a video is one of ours: other programs leave `Cargo.lock` and such.
            elif (locked := input_of_lock(key)) and names.is_input(locked, suffixes):
                listing.locks.append(key)
        # The listing of a bucket is in order.
        listing.videos = videos if in_order else versions(sorted(videos.items()))
        return listing


def wants_version(key: str, suffixes: tuple[str, ...]) -> bool:
    """Whether a listing should give the version of this key (see `Storage.scan`)."""
    return names.is_input(key, suffixes) or names.is_kept(key) or is_hidden(key)


def version_of(entry: Entry) -> Version:
    """The version of an input; the same for everything that is no regular file."""
    if not entry.regular or entry.version is None:
        return Version(0, NOT_REGULAR)
    return entry.version
