"""What nobody caught is told like everything else, and never passed over.

A thread that dies of a bug leaves a process that looks alive and lacks a part: scans that never
come, claims that nobody renews. So the process is told to stop, and whoever started it (systemd,
say) starts it anew.
"""

from __future__ import annotations

import faulthandler
import logging
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from posewatch.base.logs import fields

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

log = logging.getLogger(__name__)


@contextmanager
def told(died: Callable[[], None]) -> Iterator[None]:
    """Log what nobody catches: in other threads for as long as this lasts, and then what ends us.

    A fatal signal prints the stack of every thread to standard error: also the SIGABRT by which
    systemd ends a service that its watchdog found hanging.

    Args:
        died: called when a thread died of an exception, from that thread.
    """
    if sys.__stderr__ is not None:
        faulthandler.enable(sys.__stderr__)

    def of_thread(args: threading.ExceptHookArgs) -> None:
        if issubclass(args.exc_type, SystemExit):  # a thread may end itself
            return
        name = args.thread.name if args.thread is not None else "unknown"
        log.critical(
            "a thread died; this is a bug",
            exc_info=args.exc_value,
            extra=fields(reason=f"the thread {name}"),
        )
        died()

    sys.excepthook = _of_process  # is called after the end of this
    before, threading.excepthook = threading.excepthook, of_thread
    try:
        yield
    finally:
        threading.excepthook = before


def _of_process(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    if issubclass(kind, Exception):
        log.critical("posewatch ends; this is a bug", exc_info=error)
    else:
        sys.__excepthook__(kind, error, trace)  # Ctrl-C
