"""The decision on one video: a pure function of what is known about it and of the time."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from posewatch.catalog.share import Share

if TYPE_CHECKING:
    from posewatch.formats.receipt import FailureRecord
    from posewatch.storage.contract import Version

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


FINISHED = frozenset({State.DONE, State.FAILED})
OPEN = frozenset(State) - FINISHED


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
        tags: whether the tag of a result must be that of its receipt, too; see `Storage.tags_stay`.
        share: the videos that this process works on.
    """

    suffixes: tuple[str, ...]
    recipe_hash: str | None
    settle: float
    scans: int = 2
    tags: bool = False
    share: Share = field(default_factory=Share)


@dataclass(frozen=True, slots=True)
class ReceiptFacts:
    """What a decision needs of a receipt.

    Attributes:
        version: of the receipt itself.
        done: whether it tells of results; else of a failure.
        input_name: file name of its input.
        input_version: which content of the input it is about.
        recipe_hash: what was asked for.
        results: key and version of each result.
        redoable: whether another recipe outdates it: it was there before this process, or before
            the recipe was changed, or it is this process's own. Two daemons with different recipes
            would otherwise redo each other's work for ever.
        frames: frames in its results; no decision needs it, nor what follows.
        footage_seconds: duration of its video.
        failure: what it tells of instead of results.
    """

    version: Version
    done: bool
    input_name: str
    input_version: Version
    recipe_hash: str
    results: tuple[tuple[str, Version], ...]
    redoable: bool
    frames: int = 0
    footage_seconds: float = 0.0
    failure: FailureRecord | None = None


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
        results_whole: whether the files that the receipt names are there as it has them.
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
    if receipt.redoable and rules.recipe_hash not in {None, receipt.recipe_hash}:
        return Why.RECIPE_CHANGED
    if receipt.done and not view.results_whole:
        return Why.RESULTS_CHANGED
    return None
