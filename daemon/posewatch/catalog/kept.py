"""What is kept beside the videos: their receipts, and the results that those name."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from posewatch.catalog import records
from posewatch.catalog.records import told_by
from posewatch.catalog.verdict import ReceiptFacts
from posewatch.formats import names
from posewatch.formats.receipt import Foreign, Receipt
from posewatch.storage.contract import Version

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from posewatch.catalog.packed import Packed
    from posewatch.catalog.records import Told
    from posewatch.catalog.verdict import Rules


@dataclass(slots=True)
class Kept:
    """As the last listing found it, and as this process has written it since.

    Attributes:
        foreign: the names of receipts under which something stands that is not ours.
    """

    foreign: set[str] = field(default_factory=set)
    _versions: MutableMapping[str, Version] = field(default_factory=records.versions)
    _receipts: Packed[ReceiptFacts] = field(default_factory=records.receipts)
    _own: dict[str, float] = field(default_factory=dict)  # what this process wrote, and when

    def listed(
        self, found: MutableMapping[str, Version], began: float, unlisted: tuple[str, ...]
    ) -> None:
        """Take a listing over.

        Args:
            found: receipts and results, by their keys; ours from now on.
            began: when the listing began: what was written since then is newer.
            unlisted: prefixes of the keys that could not be listed; what was there, still is.
        """
        if unlisted:
            old = self._versions.items()
            found.update((k, v) for k, v in old if k.startswith(unlisted) and k not in found)
        self._own = {key: wrote for key, wrote in self._own.items() if wrote >= began}
        for key in self._own:
            found[key] = self._versions[key]
        self._versions = found
        for key in self._receipts:
            if key not in found:
                del self._receipts[key]
        self._receipts.tidy()
        self.foreign = {key for key in self.foreign if key in found}

    def read(self, key: str, told: Told, *, redoable: bool) -> None:
        """Note what a scan has read, unless this process has written there since.

        Args:
            key: where the receipt is.
            told: what it says.
            redoable: see `ReceiptFacts`.
        """
        if key not in self._own:
            self._note(key, told, redoable=redoable)

    def published(
        self, key: str, version: Version, receipt: Receipt | Foreign | None, now: float
    ) -> None:
        """Note what this process has just written, or found: it is newer than any listing.

        Args:
            key: where the receipt is.
            version: of the receipt.
            receipt: its content; its results are there.
            now: the time.
        """
        self._note(key, told_by(key, version, receipt), redoable=True)
        if receipt is not None:
            self._versions[key] = version
        if isinstance(receipt, Receipt):
            folder, _ = names.split(key)
            results = {folder + r.name: Version(r.size, r.tag) for r in receipt.results}
            self._versions.update(results)
            self._own |= dict.fromkeys((key, *results), now)

    def _note(self, key: str, told: Told, *, redoable: bool) -> None:
        self.foreign.discard(key)
        if isinstance(told, ReceiptFacts):
            known = self._receipts.get(key)
            again = known is not None and known.version == told.version and known.redoable
            self._receipts[key] = replace(told, redoable=redoable or again)
        else:
            self._receipts.pop(key, None)
            if told is not None:
                self.foreign.add(key)

    def outdate(self) -> None:
        """Let another recipe outdate every receipt that is known now."""
        for key, receipt in self._receipts.items():
            self._receipts[key] = replace(receipt, redoable=True)

    def receipt(self, key: str) -> ReceiptFacts | None:
        """What the receipt says that stands there."""
        return self._receipts.get(key)

    def are_whole(self, receipt: ReceiptFacts, rules: Rules) -> bool:
        """Whether the results of a receipt are there as it has them."""
        return all(self._is(key, version, rules) for key, version in receipt.results)

    def _is(self, key: str, version: Version, rules: Rules) -> bool:
        there = self._versions.get(key)
        if there is None or there.size != version.size:
            return False
        return not rules.tags or there.tag == version.tag
