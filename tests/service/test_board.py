"""The status page, without a browser; `tests/real/test_status_page.py` has one."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import dataclass, field, fields
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
from tinyhtml5.parser import HTMLParser as Html5

from posewatch.base.clock import ManualClock
from posewatch.service.board import LISTED, Board, Sources
from posewatch.service.inspect import Claimed, Failed, FolderStatus
from posewatch.service.overview import Overview
from posewatch.service.pages import Check, Readiness
from posewatch.service.progress import Health
from posewatch.service.window import View
from posewatch.stages.recipe import Glimpse
from posewatch.vision.skeleton import HOLISTIC, OPENPOSE

if TYPE_CHECKING:
    from posewatch.service.pages import Answer

HOSTILE = "<script>alert(1)</script>\n\u202e\x1b[31m\udcff.mp4"
ESCAPED = r"<script>alert(1)</script>\n\u202e\x1b[31m\udcff.mp4"


@dataclass
class World:
    """What the board looks at."""

    health: Health = field(default_factory=lambda: Health(alive=True, silent_seconds=0.0))
    ready: Readiness = field(default_factory=Readiness)
    status: FolderStatus | None = field(default_factory=FolderStatus)
    overview: Overview = field(default_factory=Overview)
    idle: str = ""
    glimpse: tuple[str, Glimpse] | None = None
    clock: ManualClock = field(default_factory=ManualClock)

    def board(self) -> Board:
        def look() -> View | None:
            now = self.clock.monotonic()
            return View(self.status, now - 2.0, 0.1) if self.status is not None else None

        return Board(
            Sources(
                health=lambda: self.health,
                ready=lambda: self.ready,
                facts=lambda: {"version": "1", "host": "gpu1", "folder": "/in\nbox"},
                look=look,
                overview=lambda: self.overview,
                idle=lambda: self.idle,
                glimpse=lambda: self.glimpse,
            ),
            self.clock,
        )

    def live(self) -> dict[str, Any]:
        return of(self.board().live())


def of(answer: Answer) -> dict[str, Any]:
    assert answer.content_type == "application/json"
    content = json.loads(answer.body)
    assert isinstance(content, dict)
    return content


def seen(points: int = 543, *, people: int = 0) -> Glimpse:
    shape = (people, points) if people else (points,)
    frames = np.random.default_rng(1).random((*shape, 2), np.float32)
    return Glimpse(frames, np.ones(shape, np.float32), (1920, 1080), frame=7)


# The file


def page() -> str:
    return World().board().page().body.decode()


def test_the_page_is_html_without_a_fault() -> None:
    parser = Html5()
    parser.parse(page())
    assert parser.errors == []


def test_the_page_is_one_file_that_asks_nobody_else() -> None:
    assert not re.findall(r"(?:https?:)?//[a-z]", page())
    wanted = set(re.findall(r'(?:src|href)="([^"]*)"', page()))
    ours = {"data:,", "/status.json", "/metrics", "/healthz", "/readyz"}
    assert wanted == ours


def test_only_the_pages_own_script_and_style_may_run() -> None:
    class Parts(HTMLParser):
        inside = ""
        found: list[tuple[str, str]] = []  # noqa: RUF012 -- of this test

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            assert not any(name.startswith("on") or name == "style" for name, _ in attrs)
            self.inside = tag

        def handle_data(self, data: str) -> None:
            if self.inside in {"script", "style"}:
                self.found.append((self.inside, data))
                self.inside = ""

    parser = Parts()
    parser.feed(page())
    policy = World().board().page().policy
    assert {tag for tag, _ in parser.found} == {"script", "style"}
    for tag, content in parser.found:
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}';" in policy
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy


def test_the_script_makes_no_markup_of_what_it_is_told() -> None:
    for way in ("innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval(", "Function("):
        assert way not in page()


# What it shows


def test_live_has_the_counts_of_all_and_the_first_of_each() -> None:
    names = [f"{n:04}.mp4" for n in range(1000)]
    claimed = [Claimed(n, "h", 1, 1, "", 0.0, 0.0, None, None) for n in names]
    failed = [Failed(n, "damaged", "m", "h", None) for n in names]
    live = World(status=FolderStatus(names, claimed, names, failed, names)).live()
    assert live["status"]["counts"] == dict.fromkeys(
        ("waiting", "claimed", "done", "failed"), len(names)
    )
    assert live["status"]["unlisted_count"] == len(names)
    for kind in ("waiting", "claimed", "failed", "unlisted"):
        assert len(live["status"][kind]) == LISTED
    assert "done" not in live["status"]
    assert live["age"] == 2.0


def test_names_cannot_pose_as_anything_else() -> None:
    world = World(
        status=FolderStatus(
            waiting=[HOSTILE],
            claimed=[Claimed(HOSTILE, HOSTILE, 1, 1, "", 0.0, 0.0, 3, 4)],
            failed=[Failed(HOSTILE, "damaged", HOSTILE, HOSTILE, None)],
            unlisted=[HOSTILE],
        ),
        glimpse=(HOSTILE, seen()),
    )
    live, folder = world.live(), world.live()["status"]
    assert folder["waiting"] == folder["unlisted"] == [ESCAPED]
    assert folder["claimed"][0]["name"] == folder["claimed"][0]["host"] == ESCAPED
    assert set(folder["failed"][0].values()) == {ESCAPED}
    assert live["picture"]["name"] == ESCAPED
    assert live["folder"] == r"/in\nbox"
    assert all(32 <= byte < 127 for byte in world.board().text().body.replace(b"\n", b""))
    assert of(world.board().status())["waiting"] == [HOSTILE]  # programs get the name itself


@pytest.mark.parametrize(
    ("world", "state", "troubles"),
    [
        (World(), "idle", []),
        (World(overview=Overview(videos=3, in_flight=1)), "working", []),
        (World(overview=Overview(videos=3)), "waiting", []),
        (
            World(ready=Readiness((Check("scan", ok=False, detail="a"),)), status=None),
            "starting",
            ["scan: a"],
        ),
        (
            World(ready=Readiness((Check("ok", ok=True), Check("folder", ok=False, detail="b")))),
            "in trouble",
            ["folder: b"],
        ),
        (
            World(ready=Readiness((Check("running", ok=False, detail="stopping"),))),
            "stopping",
            ["running: stopping"],
        ),
    ],
)
def test_the_state_in_a_word_and_what_is_wrong(
    world: World, state: str, troubles: list[str]
) -> None:
    live = world.live()
    assert (live["state"], live["troubles"]) == (state, troubles)


def test_a_loop_that_stands_still_is_the_first_thing_that_is_told() -> None:
    live = World(health=Health(alive=False, silent_seconds=42.0)).live()
    assert live["state"] == "stalled"
    assert "no progress for 42 s: restart" in live["troubles"][0]


def test_text_for_terminals() -> None:
    world = World(
        status=FolderStatus(
            waiting=[f"{n}.mp4" for n in range(LISTED + 5)],
            claimed=[
                Claimed("c.mp4", "gpu2", 42, 1, "", 0.0, 0.0, 10, 40),
                Claimed("d.mp4", "gpu2", 42, 1, "", 0.0, 0.0, None, None),
            ],
            failed=[Failed("f.mp4", "empty", "it is empty", "Copy it again", None)],
            unlisted=["secret"],
        ),
        ready=Readiness((Check("folder", ok=False, detail="full"),)),
    )
    lines = world.board().text().body.decode().splitlines()
    assert lines[:3] == [
        r"posewatch 1 on gpu1, folder /in\nbox: in trouble",
        "folder: full",
        "25 waiting, 2 claimed, 0 done, 1 failed",
    ]
    assert "claimed  c.mp4: 10 of 40 frames, by gpu2, process 42" in lines
    assert "claimed  d.mp4: not begun, by gpu2, process 42" in lines
    assert "failed   f.mp4: it is empty. Copy it again" in lines
    assert "not seen secret" in lines
    assert lines[-1] == "and 5 more: /status.json"


def test_before_the_first_scan_it_says_so() -> None:
    board = World(status=None).board()
    assert of(board.live())["status"] is None
    assert "not been read yet" in board.text().body.decode()
    assert board.status().status == 503


# The picture


@pytest.mark.parametrize(
    "glimpse",
    [seen(HOLISTIC.keypoints), seen(OPENPOSE.keypoints), seen(OPENPOSE.keypoints, people=2)],
)
def test_the_picture_has_the_shape_of_the_video_and_somebody_in_it(glimpse: Glimpse) -> None:
    answer = World(glimpse=("a.mp4", glimpse)).board().picture()
    assert answer.content_type == "image/png"
    image = cv2.imdecode(np.frombuffer(answer.body, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    assert image.shape == (360, 640, 3)
    assert len(np.unique(image.reshape(-1, 3), axis=0)) > 3


def test_keypoints_that_nobody_can_draw_make_an_empty_picture() -> None:
    glimpse = seen(17)
    image = World(glimpse=("a.mp4", glimpse)).board().picture().body
    pixels = cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR)
    assert pixels is not None
    assert pixels.min() == pixels.max()


def test_each_picture_is_drawn_once_and_only_when_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn: list[Glimpse] = []

    def picture(glimpse: Glimpse) -> bytes:
        drawn.append(glimpse)
        return b"png"

    monkeypatch.setattr("posewatch.stages.preview.picture", picture)
    world = World(glimpse=("a.mp4", seen()))
    board = world.board()
    mark = of(board.live())["picture"]["mark"]
    assert drawn == []
    assert board.picture().body == board.picture().body == b"png"
    assert len(drawn) == 1
    world.glimpse = ("b.mp4", seen())
    board.picture()
    assert len(drawn) == 2
    assert of(board.live())["picture"]["mark"] != mark


def test_without_a_result_there_is_no_picture() -> None:
    board = World().board()
    assert of(board.live())["picture"] is None
    assert board.picture().status == 404


def test_the_picture_has_nothing_of_the_video_in_it() -> None:
    """All that is kept of a frame are numbers; and where nobody was found, it is empty."""
    assert {field.name for field in fields(Glimpse)} == {"points", "confidences", "size", "frame"}
    nobody = Glimpse(
        np.full((543, 2), np.nan, np.float32), np.zeros(543, np.float32), (640, 360), frame=0
    )
    image = World(glimpse=("a.mp4", nobody)).board().picture().body
    pixels = cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR)
    assert pixels is not None
    assert pixels.min() == pixels.max()
