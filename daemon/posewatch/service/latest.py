"""The newest result of others, or of an earlier life of this daemon: a glimpse of it.

Threads: anybody may ask; one thread at a time, for one result, fetches and reads it, and may hang
with the folder. Nobody waits for it: who asks too early gets nothing.
"""

from __future__ import annotations

import logging
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final

from posewatch.base.errors import PosewatchError
from posewatch.catalog import version_of
from posewatch.stages import preview

if TYPE_CHECKING:
    from posewatch.catalog import Newest
    from posewatch.stages.recipe import Glimpse
    from posewatch.storage.contract import Storage

log = logging.getLogger(__name__)

LARGEST: Final = 64 << 20
"""Bytes of a result that is fetched for a look."""


class Latest:
    """Reads the newest result when somebody wants to see it, each once.

    Args:
        storage: the folder.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._lock = threading.Lock()
        self._asked: Newest | None = None
        self._thread: threading.Thread | None = None
        self._found: tuple[str, Glimpse] | None = None

    def glimpse(self, newest: Newest | None) -> tuple[str, Glimpse] | None:
        """What was found in it, and in which video it was; None where it was not read yet.

        Args:
            newest: the newest result.
        """
        with self._lock:
            reading = self._thread is not None and self._thread.is_alive()
            if newest is not None and newest != self._asked and not reading:
                self._asked = newest
                self._thread = threading.Thread(
                    target=self._read, args=(newest,), name="latest", daemon=True
                )
                self._thread.start()
            return self._found

    def _read(self, newest: Newest) -> None:
        try:
            glimpse = self._glimpse_of(newest.result)
        except (PosewatchError, OSError) as error:
            log.debug("the newest result cannot be shown: %s", error)
            return
        if glimpse is not None:
            with self._lock:
                self._found = newest.key, glimpse

    def _glimpse_of(self, result: str) -> Glimpse | None:
        entry = self._storage.stat(result)
        if entry is None or (version := version_of(entry)).size > LARGEST:
            return None
        with tempfile.TemporaryDirectory(prefix="posewatch-") as folder:
            copy = Path(folder, "result.npz")
            self._storage.fetch(result, version, copy, lambda _count: None)
            return preview.glimpse(copy)
