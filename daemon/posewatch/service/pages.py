"""What the HTTP server answers. No sockets here: a path in, an answer out."""

from __future__ import annotations

import html
import logging
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING

from posewatch.base import metrics as metric_table
from posewatch.base.log_lines import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from posewatch.base.clock import Clock
    from posewatch.base.metrics import Metrics
    from posewatch.service.progress import Health

log = logging.getLogger(__name__)

PATHS = {
    "/metrics": "numbers, for Prometheus",
    "/healthz": "whether the main loop makes progress",
    "/readyz": "whether videos can be worked on",
}
"""What there is beside `/`, for people."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP response.

    Attributes:
        status: its code.
        content_type: of the body.
        body: in UTF-8.
    """

    status: HTTPStatus
    content_type: str
    body: bytes

    @classmethod
    def text(cls, status: HTTPStatus, *lines: str) -> Answer:
        """Lines of plain text; what does not print in them is escaped."""
        body = "".join(f"{printable(line)}\n" for line in lines)
        return cls(status, "text/plain; charset=utf-8", body.encode())


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that work needs.

    Attributes:
        name: of the thing: `folder`, `model`, `storage`.
        ok: whether it is there.
        detail: what is wrong with it, or empty.
    """

    name: str
    ok: bool
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.name}: {self.detail or ('ok' if self.ok else 'not ok')}"


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether videos can be worked on, and if not, why not."""

    checks: tuple[Check, ...] = field(default=())

    @property
    def ok(self) -> bool:
        """Whether everything is there."""
        return all(check.ok for check in self.checks)


class Pages:
    """All pages.

    The functions given here are called by several threads at once, and should look at what is
    known already, not go and find out: a probe that hangs with the storage tells nobody anything.

    Args:
        metrics: what `/metrics` shows; its `ready` and `loop_last_progress` are set before each
            time.
        clock: where the time comes from.
        health: how the main loop does.
        ready: whether videos can be worked on.
        facts: what `/` shows, by name: version, folder, counts. No names of videos.
    """

    def __init__(
        self,
        metrics: Metrics,
        clock: Clock,
        health: Callable[[], Health],
        ready: Callable[[], Readiness],
        facts: Callable[[], Mapping[str, str]],
    ) -> None:
        self._metrics = metrics
        self._clock = clock
        self._health = health
        self._ready = ready
        self._facts = facts

    def answer(self, path: str) -> Answer:
        """The page at `path`. A bug in one of the functions is logged and answered with 500."""
        pages = {
            "/": self._overview,
            "/metrics": self._numbers,
            "/healthz": self._healthz,
            "/readyz": self._readyz,
        }
        page = pages.get(path)
        if page is None:
            return Answer.text(HTTPStatus.NOT_FOUND, "There is no such page, only:", *pages)
        try:
            return page()
        except Exception:
            log.exception("the page %s could not be made", path)
            return Answer.text(HTTPStatus.INTERNAL_SERVER_ERROR, "This failed; the log says why.")

    def _numbers(self) -> Answer:
        self._metrics.ready.set(self._ready().ok)
        self._metrics.loop_last_progress.set(self._clock.wall() - self._health().silent_seconds)
        return Answer(HTTPStatus.OK, metric_table.CONTENT_TYPE, self._metrics.expose())

    def _healthz(self) -> Answer:
        health = self._health()
        doing = f", while {health.doing}" if health.doing else ""
        seconds = f"{health.silent_seconds:.0f} s"
        if health.alive:
            return Answer.text(HTTPStatus.OK, f"ok: last progress {seconds} ago{doing}")
        return Answer.text(
            HTTPStatus.SERVICE_UNAVAILABLE, f"stalled: no progress for {seconds}{doing}"
        )

    def _readyz(self) -> Answer:
        ready = self._ready()
        lines = [str(check) for check in ready.checks]
        if ready.ok:
            return Answer.text(HTTPStatus.OK, "ready", *lines)
        return Answer.text(HTTPStatus.SERVICE_UNAVAILABLE, "not ready", *lines)

    def _overview(self) -> Answer:
        health, ready = self._health(), self._ready()
        rows = {
            **self._facts(),
            "main loop": "makes progress" if health.alive else "stalled",
            "ready": "yes" if ready.ok else "no",
        }
        rows |= {check.name: check.detail or "not ok" for check in ready.checks if not check.ok}
        facts = "".join(
            f"<tr><th>{_escape(k)}</th><td>{_escape(v)}</td></tr>" for k, v in rows.items()
        )
        links = "".join(
            f'<li><a href="{path}">{path}</a>: {_escape(about)}</li>'
            for path, about in PATHS.items()
        )
        body = (
            '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>posewatch</title>'
            '<meta name="viewport" content="width=device-width"></head><body><h1>posewatch</h1>'
            f"<table>{facts}</table><ul>{links}</ul></body></html>\n"
        )
        return Answer(HTTPStatus.OK, "text/html; charset=utf-8", body.encode())


def _escape(text: str) -> str:
    return html.escape(printable(text))
