"""A worker's surroundings for tests: a folder in memory, a toy recipe, and time that is told."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from posewatch.base.clock import ManualClock
from posewatch.base.metrics import Metrics
from posewatch.cache import InputCache
from posewatch.catalog import Job, Why, version_of
from posewatch.claims.claims import Claims, Owner
from posewatch.claims.observer import Observer
from posewatch.formats import names, receipt
from posewatch.stages.recipe import Made, Progress, RecipeId
from posewatch.storage.faulty import FaultyStorage, Operation
from posewatch.storage.memory import MemoryStorage
from posewatch.worker.cancel import Cancellation
from posewatch.worker.decoders import Decoders
from posewatch.worker.heart import Pulse
from posewatch.worker.job import Runner

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from posewatch.base.errors import StorageError
    from posewatch.claims.claim import Claim
    from posewatch.formats.receipt import Receipt
    from posewatch.worker.attempt import Ending

PATIENCE = 20.0
"""Seconds until something that takes milliseconds is given up."""

SUFFIXES = (".mp4", ".mov")
SUFFIX = ".pose-toy.npz"


def until(condition: Callable[[], bool], what: str) -> None:
    """Poll until something has happened in another thread."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        time.sleep(0.001)


class StoppedClock(ManualClock):
    """A clock whose `wait` really waits until somebody moves the time on."""

    def __init__(self) -> None:
        super().__init__()
        self.deadlines: list[float] = []

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """See `Clock`."""
        deadline = self.monotonic() + seconds
        self.deadlines.append(deadline)
        try:
            while not event.wait(0.001) and self.monotonic() < deadline:
                pass
        finally:
            self.deadlines.remove(deadline)
        return event.is_set()

    def until_somebody_waits(self) -> float:
        """Poll until a thread waits; returns how long it wants to."""
        until(lambda: bool(self.deadlines), "somebody waits")
        return min(self.deadlines) - self.monotonic()


class ToyDecoder:
    """Decodes nothing; tells what was done to it."""

    def __init__(self) -> None:
        self.cancelled = 0
        self.closed = False

    def cancel(self) -> None:
        """See `Decoder`."""
        self.cancelled += 1

    def close(self) -> None:
        """See `Decoder`."""
        self.closed = True


@dataclass
class ToyRecipe:
    """Its results are the video's bytes; `acts` are done instead of one run each, in turn."""

    id: RecipeId = field(default_factory=lambda: RecipeId("toy", {"revision": 1}))
    acts: list[Callable[[Callable[[Progress], None]], None]] = field(default_factory=list)
    runs: int = 0
    software = {"toy": "1.0"}  # noqa: RUF012 -- never changed
    models = {"net": "0" * 64}  # noqa: RUF012 -- never changed
    provider = "ToyProvider"

    def run(
        self,
        video: Path,
        sha256: str,
        folder: Path,
        decoder: ToyDecoder,
        report: Callable[[Progress], None],
    ) -> Made:
        """See `Recipe`."""
        assert sha256
        assert not getattr(decoder, "closed", False)
        assert list(folder.iterdir()) == []
        self.runs += 1
        result = folder / "result"
        result.write_bytes(b"poses of " + video.read_bytes())
        report(Progress(2, 4))
        if self.acts:
            self.acts.pop(0)(report)
        report(Progress(4, 4))
        return Made({SUFFIX: result}, frames=4, seconds=2.0, timings={"decode": 0.5, "infer": 1.5})

    def ours(self, path: Path) -> bool:
        """See `Recipe`."""
        return path.read_bytes().startswith(b"poses of ")


class StillHeart:
    """A heart that beats when it is told to."""

    def __init__(self) -> None:
        self.claims: list[Claim] = []

    @contextmanager
    def beating(self, claim: Claim, cancellation: Cancellation) -> Iterator[Pulse]:
        """See `Heart`."""
        self.claims.append(claim)
        yield Pulse(claim, cancellation, None, 0.0)


class Scene:
    """Everything that a `Runner` needs, over a folder in memory.

    `hook` is told of each operation on the folder, and may fail it; `operations` are those that
    change something.
    """

    def __init__(self, tmp_path: Path, *, ttl: float = 60.0, limit: int = 1000) -> None:
        self.memory = MemoryStorage()
        self.hook: Callable[[Operation], None] = lambda _operation: None
        self.operations: list[tuple[str, str]] = []
        self.storage = FaultyStorage(self.memory, self._told)
        self.clock = ManualClock()
        self.metrics = Metrics()
        self.heart = StillHeart()
        self.recipe = ToyRecipe()
        self.ttl = ttl
        self.claims = self.claims_of("here")
        self.cache = InputCache(tmp_path / "cache", limit, lambda _used, _waiting: None, self.clock)
        self.decoders = Decoders(ToyDecoder, 1)  # type: ignore[arg-type]
        self.troubles: list[StorageError | None] = []
        self.cancellation = Cancellation()

    def _told(self, operation: Operation) -> None:
        changes = {"create", "remove", "publish", "fence", "sweep"}
        if operation.name in changes and not operation.after:
            self.operations.append((operation.name, operation.target))
        self.hook(operation)

    def claims_of(self, host: str) -> Claims:
        """Claims of another machine."""
        owner = Owner(host, 1, "boot")
        return Claims(self.storage, self.clock, owner, self.ttl, Observer())

    @property
    def runner(self) -> Runner:
        """With whatever parts the scene has now."""
        return Runner(
            storage=self.storage,
            folder="memory",
            claims=self.claims,
            heart=self.heart,  # type: ignore[arg-type]
            cache=self.cache,
            decoders=self.decoders,
            recipe=self.recipe,  # type: ignore[arg-type]
            max_attempts=3,
            clock=self.clock,
            metrics=self.metrics,
            host="here",
            troubled=lambda _key, error: self.troubles.append(error),
            suffixes=SUFFIXES,
        )

    def job(self, key: str = "talks/a.mp4", **about: object) -> Job:
        """A job for a video as it is now."""
        entry = self.memory.stat(key)
        assert entry is not None
        job = {
            "key": key,
            "version": version_of(entry),
            "why": Why.NEW,
            "receipt_key": names.receipt_key(key),
            "taken_by": None,
            "seen_at": self.clock.monotonic() - 2.0,
            "closed_at": None,
        }
        return Job(**(job | about))  # type: ignore[arg-type]

    def run(self, job: Job | None = None) -> Ending:
        """Do one job, from its claim to its end."""
        return self.runner.run(job or self.job(), self.cancellation)

    def receipt(self, key: str = "talks/a.posewatch.json") -> Receipt:
        """What stands there."""
        found = receipt.decode(self.memory.read(key))
        assert found is not None
        return found

    def listed(self) -> set[str]:
        """Every key in the folder, hidden ones too."""
        return {entry.key for entry in self.memory.scan(lambda _key: False)}

    def fails(self, name: str, key: str, error: Exception, *, times: int, after: bool) -> None:
        """Let an operation fail so often; `after` it was done, if so."""
        left = [error] * times

        def hook(operation: Operation) -> None:
            if (operation.name, operation.target, operation.after) == (name, key, after) and left:
                raise left.pop()

        self.hook = hook
