"""Videos that differ in their suffix only, so that their results would have the same names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from posewatch.formats import names

if TYPE_CHECKING:
    from collections.abc import Collection, Container


class Rivals:
    """Of each video the others of its stem, as far as they were noted."""

    def __init__(self) -> None:
        self._by_stem: dict[str, list[str]] = {}

    def find(self, videos: Collection[str]) -> None:
        """Find them among all videos; forgets what was noted before."""
        # There are few, so by the hashes first: a set of all stems would take more memory than all
        # that the catalog remembers.
        hashes = np.fromiter((hash(names.stem(key)) for key in videos), np.int64, len(videos))
        hashes.sort()
        twice = set(hashes[1:][hashes[1:] == hashes[:-1]].tolist())
        found: dict[str, list[str]] = {}
        for key in videos if twice else ():
            if hash(names.stem(key)) in twice:
                found.setdefault(names.stem(key), []).append(key)
        self._by_stem = {stem: keys for stem, keys in found.items() if len(keys) > 1}

    def note(self, key: str, videos: Container[str], suffixes: tuple[str, ...]) -> None:
        """Note one new video, beside those that are there already.

        Args:
            key: the new one.
            videos: those that are there.
            suffixes: of videos, in lower case.
        """
        stem = names.stem(key)
        spellings = {stem + s for suffix in suffixes for s in (suffix, suffix.upper())}
        if same := {spelling for spelling in spellings if spelling in videos}:
            self._by_stem[stem] = sorted(same | {key, *self._by_stem.get(stem, ())})

    def of(self, key: str) -> list[str]:
        """All videos of this one's stem, with itself; some may be gone. Empty where it is alone."""
        return self._by_stem.get(names.stem(key), []) if self._by_stem else []
