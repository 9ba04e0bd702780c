"""When the folder is scanned: pure, but for what it remembers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from posewatch.service.pages import Check

if TYPE_CHECKING:
    from posewatch.config import WatchSettings
    from posewatch.watch.scan import Scan

DRAIN_INTERVAL: Final = 1.0
"""Seconds between scans of `--until-idle` at most: somebody is waiting."""

CONFIRM: Final = 0.9
"""Share of the interval after which the next scan comes when there are files to be seen again."""

OVERDUE: Final = 300.0
OVERDUE_TIMES: Final = 5.0
"""A scan is overdue after so many seconds, and so many times what the last one took."""


class Schedule:
    """Says when the next scan is due, and what the last one is worth.

    All times are of the monotonic clock.

    Args:
        watch: the settings.
        now: when the first scan is due.
        until_idle: whether somebody waits until everything is done.
        scans_cost: whether a scan costs money: there are fewer while there is nothing to do.

    Attributes:
        watch: the settings, which may be changed.
        scanned: whether a scan has ended well.
        looked: when the last such began.
    """

    def __init__(
        self, watch: WatchSettings, now: float, *, until_idle: bool, scans_cost: bool
    ) -> None:
        self.watch = watch
        self.scanned = False
        self.looked = 0.0
        self._until_idle = until_idle
        self._scans_cost = scans_cost
        self._next = now
        self._scanning = False
        self._fresh = False  # nothing has happened since the last scan was asked for
        self._quiet = 0  # scans in a row between which nothing has happened
        self._asked = self._took = 0.0

    @property
    def next(self) -> float | None:
        """When a scan is due; None while one goes on."""
        return None if self._scanning else self._next

    @property
    def complete(self) -> bool:
        """Whether everything that has happened was seen by a scan that has ended."""
        return self.scanned and self._fresh and not self._scanning

    def ask(self, now: float) -> bool:
        """Whether to ask for a scan now; if so, it is taken to go on from now."""
        if self._scanning or now < self._next:
            return False
        self._scanning, self._fresh, self._asked = True, True, now
        return True

    def ended(self, scan: Scan, now: float, *, to_do: bool, to_confirm: bool) -> None:
        """A scan has ended well.

        Args:
            scan: which.
            now: the time.
            to_do: whether there are videos that are neither done nor failed.
            to_confirm: whether there are files that must be seen again.
        """
        self._scanning, self.scanned = False, True
        self._took, self.looked = scan.ended - scan.began, scan.began
        self._quiet = 0 if to_do or not self._fresh else self._quiet + 1
        # A file that was seen once is claimed when it is seen again: within two intervals, whenever
        # it came. A scan that takes long is followed by a rest as long.
        interval = self._interval() * (CONFIRM if to_confirm else 1.0)
        self._next = max(scan.began + interval, now + self._took)

    def failed(self, now: float) -> None:
        """The folder could not be scanned."""
        self._scanning = self._fresh = False
        self._next = now + self._interval()

    def stir(self, now: float) -> None:
        """Something has happened: what was scanned is not all there is, and more may follow."""
        self._fresh = False
        if self._quiet:
            self._quiet = 0
            self.within_interval(now)

    def within_interval(self, now: float) -> None:
        """Scan after one interval at the latest."""
        self._next = min(self._next, now + self._interval())

    def at(self, moment: float) -> None:
        """Scan at this moment, unless one goes on."""
        self._next = moment

    def check(self, now: float) -> Check:
        """Whether scans are made. A mount that hangs blocks the scanner, and gives no error."""
        if not self.scanned:
            return Check("scan", ok=False, detail="the first one is not done yet")
        lasts = now - self._asked if self._scanning else 0.0
        overdue = lasts > max(OVERDUE, OVERDUE_TIMES * self._took)
        return Check("scan", not overdue, f"one lasts for {lasts:.0f} s" if overdue else "")

    def _interval(self) -> float:
        watch = self.watch
        if self._until_idle:
            return min(watch.scan_interval, DRAIN_INTERVAL)
        if self._scans_cost and self._quiet:
            slower = watch.scan_interval * 2.0 ** min(self._quiet, 20)
            return max(watch.scan_interval, min(slower, watch.idle_interval))
        return watch.scan_interval
