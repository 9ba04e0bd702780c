"""What the files alone tell, and forgetting failures."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import pytest

from posewatch.base.clock import ManualClock
from posewatch.base.errors import ChangedError, DeniedError, Fault, MissingError, UnmountedError
from posewatch.claims.claims import Claims, Owner
from posewatch.claims.observer import Observer
from posewatch.formats import names, receipt
from posewatch.formats.receipt import (
    FailureRecord,
    InputRecord,
    Receipt,
    RecipeRecord,
    ResultRecord,
    WorkRecord,
)
from posewatch.service.inspect import (
    Claimed,
    Failed,
    FolderStatus,
    folder_status,
    forget_failures,
    meant,
)
from posewatch.storage.faulty import FaultyStorage, Operation
from posewatch.storage.memory import MemoryStorage

SUFFIXES = (".mp4", ".mov")


class Folder:
    """A folder in memory, and receipts in it."""

    def __init__(self) -> None:
        self.memory = MemoryStorage()
        self.clock = ManualClock()
        self.storage = FaultyStorage(self.memory)

    def video(self, key: str, outcome: str = "", *, recipe: str = "any") -> None:
        """A video, and what has become of it."""
        version = self.memory.put(key, b"video")
        if not outcome:
            return
        result = names.split(names.pose_key(key, "mediapipe"))[1]
        failure = FailureRecord(
            fault=Fault.TRUNCATED, message="short", hint="Copy it again", readable_frames=7
        )
        done = outcome == "done"
        if done:
            self.memory.put(names.pose_key(key, "mediapipe"), b"poses")
        record = Receipt(
            outcome=outcome,
            input=InputRecord(name=names.split(key)[1], size=version.size, tag=version.tag),
            recipe=RecipeRecord(name="m", hash=recipe),
            attempt=1,
            nonce="n",
            results=(ResultRecord(name=result, size=5, sha256=""),) if done else (),
            failure=None if done else failure,
            work=WorkRecord(frames=100, footage_seconds=4.0) if done else WorkRecord(),
        )
        self.memory.put(names.receipt_key(key), receipt.encode(record))

    def claim(self, key: str) -> object:
        """Somebody claims a video."""
        owner = Owner("there", 42, "boot")
        return Claims(self.memory, self.clock, owner, 60.0, Observer()).acquire(key, "job")

    def status(self) -> FolderStatus:
        return folder_status(self.storage, SUFFIXES, self.clock, lambda: None)

    def deny(self, name: str, key: str, error: Exception) -> None:
        def hook(operation: Operation) -> None:
            if (operation.name, operation.target, operation.after) == (name, key, False):
                raise error

        self.storage.hook = hook


@pytest.fixture
def folder() -> Folder:
    return Folder()


def test_an_empty_folder_has_nothing(folder: Folder) -> None:
    assert folder.status() == FolderStatus()


def test_every_video_stands_somewhere(folder: Folder) -> None:
    folder.video("new.mp4")
    folder.video("talks/done.mp4", "done")
    folder.video("talks/other recipe.mp4", "done", recipe="another")
    folder.video("failed.mp4", "failed")
    folder.video("claimed.mp4")
    folder.video("without results.mp4", "done")
    folder.memory.delete("without results.pose-mediapipe.npz")
    folder.video("replaced.mp4", "done")
    folder.memory.put("replaced.mp4", b"another")
    folder.claim("claimed.mp4")
    folder.claim("talks/done.mp4")
    folder.memory.put("notes.txt", b"")
    found = folder.status()
    assert found.waiting == ["new.mp4", "replaced.mp4", "without results.mp4"]
    assert found.done == ["talks/done.mp4", "talks/other recipe.mp4"]
    assert found.failed == [Failed("failed.mp4", "truncated", "short", "Copy it again", 7)]
    assert [claimed.name for claimed in found.claimed] == ["claimed.mp4"]
    assert (found.frames, found.footage_seconds) == (200, 8.0)


def test_who_holds_a_video_how_long_and_how_far(folder: Folder) -> None:
    folder.video("a.mp4")
    claim = folder.claim("a.mp4")
    folder.clock.advance(30)
    claim.beat(25, 100)  # type: ignore[attr-defined]
    folder.clock.advance(5)
    since = "2023-11-14T22:13:20.000Z"
    assert folder.status().claimed == [
        Claimed("a.mp4", "there", 42, 1, since, 35.0, 5.0, frames=25, total=100)
    ]


def test_of_several_attempts_the_newest_holds(folder: Folder) -> None:
    folder.video("a.mp4")
    for attempt, host in ((1, "one"), (3, "three"), (2, "two")):
        owner = Owner(host, attempt, "")
        claims = Claims(MemoryStorage(), folder.clock, owner, 60.0, Observer())
        claims.acquire("a.mp4", "job")
        content = claims._storage.read("a.mp4.lock")
        content = content.replace(b'"attempt": 1', b'"attempt": %d' % attempt)
        folder.memory.put("a.mp4.lock" + (f".{attempt}" if attempt > 1 else ""), content)
    (claimed,) = folder.status().claimed
    assert (claimed.host, claimed.attempt) == ("three", 3)


@pytest.mark.parametrize("content", [b"", b"no record", b"{" * 10_000])
def test_a_lock_that_cannot_be_read_holds_too(folder: Folder, content: bytes) -> None:
    folder.video("a.mp4")
    folder.memory.put("a.mp4.lock", content)
    assert folder.status().claimed == [Claimed("a.mp4", "?", 0, 1, "", 0.0, 0.0, None, None)]


@pytest.mark.parametrize("moment", ["", "yesterday", "0001-01-01T00:00:00", "9999-12-31T23:59:59"])
def test_a_lock_with_a_strange_time_is_told_all_the_same(folder: Folder, moment: str) -> None:
    folder.video("a.mp4")
    folder.claim("a.mp4")
    content = folder.memory.read("a.mp4.lock")
    told = b'"since": "2023-11-14T22:13:20.000Z"'
    assert told in content
    folder.memory.put("a.mp4.lock", content.replace(told, b'"since": "%s"' % moment.encode()))
    (claimed,) = folder.status().claimed
    assert claimed.since == moment
    assert isinstance(claimed.held_seconds, float)


def test_a_failure_without_a_reason_is_still_one(folder: Folder) -> None:
    folder.video("a.mp4", "failed")
    record = receipt.decode(folder.memory.read("a.posewatch.json"))
    assert record is not None
    bare = record.model_copy(update={"failure": None})
    folder.memory.put("a.posewatch.json", receipt.encode(bare))
    assert folder.status().failed == [Failed("a.mp4", "", "its receipt does not say why", "", None)]


def test_a_name_that_is_too_long_is_a_failure_that_stands_nowhere(folder: Folder) -> None:
    name = "x" * 240 + ".mp4"
    folder.video(name)
    (failed,) = folder.status().failed
    assert (failed.name, failed.fault) == (name, "name-too-long")
    assert "244 bytes" in failed.message


def test_what_could_not_be_looked_at_is_told(folder: Folder) -> None:
    folder.video("a.mp4", "done")
    folder.deny("read", "a.posewatch.json", DeniedError("no"))
    assert folder.status().unlisted == ["a.posewatch.json"]


def test_a_folder_that_is_not_there_is_an_error(folder: Folder) -> None:
    folder.memory.mount(mounted=False)
    with pytest.raises(UnmountedError):
        folder.status()


def test_the_json_holds_any_name(folder: Folder) -> None:
    for key in ("a\nb.mp4", "\udcff.mp4", "\x1b[2J.mp4", '"quote".mp4'):
        folder.video(key, "failed" if key.startswith("a") else "")
    folder.claim('"quote".mp4')
    told = json.loads(json.dumps(folder.status().to_json()))
    assert told["counts"] == {"waiting": 2, "claimed": 1, "done": 0, "failed": 1}
    assert told["waiting"] == ["\x1b[2J.mp4", "\udcff.mp4"]
    assert told["claimed"][0]["name"] == '"quote".mp4'
    assert told["failed"][0]["name"] == "a\nb.mp4"
    document = Path(__file__).parents[2] / "docs" / "formats.md"
    chapter = document.read_text(encoding="utf-8").partition("posewatch status --json")[2]
    for kind in (FolderStatus, Claimed, Failed):
        for name in (field.name for field in fields(kind)):
            assert f"`{name}`" in chapter


# Forgetting failures


def test_all_failures_are_forgotten_and_nothing_else(folder: Folder) -> None:
    folder.video("a.mp4", "failed")
    folder.video("talks/b.mp4", "failed")
    folder.video("done.mp4", "done")
    folder.memory.put("rival.mov.posewatch-refused.json", folder.memory.read("a.posewatch.json"))
    folder.memory.put("strange.posewatch.json", b"no receipt")
    found = forget_failures(folder.storage, None)
    assert (found.names, found.missing, found.refused) == (
        ["a.mp4", "a.mp4", "talks/b.mp4"],
        [],
        [],
    )
    left = {entry.key for entry in folder.memory.scan(lambda _key: False)}
    assert {"done.posewatch.json", "done.pose-mediapipe.npz", "strange.posewatch.json"} < left
    assert sum("posewatch" in key for key in left) == 2
    assert folder.status().waiting == ["a.mp4", "talks/b.mp4"]


def test_only_what_is_asked_for_is_forgotten(folder: Folder) -> None:
    for key in ("a.mp4", "b.mp4", "talks/a.mp4"):
        folder.video(key, "failed")
    folder.video("done.mp4", "done")
    asked = {
        "a.mp4": ["talks/a.mp4", "a.mp4"],
        "done.mp4": ["done.mp4"],
        "never.mp4": ["never.mp4"],
        "b.mov": ["b.mov"],
    }
    found = forget_failures(folder.storage, asked)
    assert (found.names, found.missing) == (["talks/a.mp4"], ["done.mp4", "never.mp4", "b.mov"])
    assert [failed.name for failed in folder.status().failed] == ["a.mp4", "b.mp4"]


def test_a_refusal_is_forgotten_by_the_name_of_its_video(folder: Folder) -> None:
    folder.video("a.mov", "failed")
    content = folder.memory.read("a.posewatch.json")
    folder.video("a.mp4", "done")
    folder.memory.put("a.mov.posewatch-refused.json", content)
    assert forget_failures(folder.storage, {"a.mov": ["a.mov"]}).names == ["a.mov"]
    assert folder.memory.stat("a.mov.posewatch-refused.json") is None
    assert folder.memory.stat("a.posewatch.json") is not None


@pytest.mark.parametrize("error", [MissingError("gone"), ChangedError("another")])
@pytest.mark.parametrize("name", ["read", "remove"])
def test_a_daemon_that_is_quicker_wins(folder: Folder, name: str, error: Exception) -> None:
    folder.video("a.mp4", "failed")
    folder.video("b.mp4", "failed")
    folder.deny(name, "a.posewatch.json", error)
    assert forget_failures(folder.storage, None).names == ["b.mp4"]
    assert forget_failures(folder.storage, {"x": ["a.mp4"]}).missing == ["x"]


@pytest.mark.parametrize("name", ["read", "remove"])
def test_what_may_not_be_forgotten_is_told_and_hinders_nothing_else(
    folder: Folder, name: str
) -> None:
    folder.video("a.mp4", "failed")
    folder.video("b.mp4", "failed")
    denied = DeniedError("no")
    folder.deny(name, "a.posewatch.json", denied)
    found = forget_failures(folder.storage, None)
    assert (found.names, found.refused) == (["b.mp4"], [denied])
    found = forget_failures(folder.storage, {"a.mp4": ["a.mp4"]})
    assert (found.names, found.missing, found.refused) == ([], [], [denied])


# Names on the command line


def test_what_a_name_may_mean(tmp_path: Path) -> None:
    folder = tmp_path / "inbox"
    (folder / "talks").mkdir(parents=True)
    (tmp_path / "link").symlink_to(folder)
    (folder / "talks" / "link.mp4").symlink_to("/dev/null")

    def means(name: str, cwd: Path, given: Path = folder) -> list[str]:
        return meant(given, name, cwd)

    # As status tells it, from wherever
    assert means("talks/a.mp4", tmp_path) == ["talks/a.mp4"]
    assert means("./talks//a.mp4", tmp_path) == ["talks/a.mp4"]
    # A path to the file
    assert means(str(folder / "talks" / "a.mp4"), tmp_path) == ["talks/a.mp4"]
    assert means("inbox/talks/a.mp4", tmp_path) == ["inbox/talks/a.mp4", "talks/a.mp4"]
    assert means("../inbox/a.mp4", folder) == ["a.mp4"]
    assert means("link/a.mp4", tmp_path) == ["link/a.mp4", "a.mp4"]
    assert means("a.mp4", tmp_path / "link" / "talks") == ["a.mp4", "talks/a.mp4"]
    assert means("link.mp4", folder / "talks", tmp_path / "link") == ["link.mp4", "talks/link.mp4"]
    # Both
    assert means("a.mp4", folder) == ["a.mp4"]
    assert means("talks/a.mp4", folder / "talks") == ["talks/a.mp4", "talks/talks/a.mp4"]
    # Neither
    assert means("/elsewhere/a.mp4", tmp_path) == []
    assert means("../a.mp4", folder) == []
