"""A small world in which workers play the claim protocol, one operation at a time.

Each worker runs in a thread of its own, which stands still before each operation on the folder
until it is told to go on: so it can be paused for as long as one likes between any two operations,
raced by others, or killed. Only one thread ever runs; the time moves only when it is told to.

The world looks at the folder after every change, and asserts:

* I1: no input is ever changed, moved or lost;
* I2: for one version of an input and one recipe, one receipt is committed;
* I3: what a valid receipt names is there, with that digest;
* I5: nobody takes a job over from a holder that beats;
* I6: a lock that was removed never comes back;
* I7: who was superseded, learns it the next time that it looks;
* I8: nobody removes the lock of a living holder (where removing is one operation).

`World.settle` asserts I4: every input ends with results, or a failure, and nothing else is left.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from posewatch.base.clock import ManualClock
from posewatch.base.errors import (
    ChangedError,
    Fault,
    InputError,
    MissingError,
    StorageError,
)
from posewatch.claims import survey
from posewatch.claims.claims import Busy, Claims, Owner
from posewatch.claims.names import lock_key, parse_lock
from posewatch.claims.observer import Observer
from posewatch.claims.record import nonce_of
from posewatch.formats import names, receipt
from posewatch.formats.receipt import FailureRecord, InputRecord, Receipt, RecipeRecord
from posewatch.storage.contract import Version, is_hidden
from posewatch.storage.faulty import FaultyStorage, HookedFiles, HookedObjects, Operation
from posewatch.storage.memory import MemoryStorage
from posewatch.storage.posix import PosixStorage
from posewatch.storage.s3 import S3Storage
from posewatch.storage.s3_memory import MemoryObjects
from posewatch.worker.cancel import Cancellation, StoppedError
from posewatch.worker.publish import Publisher
from storage.folders import write_by_hand

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from posewatch.claims.claim import Claim
    from posewatch.formats.receipt import ResultRecord
    from posewatch.storage.contract import Storage
    from posewatch.storage.s3_objects import Body, ObjectStore
    from storage.folders import ServerBucket

TTL = 60.0
MAX_ATTEMPTS = 3
KEY = "talks/a.mp4"

POSIX, MEMORY, S3 = "posix", "memory", "s3"
"""What the folder is: a directory, one operation of the file system at a time; the twin in memory,
one method of the contract at a time; a bucket, one request at a time."""


class KilledError(BaseException):
    """The worker's process is gone."""


class Skewed(ManualClock):
    """The world's time, on a machine whose calendar is wrong."""

    def __init__(self, world: ManualClock, skew: float) -> None:
        super().__init__()
        self._world = world
        self._skew = skew
        self._asleep = 0.0

    def fall_asleep_for(self, seconds: float) -> None:
        """The machine is suspended, and its monotonic clock with it; call before time goes on."""
        self._asleep += seconds

    def monotonic(self) -> float:
        return self._world.monotonic() - self._asleep

    def wall(self) -> float:
        return self._world.wall() + self._skew

    def advance(self, seconds: float) -> None:
        self._world.advance(seconds)


class Unsynced(HookedFiles):
    """Waits for no disk."""

    def fsync(self, fd: int) -> None:  # noqa: ARG002 -- see above
        self.hook(Operation("fsync", ""))


class Recorded(HookedObjects):
    """Keeps every request that changes something, to be sent again; see `HookedObjects`."""

    def __init__(self, inner: ObjectStore, sent: list[Callable[[], object]]) -> None:
        super().__init__(inner)
        self._sent = sent

    def put(self, key: str, body: Body, expected: str | None) -> str:
        if isinstance(body.source, Path):  # what was sent then, whatever becomes of the file
            body = replace(body, source=body.source.read_bytes())
        self._sent.append(lambda: self.inner.put(key, body, expected))
        return self.inner.put(key, body, expected)

    def delete(self, key: str) -> None:
        self._sent.append(lambda: self.inner.delete(key))
        self.inner.delete(key)


@dataclass(slots=True)
class Seen:
    """A lock, as the world knows it.

    Attributes:
        content: of the file.
        nonce: in it.
        changed: when it was written last.
        by: whose it is; None when the user made it.
        born: after how many reads, by anybody, it was created.
    """

    content: bytes
    nonce: str | None
    changed: float
    by: str | None
    born: int


@dataclass
class World:
    """The folder, the time, the inputs that the user put, and what was ever seen."""

    root: Path
    kind: str = POSIX
    every: bool = False
    asleep: bool = False
    bucket: MemoryObjects | ServerBucket = field(default_factory=MemoryObjects)
    clock: ManualClock = field(default_factory=ManualClock)
    recipe: str = "r1"
    reads: int = 0
    last: dict[str, int] = field(default_factory=dict)
    inputs: dict[str, bytes] = field(default_factory=dict)
    versions: dict[str, Version] = field(default_factory=dict)
    locks: dict[str, Seen] = field(default_factory=dict)
    removed: set[str] = field(default_factory=set)
    receipts: dict[str, Receipt] = field(default_factory=dict)
    committed: set[tuple[str, str, str]] = field(default_factory=set)
    damaged: set[str] = field(default_factory=set)
    workers: list[Worker] = field(default_factory=list)
    sent: list[Callable[[], object]] = field(default_factory=list)
    puts: int = 0

    def __post_init__(self) -> None:
        self.folder, self.scratch = self.root / "folder", self.root / "scratch"
        for path in (self.folder, self.scratch):
            path.mkdir(parents=True)
        self.memory = MemoryStorage()
        self.raw: Storage = self.memory
        if self.kind == POSIX:
            self.raw = PosixStorage(self.folder, Unsynced())
        elif self.kind == S3:
            self.raw = self.bucket_storage(self.bucket)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        for worker in self.workers:
            worker.kill()
        shutil.rmtree(self.root)

    def bucket_storage(self, store: ObjectStore) -> S3Storage:
        return S3Storage(store, "", self.clock, names.receipt_key)

    # --- the user's hands

    def put(self, key: str = KEY) -> None:
        """Put a new version of an input."""
        self.puts += 1
        self.inputs[key] = f"video {self.puts}".encode() + b"." * self.puts
        self.versions[key] = self.write(key, self.inputs[key])

    def write(self, key: str, data: bytes) -> Version:
        if self.kind == MEMORY:
            return self.memory.put(key, data)
        if self.kind == S3:
            return Version(len(data), self.bucket.write(key, data))
        return write_by_hand(self.folder, key, data)

    def delete(self, key: str) -> None:
        if self.kind == POSIX:
            (self.folder / key).unlink(missing_ok=True)
        else:
            (self.memory if self.kind == MEMORY else self.bucket).delete(key)

    def delete_result(self, key: str = KEY) -> None:
        self.delete(result_key(key))
        self.damaged.add(key)

    def delete_locks(self, key: str = KEY) -> None:
        for lock in [lock for lock in self.locks if parse_lock(lock)[0] == key]:
            self.delete(lock)
        self.observe(None)

    def retry(self, key: str = KEY) -> None:
        """Remove the receipt, as `posewatch retry` does."""
        self.delete(names.receipt_key(key))
        self.damaged.add(key)
        self.observe(None)

    def repeat(self, place: int) -> None:
        """A request of the past arrives once more: the network had kept a copy of it."""
        if self.sent:
            with suppress(StorageError):
                self.sent[place % len(self.sent)]()
            self.observe(None, late=True)

    def change_recipe(self) -> None:
        """Every daemon is restarted with another recipe."""
        for worker in self.workers:
            worker.kill()
        self.puts += 1
        self.recipe = f"r{self.puts}"

    # --- the time

    def wait(self, seconds: float, *, alive: Iterable[Worker] = (), asleep: bool = False) -> None:
        """Let time pass; who works stands still meanwhile.

        Args:
            seconds: how long.
            alive: whose hearts beat meanwhile: they only take long.
            asleep: whether the machines of those who work are suspended: nothing tells them.
        """
        if asleep:
            for worker in self.workers:
                if not worker.idle:
                    worker.clock.fall_asleep_for(seconds)
        beats = 10
        for _ in range(beats):
            self.clock.advance(seconds / beats)
            for worker in alive:
                worker.heart()

    # --- looking

    def peek(self, key: str) -> bytes | None:
        if self.kind == S3:
            content = self.bucket.get(key, sys.maxsize)
            return content.data if content is not None else None
        if self.kind == MEMORY:
            with suppress(StorageError):
                return self.memory.read(key)
            return None
        try:
            with (self.folder / key).open("rb") as file:
                return file.read()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def listed(self) -> set[str]:
        return {entry.key for entry in self.raw.scan(lambda _key: False)}

    def standing(self, key: str) -> Receipt | None:
        content = self.peek(names.receipt_key(key))
        return None if content is None else receipt.decode(content)

    def observe(self, worker: Worker | None, *, late: bool = False) -> None:
        """See what was changed.

        Args:
            worker: by whom; None for the user.
            late: whether it was by a request of the past: one that created a lock may bring back
                what was removed since, and nobody holds that.
        """
        self._observe_locks(worker, late=late)
        for key, content in self.inputs.items():
            assert self.peek(key) == content, f"I1: {key} was changed"
            self._observe_receipt(key)

    def _observe_locks(self, worker: Worker | None, *, late: bool) -> None:
        now = self.clock.monotonic()
        found = {lock: c for lock in self._lock_names() if (c := self.peek(lock)) is not None}
        for lock in self.locks.keys() - found.keys():
            gone = self.locks.pop(lock)
            self.removed.add(gone.nonce or "")
            if worker is not None and self.kind == MEMORY:
                above = any(s.by == worker.name and lock < name for name, s in self.locks.items())
                rightful = gone.by == worker.name or above or now - gone.changed >= TTL
                assert rightful, f"I8: {worker.name} removed {lock} of {gone.by}"
        for lock, content in found.items():
            known, nonce = self.locks.get(lock), nonce_of(content)
            if known is None or known.nonce != nonce:
                assert late or nonce not in self.removed, f"I6: {lock} came back"
                if known is not None:
                    self.removed.add(known.nonce or "")
                    alive = worker is not None and now - known.changed < TTL
                    assert not alive, f"I5: {lock} of {known.by} was replaced"
                by = worker.name if worker is not None else None
                if not late:
                    self._taken_over(lock, now, by)
                # What a late request brings back was removed once, and nobody holds it.
                born = sys.maxsize if late else self.reads
                self.locks[lock] = Seen(content, nonce, now, by, born)
            elif known.content != content:
                known.content, known.changed = content, now

    def _lock_names(self) -> list[str]:
        if self.kind == POSIX:
            listed = [f"talks/{name}" for name in os.listdir(self.folder / "talks")]  # noqa: PTH208
        else:
            listed = [entry.key for entry in self.raw.scan(lambda _key: False)]
        return sorted((key for key in listed if parse_lock(key) is not None), key=parse_lock)

    def read(self, worker: Worker) -> None:
        """A worker has read something."""
        self.reads += 1
        self.last[worker.name] = self.reads

    def _taken_over(self, lock: str, now: float, by: str | None) -> None:
        key, attempt = parse_lock(lock)
        lower = self.locks.get(lock_key(key, attempt - 1)) if attempt > 1 else None
        # Who was paused while the lower lock was created had judged another one, and will see that.
        paused = by is not None and lower is not None and self.last.get(by, 0) <= lower.born
        if lower is not None and not paused:
            silent = now - lower.changed
            assert silent >= TTL, f"I5: {lock} was taken {silent} s after a beat of {lower.by}"

    def _observe_receipt(self, key: str) -> None:
        content = self.peek(names.receipt_key(key))
        if content is None or (record := receipt.decode(content)) is None:
            self.receipts.pop(key, None)
            return
        if self.receipts.get(key) != record:  # what a bucket's fence adds to it is not of it
            self.receipts[key] = record
            commit = (key, record.input.tag + str(record.input.size), record.recipe.hash)
            again = commit in self.committed and key not in self.damaged
            assert not again, f"I2: a second receipt for {commit}"
            self.committed.add(commit)
            if self._is_whole(key, record):
                self.damaged.discard(key)
        if self.is_current(key, record) and key not in self.damaged:
            assert self._is_whole(key, record), f"I3: the receipt of {key} is not true"

    def _is_whole(self, key: str, record: Receipt) -> bool:
        for result in record.results:
            data = self.peek(names.split(key)[0] + result.name)
            if data is None or hashlib.sha256(data).hexdigest() != result.sha256:
                return False
        return True

    def is_current(self, key: str, record: Receipt) -> bool:
        version = Version(record.input.size, record.input.tag)
        return (version, record.recipe.hash) == (self.versions[key], self.recipe)

    # --- the end

    def settle(self, *, failures: bool = True) -> None:
        """Let one more daemon work the folder off; everything ends (I4).

        Args:
            failures: whether inputs may end as failures.
        """
        worker = Worker(self, "the-last")
        for _ in range(60):
            worker.run(worker.tend)
            self.observe(worker)
            if self.is_settled(failures=failures):
                return
            self.clock.advance(TTL / 4)
        raise AssertionError(f"I4: this is how it ends: {sorted(self.listed())}")

    def is_settled(self, *, failures: bool) -> bool:
        left = self.listed()
        for key in self.inputs:
            record = self.standing(key)
            if record is None or not self.is_current(key, record):
                return False
            if record.failure is not None and not failures:
                return False
            if not record.results and record.failure is None:
                return False
            left -= {
                key,
                names.receipt_key(key),
                *(names.split(key)[0] + r.name for r in record.results),
            }
        return not any(parse_lock(key) or is_hidden(key) for key in left)


def result_key(key: str) -> str:
    return names.pose_key(key, "toy")


class Worker:
    """One daemon, with one thread; it stands still before each operation on the folder."""

    def __init__(self, world: World, name: str, skew: float = 0.0) -> None:
        self.world = world
        self.name = name
        self.clock = Skewed(world.clock, skew)
        self.steps = 0
        self._budget = 0
        self._claim: Claim | None = None
        self.next = ""
        self._killed = False
        self._thread: threading.Thread | None = None
        self._go, self._stands = threading.Semaphore(0), threading.Semaphore(0)
        self._error: BaseException | None = None
        self.storage: Storage
        if world.kind == POSIX:
            files = Unsynced()
            self.storage = PosixStorage(world.folder, files)
            files.hook = self._hook
        elif world.kind == S3:
            store = HookedObjects(Recorded(world.bucket, world.sent), self._hook)
            self.storage = world.bucket_storage(store)
        else:
            self.storage = FaultyStorage(world.memory, self._hook)
        self._observer, self._hidden = Observer(), Observer()
        self._claims = Claims(
            self.storage, self.clock, Owner(name, len(name), "boot"), TTL, self._observer
        )
        self._local = world.scratch / f"{len(world.workers)}"
        self._local.mkdir()
        world.workers.append(self)

    # --- how it is moved

    @property
    def idle(self) -> bool:
        return self._thread is None

    def start(self, task: Callable[[], None]) -> None:
        """Begin; stands before its first operation."""
        assert self.idle
        self._killed, self._error, self._budget = False, None, 0
        self._thread = threading.Thread(target=self._main, args=(task,), daemon=True)
        self._thread.start()
        self._stood()

    def step(self, count: int = 1) -> None:
        """Do some operations; fewer, when the task ends before."""
        if count and not self.idle:
            self._budget = count
            self._go.release()
            self._stood()

    def go_on(self, count: int) -> None:
        """Do some operations of the next round, or of the one that was begun."""
        if self.idle:
            self.start(self.tend)
        self.step(count)

    def step_until(self, reached: Callable[[Worker], bool]) -> None:
        """Do operations until something is so."""
        while not self.idle and not reached(self):
            self.step()

    def heart(self) -> None:
        """Beat, as a thread of its own does while the worker works (not if that is at it)."""
        claim = self._claim
        if claim is not None and not self._killed and claim._lock.acquire(blocking=False):
            try:
                claim.beat()
            finally:
                claim._lock.release()

    def finish(self) -> None:
        """Do all that is left."""
        self.step(sys.maxsize)

    def run(self, task: Callable[[], None]) -> None:
        self.start(task)
        self.finish()

    def kill(self) -> None:
        """The process is gone, whatever it was about to do."""
        if not self.idle:
            self._killed = True
            self._go.release()
            self._stood()
        self._claim = None
        self._observer, self._hidden = Observer(), Observer()
        self._claims._observer = self._observer

    def _main(self, task: Callable[[], None]) -> None:
        try:
            task()
        except KilledError:
            pass
        except BaseException as error:  # noqa: BLE001 -- raised again by _stood
            self._error = error
        self._thread = None
        self._stands.release()

    def _stood(self) -> None:
        self._stands.acquire()
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def _hook(self, operation: Operation) -> None:
        if operation.after:
            if not self._killed and operation.name in CHANGES:
                self.world.observe(self)
            if operation.name in READS:
                self.world.read(self)
            return
        if threading.current_thread() is not self._thread:
            return  # it is the heart
        if not self._killed and (self.world.every or operation.name not in PRIVATE):
            self.steps += 1
            self._budget -= 1
            if self._budget <= 0:
                self.next = operation.name
                self._stands.release()
                self._go.acquire()
        if self._killed:
            raise KilledError

    # --- what it does

    def tend(self) -> None:
        """What a daemon does in each round: scan, sweep, work."""
        self.sweep()
        for key in sorted(self.world.inputs):
            self.work(key)

    def sweep(self) -> None:
        began = self.clock.monotonic()
        keys = {e.key: e.version for e in self.storage.scan(lambda _key: False)}
        locks: dict[str, bytes] = {}
        for key in keys:
            if parse_lock(key) is not None:
                with suppress(MissingError):
                    locks[key] = self.storage.read(key)
        ended = self.clock.monotonic()
        held = survey.survey(self._observer, locks, began=began, ended=ended, ttl=TTL)
        for lock in survey.locks_to_sweep(held, self._finished, lambda key: key in keys):
            with suppress(ChangedError):
                self.storage.remove(lock.lock, lock.content)
        hidden = {key: version for key, version in keys.items() if is_hidden(key)}
        for key in survey.hidden_to_sweep(
            hidden, held, self._hidden, began=began, ended=ended, ttl=TTL
        ):
            self.storage.sweep(key)

    def _finished(self, key: str, record: object) -> bool:  # noqa: ARG002 -- it is the newest
        try:
            found = receipt.decode(self.storage.read(names.receipt_key(key)))
            entry = self.storage.stat(key)
        except MissingError:
            return False
        return found is not None and entry is not None and self.settled(found, entry.version)

    def work(self, key: str = KEY) -> None:
        """One job, if there is one."""
        entry = self.storage.stat(key)
        assert entry is not None
        job = f"{entry.version} {self.world.recipe}"
        standing = self._publisher(key, None).standing()
        if standing is not None and self.settled(standing.receipt, entry.version):
            return
        try:
            claim = self._claims.acquire(key, job)
        except StorageError:
            return
        if isinstance(claim, Busy):
            return
        self._claim = claim
        watch(self.world, claim)
        end = claim.give_back
        try:
            if self._claimed(key, entry.version, claim):
                end = claim.release
        except (StoppedError, StorageError):
            pass
        except KilledError:
            return
        end()
        self._claim = None

    def _claimed(self, key: str, version: Version, claim: Claim) -> bool:
        publisher = self._publisher(key, claim)
        standing = publisher.standing(claim.sighting)
        if standing is not None and self.settled(standing.receipt, version):
            return True
        results: Mapping[str, Path] = {}
        failure: FailureRecord | None = None
        try:
            refuse(claim)
            made = self._local / "made"
            self.storage.fetch(key, version, self._local / "input", lambda _count: None)
            if claim.beat(1, 2) is not None:
                return False
            video = (self._local / "input").read_bytes()
            made.write_bytes(f"result {self.name} {self.world.recipe} ".encode() + video)
            results = {result_key(key): made}
            publisher.publish(results, self._receipt(key, version, claim, None), Cancellation())
        except InputError as error:
            failure = FailureRecord(fault=error.fault, message=error.message)
            publisher.publish({}, self._receipt(key, version, claim, failure), Cancellation())
        return True

    def settled(self, found: Receipt | None, version: Version | None) -> bool:
        if found is None or version is None:
            return False
        same = (found.input.size, found.input.tag) == (version.size, version.tag)
        whole = found.failure is not None or all(
            self.storage.stat(f"talks/{result.name}") is not None for result in found.results
        )
        return same and found.recipe.hash == self.world.recipe and whole

    def _publisher(self, key: str, claim: Claim | None) -> Publisher:
        return Publisher(
            storage=self.storage,
            claim=claim,
            input_key=key,
            receipt_key=names.receipt_key(key),
            ours=lambda path: path.read_bytes().startswith(b"result"),
            clock=self.clock,
            troubled=lambda _error: None,
        )

    def _receipt(
        self, key: str, version: Version, claim: Claim, failure: FailureRecord | None
    ) -> Callable[[tuple[ResultRecord, ...]], Receipt]:
        recipe = self.world.recipe
        return lambda records: Receipt(
            outcome="done" if failure is None else "failed",
            input=InputRecord(name=names.split(key)[1], size=version.size, tag=version.tag),
            recipe=RecipeRecord(name=recipe, hash=recipe),
            attempt=claim.attempt,
            nonce=claim.token,
            results=records,
            failure=failure,
        )


READS = {"read", "get"}
"""By which a worker learns what is in a file, on each kind of folder."""

PRIVATE = frozenset({"close", "fstat", "fsync", "lstat"})
"""Operations before which nobody stands, unless `World.every`: what a rival does there, it could
as well do before the next or after the last one."""


def refuse(claim: Claim) -> None:
    if claim.tries > MAX_ATTEMPTS:
        raise InputError(Fault.CRASHED, "killed its workers")


CHANGES = frozenset(
    {"create", "overwrite", "remove", "publish", "fence", "sweep", "discard"}
    | {"link", "rename", "unlink", "pwrite"}
    | {"put", "delete"}
)


def watch(world: World, claim: Claim) -> None:
    """Assert I7 each time that the claim is looked at."""
    beat, check = claim.beat, claim.check

    def superseded() -> bool:
        return world.peek(lock_key(claim.key, claim.attempt + 1)) is not None

    def watched_beat(done: int | None = None, total: int | None = None) -> object:
        was = superseded()
        lost = beat(done, total)
        assert not was or lost is not None, "I7: a beat did not see a newer attempt"
        return lost

    def watched_check(*, young: bool = False) -> object:
        was = superseded()
        lost = check(young=young)
        assert young or not was or lost is not None, "I7: a check did not see a newer attempt"
        return lost

    claim.beat = watched_beat
    claim.check = watched_check
