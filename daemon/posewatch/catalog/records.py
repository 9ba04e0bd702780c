"""What is remembered of each file, and how it is packed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from posewatch.catalog.packed import Packed
from posewatch.catalog.verdict import ReceiptFacts, State
from posewatch.formats import names
from posewatch.formats.receipt import FailureRecord, Foreign, Receipt
from posewatch.storage.contract import Version

if TYPE_CHECKING:
    from collections.abc import Iterable

STATES = tuple(State)

Tag: TypeAlias = str | bytes
"""The tag of a version; the 32 digits of an MD5, which the ETag of most objects is, as bytes."""

Told: TypeAlias = ReceiptFacts | Foreign | None
"""What stands under the name of a receipt; None for a damaged one."""


@dataclass(slots=True)
class Video:
    """One input.

    Attributes:
        version: as it was last seen.
        first_seen: when this version was first seen.
        looked_at: when it was last looked at; a listing that began before knows less.
        mine: whether it is in this process's share.
        scans: how many scans in a row saw this version; not counted further than is asked for.
        state: where it stood when it was last judged.
        closed_at: when a local program closed it, if that was seen.
        not_before: when it may be tried again.
        bugs: see `Job`.
        reopened: since when it has been unfinished again, where it was finished before.
    """

    version: Version
    first_seen: float
    looked_at: float
    mine: bool
    scans: int = 0
    state: State = State.SETTLING
    closed_at: float | None = None
    not_before: float | None = None
    bugs: int = 0
    reopened: float | None = None

    @property
    def unfinished_since(self) -> float:
        """When this version was first seen to be neither done nor failed."""
        return self.first_seen if self.reopened is None else self.reopened


def told_by(key: str, version: Version, receipt: Receipt | Foreign | None) -> Told:
    """What is remembered of a receipt.

    Args:
        key: where it is.
        version: of it.
        receipt: its content, see `formats.receipt.decode`.
    """
    if not isinstance(receipt, Receipt):
        return receipt
    folder, _ = names.split(key)
    return ReceiptFacts(
        version=version,
        done=receipt.outcome == "done",
        input_name=receipt.input.name,
        input_version=Version(receipt.input.size, receipt.input.tag),
        recipe_hash=receipt.recipe.hash,
        results=tuple((folder + r.name, Version(r.size, r.tag)) for r in receipt.results),
        redoable=False,
        frames=receipt.work.frames,
        footage_seconds=receipt.work.footage_seconds,
        failure=receipt.failure,
    )


def videos() -> Packed[Video]:
    """Inputs by their keys."""
    return Packed(_pack_video, _video)


def versions(items: Iterable[tuple[str, Version]] = ()) -> Packed[Version]:
    """Versions of files by their keys."""
    return Packed(_pack_version, _version, items)


def receipts() -> Packed[ReceiptFacts]:
    """What receipts say, by their keys."""
    return Packed(_pack_receipt, _receipt)


def tellings() -> Packed[Told]:
    """What stands under the names of receipts."""
    return Packed(_pack_told, _told)


def _pack_version(version: Version) -> tuple[int, Tag]:
    return version.size, _short(version.tag)


def _version(size: int, tag: Tag) -> Version:
    return Version(size, tag if isinstance(tag, str) else tag.hex())


def _short(tag: str) -> Tag:
    if len(tag) == 32:
        try:
            short = bytes.fromhex(tag)
        except ValueError:
            return tag
        if short.hex() == tag:
            return short
    return tag


def _pack_video(video: Video) -> tuple[object, ...]:
    version = video.version
    rest = (video.closed_at, video.not_before, video.bugs, video.reopened)
    return (
        version.size,
        _short(version.tag),
        video.first_seen,
        None if video.looked_at == video.first_seen else video.looked_at,
        video.mine,
        video.scans * len(STATES) + STATES.index(video.state),
        *(rest if rest != (None, None, 0, None) else ()),
    )


def _video(  # noqa: PLR0917 -- the fields of a record
    size: int,
    tag: Tag,
    first_seen: float,
    looked_at: float | None,
    mine: bool,  # noqa: FBT001 -- as above
    scans_and_state: int,
    closed_at: float | None = None,
    not_before: float | None = None,
    bugs: int = 0,
    reopened: float | None = None,
) -> Video:
    scans, state = divmod(scans_and_state, len(STATES))
    return Video(
        _version(size, tag),
        first_seen,
        first_seen if looked_at is None else looked_at,
        mine,
        scans,
        STATES[state],
        closed_at,
        not_before,
        bugs,
        reopened,
    )


def _pack_receipt(receipt: ReceiptFacts) -> tuple[object, ...]:
    failure = receipt.failure
    return (
        *_pack_version(receipt.version),
        receipt.done,
        receipt.input_name,
        *_pack_version(receipt.input_version),
        receipt.recipe_hash,
        tuple((key, *_pack_version(version)) for key, version in receipt.results),
        receipt.redoable,
        receipt.frames,
        receipt.footage_seconds,
        *(() if failure is None else (failure.model_dump_json(exclude_defaults=True),)),
    )


def _receipt(  # noqa: PLR0917 -- the fields of a record
    size: int,
    tag: Tag,
    done: bool,  # noqa: FBT001 -- as above
    input_name: str,
    input_size: int,
    input_tag: Tag,
    recipe_hash: str,
    results: tuple[tuple[str, int, Tag], ...],
    redoable: bool,  # noqa: FBT001 -- as above
    frames: int,
    footage_seconds: float,
    failure: str | None = None,
) -> ReceiptFacts:
    return ReceiptFacts(
        version=_version(size, tag),
        done=done,
        input_name=input_name,
        input_version=_version(input_size, input_tag),
        recipe_hash=recipe_hash,
        results=tuple((key, _version(size, tag)) for key, size, tag in results),
        redoable=redoable,
        frames=frames,
        footage_seconds=footage_seconds,
        failure=None if failure is None else FailureRecord.model_validate_json(failure),
    )


def _pack_told(told: Told) -> tuple[object, ...]:
    if isinstance(told, ReceiptFacts):
        return _pack_receipt(told)
    return () if told is None else (told.name,)


def _told(*fields: Any) -> Told:  # noqa: ANN401 -- what `_pack_told` makes
    if len(fields) > 1:
        return _receipt(*fields)
    return Foreign[fields[0]] if fields else None
