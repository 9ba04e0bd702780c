"""Results into the folder, each whole and at once, and the receipt last.

Correctness does not rest on the claim: names are taken exclusively, or replaced against the version
that was looked at, from a staging area that a newer attempt closes before it begins. See
`docs/semantics.md`.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from posewatch.base.backoff import Backoff, Retries
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
from posewatch.formats.receipt import Receipt, ResultRecord
from posewatch.worker.cancel import Stop, StoppedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from posewatch.base.clock import Clock
    from posewatch.claims.claim import Claim
    from posewatch.storage.contract import Storage, Version
    from posewatch.worker.cancel import Cancellation

PASSING = (FullError, ReadOnlyError, DeniedError, UnavailableError, UnmountedError)
"""What an operator, or time, can mend: the results are kept and publishing is tried again."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Standing:
    """The file that stands at a receipt's name.

    Attributes:
        key: where.
        version: of the file.
        receipt: what it says; None where it is no receipt.
    """

    key: str
    version: Version
    receipt: Receipt | None


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
    """

    storage: Storage
    claim: Claim
    input_key: str
    receipt_key: str
    ours: Callable[[Path], bool]
    clock: Clock
    troubled: Callable[[StorageError | None], None]

    def standing(self) -> Standing | None:
        """What stands at the receipt's name now."""
        entry = self.storage.stat(self.receipt_key)
        if entry is None or entry.version is None:
            return None
        try:
            content = self.storage.read(self.receipt_key)
        except MissingError:
            return None
        return Standing(self.receipt_key, entry.version, receipt.decode(content))

    def whole(self, standing: Standing) -> bool:
        """Whether the results that a receipt names are there, in the right size."""
        if standing.receipt is None:
            return False
        for result in standing.receipt.results:
            entry = self.storage.stat(names.split(self.input_key)[0] + result.name)
            if entry is None or entry.version is None or entry.version.size != result.size:
                return False
        return True

    def intact(self, standing: Standing, folder: Path) -> bool:
        """Whether the results that a receipt names are there with their very digests.

        Args:
            standing: the receipt.
            folder: a local one, for copies.
        """
        if standing.receipt is None or not self.whole(standing):
            return False
        copy = folder / "result"
        for result in standing.receipt.results:
            key = names.split(self.input_key)[0] + result.name
            entry = self.storage.stat(key)
            if entry is None or entry.version is None:
                return False
            digest = self.storage.fetch(key, entry.version, copy, lambda _bytes: None)
            if digest != result.sha256:
                return False
        return True

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
            StoppedError: the claim was lost, or the job was told to stop.
        """
        digests = {key: _sha256(path) for key, path in results.items()}
        retries = Retries(Backoff(first=1.0, limit=30.0), Random())  # noqa: S311 -- only jitter
        while True:
            cancellation.check()
            try:
                standing = self._try(results, digests, receipt_of)
            except FencedError as error:
                raise StoppedError(Stop.LOST, str(error)) from error
            except (ExistsError, ChangedError) as error:
                # A zombie of an older attempt, or somebody's hands: look again.
                other = self.standing()
                if other is not None and self._same(other, receipt_of(())):
                    return other
                wait = retries.failed()
                log.warning(
                    "the folder changed while publishing",
                    exc_info=error,
                    extra=fields(video=self.input_key, retry_seconds=wait),
                )
                self.clock.wait(cancellation.event, wait)
            except PASSING as error:
                wait = retries.failed()
                self.troubled(error)
                self.clock.wait(cancellation.event, wait)
            else:
                self.troubled(None)
                return standing

    def _same(self, other: Standing, mine: Receipt) -> bool:
        """Whether somebody has committed this very job: the same input and recipe."""
        theirs = other.receipt
        return (
            theirs is not None
            and theirs.input.name == mine.input.name
            and (theirs.input.size, theirs.input.tag) == (mine.input.size, mine.input.tag)
            and theirs.recipe.hash == mine.recipe.hash
            and self.whole(other)
        )

    def _try(
        self,
        results: Mapping[str, Path],
        digests: Mapping[str, str],
        receipt_of: Callable[[tuple[ResultRecord, ...]], Receipt],
    ) -> Standing:
        old = self.standing()
        expected = {key: self._replaceable(key, old, path) for key, path in results.items()}
        staging = self.storage.stage(self.claim.token, self.input_key)
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
            if (loss := self.claim.check()) is not None:
                raise StoppedError(Stop.LOST, str(loss))
            for key in results:
                staging.publish(key, expected[key])
            version = staging.publish(self.receipt_key, old.version if old else None)
        finally:
            staging.discard()
        return Standing(self.receipt_key, version, final)

    def _replaceable(self, key: str, old: Standing | None, local: Path) -> Version | None:
        """The version of a result that is there and may be replaced; None where none is there."""
        entry = self.storage.stat(key)
        if entry is None or entry.version is None:
            return None
        name = names.split(key)[1]
        named = old.receipt.results if old is not None and old.receipt is not None else ()
        if any(result.name == name for result in named):
            return entry.version
        # Left by an attempt that died between its results and its receipt, or not ours at all.
        copy = local.with_name("found.npz")
        if entry.regular:
            self.storage.fetch(key, entry.version, copy, lambda _bytes: None)
            if self.ours(copy):
                return entry.version
        raise InputError(
            Fault.NAME_TAKEN,
            f"there is a {name} already that posewatch did not make",
            hint="Move it away, then run: posewatch retry",
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
