"""Results into the folder, each whole and at once, and the receipt last.

Correctness does not rest on the claim: names are taken exclusively, or replaced against the version
that was looked at, from a staging area that a newer attempt closes before it begins. See
`docs/semantics.md`.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from posewatch.base.backoff import Backoff, Retries
from posewatch.base.digest import sha256_of
from posewatch.base.errors import (
    ChangedError,
    DeniedError,
    ExistsError,
    Fault,
    FencedError,
    FullError,
    InputError,
    MissingError,
    ReadOnlyError,
    StorageError,
    UnavailableError,
    UnmountedError,
)
from posewatch.base.logs import fields
from posewatch.formats import names, receipt
from posewatch.formats.receipt import Foreign, Receipt, ResultRecord
from posewatch.storage.contract import Sighting, Version
from posewatch.worker.cancel import Stop, StoppedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from posewatch.base.clock import Clock
    from posewatch.claims.claim import Claim
    from posewatch.storage.contract import Storage
    from posewatch.worker.cancel import Cancellation

PASSING = (FullError, ReadOnlyError, DeniedError, UnavailableError, UnmountedError)
"""What an operator, or time, can mend: the results are kept and publishing is tried again."""

log = logging.getLogger(__name__)


class RivalError(Exception):
    """What stands at the receipt's name is another video's receipt, or foreign.

    Args:
        standing: the file.
    """

    def __init__(self, standing: Standing) -> None:
        super().__init__(standing.key)
        self.standing = standing


@dataclass(frozen=True, slots=True)
class Standing:
    """The file that stands at a receipt's name.

    Attributes:
        key: where.
        version: of the file.
        receipt: what it says; None where it is damaged.
    """

    key: str
    version: Version
    receipt: Receipt | Foreign | None

    @property
    def ours(self) -> Receipt | None:
        """The receipt, if it is one."""
        return self.receipt if isinstance(self.receipt, Receipt) else None


@dataclass(frozen=True, slots=True)
class Publisher:
    """Puts the outcome of one attempt into the folder.

    Attributes:
        storage: the folder.
        claim: the right to do so.
        input_key: the video.
        receipt_key: where its receipt goes.
        ours: whether a local copy of a result was made by posewatch.
        clock: the time.
        troubled: told of each passing error, and None when it has passed.
        suffixes: name endings of videos, by which rivals are known.
    """

    storage: Storage
    claim: Claim
    input_key: str
    receipt_key: str
    ours: Callable[[Path], bool]
    clock: Clock
    troubled: Callable[[StorageError | None], None]
    suffixes: tuple[str, ...] = ()

    def standing(self, sighting: Sighting | None = None) -> Standing | None:
        """What stands at the receipt's name.

        Args:
            sighting: what stood there, or elsewhere, at a moment that is recent enough; None for
                what stands there now.
        """
        return _standing(self._sight(sighting))

    def _sight(self, sighting: Sighting | None) -> Sighting:
        if sighting is not None and sighting.key == self.receipt_key:
            return sighting
        return Sighting(self.receipt_key, self.storage.look(self.receipt_key))

    def settles(self, standing: Standing, version: Version, recipe_hash: str) -> bool:
        """Whether a receipt leaves nothing to do for a version of the input and a recipe.

        Raises:
            RivalError: it is about another video that is there, or no receipt of this posewatch.
        """
        if isinstance(standing.receipt, Foreign):
            raise RivalError(standing)
        found = standing.receipt
        if found is None:
            return False
        folder, name = names.split(self.input_key)
        if found.input.name != name:
            other = folder + found.input.name
            rival = names.is_input(other, self.suffixes)
            rival = rival and names.receipt_key(other) == self.receipt_key
            if rival and self.storage.stat(other) is not None:
                raise RivalError(standing)
            return False
        return (
            (found.input.size, found.input.tag) == (version.size, version.tag)
            and found.recipe.hash == recipe_hash
            and self._whole(found)
        )

    def _whole(self, found: Receipt) -> bool:
        """Whether the results that a receipt names are there as it has them."""
        for result in found.results:
            entry = self.storage.stat(names.split(self.input_key)[0] + result.name)
            if entry is None or entry.version is None or entry.version.size != result.size:
                return False
            if self.storage.tags_stay and entry.version.tag != result.tag:
                return False
        return True

    def intact(self, found: Receipt, folder: Path) -> tuple[ResultRecord, ...] | None:
        """The results that a receipt names, if they are there with their very digests.

        Their tags are those of now: copying a folder changes them.

        Args:
            found: the receipt.
            folder: a local one, for copies.
        """
        copy, records = folder / "found", []
        for result in found.results:
            key = names.split(self.input_key)[0] + result.name
            entry = self.storage.stat(key)
            if entry is None or entry.version is None or entry.version.size != result.size:
                return None
            try:
                digest = self.storage.fetch(key, entry.version, copy, lambda _bytes: None)
            except (MissingError, ChangedError, DeniedError):
                return None
            if digest != result.sha256:
                return None
            records.append(result.model_copy(update={"tag": entry.version.tag}))
        return tuple(records)

    def publish(
        self,
        results: Mapping[str, Path],
        receipt_of: Callable[[tuple[ResultRecord, ...]], Receipt],
        cancellation: Cancellation,
    ) -> Standing:
        """Publish, trying again for as long as the claim is held when the folder is in trouble.

        Args:
            results: the local file for each key.
            receipt_of: makes the receipt out of the records of the results.
            cancellation: stops the waiting.

        Returns:
            The receipt that stands: ours, or that of another worker who was quicker.

        Raises:
            InputError: (`NAME_TAKEN`) a file that is not ours has the name of a result.
            RivalError: another video has published in the meantime.
            StoppedError: the claim was lost, or the job was told to stop.
        """
        digests = {key: sha256_of(path) for key, path in results.items()}
        retries = Retries(Backoff(first=1.0, limit=30.0), Random())  # noqa: S311 -- only jitter
        # Where the server judges each condition, what was known at the claim is tried first.
        trusting = self.storage.conditional
        while True:
            cancellation.check()
            try:
                standing = self._try(results, digests, receipt_of, trusting=trusting)
            except FencedError as error:
                raise StoppedError(Stop.LOST, str(error)) from error
            except (ExistsError, ChangedError, MissingError) as error:
                if trusting:
                    trusting = False
                    continue
                # A zombie of an older attempt, or somebody's hands: look again.
                wait = retries.failed()
                log.warning(
                    "the folder changed while publishing",
                    exc_info=error,
                    extra=fields(video=self.input_key, retry_seconds=wait),
                )
                self.clock.wait(cancellation.event, wait)
            except PASSING as error:
                trusting = False
                wait = retries.failed()
                self.troubled(error)
                self.clock.wait(cancellation.event, wait)
            else:
                self.troubled(None)
                return standing

    def _try(
        self,
        results: Mapping[str, Path],
        digests: Mapping[str, str],
        receipt_of: Callable[[tuple[ResultRecord, ...]], Receipt],
        *,
        trusting: bool,
    ) -> Standing:
        sighting = self._sight(self.claim.sighting if trusting else None)
        old, mine = _standing(sighting), receipt_of(())
        version = Version(mine.input.size, mine.input.tag)
        # Another worker was quicker, or the answer to our own success was lost.
        if old is not None and self.settles(old, version, mine.recipe.hash):
            return old
        named = old.ours.results if old is not None and old.ours is not None else ()
        if trusting and old is None:
            expected: dict[str, Version | None] = dict.fromkeys(results)
        else:
            expected = {key: self._replaceable(key, named, path) for key, path in results.items()}
        staging = self.storage.stage(self.claim.token, self.input_key, sighting)
        try:
            records = []
            for key, path in results.items():
                version = staging.add(key, path)
                name = names.split(key)[1]
                records.append(
                    ResultRecord(name=name, size=version.size, sha256=digests[key], tag=version.tag)
                )
            final = receipt_of(tuple(records))
            staging.add(self.receipt_key, receipt.encode(final))
            if (loss := self.claim.check(young=trusting)) is not None:
                raise StoppedError(Stop.LOST, str(loss))
            for key in results:
                staging.publish(key, expected[key])
            version = staging.publish(self.receipt_key, old.version if old else None)
        finally:
            with suppress(StorageError):  # what is left is swept some day
                staging.discard()
        return Standing(self.receipt_key, version, final)

    def _replaceable(self, key: str, named: Iterable[ResultRecord], local: Path) -> Version | None:
        """The version of a result that is there and may be replaced; None where none is there.

        It may be if the old receipt names it, whatever became of it since, or if it says itself
        that posewatch made it: an attempt that died before its receipt leaves such.
        """
        entry = self.storage.stat(key)
        if entry is None or entry.version is None:
            return None
        name, version = names.split(key)[1], entry.version
        if entry.regular and (
            any(result.name == name for result in named)
            or self._is_ours(key, version, local.with_name("found"))
        ):
            return version
        raise InputError(
            Fault.NAME_TAKEN,
            f"there is a {name} already that posewatch did not make",
            hint="Move it away, then run: posewatch retry",
        )

    def _is_ours(self, key: str, version: Version, copy: Path) -> bool:
        try:
            self.storage.fetch(key, version, copy, lambda _bytes: None)
        except DeniedError:
            return False
        return self.ours(copy)


def _standing(sighting: Sighting) -> Standing | None:
    seen = sighting.seen
    if seen is None:
        return None
    return Standing(sighting.key, seen.version, receipt.decode(seen.data))
