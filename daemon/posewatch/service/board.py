"""The status page: where every video of the folder stands, for people and for programs.

It shows names of videos, so `Pages` asks first whether it may. Nothing here waits for the folder:
what is shown, the loop knows already. The page itself is one file that never changes; what comes
from the folder is JSON, which the page's script shows as text. Of videos nothing is shown but the
skeletons that were found in them.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from dataclasses import asdict, dataclass
from http import HTTPStatus
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from posewatch.base.log_lines import printable
from posewatch.service.pages import Answer
from posewatch.stages import preview

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from posewatch.base.clock import Clock
    from posewatch.service.inspect import FolderStatus
    from posewatch.service.overview import Overview
    from posewatch.service.pages import Readiness
    from posewatch.service.progress import Health
    from posewatch.service.window import View
    from posewatch.stages.recipe import Glimpse

LISTED: Final = 20
"""Videos of one kind that the page lists."""

NOT_YET: Final = "The folder has not been read yet."


@dataclass(frozen=True, slots=True)
class Sources:
    """Whom the board asks; called by several threads at once.

    Attributes:
        health: how the main loop does.
        ready: whether videos can be worked on.
        facts: about this daemon, by name: version, host, folder.
        look: what stands in the folder; may wait a moment for the loop, never for the folder.
        overview: where everything stands, in numbers.
        idle: whether and when the machine will be stopped, in words.
        glimpse: what was found lately, and in which video.
    """

    health: Callable[[], Health]
    ready: Callable[[], Readiness]
    facts: Callable[[], dict[str, str]]
    look: Callable[[], View | None]
    overview: Callable[[], Overview]
    idle: Callable[[], str]
    glimpse: Callable[[], tuple[str, Glimpse] | None]


class Board:
    """The page and what it is made of.

    Args:
        sources: whom to ask.
        clock: the time.
    """

    def __init__(self, sources: Sources, clock: Clock) -> None:
        self._sources = sources
        self._clock = clock
        self._page = _page()
        self._drawing = threading.Lock()
        self._drawn: tuple[Glimpse, bytes] | None = None

    def page(self) -> Answer:
        """For browsers."""
        return self._page

    def text(self) -> Answer:
        """For terminals."""
        return Answer.text(HTTPStatus.OK, *_words(self._live()))

    def live(self) -> Answer:
        """What the page shows: counts of everything, and the first of each list."""
        return _json(self._live())

    def status(self) -> Answer:
        """What `posewatch status --json` prints."""
        view = self._sources.look()
        if view is None:
            return Answer.text(HTTPStatus.SERVICE_UNAVAILABLE, NOT_YET)
        return _json(view.status.to_json())

    def picture(self) -> Answer:
        """The poses that were found lately. Drawn when asked for, each once, one at a time."""
        lately = self._sources.glimpse()
        if lately is None:
            return Answer.text(HTTPStatus.NOT_FOUND, "No poses were found yet.")
        _, glimpse = lately
        with self._drawing:
            if self._drawn is None or self._drawn[0] is not glimpse:
                self._drawn = glimpse, preview.picture(glimpse)
            return Answer(HTTPStatus.OK, "image/png", self._drawn[1])

    def _live(self) -> dict[str, Any]:
        health, ready = self._sources.health(), self._sources.ready()
        overview, view, lately = (
            self._sources.overview(),
            self._sources.look(),
            self._sources.glimpse(),
        )
        return {
            **{name: printable(value) for name, value in self._sources.facts().items()},
            "state": _state(health, ready, overview, read=view is not None),
            "troubles": [*_troubles(health, ready)],
            "idle": printable(self._sources.idle()),
            "age": round(self._clock.monotonic() - view.at, 1) if view is not None else 0.0,
            "frames_per_second": round(overview.frames_per_second, 2),
            "seconds_left": overview.seconds_left,
            "status": _excerpt(view.status) if view is not None else None,
            "picture": _about(*lately) if lately is not None else None,
        }


def _page() -> Answer:
    """The file, and a policy under which nothing else can run in it: its own digests.

    https://www.w3.org/TR/CSP3/#framework-directive-source-list
    """
    text = files("posewatch.service").joinpath("page.html").read_text(encoding="utf-8")

    def digests(tag: str) -> str:
        contents = re.findall(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        hashes = (base64.b64encode(hashlib.sha256(c.encode()).digest()).decode() for c in contents)
        return " ".join(f"'sha256-{digest}'" for digest in hashes)

    policy = (
        f"default-src 'none'; script-src {digests('script')}; style-src {digests('style')}; "
        "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'; require-trusted-types-for 'script'"
    )
    return Answer(HTTPStatus.OK, "text/html; charset=utf-8", text.encode(), policy)


def _json(content: object) -> Answer:
    # ASCII: a name that is not UTF-8 has no other spelling.
    body = json.dumps(content, indent=2) + "\n"
    return Answer(HTTPStatus.OK, "application/json", body.encode("ascii"))


def _state(health: Health, ready: Readiness, overview: Overview, *, read: bool) -> str:
    if not health.alive:
        return "stalled"
    wrong = next((check.name for check in ready.checks if not check.ok), None)
    if wrong == "running":
        return "stopping"
    if wrong is not None:
        return "in trouble" if read else "starting"
    if overview.in_flight:
        return "working"
    return "waiting" if overview.waiting else "idle"


def _troubles(health: Health, ready: Readiness) -> Iterator[str]:
    if not health.alive:
        yield (
            f"The main loop has made no progress for {health.silent_seconds:.0f} s: "
            "restart the daemon, and please report it with the log."
        )
    for check in ready.checks:
        if not check.ok:
            yield printable(str(check))


def _excerpt(status: FolderStatus) -> dict[str, Any]:
    """The counts and the first of each list; what does not print in names is escaped."""
    claimed = [
        asdict(claim) | {"name": printable(claim.name), "host": printable(claim.host)}
        for claim in status.claimed[:LISTED]
    ]
    failed = [
        {name: printable(getattr(failure, name)) for name in ("name", "message", "hint")}
        for failure in status.failed[:LISTED]
    ]
    return {
        "counts": status.counts,
        "frames": status.frames,
        "footage_seconds": status.footage_seconds,
        "claimed": claimed,
        "failed": failed,
        "waiting": [printable(name) for name in status.waiting[:LISTED]],
        "unlisted": [printable(name) for name in status.unlisted[:LISTED]],
        "unlisted_count": len(status.unlisted),
    }


def _about(key: str, glimpse: Glimpse) -> dict[str, Any]:
    mark = hashlib.sha256(f"{key}\0{glimpse.frame}".encode(errors="surrogatepass")).hexdigest()
    return {"name": printable(key), "frame": glimpse.frame, "mark": mark[:16]}


def _words(live: dict[str, Any]) -> Iterator[str]:
    yield f"posewatch {live['version']} on {live['host']}, folder {live['folder']}: {live['state']}"
    yield from live["troubles"]
    if live["idle"]:
        yield live["idle"]
    status = live["status"]
    if status is None:
        yield NOT_YET
        return
    counts = status["counts"]
    yield ", ".join(f"{count} {name}" for name, count in counts.items())
    for claim in status["claimed"]:
        total = f" of {claim['total']}" if claim["total"] else ""
        far = "not begun" if claim["frames"] is None else f"{claim['frames']}{total} frames"
        yield f"claimed  {claim['name']}: {far}, by {claim['host']}, process {claim['pid']}"
    for failure in status["failed"]:
        hint = f". {failure['hint']}" if failure["hint"] else ""
        yield f"failed   {failure['name']}: {failure['message']}{hint}"
    for name in status["waiting"]:
        yield f"waiting  {name}"
    for name in status["unlisted"]:
        yield f"not seen {name}"
    hidden = sum(counts[kind] - len(status[kind]) for kind in ("claimed", "failed", "waiting"))
    if hidden:
        yield f"and {hidden} more: /status.json"
