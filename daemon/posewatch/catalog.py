"""What stands in the folder, and what to do next about it.

Pure: listings, records and the time go in; verdicts and jobs come out. Nothing here reads a file or
a clock, so every rule can be tested with a table.

A listing says what is there; `Catalog` remembers between listings only what a listing cannot say:
since when a file has been unchanged, and what the receipts say.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from posewatch.claims.names import input_of_lock
from posewatch.formats import names
from posewatch.storage.contract import Entry, Version, is_hidden

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from posewatch.formats.receipt import Receipt

NOT_REGULAR = "not-a-file"
"""Version tag of a directory or FIFO that is named like a video; its own would never rest."""


class State(StrEnum):
    """Where a video stands."""

    SETTLING = "settling"  # may still be written
    WAITING = "waiting"  # to be claimed
    CLAIMED = "claimed"  # worked on by this process
    ELSEWHERE = "elsewhere"  # worked on by somebody else
    DONE = "done"
    FAILED = "failed"


class Why(StrEnum):
    """Why a video is to be worked on."""

    NEW = "new"
    INPUT_CHANGED = "the video was replaced"
    RESULTS_CHANGED = "its results are not those of its receipt"
    RECIPE_CHANGED = "the recipe was changed"
    NAME_TAKEN = "another video has its name"


class Held(StrEnum):
    """Who holds the claim."""

    HERE = "here"
    ELSEWHERE = "elsewhere"


@dataclass(frozen=True, slots=True)
class Rules:
    """The settings that decisions depend on.

    Attributes:
        suffixes: name endings of videos, in lower case.
        recipe_hash: the recipe that results are wanted of; None where any will do.
        settle: seconds that a file stays untouched after a local program closed it.
        scans: how many scans in a row must see the same version, where nobody saw it closed.
    """

    suffixes: tuple[str, ...]
    recipe_hash: str | None
    settle: float
    scans: int = 2


@dataclass(frozen=True, slots=True)
class ReceiptFacts:
    """What a decision needs of a receipt.

    Attributes:
        key: where it is.
        version: of the receipt itself.
        done: whether it tells of results; else of a failure.
        input_name: file name of its input.
        input_version: which content of the input it is about.
        recipe_hash: what was asked for.
        results: key and size of each result.
        old: whether it was there before this process; only such a one may be outdated by a new
            recipe. Two daemons with different recipes would otherwise redo each other's work for
            ever.
    """

    key: str
    version: Version
    done: bool
    input_name: str
    input_version: Version
    recipe_hash: str
    results: tuple[tuple[str, int], ...]
    old: bool


@dataclass(frozen=True, slots=True)
class View:
    """All that the verdict on one video depends on.

    Attributes:
        version: of the input.
        first_seen: when this version was first seen, by the monotonic clock.
        scans: how many scans in a row saw it.
        closed_at: when a local program closed it, if that was seen.
        held: who has a live claim on it.
        receipt: what the receipt says, if there is one.
        results_whole: whether the files that the receipt names are there in the right size.
        owner: whether the names of results and receipt are this input's to use.
    """

    version: Version
    first_seen: float
    scans: int
    closed_at: float | None
    held: Held | None
    receipt: ReceiptFacts | None
    results_whole: bool
    owner: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """The decision on one video.

    Attributes:
        state: where it stands.
        why: the reason to work on it (states `SETTLING` and `WAITING`).
        ready_at: when it may be claimed, by the monotonic clock, if only time has to pass.
    """

    state: State
    why: Why | None = None
    ready_at: float | None = None


def decide(view: View, rules: Rules, now: float) -> Verdict:
    """The verdict on one video at one moment."""
    why = _reason(view, rules)
    if why is None:
        done = view.receipt is not None and view.receipt.done
        return Verdict(State.DONE if done else State.FAILED)
    if view.held is not None:
        return Verdict(State.CLAIMED if view.held is Held.HERE else State.ELSEWHERE)
    if view.version.tag == NOT_REGULAR or view.scans >= rules.scans:
        return Verdict(State.WAITING, why)
    if view.closed_at is None:
        return Verdict(State.SETTLING, why)
    ready_at = view.closed_at + rules.settle
    return Verdict(State.WAITING if now >= ready_at else State.SETTLING, why, ready_at)


def _reason(view: View, rules: Rules) -> Why | None:
    receipt = view.receipt
    if receipt is None:
        return Why.NEW if view.owner else Why.NAME_TAKEN
    if receipt.input_version != view.version:
        return Why.INPUT_CHANGED if view.owner else Why.NAME_TAKEN
    if not view.owner:
        return None
    if receipt.old and rules.recipe_hash not in {None, receipt.recipe_hash}:
        return Why.RECIPE_CHANGED
    if receipt.done and not view.results_whole:
        return Why.RESULTS_CHANGED
    return None


@dataclass(frozen=True, slots=True)
class Job:
    """A video to be worked on.

    Attributes:
        key: the input.
        version: the content that was seen.
        why: the reason.
        receipt_key: where its receipt goes.
        taken_by: the file name of the other video that owns the result names, if one does.
        seen_at: when this version was first seen, by the monotonic clock.
        closed_at: when a local program closed it, if that was seen.
        bugs: how often this process failed on it for no reason that it knows.
    """

    key: str
    version: Version
    why: Why
    receipt_key: str
    taken_by: str | None
    seen_at: float
    closed_at: float | None
    bugs: int = 0


@dataclass(slots=True)
class Listing:
    """One whole listing of the folder, reduced to what matters.

    Attributes:
        videos: the inputs and their versions.
        kept: receipts and results, and their versions.
        locks: the keys of all lock files.
        hidden: hidden leftovers, and their versions.
    """

    videos: dict[str, Version] = field(default_factory=dict)
    kept: dict[str, Version] = field(default_factory=dict)
    locks: list[str] = field(default_factory=list)
    hidden: dict[str, Version | None] = field(default_factory=dict)

    @classmethod
    def of(cls, entries: Iterable[Entry], suffixes: tuple[str, ...]) -> Listing:
        """Sort the entries of `Storage.scan` by what they are; others are dropped."""
        listing = cls()
        for entry in entries:
            key = entry.key
            if is_hidden(key):
                listing.hidden[key] = entry.version
            elif names.is_input(key, suffixes):
                listing.videos[key] = _version(entry)
            elif names.is_kept(key):
                if entry.version is not None and entry.regular:
                    listing.kept[key] = entry.version
            # Only the lock of a video is one of ours: other programs leave `Cargo.lock` and such.
            elif (locked := input_of_lock(key)) and names.is_input(locked, suffixes):
                listing.locks.append(key)
        return listing


@dataclass(slots=True)
class _Video:
    version: Version
    first_seen: float
    scans: int = 1
    closed_at: float | None = None
    not_before: float = 0.0
    bugs: int = 0


@dataclass(slots=True)
class Catalog:
    """The memory between listings. Not thread-safe: it belongs to the loop."""

    rules: Rules
    _videos: dict[str, _Video] = field(default_factory=dict)
    _receipts: dict[str, ReceiptFacts] = field(default_factory=dict)
    _kept: dict[str, int] = field(default_factory=dict)
    _rivals: dict[str, list[str]] = field(default_factory=dict)
    _held: dict[str, Held] = field(default_factory=dict)
    _queue: dict[str, None] = field(default_factory=dict)
    _closing: set[str] = field(default_factory=set)
    _failed: set[str] = field(default_factory=set)
    _scans: int = 0

    # What comes in from a scan

    def scanned(self, listing: Listing, now: float) -> None:
        """Take a whole listing in; `settle_up` is to follow when its receipts are known."""
        videos: dict[str, _Video] = {}
        stems: dict[str, str] = {}
        rivals: dict[str, list[str]] = {}
        for key, version in listing.videos.items():
            videos[key] = self._seen(key, version, now)
            first = stems.setdefault(names.stem(key), key)
            if first != key:
                rivals.setdefault(names.stem(key), [first]).append(key)
        self._videos, self._rivals = videos, rivals
        self._kept = {key: version.size for key, version in listing.kept.items()}
        for key in self._receipts.keys() - listing.kept.keys():
            del self._receipts[key]

    def _seen(self, key: str, version: Version, now: float) -> _Video:
        known = self._videos.get(key)
        if known is None or known.version != version:
            return _Video(version, now)
        known.scans += 1
        return known

    def receipt_read(self, key: str, version: Version, receipt: Receipt | None) -> None:
        """What the receipt at `key` says; None where the file is no receipt."""
        if receipt is None:
            self._receipts.pop(key, None)
            return
        folder, _ = names.split(key)
        self._kept[key] = version.size
        self._receipts[key] = ReceiptFacts(
            key=key,
            version=version,
            done=receipt.outcome == "done",
            input_name=receipt.input.name,
            input_version=Version(receipt.input.size, receipt.input.tag),
            recipe_hash=receipt.recipe.hash,
            results=tuple((folder + r.name, r.size) for r in receipt.results),
            old=self._scans == 0,
        )

    def settle_up(self, held: Mapping[str, Held], now: float) -> Counter[State]:
        """Judge every video after a listing; how many stand where.

        Args:
            held: the inputs with a live claim, and who holds it.
            now: the monotonic time.
        """
        self._held = dict(held)
        self._scans += 1
        counts: Counter[State] = Counter()
        still_open = []
        self._failed = set()
        for key in self._videos:
            state = self.verdict(key, now).state
            counts[state] += 1
            if state is State.FAILED:
                self._failed.add(key)
            elif state is not State.DONE:
                still_open.append(key)
        # The longest known first; of those seen at the same time, by name.
        still_open.sort(key=lambda key: (self._videos[key].first_seen, key))
        self._queue = dict.fromkeys(still_open)
        self._closing &= self._queue.keys()
        return counts

    # What comes in between scans

    def closed(self, key: str, entry: Entry, now: float) -> None:
        """A program on this machine finished writing this input, or moved it in."""
        if not names.is_input(key, self.rules.suffixes):
            return
        version = _version(entry)
        video = self._videos.get(key)
        if video is None:
            self._note_rivals(key)
        if video is None or video.version != version:
            video = self._videos[key] = _Video(version, now)
        video.closed_at = now
        self._closing.add(key)
        self._queue.setdefault(key)

    def _note_rivals(self, key: str) -> None:
        stem = names.stem(key)
        spellings = {stem + s for suffix in self.rules.suffixes for s in (suffix, suffix.upper())}
        if same := spellings & self._videos.keys():
            self._rivals[stem] = sorted(same | {key, *self._rivals.get(stem, ())})

    def gone(self, key: str) -> None:
        """The input is not there any more."""
        self._videos.pop(key, None)
        self._queue.pop(key, None)
        self._closing.discard(key)
        self._failed.discard(key)

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
            now: the monotonic time.
            wait: seconds before it may be tried again.
            bug: whether that is for a reason that nobody expected.
        """
        self._held.pop(key, None)
        if key not in self._videos:
            return
        self._videos[key].not_before = now + wait
        self._videos[key].bugs += bug
        state = self.verdict(key, now).state
        if state is State.FAILED:
            self._failed.add(key)
        if state in {State.DONE, State.FAILED}:
            self._queue.pop(key, None)

    def results_published(self, results: Iterable[tuple[str, int]]) -> None:
        """Results (key and size) that this process has just put into the folder."""
        self._kept.update(results)

    # What goes out

    def jobs(self, now: float, limit: int) -> list[Job]:
        """Up to `limit` videos that may be claimed now, the longest known first."""
        found: list[Job] = []
        for key in self._queue:
            if len(found) >= limit:
                break
            video = self._videos[key]
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
                    bugs=video.bugs,
                )
            )
        return found

    def next_ready(self, now: float) -> float | None:
        """When, by the monotonic clock, the next closed file will have rested for long enough."""
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
        return len(self._queue)

    @property
    def failed(self) -> int:
        """How many videos have a failure for what they are now."""
        return len(self._failed)

    def finished(self, key: str) -> bool:
        """Whether nobody needs the locks of this input: it is done, failed, or gone."""
        return key not in self._queue

    def receipt_key(self, key: str) -> str:
        """Where the receipt of this input is, or goes."""
        return names.receipt_key(key) if self.owner(key) == key else names.refusal_key(key)

    def owner(self, key: str) -> str:
        """The input that owns the names of results and receipt: this one, unless it has rivals.

        Of several videos that differ in their suffix only, the one that the receipt is about, else
        the first by name.
        """
        rivals = [r for r in self._rivals.get(names.stem(key), ()) if r in self._videos]
        if len(rivals) < 2:
            return key
        receipt = self._receipts.get(names.receipt_key(key))
        folder, _ = names.split(key)
        if receipt is not None and folder + receipt.input_name in rivals:
            return folder + receipt.input_name
        return min(rivals)

    def verdict(self, key: str, now: float) -> Verdict:
        """Where one known video stands."""
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
            and all(self._kept.get(k) == size for k, size in receipt.results),
            owner=owner,
        )
        return decide(view, self.rules, now)


def wants_version(key: str, suffixes: tuple[str, ...]) -> bool:
    """Whether a listing should give the version of this key (see `Storage.scan`)."""
    return names.is_input(key, suffixes) or names.is_kept(key) or is_hidden(key)


def _version(entry: Entry) -> Version:
    if not entry.regular or entry.version is None:
        return Version(0, NOT_REGULAR)
    return entry.version
