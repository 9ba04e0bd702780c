"""The status page of a real daemon, over HTTP and in a real browser.

The browser is Chromium, steered by Playwright (`pip install playwright`), which is no dependency
of the tests: `POSEWATCH_CHROMIUM` names the program, or it is found by its usual names.
"""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from astronaut import CLIP
from real.daemons import put_video, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from real.daemons import Daemon, Fleet

Browser = Any
"""Playwright's, which need not be here."""

HOSTILE = "<img src=x onerror=alert(1)>\n\u202e.mp4"


@pytest.fixture
def daemon(folder: Path, fleet: Fleet) -> Daemon:
    """One with a result, a failure, and a name that means harm."""
    shutil.copy(CLIP, folder / "astronaut.mp4")
    (folder / HOSTILE).write_bytes(b"no video")
    daemon = fleet.daemon(folder).start().ready()
    daemon.says("done", video="astronaut.mp4")
    daemon.says("failed", video=HOSTILE)
    return daemon


def test_it_tells_what_posewatch_status_tells(folder: Path, daemon: Daemon) -> None:
    told = daemon._home.command("status", folder, "--json")
    # The loop has the ending of the job a moment after the log has.
    until(lambda: json.loads(daemon.get("/live.json")[1])["state"] == "idle", "it is idle")
    status, body = daemon.get("/status.json")
    assert (status, json.loads(body)) == (200, json.loads(told.stdout))
    assert json.loads(body)["counts"] == {"waiting": 0, "claimed": 0, "done": 1, "failed": 1}
    status, text = daemon.get("/")
    assert status == 200
    assert r"failed   <img src=x onerror=alert(1)>\n\u202e.mp4: this is no video" in text


def test_beyond_loopback_no_video_is_named(folder: Path, fleet: Fleet) -> None:
    put_video(folder / "secret.mp4")
    address = {"host": "0.0.0.0", "port": 0}  # noqa: S104 -- that is the test
    daemon = fleet.daemon(folder, {"http": address}).start().ready()
    daemon.says("done")
    for path in ("/", "/status.json", "/live.json", "/picture.png", "/metrics", "/readyz"):
        assert "secret" not in daemon.get(path)[1]
    assert 'page = "always"' in daemon.get("/")[1]


# In a browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A Chromium without a window."""
    playwright = pytest.importorskip("playwright.sync_api", reason="there is no Playwright here")
    names = ("chromium", "chromium-headless-shell", "google-chrome")
    found = os.environ.get("POSEWATCH_CHROMIUM") or next(filter(None, map(shutil.which, names)), "")
    if not found:
        pytest.skip("there is no Chromium here; POSEWATCH_CHROMIUM may name one")
    with playwright.sync_playwright() as steered:
        browser = steered.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.mark.parametrize("scheme", ["dark", "light"])
@pytest.mark.parametrize("size", [(360, 740), (1280, 900)])
def test_it_is_readable_and_alive_in_a_browser(
    daemon: Daemon, browser: Browser, size: tuple[int, int], scheme: str
) -> None:
    url = daemon.says("metrics and health are served")["address"]
    said: list[str] = []
    width, height = size
    screen = {"width": width, "height": height}
    with browser.new_context(viewport=screen, color_scheme=scheme) as context:
        page = context.new_page()
        for event in ("console", "pageerror", "dialog", "requestfailed"):
            page.on(event, lambda it: said.append(str(it)))
        page.goto(url)
        page.get_by_text("idle").wait_for()
        assert page.locator("#count-done").inner_text() == "1"
        assert page.locator("#failed .name").all_inner_texts() == [
            r"<img src=x onerror=alert(1)>\n\u202e.mp4"
        ]
        assert "this is no video" in page.locator("#failed").inner_text()
        image = page.locator("#picture")
        image.scroll_into_view_if_needed()
        until(lambda: image.evaluate("it => it.naturalWidth") == 480, "the picture is there")
        assert "astronaut.mp4" in page.locator("#caption").inner_text()
        # Nothing is wider than the screen, and there is one image, which is ours.
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.locator("img").count() == 1
        assert _contrast(page) > 4.5
        # It is alive.
        (daemon.folder / "more.mov").write_bytes(b"no video either")  # type: ignore[operator]
        page.get_by_text("more.mov").wait_for()
        assert said == []
        daemon.kill()
        page.get_by_text("no answer").wait_for()


def test_nothing_can_be_made_to_run_in_it(daemon: Daemon, browser: Browser) -> None:
    url = daemon.says("metrics and health are served")["address"]
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(url)
        page.get_by_text("idle").wait_for()
        for attack in (
            "let i = document.createElement('script'); i.text = 'hit = 1'; document.head.append(i)",
            "document.body.setAttribute('onclick', 'hit = 1'); document.body.click()",
            "document.body.innerHTML = '<img src=x onerror=hit=1>'",
            "setTimeout('hit = 1')",
        ):
            page.evaluate(f"() => {{ try {{ {attack} }} catch (error) {{ }} }}")
        page.wait_for_timeout(100)
        assert page.evaluate("window.hit") is None


def _contrast(page: Browser) -> float:
    """The least contrast of a text with what is behind it (WCAG 2.2, 1.4.3)."""
    found = page.evaluate(
        """() => [...document.querySelectorAll('main .soft, main .name, dt, dd, h2, #state')]
            .filter((it) => it.offsetParent && it.textContent)
            .map((it) => {
              let behind = it;
              while (getComputedStyle(behind).backgroundColor === 'rgba(0, 0, 0, 0)')
                behind = behind.parentElement;
              return [getComputedStyle(it).color, getComputedStyle(behind).backgroundColor];
            })"""
    )
    assert found
    return min(_ratio(*(_luminance(colour) for colour in pair)) for pair in found)


def _luminance(colour: str) -> float:
    channels = [int(c) / 255 for c in colour.removeprefix("rgb(").removesuffix(")").split(",")]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(c * weight for c, weight in zip(linear, (0.2126, 0.7152, 0.0722), strict=True))


def _ratio(one: float, other: float) -> float:
    return (max(one, other) + 0.05) / (min(one, other) + 0.05)
