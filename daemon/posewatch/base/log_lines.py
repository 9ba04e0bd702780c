"""What a log message looks like, in each style. Pure: records in, text out.

File names come from strangers. Whatever they contain (newlines, terminal escapes, bytes that are
not UTF-8, marks that turn the writing direction around), one message stays one message: characters
that do not print are shown as escapes, and only tracebacks have further lines, all indented.
"""

from __future__ import annotations

import json
import logging
import re
import traceback
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from posewatch.base.errors import PosewatchError
from posewatch.base.log_fields import ATTRIBUTE

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

_RESET, _DIM, _YELLOW, _RED = "\x1b[0m", "\x1b[2m", "\x1b[33m", "\x1b[31m"

_OUR_LOGGERS = ("posewatch", "posewatch_mount")

_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Event:
    """One message, taken out of a `logging.LogRecord`.

    Attributes:
        wall: when, in seconds since 1970.
        level: the number that `logging` uses.
        logger: who said it.
        message: what happened.
        fields: see `log_fields.Fields`.
        hint: what to do about it, from a `PosewatchError`.
        traceback: of an error that nobody expected; else empty.
    """

    wall: float
    level: int
    logger: str
    message: str
    fields: Mapping[str, object]
    hint: str = ""
    traceback: str = ""

    @classmethod
    def of(cls, record: logging.LogRecord) -> Event:
        """Take a record apart.

        An error that posewatch raised on purpose becomes part of the message, with its hint; any
        other one is a bug, and keeps its traceback.
        """
        message = record.getMessage()
        hint = trace = ""
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, PosewatchError):
            if error.message not in message:
                message = f"{message}: {error.message}" if message else error.message
            hint = error.hint
        elif error is not None:
            trace = "".join(traceback.format_exception(error)).rstrip("\n")
        if record.stack_info:
            trace = f"{trace}\n{record.stack_info}".lstrip("\n")
        return cls(
            wall=record.created,
            level=record.levelno,
            logger=record.name,
            message=message,
            fields=getattr(record, ATTRIBUTE, {}),
            hint=hint,
            traceback=trace,
        )


def printable(text: str) -> str:
    r"""`text` on one line, safe for a terminal: what does not print is written as an escape.

    A byte that was not UTF-8 (a surrogate escape) is shown as `\udcff`, for example. Backslashes
    are left alone, so this is for reading, not for reading back.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def words(event: Event, shown: Collection[str]) -> str:
    """The message for a person, on one line, with those of its fields that are in `shown`."""
    parts = [_sentence(event)]
    parts += [f"{k}={_value(v)}" for k, v in event.fields.items() if k in shown]
    return " ".join(parts)


def indented(trace: str) -> str:
    """A traceback for a person: each line indented and safe, with a newline before it."""
    return "".join(f"\n    {printable(line)}" for line in trace.splitlines())


def console(event: Event, shown: Collection[str], *, colour: bool) -> str:
    """A line for somebody at a terminal, with a traceback below it if there is one."""
    clock = datetime.fromtimestamp(event.wall, UTC).astimezone().strftime("%H:%M:%S")
    level = "" if event.level == logging.INFO else logging.getLevelName(event.level).lower() + ": "
    pairs = "".join(f" {k}={_value(v)}" for k, v in event.fields.items() if k in shown)
    if not colour:
        return f"{clock} {level}{_sentence(event)}{pairs}{indented(event.traceback)}"
    paint = _RED if event.level >= logging.ERROR else _YELLOW
    level = f"{paint}{level}{_RESET}" if event.level >= logging.WARNING else level
    pairs = f"{_DIM}{pairs}{_RESET}" if pairs else ""
    trace = f"{_DIM}{indented(event.traceback)}{_RESET}" if event.traceback else ""
    return f"{_DIM}{clock}{_RESET} {level}{_sentence(event)}{pairs}{trace}"


def json_line(event: Event, *, only_ascii: bool) -> str:
    r"""One JSON object on one line; the fields lie flat beside `message`.

    Text is exact, except that a byte which was not UTF-8 becomes the six characters `\udcff`:
    strict JSON parsers refuse a lone surrogate.

    Args:
        event: the message.
        only_ascii: whether the stream can carry nothing else.
    """
    wall = datetime.fromtimestamp(event.wall, UTC).isoformat(timespec="milliseconds")
    values: dict[str, object] = {
        "timestamp": wall.replace("+00:00", "Z"),
        "level": logging.getLevelName(event.level).lower(),
        "logger": event.logger,
        "message": event.message,
    }
    values |= {k: v for k, v in event.fields.items() if k not in values}
    values |= {k: v for k, v in (("hint", event.hint), ("traceback", event.traceback)) if v}
    whole = {k: _SURROGATE.sub(_spelt, v) if isinstance(v, str) else v for k, v in values.items()}
    line = json.dumps(
        whole, ensure_ascii=only_ascii, default=lambda v: _SURROGATE.sub(_spelt, str(v))
    )
    if line.isprintable():
        return line
    # Outside of JSON's strings everything prints, so this touches only what is inside of them.
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in line)


def prefixed(event: Event, shown: Collection[str]) -> str:
    """Lines for a journal that reads standard error: each begins with its priority, `<6>`.

    See sd-daemon(3).
    """
    mark = f"<{priority(event.level)}>"
    return mark + (words(event, shown) + indented(event.traceback)).replace("\n", f"\n{mark}")


def journal(event: Event, shown: Collection[str]) -> list[bytes]:
    """Journal fields, `NAME=value` each; those of the message are `POSEWATCH_VIDEO=` and so on.

    See systemd.journal-fields(7).
    """
    values: dict[str, object] = {
        "MESSAGE": words(event, shown) + indented(event.traceback),
        "PRIORITY": priority(event.level),
        "SYSLOG_IDENTIFIER": "posewatch",
        "LOGGER": event.logger,
    }
    values |= {f"POSEWATCH_{k.upper()}": printable(str(v)) for k, v in event.fields.items()}
    return [f"{name}={value}".encode() for name, value in values.items()]


def priority(level: int) -> int:
    """The syslog priority (RFC 5424, section 6.2.1) of a `logging` level."""
    steps = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
    return next((number for least, number in steps if level >= least), 7)


def _sentence(event: Event) -> str:
    name = "" if event.logger.partition(".")[0] in _OUR_LOGGERS else f"[{event.logger}] "
    hint = f". {event.hint}" if event.hint else ""
    return printable(f"{name}{event.message}{hint}")


def _value(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 100 else f"{value:.0f}"
    text = printable(str(value))
    # Quoted where a reader could not tell where it ends, or could take it for another field.
    if not text or any(c in text for c in ' ="'):
        text = text.replace('"', r"\"")
        return f'"{text}"'
    return text


def _spelt(surrogate: re.Match[str]) -> str:
    return ascii(surrogate.group())[1:-1]
