"""The memory between listings."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING

from posewatch.catalog import records
from posewatch.catalog.kept import Kept
from posewatch.catalog.listing import version_of
from posewatch.catalog.records import Video
from posewatch.catalog.rivals import Rivals
from posewatch.catalog.verdict import (
    FINISHED,
    OPEN,
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

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from posewatch.catalog.listing import Listing
    from posewatch.catalog.packed import Packed
    from posewatch.catalog.records import Told
    from posewatch.formats.receipt import Foreign, Receipt
    from posewatch.storage.contract import Entry, Version


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
class Catalog:
    """What is known about the folder. Not thread-safe: it belongs to the loop.

    All times are of the monotonic clock.
    """

    rules: Rules
    _videos: Packed[Video] = field(default_factory=records.videos)  # the longest known first
    _kept: Kept = field(default_factory=Kept)
    _rivals: Rivals = field(default_factory=Rivals)
    _held: dict[str, Held] = field(default_factory=dict)
    _counts: Counter[tuple[State, bool]] = field(default_factory=Counter)  # and whether mine
    _later: Iterator[str] = field(default_factory=lambda: iter(()))  # that wait since the scan
    _ready: dict[str, None] = field(default_factory=dict)  # those of them that were looked at
    _after: dict[str, None] = field(default_factory=dict)  # that may wait since then
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
            listing: what was found; its `kept` is the catalog's from now on.
            now: the time.
            began: when the listing began; what was looked at since then is newer. Default: `now`.
            unlisted: prefixes of the keys that could not be listed: what is missing there is not
                gone.
        """
        began = now if began is None else began
        hidden = tuple(unlisted)
        self._later = iter(())
        known, fresh = len(self._videos), 0
        for key, version in listing.videos.items():
            fresh += self._seen(key, version, began)
        if vanished := known + fresh - len(listing.videos):
            for key, video in self._videos.items():
                newer = video.looked_at > began or key.startswith(hidden)
                if key not in listing.videos and not newer:
                    self._forget(key, video)
        self._videos.tidy()
        if fresh or vanished:
            self._rivals.find(self._videos)
        self._kept.listed(listing.kept, began, hidden)

    def _seen(self, key: str, version: Version, began: float) -> bool:
        """Note what a listing has; whether it was not known at all."""
        video = self._videos.get(key)
        if video is None or (video.version != version and video.looked_at <= began):
            if video is not None:
                self._forget(key, video)  # it is the last one now
            self._remember(key, Video(version, began, began, self.rules.share.has(key), scans=1))
        elif video.version == version and video.scans < self.rules.scans:
            video.scans += 1
            self._videos[key] = video
        return video is None

    def _remember(self, key: str, video: Video) -> None:
        self._videos[key] = video
        self._counts[video.state, video.mine] += 1

    def _forget(self, key: str, video: Video) -> None:
        del self._videos[key]
        self._counts[video.state, video.mine] -= 1

    def _judge(self, key: str, video: Video, now: float) -> State:
        """Judge a video, and keep it with that."""
        state = self._verdict(key, video, now).state
        if state is not video.state:
            self._counts[video.state, video.mine] -= 1
            self._counts[state, video.mine] += 1
            self._change(video, state, now)
        self._videos[key] = video
        return state

    @staticmethod
    def _change(video: Video, state: State, now: float) -> None:
        if state in FINISHED:
            video.reopened = None
        elif video.state in FINISHED:
            video.reopened = now
        video.state = state

    def receipt_read(self, key: str, told: Told) -> None:
        """What the receipt at `key` says, as a scan has read it."""
        self._kept.read(key, told, redoable=self._scans == 0)

    def settle_up(self, held: Mapping[str, Held], now: float) -> Counter[State]:
        """Judge every video after a listing; how many stand where.

        Args:
            held: the inputs with a live claim, and who holds it.
            now: the time.
        """
        self._held = dict(held)
        self._scans += 1
        counts: Counter[tuple[State, bool]] = Counter()
        oldest = math.inf
        for key, video in self._videos.items():
            before = video.state
            state = self._verdict(key, video, now).state
            counts[state, video.mine] += 1
            if state is not before:
                self._change(video, state, now)
                self._videos[key] = video
            if state is State.WAITING:
                oldest = min(oldest, video.unfinished_since)
        self._counts = counts
        found = Counter({state: self.count({state}) for state in State})
        self._oldest_waiting = oldest if found[State.WAITING] else None
        self._closing = {key for key in self._closing if not self.finished(key)}
        self._ready, self._after = {}, dict.fromkeys(sorted(self._closing))
        self._later = self._waiting() if found[State.WAITING] else iter(())
        return found

    def _waiting(self) -> Iterator[str]:
        """Those that wait since the scan, in the order in which they came."""
        for key, video in self._videos.items():
            waits = video.state is State.WAITING and video.mine
            if waits and key not in self._ready and key not in self._after:
                self._ready[key] = None
                yield key

    def change_rules(self, rules: Rules) -> None:
        """Decide by other rules from now on; another recipe outdates all receipts of now."""
        if rules.recipe_hash != self.rules.recipe_hash:
            self._kept.outdate()
        self.rules = rules

    # What comes in between scans

    def closed(self, key: str, entry: Entry, now: float) -> None:
        """A program on this machine finished writing this input, or moved it in."""
        if not names.is_input(key, self.rules.suffixes):
            return
        version = version_of(entry)
        video = self._videos.get(key)
        if video is None:
            self._rivals.note(key, self._videos, self.rules.suffixes)
        if video is None or video.version != version:
            if video is not None:
                self._forget(key, video)
            video = Video(version, now, now, self.rules.share.has(key))
            self._remember(key, video)
        video.closed_at = video.looked_at = now
        if self._judge(key, video, now) not in FINISHED:
            self._closing.add(key)
            self._wait(key)

    def _wait(self, key: str) -> None:
        if key not in self._ready:
            self._after[key] = None

    def _wait_no_more(self, key: str) -> None:
        self._ready.pop(key, None)
        self._after.pop(key, None)

    def gone(self, key: str, version: Version | None = None) -> None:
        """The input is not there any more, or not in this version any more."""
        video = self._videos.get(key)
        if video is None or version not in {None, video.version}:
            return
        self._forget(key, video)
        self._wait_no_more(key)
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
        video.not_before = now + wait if wait else None
        video.bugs += bug
        state = self._judge(key, video, now)
        if state is State.FAILED and video.bugs:
            video.bugs = 0  # should somebody forget the failure, it begins anew
            self._videos[key] = video
        if state in FINISHED:
            self._wait_no_more(key)
        else:
            self._wait(key)

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
        self._kept.published(key, version, receipt, now)

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
        if limit <= 0:
            return found
        # Those that wait since the scan are looked at when it is their turn, and kept in `_ready`.
        for key in chain(tuple(self._ready), self._later, tuple(self._after)):
            video = self._videos[key]
            if not video.mine or held_back(key):
                continue
            verdict = self._verdict(key, video, now)
            if verdict.state is not State.WAITING or verdict.why is None:
                continue
            if video.not_before is not None and now < video.not_before:
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
            if len(found) == limit:
                break
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
        return self._videos

    def knows(self, key: str) -> bool:
        """Whether the input was there when it was last looked at."""
        return key in self._videos

    @property
    def open(self) -> int:
        """How many videos are neither done nor failed."""
        return self.count(OPEN)

    @property
    def failed(self) -> int:
        """How many videos have a failure for what they are now."""
        return self.count({State.FAILED})

    def count(self, states: Collection[State], *, mine: bool = False) -> int:
        """How many videos stood in one of these states when they were last judged.

        Args:
            states: which.
            mine: count those only that are in this process's share.
        """
        shares = (True,) if mine else (True, False)
        return sum(self._counts[state, share] for state in states for share in shares)

    @property
    def oldest_waiting(self) -> float | None:
        """Since when, of the videos that the last listing found waiting, one is unfinished at most.

        Being claimed in between does not make it younger.
        """
        return self._oldest_waiting

    def open_keys(self) -> Iterator[str]:
        """The videos that are neither done nor failed."""
        return (key for key, _ in self._open_videos())

    def open_mine(self) -> Iterator[str]:
        """Those of them that are in this process's share."""
        return (key for key, video in self._open_videos() if video.mine)

    def _open_videos(self) -> Iterator[tuple[str, Video]]:
        if self.open:
            yield from (item for item in self._videos.items() if item[1].state not in FINISHED)

    def finished(self, key: str) -> bool:
        """Whether nobody needs the locks of this input: it is done, failed, or gone."""
        video = self._videos.get(key)
        return video is None or video.state in FINISHED

    def receipt_key(self, key: str) -> str:
        """Where the receipt of this input is, or goes."""
        return names.receipt_key(key) if self.owner(key) == key else names.refusal_key(key)

    def owner(self, key: str) -> str:
        """What owns the names of results and receipt: this input, unless it has rivals.

        A foreign file under the receipt's name owns it.
        Of several videos that differ in their suffix only, the one that the receipt is about; where
        there is none, the one that was seen first, then the first by name.
        """
        if self._kept.foreign and (foreign := names.receipt_key(key)) in self._kept.foreign:
            return foreign
        rivals = [rival for rival in self._rivals.of(key) if rival in self._videos]
        if len(rivals) < 2:
            return key
        receipt = self._kept.receipt(names.receipt_key(key))
        folder, _ = names.split(key)
        if receipt is not None and folder + receipt.input_name in rivals:
            return folder + receipt.input_name
        return min(rivals, key=lambda rival: (self._videos[rival].first_seen, rival))

    def facts(self, key: str) -> ReceiptFacts | None:
        """What the receipt says that stands where this input's goes."""
        return self._kept.receipt(self.receipt_key(key))

    def verdict(self, key: str, now: float) -> Verdict:
        """Where one known video stands."""
        return self._verdict(key, self._videos[key], now)

    def _verdict(self, key: str, video: Video, now: float) -> Verdict:
        if names.too_long(key):  # nothing can be written beside it, not even this
            return Verdict(State.FAILED)
        owner = self.owner(key) == key
        receipt = self._kept.receipt(names.receipt_key(key) if owner else names.refusal_key(key))
        if receipt is not None and receipt.input_name != names.split(key)[1]:
            receipt = None  # about an earlier file of the same stem, which is gone
        view = View(
            version=video.version,
            first_seen=video.first_seen,
            scans=video.scans,
            closed_at=video.closed_at,
            held=self._held.get(key),
            receipt=receipt,
            results_whole=receipt is not None and self._kept.are_whole(receipt, self.rules),
            owner=owner,
        )
        return decide(view, self.rules, now)
