from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

import pytest

from posewatch.base.clock import ManualClock
from posewatch.base.metrics import CONTENT_TYPE, Metrics
from posewatch.service.pages import PATHS, Check, Pages, Readiness
from posewatch.service.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Mapping

NOT_READY = Readiness(
    (Check("folder", ok=True), Check("storage", ok=False, detail="no space left"))
)


class World:
    """What the pages look at."""

    def __init__(self) -> None:
        self.clock = ManualClock(wall=1_700_000_000)
        self.progress = Progress(self.clock, patience=30)
        self.metrics = Metrics()
        self.readiness = Readiness((Check("folder", ok=True),))
        self.facts: Mapping[str, str] = {"version": "0.1"}
        self.pages = Pages(
            self.metrics,
            self.clock,
            self.progress.health,
            lambda: self.readiness,
            lambda: self.facts,
        )

    def get(self, path: str) -> tuple[int, str]:
        answer = self.pages.answer(path)
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
    answer = world.pages.answer("/metrics")
    assert answer.content_type == CONTENT_TYPE
    assert b"\nposewatch_ready 1.0\n" in answer.body
    assert b"\nposewatch_loop_last_progress_timestamp_seconds 1.7e+09\n" in answer.body
    world.readiness = NOT_READY
    assert "\nposewatch_ready 0.0\n" in world.get("/metrics")[1]


def test_the_overview_links_all_pages_and_escapes_everything() -> None:
    world = World()
    world.facts = {"<b>folder": "/in&box/<script>\n\x1b\udcff"}
    world.readiness = Readiness((Check("storage", ok=False, detail="<i>full"),))
    status, body = world.get("/")
    assert status == HTTPStatus.OK
    assert all(f'<a href="{path}">' in body for path in PATHS)
    assert r"/in&amp;box/&lt;script&gt;\n\x1b\udcff" in body
    assert "&lt;i&gt;full" in body
    assert "<b>" not in body
    assert "<script>" not in body
    assert "<i>" not in body


def test_what_is_told_stays_on_its_line() -> None:
    world = World()
    world.readiness = Readiness((Check("folder", ok=False, detail="a\nready\udcff"),))
    assert world.get("/readyz")[1] == "not ready\nfolder: a\\nready\\udcff\n"


@pytest.mark.parametrize("path", ["/nothing", "/metrics/", "", "/../etc/passwd", "*"])
def test_there_is_nothing_else(path: str) -> None:
    status, body = World().get(path)
    assert status == HTTPStatus.NOT_FOUND
    assert "/metrics" in body


@pytest.mark.parametrize("path", ["/", "/metrics", "/readyz"])
def test_a_check_that_breaks_is_told_and_logged(
    path: str, caplog: pytest.LogCaptureFixture
) -> None:
    world = World()

    def broken() -> Readiness:
        raise RuntimeError("bug")

    pages = Pages(world.metrics, world.clock, world.progress.health, broken, dict)
    answer = pages.answer(path)
    assert answer.status == HTTPStatus.INTERNAL_SERVER_ERROR
    assert b"bug" not in answer.body
    assert "bug" in caplog.text
    assert pages.answer("/healthz").status == HTTPStatus.OK
