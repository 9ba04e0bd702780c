"""The newest result that somebody else has made is shown as well, and keeps nobody waiting."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest

from posewatch.base.errors import UnmountedError
from posewatch.catalog import Newest
from posewatch.formats.pose_npz import PoseWriter
from posewatch.service.latest import LARGEST, Latest
from posewatch.storage.faulty import FaultyStorage, Operation
from posewatch.storage.memory import MemoryStorage
from service.doubles import House

if TYPE_CHECKING:
    from pathlib import Path

    from posewatch.stages.recipe import Glimpse

NEWEST = Newest("2026-01-01T00:00:00Z", "t/a.mp4", "t/a.pose-mediapipe.npz")


def enormous(tmp_path: Path) -> bytes:
    """A small file with frames that would take much memory."""
    path = tmp_path / "enormous.npz"
    with PoseWriter(path, points=(500, 134, 2), confidences="confidences") as writer:
        frames = np.zeros((1, 500, 134, 2), np.float32)
        writer.append(frames, np.ones((1, 500, 134), np.float32), np.zeros(1))
        writer.close(fps=25.0, size=(640, 360), provenance="{}")
    return path.read_bytes()


def pose(tmp_path: Path, *, nobody: bool = False) -> bytes:
    """A pose file of 600 frames; somebody is in the 301st only."""
    path = tmp_path / "a.npz"
    frames = np.full((600, 543, 3), np.nan, np.float32)
    if not nobody:
        frames[300] = 0.5
    with PoseWriter(path) as writer:
        writer.append(frames, np.ones((600, 543), np.float32), np.arange(600) / 25.0)
        writer.close(fps=25.0, size=(640, 360), provenance="{}")
    return path.read_bytes()


def seen(latest: Latest, newest: Newest | None = NEWEST) -> tuple[str, Glimpse] | None:
    """What is seen a moment later."""
    latest.glimpse(newest)
    if latest._thread is not None:
        latest._thread.join(10)
    return latest.glimpse(newest)


def test_the_newest_result_is_read_when_somebody_looks(tmp_path: Path) -> None:
    storage = MemoryStorage()
    storage.put(NEWEST.result, pose(tmp_path))
    latest = Latest(storage)
    found = seen(latest)
    assert found is not None
    name, glimpse = found
    assert (name, glimpse.frame, glimpse.size) == ("t/a.mp4", 300, (640, 360))
    assert glimpse.points.shape == (543, 3)


def test_each_is_read_once(tmp_path: Path) -> None:
    fetched: list[str] = []

    def count(operation: Operation) -> None:
        if operation.name == "fetch" and not operation.after:
            fetched.append(operation.target)

    memory = MemoryStorage()
    memory.put(NEWEST.result, pose(tmp_path))
    latest = Latest(FaultyStorage(memory, count))
    for _ in range(3):
        seen(latest)
    assert fetched == [NEWEST.result]


def test_without_a_result_nothing_is_read() -> None:
    latest = Latest(MemoryStorage())
    assert seen(latest, None) is None
    assert latest._thread is None


@pytest.mark.parametrize("kind", ["missing", "damaged", "empty", "too large", "enormous"])
def test_what_cannot_be_shown_is_not(tmp_path: Path, kind: str) -> None:
    storage = MemoryStorage()
    contents = {
        "damaged": b"no archive",
        "empty": pose(tmp_path, nobody=True),
        "too large": b"x" * (LARGEST + 1),
        "enormous": enormous(tmp_path),
    }
    if kind in contents:
        storage.put(NEWEST.result, contents[kind])
    assert seen(Latest(storage)) is None


def test_a_dead_mount_keeps_nobody_waiting() -> None:
    over, asked = threading.Event(), threading.Event()

    def hang(operation: Operation) -> None:
        if operation.name == "stat":
            asked.set()
            over.wait(10)
            raise UnmountedError("it is gone")

    latest = Latest(FaultyStorage(MemoryStorage(), hang))
    assert latest.glimpse(NEWEST) is None
    assert asked.wait(10)
    first = latest._thread
    assert latest.glimpse(Newest("2027", "b.mp4", "b.npz")) is None
    assert latest._thread is first, "one at a time"
    over.set()
    assert first is not None
    first.join(10)


def test_a_daemon_that_has_made_nothing_yet_shows_what_was_there(tmp_path: Path) -> None:
    made = House()
    made.put("a.mp4")
    made.settle()
    made.publish("a.mp4")
    made.memory.put("a.pose-toy.npz", pose(tmp_path))
    made.scan()
    made.turn()
    made.daemon.glimpse()
    made.latest._thread.join(10)  # type: ignore[union-attr]
    found = made.daemon.glimpse()
    assert found is not None
    assert (found[0], found[1].frame) == ("a.mp4", 300)
    made.heart.seen = "b.mp4", found[1]
    assert made.daemon.glimpse() == made.heart.seen
