"""Logging: set up once by the process's entry point, used through `logging.getLogger` elsewhere.

    log = logging.getLogger(__name__)
    log.info("done", extra=fields(video=key, frames=250))
    log.error("could not publish", exc_info=error, extra=fields(video=key))

The message is a constant phrase, in lower case and without a full stop; what varies is a field.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TextIO

from posewatch.base import log_lines
from posewatch.base.log_fields import FieldLogger, Fields, about, bind, fields

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["FieldLogger", "Fields", "Level", "Style", "bind", "configure", "fields"]

Style = Literal["auto", "console", "json", "journal"]
Level = Literal["debug", "info", "warning", "error"]

JOURNAL_SOCKET = Path("/run/systemd/journal/socket")
"""Where sd_journal_sendv(3) sends to; when it is missing, messages would be lost in silence."""


def configure(
    style: Style = "auto",
    level: Level = "info",
    stream: TextIO | None = None,
    environ: Mapping[str, str] = os.environ,
) -> None:
    """Decide where log messages go and what they look like; a second call replaces the first.

    Messages of other libraries are told from `warning` upwards.

    Args:
        style: `console` is one line for a person; `json` one object on one line; `journal` fields
            for systemd's journal. `auto` takes the journal where standard error leads there,
            `console` on a terminal, else `json`.
        level: the least important messages of posewatch that are told.
        stream: where to; None for whatever `sys.stderr` is at the time of each message, so that a
            progress bar that stands in for it keeps the screen in order.
        environ: the environment variables.
    """
    handler = _handler(style, stream, environ)
    root = logging.getLogger()
    for old in [h for h in root.handlers if isinstance(h, _Handler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    number = logging.getLevelNamesMapping()[level.upper()]
    for name in ("posewatch", "posewatch_mount"):
        logging.getLogger(name).setLevel(number)
    logging.captureWarnings(capture=True)


def leads_to_journal(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether `stream` is the one that systemd connected to its journal.

    `JOURNAL_STREAM` (systemd.exec(5)) names it by device and inode; a child that redirects its
    output still has the variable, so both are compared.
    """
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):  # no file behind it, or closed
        return False
    return environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def wants_colour(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether to use colour: on a terminal, unless it is dumb or NO_COLOR (no-color.org) is set."""
    return stream.isatty() and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"


def _handler(style: Style, stream: TextIO | None, environ: Mapping[str, str]) -> _Handler:
    now = stream or sys.stderr
    if style == "auto":
        if leads_to_journal(now, environ):
            style = "journal"
        else:
            style = "console" if now.isatty() else "json"
    shown = frozenset(name for name, field in about().items() if field.shown)
    if style == "journal":
        send = _journal_sender()
        if send is not None:
            return _JournalHandler(lambda event: log_lines.journal(event, shown), send)
        return _LineHandler(lambda event: log_lines.prefixed(event, shown), stream)
    if style == "console":
        colour = wants_colour(now, environ)
        return _LineHandler(lambda event: log_lines.console(event, shown, colour=colour), stream)
    only_ascii = not _is_utf8(now)
    return _LineHandler(lambda event: log_lines.json_line(event, only_ascii=only_ascii), stream)


def _journal_sender() -> Callable[..., object] | None:
    """`sendv` of systemd-python, or None where that, or the journal itself, is not there."""
    try:
        from systemd import journal  # noqa: PLC0415 -- optional, and only for this style
    except ImportError:
        return None
    if not JOURNAL_SOCKET.exists():
        return None
    send: Callable[..., object] = journal.sendv
    return send


def _is_utf8(stream: TextIO) -> bool:
    return (stream.encoding or "").lower().replace("-", "") == "utf8"


class _Handler(logging.Handler):
    """Marks a handler as ours."""


class _LineHandler(_Handler):
    """Writes each message in one call, so that lines of several processes do not mix."""

    def __init__(self, render: Callable[[log_lines.Event], str], stream: TextIO | None) -> None:
        super().__init__()
        self._render = render
        self._stream = stream

    def emit(self, record: logging.LogRecord) -> None:
        """Called by `logging` for each message."""
        try:
            line = self._render(log_lines.Event.of(record)) + "\n"
            stream = self._stream or sys.stderr
            encoding = stream.encoding or "ascii"
            stream.write(line.encode(encoding, "backslashreplace").decode(encoding))
            stream.flush()
        except Exception:  # noqa: BLE001 -- a message that cannot be told must not stop the work
            self.handleError(record)


class _JournalHandler(_Handler):
    """Sends each message to the journal."""

    def __init__(
        self,
        render: Callable[[log_lines.Event], list[bytes]],
        send: Callable[..., object],
    ) -> None:
        super().__init__()
        self._render = render
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        """Called by `logging` for each message."""
        try:
            self._send(*self._render(log_lines.Event.of(record)))
        except Exception:  # noqa: BLE001 -- a message that cannot be told must not stop the work
            self.handleError(record)
