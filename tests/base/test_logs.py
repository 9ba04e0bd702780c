from __future__ import annotations

import io
import json
import logging
import os
import pty
import re
import sys
import unicodedata
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posewatch.base import log_fields, log_lines, logs
from posewatch.base.errors import FullError
from posewatch.base.log_lines import Event, printable
from posewatch.base.logs import bind, configure, fields

if TYPE_CHECKING:
    from collections.abc import Iterator

log = logging.getLogger("posewatch.worker.job")

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"

EVIL = "talks/\n12:00:00 error: forged\r\x1b[31m\x9b2J\x00\u202e\u2028\udcff日本.mp4"

STYLES: list[logs.Style] = ["console", "json", "journal"]


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    loggers = [root, logging.getLogger("posewatch"), logging.getLogger("posewatch_mount")]
    handlers, levels = root.handlers[:], [logger.level for logger in loggers]
    yield
    root.handlers[:] = handlers
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)
    logging.captureWarnings(capture=False)


@pytest.fixture(autouse=True)
def no_journal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(logs, "JOURNAL_SOCKET", tmp_path / "socket")


def said(style: logs.Style, *, level: logs.Level = "debug", encoding: str = "utf-8") -> Stream:
    stream = Stream(encoding)
    configure(style, level, stream, environ={})
    return stream


class Stream(io.TextIOWrapper):
    """A stream that keeps the bytes that were written."""

    def __init__(self, encoding: str) -> None:
        self.kept = io.BytesIO()
        super().__init__(self.kept, encoding=encoding, newline="\n")

    def text(self) -> str:
        return self.kept.getvalue().decode(self.encoding)

    def lines(self) -> list[str]:
        return self.text().split("\n")[:-1]


@contextmanager
def terminal() -> Iterator[TextIO]:
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w", encoding="utf-8") as stream:
        yield stream
    os.close(ours)


def event(message: str = "done", /, **values: object) -> Event:
    return Event(1_763_700_000.25, logging.INFO, "posewatch.x", message, values)


# What a line says


def test_a_person_sees_time_words_and_the_fields_that_matter() -> None:
    stream = said("console")
    log.info("done", extra=fields(video="a/b c.mp4", attempt=2, frames=250, seconds=12.3456))
    assert re.fullmatch(
        r'\d\d:\d\d:\d\d done video="a/b c.mp4" frames=250 seconds=12.35\n', stream.text()
    )


def test_the_level_is_shown_when_it_matters() -> None:
    stream = said("console")
    for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR):
        log.log(level, "x")
    shown = [line.partition(" ")[2] for line in stream.lines()]
    assert shown == ["debug: x", "x", "warning: x", "error: x"]


def test_a_machine_gets_one_object_with_all_fields_flat() -> None:
    stream = said("json")
    log.warning("slow", extra=fields(video="日本\n.mp4", attempt=2, seconds=12.3456))
    (line,) = stream.lines()
    assert "日本" in line
    found = json.loads(line)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", found.pop("timestamp"))
    assert found == {
        "level": "warning",
        "logger": "posewatch.worker.job",
        "message": "slow",
        "video": "日本\n.mp4",
        "attempt": 2,
        "seconds": 12.3456,
    }


def test_the_time_is_utc_in_json() -> None:
    found = json.loads(log_lines.json_line(event(), only_ascii=False))
    assert found["timestamp"] == "2025-11-21T04:40:00.250Z"


def test_a_field_never_hides_what_every_line_has() -> None:
    line = log_lines.json_line(event("done", message="forged", level="x"), only_ascii=False)
    assert json.loads(line)["message"] == "done"


def test_lines_for_standard_error_under_systemd_carry_their_priority() -> None:
    stream = said("journal")
    for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL):
        log.log(level, "x", extra=fields(video="v"))
    assert stream.lines() == [f"<{p}>x video=v" for p in (7, 6, 4, 3, 2)]


def test_the_journal_gets_fields() -> None:
    values = log_lines.journal(event(video=EVIL, frames=3), {"frames"})
    assert values == [
        b"MESSAGE=done frames=3",
        b"PRIORITY=6",
        b"SYSLOG_IDENTIFIER=posewatch",
        b"LOGGER=posewatch.x",
        f"POSEWATCH_VIDEO={printable(EVIL)}".encode(),
        b"POSEWATCH_FRAMES=3",
    ]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("a.mp4", "a.mp4"),
        ("", '""'),
        ("a b", '"a b"'),
        ('a" fault=none', r'"a\" fault=none"'),
        ("a=b", '"a=b"'),
        (12.3456, "12.35"),
        (1234.56, "1235"),
    ],
)
def test_a_value_cannot_be_taken_for_another_field(value: object, shown: str) -> None:
    assert log_lines.words(event(video=value), {"video"}) == f"done video={shown}"


def test_other_libraries_are_named_and_told_only_from_warning_upwards() -> None:
    stream = said("console")
    theirs = logging.getLogger("watchdog.observers")
    theirs.info("chatter")
    theirs.warning("trouble")
    assert [line.partition(" ")[2] for line in stream.lines()] == [
        "warning: [watchdog.observers] trouble"
    ]


def test_our_level_is_the_given_one() -> None:
    stream = said("console", level="warning")
    log.info("hidden")
    log.warning("shown")
    assert len(stream.lines()) == 1


# Errors


@pytest.mark.parametrize("style", STYLES)
def test_our_own_errors_are_told_with_their_hint_and_no_traceback(style: logs.Style) -> None:
    stream = said(style)
    log.error("could not publish", exc_info=FullError("no space in /x", hint="Make room"))
    (line,) = stream.lines()
    assert "Traceback" not in line
    if style == "json":
        found = json.loads(line)
        assert (found["message"], found["hint"]) == (
            "could not publish: no space in /x",
            "Make room",
        )
    else:
        assert "could not publish: no space in /x. Make room" in line


def test_the_words_of_an_error_are_not_said_twice() -> None:
    stream = said("console")
    error = FullError("no space in /x")
    log.error("it failed, since %s", error, exc_info=error)
    assert stream.text().count("no space in /x") == 1


@pytest.mark.parametrize("style", STYLES)
def test_a_bug_keeps_its_traceback(style: logs.Style, tmp_path: Path) -> None:
    stream = said(style)
    try:
        (tmp_path / EVIL.replace("\0", "")).open()
    except OSError:
        log.exception("it broke")
    if style == "json":
        (line,) = stream.lines()
        assert json.loads(line)["traceback"].startswith("Traceback (most recent call last):\n")
    else:
        first, *rest = stream.lines()
        assert first.endswith("it broke")
        mark = "<3>" if style == "journal" else ""
        assert rest[0] == f"{mark}    Traceback (most recent call last):"
        assert all(line.startswith(f"{mark}    ") for line in rest)
        assert all(line.isprintable() for line in rest)


# Names from strangers


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
@pytest.mark.parametrize("style", STYLES)
def test_no_name_can_forge_a_line_or_reach_the_terminal(style: logs.Style, encoding: str) -> None:
    stream = said(style, encoding=encoding)
    log.info("found %s", EVIL, extra=fields(video=EVIL, reason=EVIL))
    (line,) = stream.lines()
    assert line.isprintable()
    if style == "json":
        found = json.loads(line)
        assert found["video"] == EVIL.replace("\udcff", "\\udcff")
        assert found["message"] == "found " + EVIL.replace("\udcff", "\\udcff")


@given(text=st.text(st.characters(codec=None)))
def test_any_text_becomes_printable_and_stays_encodable(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert not {unicodedata.category(c) for c in shown} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    shown.encode("utf-8")
    assert text != shown or text.isprintable()


@given(text=st.text(st.characters(codec=None)), only_ascii=st.booleans())
def test_json_holds_the_exact_text(text: str, only_ascii: bool) -> None:  # noqa: FBT001 -- hypothesis passes by name
    line = log_lines.json_line(event(text, video=text), only_ascii=only_ascii)
    assert line.isprintable()
    line.encode("ascii" if only_ascii else "utf-8")
    exact = re.sub("[\ud800-\udfff]", lambda m: f"\\u{ord(m.group()):04x}", text)
    assert json.loads(line)["video"] == exact
    assert json.loads(line)["message"] == exact


@given(text=st.text(st.characters(codec=None)))
def test_a_forged_traceback_stays_indented(text: str) -> None:
    broken = Event(0.0, logging.ERROR, "posewatch", text, {"video": text}, traceback=text)
    first, *rest = log_lines.prefixed(broken, {"video"}).split("\n")
    assert first.startswith("<3>")
    assert all(line.startswith("<3>    ") for line in rest)


def test_a_message_that_cannot_be_told_does_not_stop_the_work(
    capsys: pytest.CaptureFixture[str],
) -> None:
    stream = said("console")
    stream.close()
    log.info("done")
    assert "Logging error" in capsys.readouterr().err


# Which style


def test_a_terminal_gets_lines_and_colour() -> None:
    with terminal() as stream:
        configure("auto", stream=stream, environ={"TERM": "xterm"})
        assert "\x1b[" in render(logging.WARNING, "x")
        configure("auto", stream=stream, environ={"TERM": "xterm", "NO_COLOR": "1"})
        assert re.fullmatch(r"\d\d:\d\d:\d\d warning: x", render(logging.WARNING, "x"))
        configure("auto", stream=stream, environ={"TERM": "dumb"})
        assert "\x1b[" not in render(logging.WARNING, "x")


def test_anything_else_gets_json(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as stream:
        configure("auto", stream=stream, environ={})
        json.loads(render(logging.INFO, "x"))


def test_a_stream_that_leads_to_the_journal_is_known_by_its_inode(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as stream:
        status = os.fstat(stream.fileno())
        journal = f"{status.st_dev}:{status.st_ino}"
        configure("auto", stream=stream, environ={"JOURNAL_STREAM": journal})
        assert render(logging.INFO, "x") == "<6>x"
        configure("auto", stream=stream, environ={"JOURNAL_STREAM": f"{status.st_dev}:1"})
        assert render(logging.INFO, "x").startswith("{")


def test_without_a_stream_it_follows_standard_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    configure("console", environ={})
    replaced = io.StringIO()
    monkeypatch.setattr(sys, "stderr", replaced)
    log.info("where a progress bar stands in")
    assert "progress bar" in replaced.getvalue()


def test_a_second_call_replaces_the_first() -> None:
    first = said("console")
    second = said("json")
    log.info("x")
    assert first.text() == ""
    assert len(second.lines()) == 1


def test_the_journal_is_used_where_it_can_be(tmp_path: Path) -> None:
    journal = pytest.importorskip("systemd.journal")
    assert logs._journal_sender() is None
    (tmp_path / "socket").touch()
    assert logs._journal_sender() is journal.sendv


def test_the_journal_handler_sends_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[bytes, ...]] = []
    monkeypatch.setattr(logs, "_journal_sender", lambda: lambda *parts: sent.append(parts))
    configure("journal", environ={})
    log.error("could not", exc_info=FullError("no space"), extra=fields(video=EVIL))
    (parts,) = sent
    assert parts[0].startswith(b"MESSAGE=could not: no space video=")
    assert f"POSEWATCH_VIDEO={printable(EVIL)}".encode() in parts
    assert not any(b"\n" in part for part in parts)


def render(level: int, message: str) -> str:
    """What the configured handler would write."""
    (handler,) = [h for h in logging.getLogger().handlers if isinstance(h, logs._LineHandler)]
    record = logging.LogRecord("posewatch.x", level, __file__, 1, message, (), None)
    return handler._render(Event.of(record))


# Fields


def test_bound_fields_are_in_every_message_and_the_nearest_wins() -> None:
    stream = said("json")
    bound = bind(bind(log, video="v", attempt=1), attempt=2)
    bound.info("x", extra=fields(frames=3))
    bound.info("y", extra=fields(video="w"))
    first, second = (json.loads(line) for line in stream.lines())
    assert (first["video"], first["attempt"], first["frames"]) == ("v", 2, 3)
    assert (second["video"], second["attempt"]) == ("w", 2)
    assert "frames" not in second


def test_no_field_is_named_like_a_part_of_every_message() -> None:
    reserved = {"timestamp", "level", "logger", "message", "hint", "traceback"}
    assert not reserved & set(log_fields.about())


def test_the_documented_fields_are_the_ones_in_the_code() -> None:
    text = OPERATIONS.read_text(encoding="utf-8")
    begin, end = "<!-- log fields -->\n", "<!-- end of log fields -->\n"
    assert text[text.index(begin) + len(begin) : text.index(end)] == documented()


def documented() -> str:
    lines = ["| Field | In the journal | Meaning |", "|---|---|---|"]
    for name, field in log_fields.about().items():
        lines.append(f"| `{name}` | `POSEWATCH_{name.upper()}` | {field.meaning} |")
    return "\n".join(lines) + "\n"
