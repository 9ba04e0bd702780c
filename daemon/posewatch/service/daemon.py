"""The loop: what was noticed comes in, jobs go out.

Threads and who owns what: the loop runs in the main thread and alone owns the catalog, the
workshop and every decision. Everybody else (watchdog's thread, the scanner, job threads, the signal
handlers) only puts a message into the inbox. One `turn` of the loop takes in what has
arrived, claims what is ready, and reports; then it sleeps until a message or the next moment that
it knows of.

How it stops: SIGTERM or SIGINT gives back what has not begun and lets the running videos finish for
`[work] grace` seconds, then gives those back too; a second signal does that at once. A job that
hangs in a dead mount is left behind after `ABANDON` seconds more: its claim goes stale.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from posewatch.base.errors import PosewatchError, StorageError
from posewatch.base.logs import fields
from posewatch.base.metrics import HintSource, Outcome, Success, VideoState
from posewatch.catalog import OPEN, Catalog, Held, Rules, Share, State, version_of
from posewatch.claims.survey import survey
from posewatch.formats import names
from posewatch.service.idler import Acted
from posewatch.service.inbox import Ask, Hint, Trouble
from posewatch.service.inspect import newest_holders, standing
from posewatch.service.left_out import LeftOut
from posewatch.service.overview import Overview, Pace
from posewatch.service.pages import Check, Readiness
from posewatch.service.schedule import Schedule
from posewatch.service.sweep import Sweeper
from posewatch.service.trouble import Troubles
from posewatch.service.window import View
from posewatch.watch.scan import Scan
from posewatch.worker.attempt import Ending
from posewatch.worker.cancel import Stop

if TYPE_CHECKING:
    from collections.abc import Callable

    from posewatch.base.clock import Clock
    from posewatch.base.metrics import Metrics
    from posewatch.catalog import Job, Newest
    from posewatch.claims.observer import Observer
    from posewatch.claims.record import LockRecord
    from posewatch.config import Settings
    from posewatch.service.idler import Idler
    from posewatch.service.inbox import Inbox, Message
    from posewatch.service.latest import Latest
    from posewatch.service.notify import Notifier
    from posewatch.service.progress import Progress
    from posewatch.service.window import Window
    from posewatch.stages.recipe import Glimpse
    from posewatch.storage.contract import Storage
    from posewatch.worker.heart import Heart
    from posewatch.worker.job import Runner
    from posewatch.worker.workshop import Workshop

log = logging.getLogger(__name__)

ABANDON = 10.0
"""Seconds that cancelled jobs get to end."""

TURN = 1.0
"""Seconds between two turns at most, so that health, status and progress stay fresh."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What the loop drives; built by `service.build`.

    Attributes:
        storage: the folder.
        observer: how long locks have been unchanged; shared with the claims.
        workshop: runs jobs.
        heart: renews claims, and knows how far jobs are.
        clock: the time.
        metrics: the numbers.
        progress: where the loop shows that it lives.
        notifier: who wants to know.
        request_scan: asks for a scan, which comes as a message.
        reload: reads the settings again, and takes over what can change while it runs; returns
            them and the runner of the next jobs.
        show: told where everything stands, about once a second.
        share: the videos that this daemon works on.
        scans_cost: whether a scan costs money: there are fewer while there is nothing to do.
        window: through which others see what stands in the folder.
        idler: stops the machine when there is nothing to do.
        latest: shows the newest result.
    """

    storage: Storage
    observer: Observer
    workshop: Workshop
    heart: Heart
    clock: Clock
    metrics: Metrics
    progress: Progress
    notifier: Notifier
    request_scan: Callable[[], None]
    reload: Callable[[Settings], tuple[Settings, Runner]]
    show: Callable[[Overview], None]
    share: Share
    scans_cost: bool
    window: Window
    idler: Idler
    latest: Latest


class Daemon:
    """The loop.

    Args:
        parts: what it drives.
        settings: the settings to begin with.
        runner: does the jobs to begin with.
        inbox: where messages arrive.
        until_idle: whether to end when everything is done or failed.
    """

    def __init__(
        self,
        parts: Parts,
        settings: Settings,
        runner: Runner,
        inbox: Inbox,
        *,
        until_idle: bool,
    ) -> None:
        self._parts = parts
        self._settings = settings
        self._runner = runner
        self._inbox = inbox
        self._until_idle = until_idle
        self._catalog = Catalog(_rules(settings, runner, parts))
        self._troubles = Troubles(parts.clock, parts.metrics)
        self._sweeper = Sweeper(parts.storage)
        self._pace = Pace()
        self._schedule = Schedule(
            settings.watch,
            parts.clock.monotonic(),
            until_idle=until_idle,
            scans_cost=parts.scans_cost,
        )
        self._stop_at: float | None = None
        self._left_out = LeftOut(parts.metrics)
        self._newest: Newest | None = None
        self._holders: dict[str, LockRecord | None] = {}
        self._reported = -TURN
        self._overview = Overview()

    # For other threads to read: each is one reference, replaced as a whole.

    @property
    def overview(self) -> Overview:
        """Where everything stood a moment ago."""
        return self._overview

    def glimpse(self) -> tuple[str, Glimpse] | None:
        """What was found lately, and in which video: here, or else by whoever was last."""
        return self._parts.heart.glimpse() or self._parts.latest.glimpse(self._newest)

    @property
    def idle(self) -> str:
        """Whether and when the machine will be stopped, in words; empty where it is not."""
        return self._parts.idler.words

    def readiness(self) -> Readiness:
        """Whether videos can be worked on."""
        return Readiness(
            (
                self._troubles.check_folder(),
                self._schedule.check(self._parts.clock.monotonic()),
                Check(
                    "running", self._stop_at is None, "" if self._stop_at is None else "stopping"
                ),
                self._troubles.check_machine(),
            )
        )

    # The loop

    def run(self) -> Overview:
        """Turn until asked to stop, or idle where that was asked for."""
        self.turn()
        while not self._over():
            self._sleep()
            self.turn()
        self._report(self._parts.clock.monotonic())
        return self._overview

    def turn(self) -> None:
        """One turn: take in what has arrived, hand out jobs, report."""
        clock = self._parts.clock
        began = clock.monotonic()
        # Not for longer: each hint costs a look at a folder that may be slow, and a whole tree that
        # is moved in gives as many as it has files.
        while clock.monotonic() < began + TURN:
            message = self._inbox.get(0.0)
            if message is None:
                break
            self._take(message, clock.monotonic())
        now = clock.monotonic()
        if self._stop_at is None:
            if self._schedule.ask(now):
                self._parts.request_scan()
            self._hand_out(now)
        elif now >= self._stop_at:
            self._parts.workshop.give_back(Stop.SHUTDOWN, "the time to finish is over", begun=True)
        self._idle(now)
        self._parts.progress.mark()
        if now >= self._reported + TURN:
            self._report(now)

    def _over(self) -> bool:
        if self._stop_at is not None:
            late = self._parts.clock.monotonic() >= self._stop_at + ABANDON
            if late and len(self._parts.workshop):
                log.error("jobs hang; their claims are left to go stale")
            return late or not len(self._parts.workshop)
        if not self._until_idle or not self._schedule.complete or len(self._parts.workshop):
            return False
        return not self._to_do()

    def _sleep(self) -> None:
        now = self._parts.clock.monotonic()
        until = now + TURN
        if self._stop_at is None:
            moments = [self._catalog.next_ready(now), self._schedule.next]
            until = min([until, *(moment for moment in moments if moment is not None)])
        else:
            until = min(until, max(self._stop_at, now + 0.1))
        message = self._inbox.get(max(until - now, 0.0))
        if message is not None:
            self._take(message, self._parts.clock.monotonic())

    # What comes in

    def _take(self, message: Message, now: float) -> None:
        match message:
            case Hint(key, source):
                self._take_hint(key, source, now)
            case Scan():
                self._take_scan(message, now)
            case Ending():
                self._take_ending(message, now)
            case Trouble(key, None):
                self._troubles.passed(key)
            case Trouble(key, StorageError() as error):
                self._troubles.note(error, key)
            case StorageError():
                self._schedule.failed(now)
                self._parts.metrics.scans[Success.FAILED].inc()
                self._parts.metrics.folder_available.set(0)
                self._troubles.note(message)
            case Acted():
                self._parts.idler.acted(message)
            case Ask():
                self._take_asked(message, now)

    def _take_hint(self, key: str, source: HintSource, now: float) -> None:
        if not names.is_input(key, self._catalog.rules.suffixes):
            return
        self._parts.metrics.hints[source].inc()
        self._schedule.stir(now)
        try:
            entry = self._parts.storage.stat(key)
        except StorageError as error:
            self._troubles.note(error, key)
            return
        if entry is None:
            self._catalog.gone(key)
        else:
            self._catalog.closed(key, entry, now)

    def _take_scan(self, scan: Scan, now: float) -> None:
        metrics = self._parts.metrics
        metrics.scans[Success.OK].inc()
        metrics.hints[HintSource.SCAN].inc()
        metrics.scan_duration.observe(scan.ended - scan.began)
        metrics.scan_files.set(scan.files)
        unlisted = [skipped.key for skipped in scan.skipped if skipped.error is not None]
        self._catalog.scanned(scan.listing, now, began=scan.began, unlisted=unlisted)
        for key, told in scan.receipts.items():
            self._catalog.receipt_read(key, told)
        self._newest = scan.newest
        ttl = self._settings.claims.ttl
        locks = survey(
            self._parts.observer, scan.locks, began=scan.listed, ended=scan.ended, ttl=ttl
        )
        self._holders = newest_holders(scan)
        held = {key: Held.ELSEWHERE for key, seen in locks.items() if not seen[-1].stale}
        held.update(dict.fromkeys(self._parts.workshop.keys(), Held.HERE))
        counts = self._catalog.settle_up(held, now)
        to_confirm = counts[State.SETTLING] > 0
        self._schedule.ended(scan, now, to_do=self._catalog.open > 0, to_confirm=to_confirm)
        for state in State:
            metrics.videos[VideoState(state)].set(counts[state])
        oldest = self._catalog.oldest_waiting
        metrics.oldest_waiting.set(0.0 if oldest is None else now - oldest)
        self._troubles.listed(self._catalog.open_keys())
        self._left_out.tell(scan)
        if not scan.unlisted:
            self._sweeper.sweep(scan, locks, self._catalog, self._parts.workshop.keys(), ttl)

    def _take_ending(self, ending: Ending, now: float) -> None:
        key = ending.job.key
        self._parts.workshop.ended(key)
        self._holders.pop(key, None)
        self._schedule.stir(now)
        if ending.standing is not None:
            standing = ending.standing
            self._catalog.published(standing.key, standing.version, standing.receipt, now)
        self._catalog.let_go(key, now, wait=ending.wait, bug=ending.bug is not None)
        if ending.gone:
            self._catalog.gone(key, ending.job.version)
        elif ending.outcome is None and ending.error is None and ending.standing is None:
            self._catalog.held_elsewhere(key)
        if isinstance(ending.error, StorageError):
            self._troubles.note(ending.error, key)
        elif ending.error is not None:
            self._troubles.note_machine(ending.error)
        if ending.outcome in {Outcome.DONE, Outcome.FAILED}:
            self._pace.finished(ending.frames)
            self._troubles.passed(key, made=ending.outcome is Outcome.DONE)
        if self._until_idle and not self._to_do():
            self._schedule.at(now)

    def _take_asked(self, asked: Ask, now: float) -> None:
        match asked:
            case Ask.STOP:
                self._take_stop(now)
            case Ask.RELOAD:
                self._take_reload()
            case Ask.LOOK:
                self._take_look()

    def _take_stop(self, now: float) -> None:
        if self._stop_at is not None:
            self._stop_at = now
            return
        grace = self._settings.work.grace
        log.info("stopping", extra=fields(videos=len(self._parts.workshop), seconds=grace))
        self._parts.notifier.stopping()
        self._parts.notifier.extend_timeout(grace + ABANDON)
        self._stop_at = now + grace
        self._parts.workshop.give_back(Stop.SHUTDOWN, "it had not begun", begun=False)

    def _take_reload(self) -> None:
        if self._stop_at is not None:
            return
        self._parts.notifier.reloading()
        try:
            self._settings, self._runner = self._parts.reload(self._settings)
        except PosewatchError:
            log.exception("the settings stay as they were")
        else:
            self._catalog.change_rules(_rules(self._settings, self._runner, self._parts))
            self._schedule.watch = self._settings.watch
            self._schedule.within_interval(self._parts.clock.monotonic())
            log.info("the settings were read again")
        self._parts.notifier.ready()

    def _take_look(self) -> None:
        """Somebody wants to see what stands in the folder."""
        clock, view = self._parts.clock, None
        if self._schedule.scanned:
            began = clock.monotonic()
            holders = self._holders | self._parts.heart.held()
            status = standing(self._catalog, holders, self._left_out.unlisted, clock)
            view = View(status, began, clock.monotonic() - began)
        self._parts.window.show(view)

    # What goes out

    def _hand_out(self, now: float) -> None:
        work = self._settings.work
        free = work.videos_in_flight + work.prefetch - len(self._parts.workshop)
        if self._troubles.everything_waits():
            return
        for job in self._catalog.jobs(now, free, self._troubles.holds):
            if job.look_again and not self._rests(job, now):
                continue
            self._pace.begin(now)
            self._catalog.taken(job.key)
            self._parts.workshop.start(job, self._runner)

    def _idle(self, now: float) -> None:
        """Where that was asked for, stop a machine that has nothing to do."""
        if self._until_idle:
            return
        if self._parts.idler.turn(self._settings.idle, self._busy(), self._schedule.looked):
            self._schedule.at(now)

    def _busy(self) -> str:
        """What this machine could do, or why that is not known; empty where there is nothing.

        What others hold is theirs: should one die, its claim goes stale and its video waits again.
        """
        unready = next((str(check) for check in self.readiness().checks if not check.ok), "")
        if unready:
            return unready
        if self._troubles.error is not None:
            return "something is in trouble"
        if self._left_out.unlisted:
            return "parts of the folder could not be looked at"
        if len(self._parts.workshop):
            return "videos are worked on"
        return "videos wait" if self._catalog.count(OPEN - {State.ELSEWHERE}, mine=True) else ""

    def _to_do(self) -> bool:
        """Whether an open video of this daemon's share can be written beside."""
        if not self._troubles.gives_up:  # asked in every turn: no walk through a whole folder
            return self._catalog.count(OPEN, mine=True) > 0
        return any(not self._troubles.given_up(key) for key in self._catalog.open_mine())

    def _rests(self, job: Job, now: float) -> bool:
        """Whether a file that was closed is still the same after its time to settle."""
        try:
            entry = self._parts.storage.stat(job.key)
        except StorageError as error:
            self._troubles.note(error, job.key)
            return False
        if entry is None:
            self._catalog.gone(job.key)
        elif version_of(entry) != job.version:
            self._catalog.closed(job.key, entry, now)
        else:
            return True
        return False

    def _report(self, now: float) -> None:
        self._reported = now
        self._overview = self._count(now)
        self._parts.metrics.videos_in_flight.set(self._overview.in_flight)
        trouble = self._troubles.error
        words = self._parts.idler.words or str(self._overview)
        self._parts.notifier.status(str(trouble) if trouble is not None else words)
        self._parts.show(self._overview)

    def _count(self, now: float) -> Overview:
        running = [p for p in self._parts.heart.progress().values() if p is not None]
        videos, unfinished, failed = len(self._catalog), self._catalog.open, self._catalog.failed
        return Overview(
            videos=videos,
            done=videos - unfinished - failed,
            failed=failed,
            in_flight=len(self._parts.workshop),
            frames=self._pace.frames(running),
            frames_per_second=self._pace.frames_per_second(running, now),
            seconds_left=self._pace.seconds_left(unfinished, running, now),
            unlisted=len(self._left_out.unlisted),
            refused=self._refused(),
            interrupted=self._stop_at is not None,
        )

    def _refused(self) -> int:
        """How many open videos cannot be written beside, for all that was tried."""
        if self._troubles.error is None:
            return 0
        return sum(map(self._troubles.given_up, self._catalog.open_mine()))


def _rules(settings: Settings, runner: Runner, parts: Parts) -> Rules:
    return Rules(
        suffixes=settings.watch.suffixes,
        recipe_hash=runner.recipe.id.hash,
        settle=settings.watch.settle,
        tags=parts.storage.tags_stay,
        share=parts.share,
    )
