from __future__ import annotations

from http import HTTPStatus
from typing import Literal

import pytest

from posewatch.base.clock import ManualClock
from posewatch.base.metrics import CONTENT_TYPE, Metrics
from posewatch.service.board import Board
from posewatch.service.pages import Answer, Check, Pages, Readiness, Request
from posewatch.service.progress import Progress

NOT_READY = Readiness(
    (Check("folder", ok=True), Check("storage", ok=False, detail="no space left"))
)


class BoardDouble(Board):
    """Says which of its pages was asked for."""

    def __init__(self) -> None:
        for name in ("page", "text", "live", "status", "picture"):
            setattr(self, name, lambda name=name: Answer.text(HTTPStatus.OK, f"board: {name}"))


class World:
    """What the pages look at."""

    def __init__(self, shown: Literal["auto", "always", "never"] = "auto") -> None:
        self.clock = ManualClock(wall=1_700_000_000)
        self.progress = Progress(self.clock, patience=30)
        self.metrics = Metrics()
        self.readiness = Readiness((Check("folder", ok=True),))
        self.pages = Pages(
            self.metrics,
            self.clock,
            self.progress.health,
            lambda: self.readiness,
            BoardDouble(),
            shown=shown,
        )

    def get(self, path: str, accept: str = "*/*", *, loopback: bool = True) -> tuple[int, str]:
        answer = self.pages.answer(Request(path, accept, loopback))
        return answer.status, answer.body.decode()


def test_health_is_the_loops_progress() -> None:
    world = World()
    world.clock.advance(12)
    assert world.get("/healthz") == (200, "ok: last progress 12 s ago\n")
    world.clock.advance(30)
    assert world.get("/healthz") == (503, "stalled: no progress for 42 s\n")
    with world.progress.during("loading the networks", 100):
        world.clock.advance(60)
        assert world.get("/healthz") == (
            200,
            "ok: last progress 60 s ago, while loading the networks\n",
        )


def test_readiness_says_each_reason() -> None:
    world = World()
    assert world.get("/readyz") == (200, "ready\nfolder: ok\n")
    world.readiness = NOT_READY
    assert world.get("/readyz") == (503, "not ready\nfolder: ok\nstorage: no space left\n")


def test_a_check_without_a_reason_says_at_least_that() -> None:
    assert str(Check("model", ok=False)) == "model: not ok"


def test_metrics_know_the_readiness_and_the_progress_of_this_moment() -> None:
    world = World()
    world.clock.advance(12)
    answer = world.pages.answer(Request("/metrics"))
    assert answer.content_type == CONTENT_TYPE
    assert b"\nposewatch_ready 1.0\n" in answer.body
    assert b"\nposewatch_loop_last_progress_timestamp_seconds 1.7e+09\n" in answer.body
    world.readiness = NOT_READY
    assert "\nposewatch_ready 0.0\n" in world.get("/metrics")[1]


@pytest.mark.parametrize(
    ("path", "accept", "page"),
    [
        ("/", "*/*", "text"),
        ("/", "application/json", "text"),
        ("/", "text/html,application/xhtml+xml,*/*;q=0.8", "page"),
        ("/live.json", "*/*", "live"),
        ("/status.json", "*/*", "status"),
        ("/picture.png", "*/*", "picture"),
    ],
)
def test_the_board_is_for_browsers_terminals_and_programs(
    path: str, accept: str, page: str
) -> None:
    assert World().get(path, accept) == (200, f"board: {page}\n")


@pytest.mark.parametrize("path", ["/live.json", "/status.json", "/picture.png"])
@pytest.mark.parametrize(
    ("shown", "loopback", "there"),
    [
        ("auto", True, True),
        ("auto", False, False),
        ("always", False, True),
        ("never", True, False),
    ],
)
def test_the_board_is_for_this_machine_unless_somebody_says_otherwise(
    path: str, shown: Literal["auto", "always", "never"], *, loopback: bool, there: bool
) -> None:
    world = World(shown)
    status, _ = world.get(path, loopback=loopback)
    assert status == (HTTPStatus.OK if there else HTTPStatus.NOT_FOUND)
    _, told = world.get("/", "text/html", loopback=loopback)
    assert ("board" in told) == there
    assert ("http.page" in told) != there
    for other in ("/metrics", "/healthz", "/readyz"):
        assert world.get(other, loopback=loopback)[0] == HTTPStatus.OK


def test_what_is_told_stays_on_its_line() -> None:
    world = World()
    world.readiness = Readiness((Check("folder", ok=False, detail="a\nready\udcff"),))
    assert world.get("/readyz")[1] == "not ready\nfolder: a\\nready\\udcff\n"


@pytest.mark.parametrize("path", ["/nothing", "/metrics/", "", "/../etc/passwd", "*"])
def test_there_is_nothing_else(path: str) -> None:
    status, body = World().get(path)
    assert status == HTTPStatus.NOT_FOUND
    assert "/metrics" in body


@pytest.mark.parametrize("path", ["/metrics", "/readyz"])
def test_a_check_that_breaks_is_told_and_logged(
    path: str, caplog: pytest.LogCaptureFixture
) -> None:
    world = World()

    def broken() -> Readiness:
        raise RuntimeError("bug")

    pages = Pages(world.metrics, world.clock, world.progress.health, broken, BoardDouble())
    answer = pages.answer(Request(path))
    assert answer.status == HTTPStatus.INTERNAL_SERVER_ERROR
    assert b"bug" not in answer.body
    assert "bug" in caplog.text
    assert pages.answer(Request("/healthz")).status == HTTPStatus.OK
