"""The memory between listings."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from posewatch.catalog.listing import version_of
from posewatch.catalog.verdict import (
    Held,
    ReceiptFacts,
    Rules,
    State,
    Verdict,
    View,
    Why,
    decide,
)
from posewatch.formats import names
from posewatch.formats.receipt import Foreign, Receipt
from posewatch.storage.contract import Entry, Version

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from posewatch.catalog.listing import Listing
    from posewatch.formats.receipt import InputRecord, ResultRecord


@dataclass(frozen=True, slots=True)
class Job:
    """A video to be worked on.

    Attributes:
        key: the input.
        version: the content that was seen.
        why: the reason.
        receipt_key: where its receipt goes.
        taken_by: the file name of what has the names of its results or receipt: another video, or a
            foreign file.
        seen_at: when this version was first seen, by the monotonic clock.
        closed_at: when a local program closed it, if that was seen.
        look_again: whether only a hint has told of it, so that its version must be looked at again
            before it is taken for settled.
        bugs: how often this process failed on it for no reason that it knows.
    """

    key: str
    version: Version
    why: Why
    receipt_key: str
    taken_by: str | None
    seen_at: float
    closed_at: float | None
    look_again: bool = False
    bugs: int = 0


@dataclass(slots=True)
class _Video:
    """One input.

    Attributes:
        version: as it was last seen.
        first_seen: when this version was first seen.
        looked_at: when it was last looked at; a listing that began before knows less.
        scans: how many scans in a row saw this version.
        closed_at: when a local program closed it, if that was seen.
        not_before: when it may be tried again.
        bugs: see `Job`.
        mine: whether it is in this process's share.
    """

    version: Version
    first_seen: float
    looked_at: float
    mine: bool
    scans: int = 0
    closed_at: float | None = None
    not_before: float = 0.0
    bugs: int = 0


@dataclass(slots=True)
class Catalog:
    """What is known about the folder. Not thread-safe: it belongs to the loop.

    All times are of the monotonic clock.
    """

    rules: Rules
    _videos: dict[str, _Video] = field(default_factory=dict)
    _receipts: dict[str, ReceiptFacts] = field(default_factory=dict)
    _foreign: set[str] = field(default_factory=set)  # not ours, under names of receipts
    _kept: dict[str, Version] = field(default_factory=dict)  # receipts and results
    _own: dict[str, float] = field(default_factory=dict)  # what of that we wrote, and when
    _rivals: dict[str, list[str]] = field(default_factory=dict)  # inputs that share a stem
    _held: dict[str, Held] = field(default_factory=dict)
    _open: dict[str, float] = field(default_factory=dict)  # neither done nor failed, since when
    _failed: set[str] = field(default_factory=set)
    _ready: dict[str, None] = field(default_factory=dict)  # the open ones that `jobs` looks at
    _closing: set[str] = field(default_factory=set)  # closed, and not handed out since
    _scans: int = 0
    _oldest_waiting: float | None = None

    # What comes in from a scan

    def scanned(
        self,
        listing: Listing,
        now: float,
        *,
        began: float | None = None,
        unlisted: Iterable[str] = (),
    ) -> None:
        """Take a whole listing in; `settle_up` is to follow when its receipts are known.

        Args:
            listing: what was found.
            now: the time.
            began: when the listing began; what was looked at since then is newer. Default: `now`.
            unlisted: prefixes of the keys that could not be listed: what is missing there is not
                gone.
        """
        began = now if began is None else began
        hidden = tuple(unlisted)
        videos = {key: self._seen(key, version, began) for key, version in listing.videos.items()}
        for key, known in self._videos.items():
            if key not in videos and (known.looked_at > began or key.startswith(hidden)):
                videos[key] = known
        self._videos = videos
        self._rivals = _rivals(videos)
        # The objects that are known already: receipts refer to them, and there are many.
        before = self._kept
        kept = {
            key: there if (there := before.get(key)) == version else version
            for key, version in listing.kept.items()
        }
        if hidden:
            kept |= {k: v for k, v in self._kept.items() if k not in kept and k.startswith(hidden)}
        self._own = {key: wrote for key, wrote in self._own.items() if wrote >= began}
        kept |= {key: self._kept[key] for key in self._own}
        self._kept = kept
        for key in self._receipts.keys() - kept.keys():
            del self._receipts[key]
        self._foreign &= kept.keys()

    def _seen(self, key: str, version: Version, began: float) -> _Video:
        known = self._videos.get(key)
        if known is None or (known.version != version and known.looked_at <= began):
            return _Video(version, began, began, self.rules.share.has(key), scans=1)
        if known.version == version:
            known.scans += 1
        return known

    def receipt_read(self, key: str, version: Version, receipt: Receipt | Foreign | None) -> None:
        """What the receipt at `key` says, as a scan has read it.

        Args:
            key: where it is.
            version: of the receipt.
            receipt: its content; None where it is damaged.
        """
        if key not in self._own:  # else ours is newer
            self._note_receipt(key, version, receipt, ours=False)

    def _note_receipt(
        self, key: str, version: Version, receipt: Receipt | Foreign | None, *, ours: bool
    ) -> None:
        self._foreign.discard(key)
        if not isinstance(receipt, Receipt):
            self._receipts.pop(key, None)
            if receipt is not None:
                self._kept[key] = version
                self._foreign.add(key)
            return
        folder, _ = names.split(key)
        known = self._receipts.get(key)
        again = known is not None and known.version == version and known.redoable
        self._kept[key] = version
        self._receipts[key] = ReceiptFacts(
            key=key,
            version=version,
            done=receipt.outcome == "done",
            input_name=receipt.input.name,
            input_version=self._shared(folder + receipt.input.name, receipt.input),
            recipe_hash=sys.intern(receipt.recipe.hash),
            results=tuple(
                (folder + r.name, self._shared(folder + r.name, r)) for r in receipt.results
            ),
            redoable=ours or again or self._scans == 0,
        )

    def _shared(self, key: str, record: InputRecord | ResultRecord) -> Version:
        """The version that a receipt tells of; the very object of the listing where it is that."""
        version, video = Version(record.size, record.tag), self._videos.get(key)
        there = video.version if video is not None else self._kept.get(key)
        return there if there == version else version

    def settle_up(self, held: Mapping[str, Held], now: float) -> Counter[State]:
        """Judge every video after a listing; how many stand where.

        Args:
            held: the inputs with a live claim, and who holds it.
            now: the time.
        """
        self._held = dict(held)
        self._scans += 1
        counts: Counter[State] = Counter()
        before, self._open, self._failed, ready = self._open, {}, set(), []
        for key in self._videos:
            state = self.verdict(key, now).state
            counts[state] += 1
            if state is State.FAILED:
                self._failed.add(key)
            elif state is not State.DONE:
                self._open[key] = before.get(key, now)
                if state is State.WAITING:
                    ready.append(key)
        self._oldest_waiting = min((self._open[key] for key in ready), default=None)
        self._closing &= self._open.keys()
        # The longest known first; of those seen at the same time, by name.
        ready.sort(key=lambda key: (self._videos[key].first_seen, key))
        self._ready = dict.fromkeys((*ready, *sorted(self._closing)))
        return counts

    def change_rules(self, rules: Rules) -> None:
        """Decide by other rules from now on; another recipe outdates all receipts of now."""
        if rules.recipe_hash != self.rules.recipe_hash:
            self._receipts = {k: replace(r, redoable=True) for k, r in self._receipts.items()}
        self.rules = rules

    # What comes in between scans

    def closed(self, key: str, entry: Entry, now: float) -> None:
        """A program on this machine finished writing this input, or moved it in."""
        if not names.is_input(key, self.rules.suffixes):
            return
        version = version_of(entry)
        video = self._videos.get(key)
        if video is None:
            self._note_rivals(key)
        if video is None or video.version != version:
            mine = self.rules.share.has(key)
            video = self._videos[key] = _Video(version, now, now, mine)
        video.closed_at = video.looked_at = now
        if self.verdict(key, now).state in {State.DONE, State.FAILED}:
            return
        self._failed.discard(key)
        self._open.setdefault(key, now)
        self._closing.add(key)
        self._ready.setdefault(key)

    def _note_rivals(self, key: str) -> None:
        stem = names.stem(key)
        spellings = {stem + s for suffix in self.rules.suffixes for s in (suffix, suffix.upper())}
        if same := spellings & self._videos.keys():
            self._rivals[stem] = sorted(same | {key, *self._rivals.get(stem, ())})

    def gone(self, key: str, version: Version | None = None) -> None:
        """The input is not there any more, or not in this version any more."""
        video = self._videos.get(key)
        if video is None or version not in {None, video.version}:
            return
        del self._videos[key]
        self._open.pop(key, None)
        self._failed.discard(key)
        self._ready.pop(key, None)
        self._closing.discard(key)

    def taken(self, key: str) -> None:
        """This process works on the input now."""
        self._held[key] = Held.HERE
        self._closing.discard(key)

    def held_elsewhere(self, key: str) -> None:
        """Somebody else was quicker; the next scan tells who."""
        self._held[key] = Held.ELSEWHERE

    def let_go(self, key: str, now: float, *, wait: float = 0.0, bug: bool = False) -> None:
        """This process works on the input no more.

        Args:
            key: the input.
            now: the time.
            wait: seconds before it may be tried again.
            bug: whether that is for a reason that nobody expected.
        """
        self._held.pop(key, None)
        video = self._videos.get(key)
        if video is None:
            return
        video.not_before = now + wait
        video.bugs += bug
        state = self.verdict(key, now).state
        if state is State.FAILED:
            self._failed.add(key)
            video.bugs = 0  # should somebody forget the failure, it begins anew
        if state in {State.DONE, State.FAILED}:
            self._open.pop(key, None)
            self._ready.pop(key, None)
        else:
            self._ready.setdefault(key)

    def published(
        self, key: str, version: Version, receipt: Receipt | Foreign | None, now: float
    ) -> None:
        """This process knows what stands in the folder, newer than any scan that has begun.

        Args:
            key: where the receipt is.
            version: of the receipt.
            receipt: its content; its results are there.
            now: the time.
        """
        self._note_receipt(key, version, receipt, ours=True)
        if isinstance(receipt, Receipt):
            folder, _ = names.split(key)
            self._kept.update((folder + r.name, Version(r.size, r.tag)) for r in receipt.results)
            self._own |= dict.fromkeys((key, *(folder + r.name for r in receipt.results)), now)

    # What goes out

    def jobs(
        self, now: float, limit: int, held_back: Callable[[str], bool] = lambda _key: False
    ) -> list[Job]:
        """The videos of this process's share that may be claimed now, the longest known first.

        Args:
            now: the time.
            limit: how many at most.
            held_back: which are not to be tried for other reasons.
        """
        found: list[Job] = []
        for key in self._ready:
            if len(found) >= limit:
                break
            video = self._videos[key]
            if not video.mine or held_back(key):
                continue
            verdict = self.verdict(key, now)
            if verdict.state is not State.WAITING or verdict.why is None or now < video.not_before:
                continue
            owner = self.owner(key)
            found.append(
                Job(
                    key=key,
                    version=video.version,
                    why=verdict.why,
                    receipt_key=self.receipt_key(key),
                    taken_by=None if owner == key else names.split(owner)[1],
                    seen_at=video.first_seen,
                    closed_at=video.closed_at,
                    look_again=video.scans < self.rules.scans,
                    bugs=video.bugs,
                )
            )
        return found

    def next_ready(self, now: float) -> float | None:
        """When the next closed file will have rested for long enough."""
        moments = [self.verdict(key, now).ready_at for key in self._closing]
        return min((m for m in moments if m is not None and m > now), default=None)

    def __len__(self) -> int:
        """How many videos are known."""
        return len(self._videos)

    def keys(self) -> Iterable[str]:
        """All videos that are known."""
        return self._videos.keys()

    def knows(self, key: str) -> bool:
        """Whether the input was there when it was last looked at."""
        return key in self._videos

    @property
    def open(self) -> int:
        """How many videos are neither done nor failed."""
        return len(self._open)

    @property
    def failed(self) -> int:
        """How many videos have a failure for what they are now."""
        return len(self._failed)

    @property
    def oldest_waiting(self) -> float | None:
        """Since when, of the videos that the last listing found waiting, one is unfinished at most.

        Being claimed in between does not make it younger.
        """
        return self._oldest_waiting

    def open_keys(self) -> Iterable[str]:
        """The videos that are neither done nor failed."""
        return self._open

    def open_mine(self) -> Iterator[str]:
        """Those of them that are in this process's share."""
        return (key for key in self._open if self._videos[key].mine)

    def finished(self, key: str) -> bool:
        """Whether nobody needs the locks of this input: it is done, failed, or gone."""
        return key not in self._open

    def receipt_key(self, key: str) -> str:
        """Where the receipt of this input is, or goes."""
        return names.receipt_key(key) if self.owner(key) == key else names.refusal_key(key)

    def owner(self, key: str) -> str:
        """What owns the names of results and receipt: this input, unless it has rivals.

        A foreign file under the receipt's name owns it.
        Of several videos that differ in their suffix only, the one that the receipt is about; where
        there is none, the one that was seen first, then the first by name.
        """
        if names.receipt_key(key) in self._foreign:
            return names.receipt_key(key)
        rivals = [r for r in self._rivals.get(names.stem(key), ()) if r in self._videos]
        if len(rivals) < 2:
            return key
        receipt = self._receipts.get(names.receipt_key(key))
        folder, _ = names.split(key)
        if receipt is not None and folder + receipt.input_name in rivals:
            return folder + receipt.input_name
        return min(rivals, key=lambda rival: (self._videos[rival].first_seen, rival))

    def verdict(self, key: str, now: float) -> Verdict:
        """Where one known video stands."""
        if names.too_long(key):  # nothing can be written beside it, not even this
            return Verdict(State.FAILED)
        video = self._videos[key]
        owner = self.owner(key) == key
        receipt = self._receipts.get(names.receipt_key(key) if owner else names.refusal_key(key))
        if receipt is not None and receipt.input_name != names.split(key)[1]:
            receipt = None  # about an earlier file of the same stem, which is gone
        view = View(
            version=video.version,
            first_seen=video.first_seen,
            scans=video.scans,
            closed_at=video.closed_at,
            held=self._held.get(key),
            receipt=receipt,
            results_whole=receipt is not None
            and all(self._is(key, version) for key, version in receipt.results),
            owner=owner,
        )
        return decide(view, self.rules, now)

    def _is(self, key: str, version: Version) -> bool:
        """Whether a result is there as its receipt has it."""
        there = self._kept.get(key)
        if there is None or there.size != version.size:
            return False
        return not self.rules.tags or there.tag == version.tag


def _rivals(videos: Iterable[str]) -> dict[str, list[str]]:
    """The inputs that differ in their suffix only, by their stem."""
    first: dict[str, str] = {}
    rivals: dict[str, list[str]] = {}
    for key in videos:
        stem = names.stem(key)
        if first.setdefault(stem, key) != key:
            rivals.setdefault(stem, [first[stem]]).append(key)
    return rivals
