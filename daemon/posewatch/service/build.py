"""The only place that builds real things out of the other rooms, and takes them down again."""

from __future__ import annotations

import itertools
import logging
import os
import platform
import signal
import socket
import sys
import threading
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from posewatch import __version__, config
from posewatch.base import logs
from posewatch.base.backoff import Backoff, Retries
from posewatch.base.clock import Clock, SystemClock
from posewatch.base.errors import (
    PosewatchError,
    SettingsError,
    StorageError,
    UnavailableError,
    UnmountedError,
)
from posewatch.base.logs import fields
from posewatch.base.metrics import HintSource, Metrics
from posewatch.base.once import Once
from posewatch.cache import InputCache
from posewatch.claims.claims import Claims, Owner
from posewatch.claims.observer import Observer
from posewatch.models.cache import ModelCache
from posewatch.service import crashes, doctor, idler, machine
from posewatch.service.board import Board, Sources
from posewatch.service.daemon import Daemon, Parts
from posewatch.service.decoding import open_decoding
from posewatch.service.folder import find, open_safely, open_storage, share_of
from posewatch.service.http import HttpServer
from posewatch.service.idler import Idler
from posewatch.service.inbox import Ask, Hint, Inbox, Trouble
from posewatch.service.latest import Latest
from posewatch.service.notify import Notifier, SilentNotifier, Watchdog, notifier, watchdog_interval
from posewatch.service.overview import Overview
from posewatch.service.pages import Check, Pages, Readiness
from posewatch.service.progress import Progress
from posewatch.service.recipes import Opening
from posewatch.service.reload import adopt
from posewatch.service.window import Window
from posewatch.storage.sqs import SqsQueue
from posewatch.vision.decoder import Decoder
from posewatch.vision.video import DecodeLimits
from posewatch.watch.events import BucketEvents
from posewatch.watch.inotify import LocalWrites
from posewatch.watch.scan import FolderReader, Scan, Scanner
from posewatch.worker.decoders import Decoders
from posewatch.worker.heart import Heart
from posewatch.worker.job import Runner
from posewatch.worker.publish import PASSING
from posewatch.worker.workshop import Workshop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from posewatch.service.checkup import Finding
    from posewatch.stages.pose import PoseRecipe
    from posewatch.storage.contract import Storage

log = logging.getLogger(__name__)

PATIENCE = 30.0
"""Seconds that one turn of the loop may take; see `service.progress`."""

LOADING = 600.0
"""Seconds that loading the networks may take: a GPU compiles kernels at its first start."""

COMPILING = 3600.0
"""The same for TensorRT, which compiles and tries every layer of each network at its first start,
on one GPU after the other."""


def system_clock() -> Clock:
    """The clock of this machine."""
    return SystemClock()


def open_folder(folder: str, config_file: Path | None) -> tuple[Storage, config.Settings]:
    """The folder and the settings, for the commands that need no daemon.

    Raises:
        SettingsError: there is no such folder, or a setting is wrong.
    """
    settings = config.load(config_file)
    watched = find(settings.folder, folder, os.environ)
    return open_storage(watched, SystemClock()), settings


def examine(
    config_file: Path | None, folder: str | None, alive: Callable[[], None]
) -> Iterator[Finding]:
    """What `doctor` finds, see `service.doctor`.

    Without any word about what to look at, it is the service: its settings and its environment.
    """
    environ = dict(os.environ)
    if config_file is None and folder is None and machine.SETTINGS.exists():
        config_file = machine.SETTINGS
        for service in machine.units(machine.SERVICE):
            environ |= service.environment
    clock = SystemClock()
    return doctor.examine(lambda: config.load(config_file), folder, environ, clock, alive)


def serve(load: Callable[[], config.Settings], folder: str | None) -> None:
    """Run the daemon until it is stopped.

    Args:
        load: reads the settings; called again for SIGHUP.
        folder: the watched folder or bucket; wins over the settings.

    Raises:
        SettingsError, ModelError: it cannot begin.
        PosewatchError: a part of it died of a bug.
    """
    clock = SystemClock()
    told = notifier(os.environ, clock)
    try:
        settings = load()
        logs.configure(settings.log.style, settings.log.level)
        house = _House(settings, folder, clock, told)
        with house.open(load, until_idle=False, show=lambda _overview: None) as daemon:
            daemon.run()
        house.complain()
    except PosewatchError as error:
        told.status(str(error))
        raise
    log.info("stopped")


def drain(
    settings: config.Settings, folder: str | None, show: Callable[[Overview], None]
) -> Overview:
    """Work a folder off.

    Args:
        settings: the settings.
        folder: the folder or bucket; wins over the settings.
        show: told where everything stands, about once a second.

    Raises:
        SettingsError, ModelError: it cannot begin.
        PosewatchError: a part of it died of a bug.
    """
    # Somebody looks at a progress bar, which tells what goes well.
    quiet = settings.log.level == "info" and sys.stderr.isatty()
    logs.configure(settings.log.style, "warning" if quiet else settings.log.level)
    house = _House(settings, folder, SystemClock(), SilentNotifier())
    with house.open(lambda: settings, until_idle=True, show=show) as daemon:
        overview = daemon.run()
    house.complain()
    return overview


class _House:
    """Everything that one daemon is made of."""

    def __init__(
        self, settings: config.Settings, given: str | None, clock: Clock, told: Notifier
    ) -> None:
        self._settings = settings
        self._given = given
        self._watched = find(settings.folder, given, os.environ)
        self._clock = clock
        self._notifier = told
        self._metrics = Metrics()
        self._progress = Progress(clock, PATIENCE)
        self._inbox = Inbox()
        self._window = Window(clock, lambda: self._inbox.put(Ask.LOOK))
        self._daemon: Daemon | None = None
        self._doing = "starting"
        self._died = False
        self._was_unmounted = False
        self._once = Once(clock)

    @contextmanager
    def open(
        self,
        load: Callable[[], config.Settings],
        *,
        until_idle: bool,
        show: Callable[[Overview], None],
    ) -> Iterator[Daemon]:
        """Build it, from the ground up; what was built is taken down in reverse order."""
        settings, clock, metrics = self._settings, self._clock, self._metrics
        with ExitStack() as stack:
            stack.enter_context(crashes.told(self._part_died))
            if not until_idle:  # it ends nobody who is only starting; stopping signals still do
                stack.enter_context(self._signals(signal.SIGHUP))
            if settings.http.enabled and not until_idle:
                self._serve_http(stack)
            self._feed_watchdog(stack)
            storage = self._open_storage(wait=not until_idle)
            recipe = self._open_recipe(stack)
            observer = Observer()
            heart = Heart(clock, metrics)
            stack.callback(heart.close)
            owner = Owner(socket.gethostname(), os.getpid(), _boot_id())
            claims = Claims(storage, clock, owner, settings.claims.ttl, observer)
            cache = self._open_cache()
            stack.callback(cache.close)
            decoders = self._open_decoders()
            stack.callback(decoders.close)
            runner = Runner(
                storage=storage,
                folder=self._watched.identity,
                claims=claims,
                heart=heart,
                cache=cache,
                decoders=decoders,
                recipe=recipe(settings.recipe),
                max_attempts=settings.claims.max_attempts,
                clock=clock,
                metrics=metrics,
                host=owner.host,
                troubled=lambda key, error: self._inbox.put(Trouble(key, error)),
                suffixes=settings.watch.suffixes,
            )

            def reload(now: config.Settings) -> tuple[config.Settings, Runner]:
                wanted = adopt(now, load())
                logs.configure(wanted.log.style, wanted.log.level)
                decoders.resize(wanted.work.videos_in_flight)
                return wanted, replace(
                    runner,
                    recipe=recipe(wanted.recipe),
                    max_attempts=wanted.claims.max_attempts,
                )

            reader = FolderReader(storage, settings.watch.suffixes, clock)
            listening = settings.watch.inotify and not until_idle
            writes = self._listen(stack) if listening else None
            self._listen_to_events(stack)
            scanner = Scanner(reader, lambda result: self._deliver(result, writes))
            stack.callback(scanner.close)
            parts = Parts(
                storage=storage,
                observer=observer,
                workshop=Workshop(self._inbox.put),
                heart=heart,
                clock=clock,
                metrics=metrics,
                progress=self._progress,
                notifier=self._notifier,
                request_scan=scanner.request,
                reload=reload,
                show=show,
                share=share_of(settings.folder),
                scans_cost=self._watched.place is not None,
                window=self._window,
                idler=self._idler(),
                latest=Latest(storage),
            )
            self._daemon = Daemon(parts, settings, runner, self._inbox, until_idle=until_idle)
            stack.enter_context(self._signals(signal.SIGTERM, signal.SIGINT))
            self._notifier.ready()
            log.info("watching", extra=fields(folder=self._watched.name, version=__version__))
            yield self._daemon

    def complain(self) -> None:
        """Raise `PosewatchError` if it had to stop because a part of it died."""
        if self._died:
            raise PosewatchError(
                "posewatch had to stop: a part of it died",
                hint="This is a bug: please report it, with the log",
            )

    def _idler(self) -> Idler:
        idler.forget_request(os.environ)
        clock = self._clock
        return Idler(
            clock,
            self._metrics,
            lambda settings: idler.act(settings, os.environ, clock),
            self._inbox.put,
        )

    def _part_died(self) -> None:
        self._died = True
        self._inbox.put(Ask.STOP)

    def _now(self, doing: str) -> None:
        self._doing = doing
        self._notifier.status(doing)

    def _serve_http(self, stack: ExitStack) -> None:
        http = self._settings.http
        sources = Sources(
            health=self._progress.health,
            ready=self._readiness,
            facts=self._facts,
            look=lambda: self._window.look() if self._daemon is not None else None,
            overview=lambda: self._daemon.overview if self._daemon is not None else Overview(),
            idle=lambda: self._daemon.idle if self._daemon is not None else "",
            glimpse=lambda: self._daemon.glimpse() if self._daemon is not None else None,
        )
        board = Board(sources, self._clock)
        pages = Pages(
            self._metrics,
            self._clock,
            self._progress.health,
            self._readiness,
            board,
            shown=http.page,
        )
        stack.callback(HttpServer(pages.answer, http.host, http.port).close)

    def _readiness(self) -> Readiness:
        if self._daemon is None:
            return Readiness((Check("start", ok=False, detail=self._doing),))
        return self._daemon.readiness()

    def _facts(self) -> dict[str, str]:
        host = socket.gethostname()
        return {"version": __version__, "host": host, "folder": self._watched.name}

    def _feed_watchdog(self, stack: ExitStack) -> None:
        interval = watchdog_interval(os.environ)
        if interval is not None:
            watchdog = Watchdog(self._notifier, self._progress, self._clock, interval)
            watchdog.start()
            stack.callback(watchdog.close)

    def _open_storage(self, *, wait: bool) -> Storage:
        """The folder, once it can be used safely."""
        self._now("looking at the folder")
        retries = Retries(Backoff(first=1.0, limit=15.0), Random())  # noqa: S311 -- jitter
        never = threading.Event()
        while True:
            try:
                storage = self._storage_now()
            except PASSING as error:
                self._now(f"waiting for {self._watched.name}: {error}")
                if not wait:
                    raise SettingsError(error.message, hint=error.hint) from error
                delay = retries.failed()
                if retries.failures == 1:
                    log.exception("the folder cannot be used yet")
                self._notifier.extend_timeout(delay + PATIENCE)
                with self._progress.during("waiting for the folder", delay):
                    self._clock.wait(never, delay)
            else:
                if retries.failures:
                    log.info("the folder can be used now")
                self._metrics.folder_available.set(1)
                return storage

    def _storage_now(self) -> Storage:
        """The folder as it is now. For a person one that is missing is wrong, for systemd late."""
        settings = self._settings.folder
        self._watched = watched = find(settings, self._given, os.environ)
        requests = self._metrics.storage_requests
        try:
            return open_safely(watched, settings, self._clock, lambda *kind: requests[kind].inc())
        except SettingsError as error:
            late = watched.place is None and not Path(watched.name).is_dir()
            if isinstance(self._notifier, SilentNotifier) or not late:
                raise
            raise UnmountedError(error.message, hint=error.hint) from error

    def _open_recipe(self, stack: ExitStack) -> Callable[[config.RecipeSettings], PoseRecipe]:
        """Load the networks; the answer makes recipes of them."""
        self._now("loading the networks")
        settings = self._settings
        opening = Opening(settings.recipe, ModelCache())
        patience = COMPILING if settings.work.device == "tensorrt" else LOADING
        self._notifier.extend_timeout(patience)
        with self._progress.during(self._doing, patience):
            opened = opening.open(settings.work, stack, self._metrics, self._clock)
        self._metrics.describe_build(
            version=__version__,
            python=platform.python_version(),
            onnxruntime=opened.loaded.software["onnxruntime"],
            recipe=opened.recipe(settings.recipe).id.name,
            device=settings.work.device,
            provider=opened.loaded.provider,
        )
        model, provider, reason = opened.model, opened.loaded.provider, opened.fallback
        log.info(
            "the networks are loaded",
            extra=fields(model=model, provider=provider, reason=reason)
            if reason
            else fields(model=model, provider=provider),
        )
        return opened.recipe

    def _open_cache(self) -> InputCache:
        cache = self._settings.cache
        path = cache.path or config.user_cache("inputs", environ=os.environ)
        folder = self._watched.path
        if folder is not None and path.resolve().is_relative_to(folder.resolve()):
            raise SettingsError(
                f"the cache {path} is inside of the watched folder: each copy would be a new video",
                hint="Set [cache] path to a folder somewhere else",
            )
        metrics = self._metrics
        metrics.cache_limit_bytes.set(cache.limit_bytes)

        def changed(used: int, waiting: int) -> None:
            metrics.cache_bytes.set(used)
            metrics.cache_waiting.set(waiting)

        return InputCache(path, cache.limit_bytes, changed, self._clock)

    def _open_decoders(self) -> Decoders:
        """Each decoder of the pool gets the next GPU, if GPUs decode."""
        self._now("preparing the decoders")
        settings = self._settings
        self._notifier.extend_timeout(LOADING)
        with self._progress.during(self._doing, LOADING):
            hardware = open_decoding(settings.decode, settings.work, self._make_decoder)
        turns = itertools.cycle(hardware)
        return Decoders(lambda: self._make_decoder(next(turns)), settings.work.videos_in_flight)

    def _make_decoder(self, hardware: str) -> Decoder:
        decode = self._settings.decode
        return Decoder(
            limits=DecodeLimits(max_pixels=decode.max_pixels, memory_bytes=decode.memory_bytes),
            stall_seconds=decode.stall_seconds,
            clock=self._clock,
            hardware=hardware,
        )

    def _listen(self, stack: ExitStack) -> LocalWrites | None:
        watched = self._watched
        if watched.path is None:
            return None
        try:
            writes = LocalWrites(watched.path, lambda key: self._inbox.put(Hint(key)))
        except UnavailableError:
            log.exception("only scans will find new videos")
            return None
        stack.callback(writes.close)
        if watched.backing.network:
            log.info(
                "videos that other machines write are found by scans only",
                extra=fields(reason=f"the folder is on {watched.backing.fstype}"),
            )
        return writes

    def _listen_to_events(self, stack: ExitStack) -> None:
        place, url = self._watched.place, self._settings.watch.sqs
        if url is None:
            return
        if place is None:
            raise SettingsError(
                "watch.sqs: the folder is no bucket", hint="Only buckets have events; leave it out"
            )

        def hint(key: str) -> None:
            self._inbox.put(Hint(key, HintSource.EVENT))

        queue = SqsQueue(url, place)
        events = BucketEvents(queue, place.bucket, place.prefix, hint, self._clock)
        stack.callback(events.close)

    def _deliver(self, result: Scan | StorageError, writes: LocalWrites | None) -> None:
        """Pass a scan on; what listens for writes follows the folder through unmounting."""
        self._inbox.put(result)
        if isinstance(result, UnmountedError):
            self._was_unmounted = True
        elif isinstance(result, Scan) and writes is not None:
            anew, self._was_unmounted = self._was_unmounted, False
            try:
                writes.follow(anew=anew)
            except UnavailableError:
                if self._once.due("no hints"):
                    log.exception("only scans will find new videos")
            else:
                self._once.over("no hints")

    @contextmanager
    def _signals(self, *taken: signal.Signals) -> Iterator[None]:
        """Signals become messages."""

        def take(number: int, _frame: object) -> None:
            self._inbox.put(Ask.RELOAD if number == signal.SIGHUP else Ask.STOP)

        before = {number: signal.signal(number, take) for number in taken}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""
