"""What scans leave out and why, told once until it is there again."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from posewatch.base.logs import fields
from posewatch.formats import names
from posewatch.service.inspect import unlisted_keys

if TYPE_CHECKING:
    from posewatch.base.metrics import Metrics
    from posewatch.watch.scan import Scan

log = logging.getLogger(__name__)


class LeftOut:
    """Remembers what was told.

    Args:
        metrics: the numbers.

    Attributes:
        unlisted: what the last scan could not look at, in order.
    """

    def __init__(self, metrics: Metrics) -> None:
        self.unlisted: list[str] = []
        self._metrics = metrics
        self._skipped: set[str] = set()
        self._misnamed: set[str] = set()

    def tell(self, scan: Scan) -> None:
        """Tell of what is new in a scan."""
        self.unlisted = unlisted_keys(scan)
        self._tell_skipped(scan)
        self._tell_misnamed(scan)

    def _tell_skipped(self, scan: Scan) -> None:
        for skipped in scan.skipped:
            if skipped.key in self._skipped:
                continue
            told = fields(file=skipped.key)
            if skipped.error is None:
                log.warning("ignored: it is no file of this folder", extra=told)
            else:
                log.warning("it cannot be looked at", exc_info=skipped.error, extra=told)
        self._skipped = {skipped.key for skipped in scan.skipped}

    def _tell_misnamed(self, scan: Scan) -> None:
        """Videos beside which nothing can be written, not even why."""
        misnamed = {key for key in scan.listing.videos if names.too_long(key)}
        for key in sorted(misnamed - self._misnamed):
            error = names.too_long_error(key)
            self._metrics.video_faults[error.fault].inc()
            log.warning("failed", exc_info=error, extra=fields(video=key, fault=error.fault.value))
        self._misnamed = misnamed
