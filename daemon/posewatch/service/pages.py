"""What the HTTP server answers. No sockets here: a request in, an answer out."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Literal

from posewatch.base import metrics as metric_table
from posewatch.base.log_lines import printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from posewatch.base.clock import Clock
    from posewatch.base.metrics import Metrics
    from posewatch.service.board import Board
    from posewatch.service.progress import Health

log = logging.getLogger(__name__)

CLOSED = "default-src 'none'; frame-ancestors 'none'"
"""The content security policy of what is no page: nothing runs, nothing is loaded."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for.

    Attributes:
        path: without its query.
        accept: the types that the caller wishes for, as its header has them.
        loopback: whether only this machine can ask.
    """

    path: str
    accept: str = "*/*"
    loopback: bool = True

    @property
    def browser(self) -> bool:
        """Whether it comes from a browser, rather than from a terminal or a program."""
        return "text/html" in self.accept


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP response.

    Attributes:
        status: its code.
        content_type: of the body.
        body: in UTF-8, or a picture.
        policy: what a browser may do with it (Content-Security-Policy).
    """

    status: HTTPStatus
    content_type: str
    body: bytes
    policy: str = CLOSED

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
        board: the status page, which names videos.
        shown: whether that is shown: `always`, `never`, or `auto`, which is on loopback only.
    """

    def __init__(
        self,
        metrics: Metrics,
        clock: Clock,
        health: Callable[[], Health],
        ready: Callable[[], Readiness],
        board: Board,
        *,
        shown: Literal["auto", "always", "never"] = "auto",
    ) -> None:
        self._metrics = metrics
        self._clock = clock
        self._health = health
        self._ready = ready
        self._board = board
        self._shown = shown

    def answer(self, request: Request) -> Answer:
        """The page that is asked for. A bug in making it is logged and answered with 500."""
        pages = {"/metrics": self._numbers, "/healthz": self._healthz, "/readyz": self._readyz}
        if self._shown == "always" or (self._shown == "auto" and request.loopback):
            board = self._board
            pages["/"] = board.page if request.browser else board.text
            pages |= {
                "/live.json": board.live,
                "/status.json": board.status,
                "/picture.png": board.picture,
            }
        else:
            pages["/"] = self._hidden
        page = pages.get(request.path)
        if page is None:
            return Answer.text(HTTPStatus.NOT_FOUND, "There is no such page, only:", *pages)
        try:
            return page()
        except Exception:
            log.exception("the page %s could not be made", request.path)
            return Answer.text(HTTPStatus.INTERNAL_SERVER_ERROR, "This failed; the log says why.")

    def _hidden(self) -> Answer:
        return Answer.text(
            HTTPStatus.OK,
            "This is posewatch. Here are /metrics, /healthz and /readyz.",
            f"The status page names videos; it is off, since http.page is {self._shown!r}"
            + (" and this address is not only for this machine." if self._shown == "auto" else "."),
            'To show it to everybody who can reach this address: page = "always" under [http].',
        )

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
