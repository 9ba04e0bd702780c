"""The loop's surroundings for tests: a folder in memory, jobs that end when they are told to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from posewatch.base.clock import ManualClock
from posewatch.base.metrics import Metrics, Outcome
from posewatch.catalog import Share
from posewatch.claims.observer import Observer
from posewatch.config import Settings
from posewatch.formats import names, receipt
from posewatch.formats.receipt import InputRecord, Receipt, RecipeRecord, ResultRecord
from posewatch.service.daemon import Daemon, Parts
from posewatch.service.idler import Idler
from posewatch.service.inbox import Ask, Hint, Inbox
from posewatch.service.latest import Latest
from posewatch.service.notify import SilentNotifier
from posewatch.service.progress import Progress
from posewatch.service.window import Window
from posewatch.stages.recipe import RecipeId
from posewatch.storage.faulty import FaultyStorage, Operation
from posewatch.storage.memory import MemoryStorage
from posewatch.watch.scan import FolderReader
from posewatch.worker.attempt import Ending
from posewatch.worker.publish import Standing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from posewatch.base.errors import PosewatchError, StorageError
    from posewatch.catalog import Job
    from posewatch.claims.record import LockRecord
    from posewatch.config import IdleSettings
    from posewatch.service.inbox import Message
    from posewatch.service.overview import Overview
    from posewatch.stages.recipe import Glimpse
    from posewatch.stages.recipe import Progress as Frames
    from posewatch.worker.cancel import Stop

SUFFIX = ".pose-toy.npz"
PATIENCE = 30.0


class PatientInbox(Inbox):
    """One in which waiting moves the time on instead."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__()
        self._clock = clock
        self._looks = 0
        self.slept: list[float] = []

    def get(self, timeout: float) -> Message | None:
        """See `Inbox`."""
        assert timeout >= 0
        self._looks += 1
        assert self._looks < 10_000, "it never ends"
        message = super().get(0.0)
        if message is None and timeout:
            self.slept.append(timeout)
            self._clock.advance(timeout)
        return message


class RunnerDouble:
    """Knows which recipe it makes."""

    def __init__(self, recipe: str = "now") -> None:
        self.recipe = self
        self.id = RecipeId("toy", {"which": recipe})


class HeartDouble:
    """Knows how far the jobs are that it was told of."""

    def __init__(self) -> None:
        self.running: dict[str, Frames | None] = {}
        self.records: dict[str, LockRecord] = {}
        self.seen: tuple[str, Glimpse] | None = None

    def progress(self) -> dict[str, Frames | None]:
        """See `Heart`."""
        return self.running

    def held(self) -> dict[str, LockRecord]:
        """See `Heart`."""
        return self.records

    def glimpse(self) -> tuple[str, Glimpse] | None:
        """See `Heart`."""
        return self.seen


class WorkshopDouble:
    """Jobs that end when they are told to."""

    def __init__(self) -> None:
        self.jobs: dict[str, tuple[Job, RunnerDouble]] = {}
        self.given_back: list[tuple[Stop, bool]] = []
        self.started: list[str] = []
        self.then: Callable[[str], None] = lambda _key: None

    def __len__(self) -> int:
        return len(self.jobs)

    def keys(self) -> Iterable[str]:
        """See `Workshop`."""
        return self.jobs.keys()

    def start(self, job: Job, runner: RunnerDouble) -> None:
        """See `Workshop`."""
        assert job.key not in self.jobs
        self.jobs[job.key] = job, runner
        self.started.append(job.key)
        self.then(job.key)

    def ended(self, key: str) -> None:
        """See `Workshop`."""
        del self.jobs[key]

    def give_back(self, why: Stop, detail: str, *, begun: bool) -> None:
        """See `Workshop`."""
        assert detail
        self.given_back.append((why, begun))


class NotifierDouble(SilentNotifier):
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.lines: list[str] = []

    def ready(self) -> None:
        """See `Notifier`."""
        self.told.append("ready")

    def reloading(self) -> None:
        """See `Notifier`."""
        self.told.append("reloading")

    def stopping(self) -> None:
        """See `Notifier`."""
        self.told.append("stopping")

    def extend_timeout(self, seconds: float) -> None:
        """See `Notifier`."""
        self.told.append(f"extend {seconds:g}")

    def status(self, text: str) -> None:
        """See `Notifier`."""
        self.lines.append(text)


class House:
    """A loop and its surroundings."""

    def __init__(
        self,
        *,
        until_idle: bool = False,
        share: str = "1/1",
        scans_cost: bool = False,
        **settings: dict[str, object],
    ) -> None:
        self.clock = ManualClock()
        self.memory = MemoryStorage()
        self.acts: dict[tuple[str, str], Callable[[], None]] = {}
        self.storage = FaultyStorage(self.memory, self._hook)
        self.metrics = Metrics()
        self.inbox = PatientInbox(self.clock)
        self.heart = HeartDouble()
        self.workshop = WorkshopDouble()
        self.notifier = NotifierDouble()
        self.settings = Settings.model_validate(
            {"work": {"videos_in_flight": 2, "prefetch": 1}} | settings
        )
        self.acts_done: list[str] = []
        self.act_fails: PosewatchError | None = None
        self.requests: list[float] = []
        self.on_request: Callable[[], None] = lambda: None
        self.reloaded: Callable[[Settings], tuple[Settings, RunnerDouble]] | None = None
        self.shown: list[Overview] = []
        self.on_show: Callable[[], None] = lambda: None
        self.progress = Progress(self.clock, PATIENCE)
        self.latest = Latest(self.storage)
        self.window = Window(self.clock, lambda: self.inbox.put(Ask.LOOK))
        self.reader = FolderReader(self.storage, self.settings.watch.suffixes, self.clock)
        self.daemon = Daemon(
            Parts(
                storage=self.storage,
                observer=Observer(),
                workshop=self.workshop,  # type: ignore[arg-type]
                heart=self.heart,  # type: ignore[arg-type]
                clock=self.clock,
                metrics=self.metrics,
                progress=self.progress,
                notifier=self.notifier,
                request_scan=self._requested,
                reload=self._reload,  # type: ignore[arg-type]
                show=self._show,
                share=Share.parse(share),
                scans_cost=scans_cost,
                window=self.window,
                latest=self.latest,
                idler=Idler(self.clock, self.metrics, self._act, self.inbox.put),
            ),
            self.settings,
            RunnerDouble(),  # type: ignore[arg-type]
            self.inbox,
            until_idle=until_idle,
        )

    def _hook(self, operation: Operation) -> None:
        act = self.acts.get((operation.name, operation.target))
        if act is not None and not operation.after:
            act()

    def _act(self, settings: IdleSettings) -> None:
        self.acts_done.append(settings.action)
        if self.act_fails is not None:
            raise self.act_fails

    def _requested(self) -> None:
        self.requests.append(self.clock.monotonic())
        self.on_request()

    def _reload(self, now: Settings) -> tuple[Settings, RunnerDouble]:
        assert self.reloaded is not None
        return self.reloaded(now)

    def _show(self, overview: Overview) -> None:
        self.shown.append(overview)
        self.on_show()

    def fail(self, name: str, key: str, error: StorageError) -> None:
        """Let an operation on the folder fail from now on."""

        def act() -> None:
            raise error

        self.acts[name, key] = act

    def put(self, *keys: str, data: bytes = b"video") -> None:
        """Some other program writes videos."""
        for key in keys:
            self.memory.put(key, data)

    def write(self, *keys: str, data: bytes = b"video") -> None:
        """A program on this machine writes videos."""
        self.put(*keys, data=data)
        for key in keys:
            self.inbox.put(Hint(key))

    def scan(self) -> None:
        """A scan is made and delivered."""
        self.inbox.put(self.reader.scan())

    def turn(self, seconds: float = 0.0) -> None:
        """Time passes, then the loop makes a turn."""
        self.clock.advance(seconds)
        self.daemon.turn()

    def settle(self) -> None:
        """Two scans, so that everything in the folder is ready, and a turn."""
        for _ in range(2):
            self.scan()
            self.turn(1.0)

    def publish(self, key: str, *, failed: bool = False) -> Standing:
        """What a worker leaves in the folder."""
        job, runner = self.workshop.jobs[key]
        result = names.stem(key) + SUFFIX
        if not failed:
            self.memory.put(result, b"poses")
        record = Receipt(
            outcome="failed" if failed else "done",
            input=InputRecord(name=names.split(key)[1], size=job.version.size, tag=job.version.tag),
            recipe=RecipeRecord(name="toy", hash=runner.id.hash),
            attempt=1,
            nonce="n",
            results=()
            if failed
            else (ResultRecord(name=names.split(result)[1], size=5, sha256=""),),
        )
        version = self.memory.put(job.receipt_key, receipt.encode(record))
        return Standing(job.receipt_key, version, record)

    def finish(self, key: str, *, failed: bool = False, frames: int = 10) -> None:
        """A job ends well, or with a failure."""
        standing = self.publish(key, failed=failed)
        outcome = Outcome.FAILED if failed else Outcome.DONE
        frames = 0 if failed else frames
        self.end(key, outcome, standing=standing, frames=frames)

    def end(self, key: str, outcome: Outcome | None, **about: object) -> None:
        """A job ends."""
        job, _ = self.workshop.jobs[key]
        self.inbox.put(Ending(job, outcome, **about))  # type: ignore[arg-type]

    def metric(self, name: str) -> float:
        """The value of one series."""
        (line,) = [
            line
            for line in self.metrics.expose().decode().splitlines()
            if line.startswith(f"{name} ")
        ]
        return float(line.rpartition(" ")[2])

    @property
    def working(self) -> list[str]:
        """What is worked on now."""
        return sorted(self.workshop.jobs)
