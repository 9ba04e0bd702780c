"""Telling systemd how the service does: sd_notify(3), and the watchdog of sd_watchdog_enabled(3).

Threads: `Watchdog` owns one thread, which does nothing but look at the progress mark and feed. It
ends when `close` sets its event, or with the process. Notifiers may be used from any thread.
"""

from __future__ import annotations

import logging
import os
import threading
from typing import TYPE_CHECKING, Protocol

from posewatch.base.log_lines import printable
from posewatch.base.once import Once

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from posewatch.base.clock import Clock
    from posewatch.service.progress import Progress

log = logging.getLogger(__name__)

STATUS_LIMIT = 200
"""Characters of a status line; `systemctl status` shows one line."""


class Notifier(Protocol):
    """Whoever started this service and wants to know how it does."""

    def ready(self) -> None:
        """Starting, or reading the configuration again, is done."""

    def reloading(self) -> None:
        """The configuration is being read again; `ready` must follow."""

    def stopping(self) -> None:
        """The service is on its way down."""

    def status(self, text: str) -> None:
        """One line for people, shown by `systemctl status`."""

    def extend_timeout(self, seconds: float) -> None:
        """Starting or stopping may take this much longer from now on."""

    def feed_watchdog(self) -> None:
        """The service is alive."""


class SilentNotifier:
    """For a service that nobody asked to report: does nothing."""

    def ready(self) -> None:
        """See `Notifier`."""

    def reloading(self) -> None:
        """See `Notifier`."""

    def stopping(self) -> None:
        """See `Notifier`."""

    def status(self, text: str) -> None:
        """See `Notifier`."""

    def extend_timeout(self, seconds: float) -> None:
        """See `Notifier`."""

    def feed_watchdog(self) -> None:
        """See `Notifier`."""


class SystemdNotifier:
    """Reports to systemd. A report that cannot be sent is logged once, and never raises.

    Args:
        send: sends one datagram; `systemd.daemon.notify` of systemd-python.
        clock: its `monotonic` must be CLOCK_MONOTONIC, as systemd compares it with its own.
    """

    def __init__(self, send: Callable[[str], object], clock: Clock) -> None:
        self._notify = send
        self._clock = clock
        self._once = Once(clock)
        self._status = ""

    def ready(self) -> None:
        """See `Notifier`."""
        self._send("READY=1")

    def reloading(self) -> None:
        """See `Notifier`."""
        now = int(self._clock.monotonic() * 1_000_000)
        self._send(f"RELOADING=1\nMONOTONIC_USEC={now}")

    def stopping(self) -> None:
        """See `Notifier`."""
        self._send("STOPPING=1")

    def status(self, text: str) -> None:
        """See `Notifier`; the same text is sent once."""
        line = printable(text)[:STATUS_LIMIT]
        if line != self._status:
            self._status = line
            self._send(f"STATUS={line}")

    def extend_timeout(self, seconds: float) -> None:
        """See `Notifier`."""
        self._send(f"EXTEND_TIMEOUT_USEC={int(seconds * 1_000_000)}")

    def feed_watchdog(self) -> None:
        """See `Notifier`."""
        self._send("WATCHDOG=1")

    def _send(self, message: str) -> None:
        try:
            self._notify(message)
        except OSError as error:
            if self._once.due("unreachable"):
                log.warning("systemd cannot be told how the service does: %s", error)
        else:
            self._once.over("unreachable")


def notifier(environ: Mapping[str, str], clock: Clock) -> Notifier:
    """The notifier for this process: systemd's where it listens, else the silent one."""
    if not environ.get("NOTIFY_SOCKET"):
        return SilentNotifier()
    try:
        from systemd import daemon  # noqa: PLC0415 -- optional, and only under systemd
    except ImportError:
        log.warning(
            "systemd waits for reports that cannot be sent, since systemd-python is missing; "
            "install posewatch[systemd], or set Type=exec and WatchdogSec=0 in the unit"
        )
        return SilentNotifier()
    return SystemdNotifier(daemon.notify, clock)


def watchdog_interval(environ: Mapping[str, str], pid: int | None = None) -> float | None:
    """Seconds between two feedings: half of what systemd waits. None where it does not watch.

    Args:
        environ: with `WATCHDOG_USEC`, and `WATCHDOG_PID` where only that process is watched.
        pid: this process; by default the calling one.
    """
    try:
        limit = int(environ.get("WATCHDOG_USEC", ""))
        watched = int(environ.get("WATCHDOG_PID") or 0)
    except ValueError:
        return None
    if limit <= 0 or watched not in {0, os.getpid() if pid is None else pid}:
        return None
    return limit / 1_000_000 / 2


class Watchdog:
    """Feeds systemd's watchdog for as long as the main loop makes progress.

    Feeding from the loop itself would need every turn to be shorter than the watchdog's limit;
    feeding from a thread that looks at nothing would keep a hung service alive for ever.

    Args:
        notifier: whom to feed.
        progress: what must go on.
        clock: where the time comes from.
        interval: seconds between two feedings.
    """

    def __init__(
        self, notifier: Notifier, progress: Progress, clock: Clock, interval: float
    ) -> None:
        self._notifier = notifier
        self._progress = progress
        self._clock = clock
        self._interval = interval
        self._once = Once(clock)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def start(self) -> None:
        """Begin to feed."""
        self._thread.start()

    def close(self) -> None:
        """Stop feeding, and wait for the thread to end. Safe to call twice."""
        self._end.set()
        if self._thread.ident is not None:
            self._thread.join()

    def check(self) -> bool:
        """Feed if there was progress in time; whether there was."""
        health = self._progress.health()
        if health.alive:
            self._notifier.feed_watchdog()
            if self._once.over("stalled"):
                log.info("the main loop goes on")
        elif self._once.due("stalled"):
            log.error(
                "the main loop has made no progress for %.0f s%s; the watchdog starves",
                health.silent_seconds,
                f" while {health.doing}" if health.doing else "",
            )
        return health.alive

    def _run(self) -> None:
        while not self._clock.wait(self._end, self._interval):
            self.check()
