"""Removing what the dead have left in the folder and nobody needs."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

from posewatch.base.errors import StorageError
from posewatch.base.logs import fields
from posewatch.claims.observer import Observer
from posewatch.claims.survey import SeenLock, hidden_to_sweep, locks_to_sweep

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from posewatch.catalog import Catalog
    from posewatch.storage.contract import Storage
    from posewatch.watch.scan import Scan

log = logging.getLogger(__name__)


class Sweeper:
    """Remembers between scans how long leftovers have been unchanged.

    Args:
        storage: the folder.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._observer = Observer()

    def sweep(
        self,
        scan: Scan,
        locks: Mapping[str, list[SeenLock]],
        catalog: Catalog,
        at_work: Iterable[str],
        ttl: float,
    ) -> None:
        """Sweep, after a scan that saw everything.

        Args:
            scan: what was seen.
            locks: its locks, by input.
            catalog: which inputs are finished, or gone.
            at_work: the inputs that this process works on.
            ttl: seconds for which a leftover must have been unchanged.
        """
        needed = {*locks, *at_work}
        dead = locks_to_sweep(locks, lambda key, _record: catalog.finished(key), catalog.knows)
        for lock in dead:
            self._try(lock.lock, partial(self._storage.remove, lock.lock, lock.content))
        hidden = hidden_to_sweep(
            scan.listing.hidden,
            needed,
            self._observer,
            began=scan.began,
            ended=scan.listed,
            ttl=ttl,
        )
        for key in hidden:
            self._try(key, partial(self._storage.sweep, key))

    def _try(self, key: str, remove: Callable[[], None]) -> None:
        try:
            remove()
        except StorageError as error:
            log.debug("it could not be swept; the next scan tries again", exc_info=error)
        else:
            log.info("a leftover of the dead was swept", extra=fields(file=key))
