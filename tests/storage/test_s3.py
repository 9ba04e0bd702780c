"""A folder in a bucket: requests counted, answers lost, requests that come late, odd keys."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from posewatch.base.clock import ManualClock
from posewatch.base.errors import (
    ChangedError,
    DeniedError,
    ExistsError,
    FencedError,
    MissingError,
    StorageError,
    UnavailableError,
    UnmountedError,
)
from posewatch.formats import names
from posewatch.storage import s3_fetch
from posewatch.storage.contract import Skipped, Version, staging_key
from posewatch.storage.faulty import HookedObjects, Operation
from posewatch.storage.s3 import KEY_LIMIT, REMEMBERED, S3Storage
from posewatch.storage.s3_fence import CLOSED_LIMIT, Fence, fence_of, is_bare, stamped
from posewatch.storage.s3_fetch import S3Fetch
from posewatch.storage.s3_memory import PAGE, MemoryObjects
from posewatch.storage.s3_sure import LONGEST, TRIES, MisconfiguredError, SureObjects, body_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from posewatch.storage.s3_objects import Body

VIDEO = "talks/a.mp4"
RESULT = "talks/a.npz"
RECEIPT = "talks/a.posewatch.json"


class Scene:
    """A bucket with a folder in it, whose requests are counted, and fail where they are told to."""

    def __init__(self) -> None:
        self.bucket = MemoryObjects()
        self.clock = ManualClock()
        self.store = HookedObjects(self.bucket, self._hook)
        self.storage = self.another()
        self.sent: list[tuple[str, str]] = []
        self.hook: Callable[[Operation], None] = lambda _operation: None

    def another(self) -> S3Storage:
        """The same folder, as another daemon has it."""
        return S3Storage(self.store, "in/", self.clock, names.receipt_key)

    def _hook(self, operation: Operation) -> None:
        if not operation.after:
            self.sent.append((operation.name, operation.target.removeprefix("in/")))
        self.hook(operation)

    def fails(
        self, name: str, times: int, *, after: bool, error: StorageError | None = None
    ) -> None:
        """So many of the next requests of a kind fail, before or after they are done."""
        left = times

        def hook(operation: Operation) -> None:
            nonlocal left
            if operation.name == name and operation.after is after and left:
                left -= 1
                raise error or UnavailableError("no answer")

        self.hook = hook

    def requests(self) -> list[str]:
        """What was sent since this was asked the last time."""
        sent = [name for name, _key in self.sent]
        self.sent.clear()
        return sent

    def content(self, key: str) -> bytes:
        found = self.bucket.get(f"in/{key}", 1 << 30)
        assert found is not None
        return found.data


@pytest.fixture
def scene() -> Scene:
    return Scene()


# Requests


def test_small_files_cost_one_request_each(scene: Scene) -> None:
    scene.storage.create("a.lock", b"beat 0")
    assert scene.requests() == ["put"]
    scene.storage.overwrite("a.lock", b"beat 0", b"beat 1")
    scene.storage.overwrite("a.lock", b"beat 1", b"beat 2")
    assert scene.requests() == ["put", "put"]
    scene.storage.read("a.lock")
    scene.storage.stat("a.lock")
    assert scene.requests() == ["get", "head"]
    scene.storage.remove("a.lock", b"beat 2")
    assert scene.requests() == ["get", "delete"]


def test_what_another_has_written_is_read_before_it_is_overwritten(scene: Scene) -> None:
    scene.storage.create("a.lock", b"beat 0")
    scene.another().overwrite("a.lock", b"beat 0", b"beat 1")
    assert scene.requests() == ["put", "get", "put"]
    with pytest.raises(ChangedError):
        scene.storage.overwrite("a.lock", b"beat 0", b"beat 9")
    assert scene.content("a.lock") == b"beat 1"


def test_only_so_many_files_are_remembered(scene: Scene) -> None:
    for number in range(REMEMBERED + 1):
        scene.storage.create(f"{number}.lock", b"0")
    scene.requests()
    scene.storage.overwrite("1.lock", b"0", b"1")
    assert scene.requests() == ["put"]
    scene.storage.overwrite("0.lock", b"0", b"1")
    assert scene.requests() == ["get", "put"]


@pytest.mark.parametrize("receipt", [None, b'{"posewatch": 1, "outcome": "failed"}'])
def test_staging_costs_one_request_where_the_receipt_was_seen(
    scene: Scene, receipt: bytes | None
) -> None:
    if receipt is not None:
        scene.bucket.write(f"in/{RECEIPT}", receipt)
    sighting = scene.storage.fence([], VIDEO)
    assert scene.requests() == ["get"]
    scene.storage.stage("t1", VIDEO, sighting)
    assert scene.requests() == ["put"]
    scene.storage.stage("t2", VIDEO, replace(sighting, key="talks/b.posewatch.json"))
    assert scene.requests() == ["get", "put"]


def test_who_was_taken_over_since_it_saw_the_receipt_does_not_stage(scene: Scene) -> None:
    sighting = scene.storage.fence([], VIDEO)
    scene.another().fence(["t1"], VIDEO)
    scene.requests()
    with pytest.raises(FencedError):
        scene.storage.stage("t1", VIDEO, sighting)
    assert scene.requests() == ["put", "head", "get"]


@pytest.mark.parametrize("before", [None, b'{"posewatch": 1, "outcome": "failed"}'])
def test_who_decided_by_another_receipt_does_not_stage(scene: Scene, before: bytes | None) -> None:
    """It may have decided to replace the very results that the newer receipt names."""
    if before is not None:
        scene.bucket.write(f"in/{RECEIPT}", before)
    sighting = scene.storage.fence([], VIDEO)
    after = b'{"posewatch": 1, "outcome": "done"}'
    scene.bucket.write(f"in/{RECEIPT}", after)
    with pytest.raises(ChangedError):
        scene.storage.stage("t1", VIDEO, sighting)
    assert scene.content(RECEIPT) == after


def test_a_lock_that_is_surely_ones_own_is_removed_by_one_request(scene: Scene) -> None:
    scene.storage.create("a.lock", b"mine")
    scene.requests()
    scene.storage.remove("a.lock", b"mine", sure=True)
    assert scene.requests() == ["delete"]
    scene.fails("delete", 1, after=True)
    scene.storage.create("a.lock", b"mine")
    scene.requests()
    scene.storage.remove("a.lock", b"mine", sure=True)
    assert scene.requests() == ["delete", "get"]


def test_publishing_a_first_result(scene: Scene) -> None:
    area = scene.storage.stage("t1", VIDEO)
    assert scene.requests() == ["get", "put"]
    area.add(RESULT, b"result")
    area.add(RECEIPT, b"{}")
    assert scene.requests() == []
    area.publish(RESULT, None)
    assert scene.requests() == ["head", "put"]
    area.publish(RECEIPT, None)
    assert scene.requests() == ["put"]
    area.discard()
    scene.storage.sweep(staging_key(VIDEO))
    assert scene.requests() == []


def test_a_single_writer_can_use_a_server_that_ignores_conditions(scene: Scene) -> None:
    def put(key: str, body: Body, _expected: str | None) -> str:
        assert isinstance(body.source, bytes)
        return scene.bucket.write(key, body.source, body.mark)

    scene.bucket.put = put  # type: ignore[method-assign]
    scene.bucket.write(f"in/{RECEIPT}", b'{"posewatch": 1, "of": "an older version"}')
    looked_at = scene.storage.stat(RECEIPT)
    assert looked_at is not None
    area = scene.storage.stage("t1", VIDEO)
    area.add(RECEIPT, b"{}")
    area.publish(RECEIPT, looked_at.version)
    assert scene.content(RECEIPT) == b"{}"


def test_a_fence_costs_one_request_and_one_more_where_there_is_something_to_close(
    scene: Scene,
) -> None:
    scene.storage.fence([], VIDEO)
    assert scene.requests() == ["get"]
    scene.storage.fence(["t1"], VIDEO)
    assert scene.requests() == ["get", "put"]
    scene.storage.fence(["t1"], VIDEO)
    assert scene.requests() == ["get"]


def test_a_scan_costs_one_request_for_each_page(scene: Scene) -> None:
    for number in range(2 * PAGE + 1):
        scene.bucket.write(f"in/{number:05}.mp4", b"x")
    scene.bucket.write("elsewhere/x.mp4", b"x")
    assert len(list(scene.storage.scan(lambda _key: True))) == 2 * PAGE + 1
    assert scene.requests() == ["list"] * 3


# Answers that are lost, and servers that fail


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("times", [1, TRIES - 1])
def test_a_write_that_seems_to_have_failed_is_done_once(
    scene: Scene, times: int, *, after: bool
) -> None:
    scene.fails("put", times, after=after)
    scene.storage.create("a.lock", b"beat 0")
    scene.fails("put", times, after=after)
    scene.storage.overwrite("a.lock", b"beat 0", b"beat 1")
    scene.fails("put", times, after=after)
    area = scene.storage.stage("t1", VIDEO)
    area.add(RECEIPT, b"{}")
    scene.fails("put", times, after=after)
    area.publish(RECEIPT, None)
    assert (scene.content("a.lock"), scene.content(RECEIPT)) == (b"beat 1", b"{}")


@pytest.mark.parametrize("name", ["get", "head", "list", "delete"])
def test_other_requests_are_sent_again(scene: Scene, name: str) -> None:
    def ask() -> None:
        scene.bucket.write("in/a.lock", b"mine")
        scene.storage.stat("a.lock")
        list(scene.storage.scan(lambda _key: True))
        scene.storage.remove("a.lock", b"mine")

    scene.fails(name, TRIES - 1, after=False)
    ask()
    scene.fails(name, TRIES, after=False)
    with pytest.raises(UnavailableError):
        ask()


@pytest.mark.parametrize("name", ["get", "head", "list", "delete", "put"])
def test_a_server_that_never_answers_is_not_waited_for_five_times(scene: Scene, name: str) -> None:
    silence = 20.0

    def hang(operation: Operation) -> None:
        if not operation.after:
            scene.clock.advance(silence)
            raise UnavailableError("no answer")

    ask: dict[str, Callable[[], object]] = {
        "get": lambda: scene.storage.read("a.lock"),
        "head": lambda: scene.storage.stat("a.lock"),
        "list": lambda: list(scene.storage.scan(lambda _key: True)),
        "delete": lambda: scene.storage.sweep(".posewatch-probe-1"),
        "put": lambda: scene.storage.create("a.lock", b"mine"),
    }
    scene.hook, begun = hang, scene.clock.monotonic()
    with pytest.raises(UnavailableError):
        ask[name]()
    # A write that is not answered is looked for, too.
    assert scene.requests() == (["put", "head", "head"] if name == "put" else [name] * 2)
    assert scene.clock.monotonic() - begun < LONGEST + 2 * silence


def test_a_wrong_setting_is_not_tried_again(scene: Scene) -> None:
    begun = scene.clock.monotonic()
    scene.fails("put", 1, after=False, error=MisconfiguredError("the wrong region"))
    with pytest.raises(MisconfiguredError):
        scene.storage.create("a.lock", b"mine")
    assert scene.clock.monotonic() == begun


def test_equal_content_is_not_taken_for_ones_own(scene: Scene) -> None:
    scene.storage.create("a.lock", b"equal")
    with pytest.raises(ExistsError):
        scene.another().create("a.lock", b"equal")


@pytest.mark.parametrize("there", [None, b"old"])
def test_who_is_second_after_an_answer_was_lost_has_lost(scene: Scene, there: bytes | None) -> None:
    """As Ceph does it: 500 to who was slower, and nothing was written."""
    objects = SureObjects(scene.store, scene.clock)
    expected = scene.bucket.write("k", there) if there is not None else None

    def rival(operation: Operation) -> None:
        if operation.name == "put":
            scene.bucket.write("k", b"theirs")
            raise UnavailableError("500")

    scene.hook = rival
    with pytest.raises(ExistsError if there is None else ChangedError):
        objects.put("k", body_of(b"mine"), expected)
    assert scene.requests() == ["put", "head"]
    content = scene.bucket.get("k", 10)
    assert content is not None
    assert content.data == b"theirs"


def test_a_first_try_that_is_only_late_harms_nobody(scene: Scene) -> None:
    """The server takes the first try after the second one."""
    late: list[Callable[[], object]] = []
    objects = SureObjects(scene.store, scene.clock)
    body = body_of(b"mine")

    def hook(operation: Operation) -> None:
        if operation.name == "put" and not operation.after and not late:
            late.append(lambda: scene.bucket.put("k", body, None))
            raise UnavailableError("timeout")

    scene.hook = hook
    etag = objects.put("k", body, None)
    with pytest.raises(ExistsError):
        late[0]()
    objects.put("k", body_of(b"next"), etag)
    with pytest.raises(ExistsError):
        late[0]()


def test_a_delete_is_not_sent_again_at_another_file(scene: Scene) -> None:
    scene.bucket.write("in/a.lock", b"mine")

    def rival(operation: Operation) -> None:
        if operation.name == "delete" and operation.after:
            scene.bucket.write("in/a.lock", b"theirs")
            raise UnavailableError("timeout")

    scene.hook = rival
    with pytest.raises(ChangedError):
        scene.storage.remove("a.lock", b"mine")
    assert scene.content("a.lock") == b"theirs"


def test_a_bucket_that_is_gone_is_not_an_empty_one(scene: Scene) -> None:
    scene.bucket.exist(there=False)
    for ask in (
        lambda: list(scene.storage.scan(lambda _key: True)),
        lambda: scene.storage.stat(VIDEO),
        lambda: scene.storage.create("a.lock", b"mine"),
        lambda: scene.storage.sweep(".posewatch-x"),
    ):
        with pytest.raises(UnmountedError):
            ask()


# The fence


def test_a_receipt_that_is_on_its_way_is_never_committed_after_a_take_over(scene: Scene) -> None:
    zombie = scene.storage.stage("t1", VIDEO)
    zombie.add(RECEIPT, b'{"posewatch": 1, "of": "the zombie"}')

    def hook(operation: Operation) -> None:
        if operation.name == "put" and not operation.after:
            scene.hook = lambda _operation: None
            scene.another().fence(["t1"], VIDEO)

    scene.hook = hook
    with pytest.raises(FencedError):
        zombie.publish(RECEIPT, None)
    assert is_bare(scene.content(RECEIPT))
    looked_at = scene.storage.stat(RECEIPT)
    assert looked_at is not None
    owner = scene.another().stage("t2", VIDEO)
    owner.add(RECEIPT, b'{"posewatch": 1, "of": "the owner"}')
    owner.publish(RECEIPT, looked_at.version)
    with pytest.raises(FencedError):
        zombie.publish(RECEIPT, None)
    assert json.loads(scene.content(RECEIPT))["of"] == "the owner"
    with pytest.raises(FencedError):
        scene.another().stage("t1", VIDEO)


def test_a_stamp_keeps_the_receipt_that_stands(scene: Scene) -> None:
    receipt = {"posewatch": 1, "outcome": "done", "nonce": "n", "odd": "b\udcff"}
    scene.bucket.write(f"in/{RECEIPT}", json.dumps(receipt).encode())
    scene.storage.stage("t1", VIDEO)
    scene.storage.fence(["t0"], VIDEO)
    found = json.loads(scene.content(RECEIPT))
    fence = found.pop("fence")
    assert found == receipt
    assert fence["closed"] == ["t0", "t1"]


def test_no_two_stamps_are_equal() -> None:
    assert stamped(None, Fence()) != stamped(None, Fence())


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"\xff", b"{", b'{"fence": 1}', b'{"fence": {"token": 1, "closed": [1, null]}}'],
)
def test_what_is_no_stamp_fences_nobody(data: bytes) -> None:
    assert fence_of(data) == Fence()


def test_a_stamp_remembers_the_last_ones(scene: Scene) -> None:
    scene.storage.fence([f"t{number}" for number in range(CLOSED_LIMIT + 5)], VIDEO)
    closed = fence_of(scene.content(RECEIPT)).closed
    assert len(closed) == CLOSED_LIMIT
    assert closed[-1] == f"t{CLOSED_LIMIT + 4}"


def test_two_videos_with_one_receipt_do_not_fence_each_other(scene: Scene) -> None:
    area = scene.storage.stage("t1", VIDEO)
    area.add(RESULT, b"result")
    scene.another().fence([], "talks/a.mov")
    scene.another().stage("t2", "talks/a.mov")
    area.publish(RESULT, None)
    area.add(RECEIPT, b"{}")
    with pytest.raises(ExistsError):
        area.publish(RECEIPT, None)
    area.discard()
    scene.storage.stage("t1", VIDEO)


def test_a_receipt_that_a_user_removed_is_not_committed_over(scene: Scene) -> None:
    area = scene.storage.stage("t1", VIDEO)
    area.add(RECEIPT, b"{}")
    scene.bucket.delete(f"in/{RECEIPT}")
    with pytest.raises(ExistsError):
        area.publish(RECEIPT, None)


# Names


def test_what_no_mount_can_show_is_told_and_folders_are_not_files(scene: Scene) -> None:
    odd = ["a//b.mp4", "/b.mp4", "a/../b.mp4", "./b.mp4", "a/..", "b\0.mp4", "caf\udce9.mp4"]
    left_out = ["dir/", "a/dir/", ".hidden.mp4", ".dir/b.mp4", "a/.b.mp4", "..b"]
    kept = ["a/b.mp4", "a/b..mp4", ".posewatch-leftover", "a/.posewatch-x/y", "a/.posewatch-x/z"]
    for key in [*odd, *left_out, *kept, ""]:
        scene.bucket.write(f"in/{key}", b"x")
    skipped: list[Skipped] = []
    found = {entry.key: entry for entry in scene.storage.scan(lambda _key: True, skipped.append)}
    assert {(item.key, item.error) for item in skipped} == {(key, None) for key in odd}
    assert found.keys() == {"a/b.mp4", "a/b..mp4", ".posewatch-leftover", "a/.posewatch-x"}
    assert not found["a/.posewatch-x"].regular


def test_a_folder_of_leftovers_that_a_scan_saw_is_swept(scene: Scene) -> None:
    for name in ("t1/0", "t1/1"):
        scene.bucket.write(f"in/{staging_key(VIDEO)}/{name}", b"x")
    scene.storage.sweep(staging_key(VIDEO))
    assert len(scene.bucket.list("in/").objects) == 2
    list(scene.storage.scan(lambda _key: False))
    scene.storage.sweep(staging_key(VIDEO))
    assert scene.bucket.list("in/").objects == []


@pytest.mark.parametrize("name", ["b\udcff.mp4", "x" * KEY_LIMIT])
def test_a_name_that_no_object_can_have_is_denied(scene: Scene, name: str) -> None:
    with pytest.raises(DeniedError):
        scene.storage.create(name, b"mine")
    assert scene.requests() == []


# Fetching


def fetch(
    scene: Scene,
    target: Path,
    version: Version,
    moved: Callable[[int], None],
    connections: int = 4,
) -> str:
    objects = SureObjects(scene.store, scene.clock)
    return S3Fetch(objects, "in/" + VIDEO, version, 1000, connections).into(target, moved)


def put_video(scene: Scene, size: int) -> tuple[bytes, Version]:
    data = bytes(number * 7 % 251 for number in range(size))
    return data, Version(size, scene.bucket.write(f"in/{VIDEO}", data))


@pytest.mark.parametrize("size", [0, 1, 999, 1000, 1001, 9500])
def test_the_ranges_make_the_whole(scene: Scene, tmp_path: Path, size: int) -> None:
    data, version = put_video(scene, size)
    (tmp_path / "local").write_bytes(b"what was there before, and was longer" * 1000)
    moved: list[int] = []
    fetch(scene, tmp_path / "local", version, moved.append)
    assert (tmp_path / "local").read_bytes() == data
    assert sum(moved) == size
    assert Counter(scene.requests()) == ({"pieces": -(-size // 1000)} if size else {})


def test_a_range_that_breaks_off_goes_on_where_it_was(scene: Scene, tmp_path: Path) -> None:
    data, version = put_video(scene, 5000)
    whole, asked, lock = scene.bucket.pieces, list[tuple[int, int]](), threading.Lock()

    def pieces(key: str, etag: str, first: int, count: int) -> object:
        with lock:
            asked.append((first, count))
        (piece,) = whole(key, etag, first, count)
        yield piece[:300]
        if len(piece) > 300:
            raise UnavailableError("cut off")

    scene.bucket.pieces = pieces  # type: ignore[assignment, method-assign]
    fetch(scene, tmp_path / "local", version, lambda _count: None)
    assert (tmp_path / "local").read_bytes() == data
    assert {(2000, 1000), (2300, 700), (2600, 400), (2900, 100)} <= set(asked)


def test_a_server_that_is_gone_for_good_ends_a_fetch(scene: Scene, tmp_path: Path) -> None:
    _data, version = put_video(scene, 5000)
    scene.fails("pieces", 1000, after=False)
    with pytest.raises(UnavailableError):
        scene.storage.fetch(VIDEO, version, tmp_path / "local", lambda _count: None)


def interrupted(scene: Scene, target: Path, version: Version) -> None:
    """Two ranges are there, the others are not."""
    moves = 0

    def moved(_count: int) -> None:
        nonlocal moves
        moves += 1
        if moves == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(scene, target, version, moved, connections=1)
    scene.requests()


def test_who_comes_back_fetches_only_what_is_missing(scene: Scene, tmp_path: Path) -> None:
    data, version = put_video(scene, 9500)
    target, moved = tmp_path / "local", list[int]()
    interrupted(scene, target, version)
    digest = fetch(scene, target, version, moved.append)
    assert digest == hashlib.sha256(data).hexdigest()
    assert target.read_bytes() == data
    assert (sum(moved), scene.requests()) == (7500, ["pieces"] * 8)
    # Somebody died after it was whole: nothing is fetched.
    assert fetch(scene, target, version, moved.append) == digest
    assert scene.requests() == []


@pytest.mark.parametrize("what", ["version", "boot", "gone", "longer", "journal", "half a line"])
def test_what_may_not_be_continued_is_begun_anew(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    data, version = put_video(scene, 9500)
    target, journal = tmp_path / "local", tmp_path / "local.ranges"
    interrupted(scene, target, version)
    assert len(journal.read_text().splitlines()) == 3
    if what == "version":
        data = data[::-1]
        version = Version(9500, scene.bucket.write(f"in/{VIDEO}", data))
    elif what == "boot":
        monkeypatch.setattr(s3_fetch, "_boot", lambda: "later")
    elif what == "gone":
        target.unlink()
    elif what == "longer":
        target.write_bytes(b"x" * 9501)
    elif what == "journal":
        journal.write_bytes(b"\xff\n\n")
    else:
        journal.write_text(journal.read_text()[:-1] + "\n30")
    fetch(scene, target, version, lambda _count: None)
    assert target.read_bytes() == data
    assert scene.requests() == ["pieces"] * (8 if what == "half a line" else 10)


def test_a_copy_of_another_version_is_not_left_behind(scene: Scene, tmp_path: Path) -> None:
    _data, version = put_video(scene, 100)
    put_video(scene, 101)
    with pytest.raises(ChangedError):
        scene.storage.fetch(VIDEO, version, tmp_path / "local", lambda _count: None)
    assert list(tmp_path.iterdir()) == []


def test_a_video_that_is_replaced_between_two_ranges(scene: Scene, tmp_path: Path) -> None:
    _data, version = put_video(scene, 9500)
    lock, asked = threading.Lock(), 0

    def hook(operation: Operation) -> None:
        nonlocal asked
        with lock:
            asked += not operation.after
            if asked == 7:
                put_video(scene, 9501)

    scene.hook = hook
    with pytest.raises(ChangedError):
        fetch(scene, tmp_path / "local", version, lambda _count: None)


def test_a_video_that_is_shorter_than_it_was_said_to_be(scene: Scene, tmp_path: Path) -> None:
    _data, version = put_video(scene, 2500)
    for size in (2600, 3600):
        with pytest.raises(ChangedError):
            fetch(scene, tmp_path / "local", Version(size, version.tag), lambda _count: None)


def test_what_was_whole_before_its_video_went_is_that_version(scene: Scene, tmp_path: Path) -> None:
    data, version = put_video(scene, 10)
    scene.storage.fetch(
        VIDEO, version, tmp_path / "local", lambda _count: scene.bucket.delete(f"in/{VIDEO}")
    )
    assert (tmp_path / "local").read_bytes() == data
    assert scene.requests() == ["pieces"]


def test_a_copy_that_is_there_already_is_asked_for(scene: Scene, tmp_path: Path) -> None:
    _data, version = put_video(scene, 10)
    target = tmp_path / "local"
    scene.storage.fetch(VIDEO, version, target, lambda _count: None)
    scene.storage.fetch(VIDEO, version, target, lambda _count: None)
    assert scene.requests() == ["pieces", "head"]
    put_video(scene, 11)
    with pytest.raises(ChangedError):
        scene.storage.fetch(VIDEO, version, target, lambda _count: None)
    assert not target.exists()


def test_an_empty_video_is_looked_for(scene: Scene, tmp_path: Path) -> None:
    _data, version = put_video(scene, 0)
    scene.storage.fetch(VIDEO, version, tmp_path / "local", lambda _count: None)
    assert scene.requests() == ["head"]
    scene.bucket.delete(f"in/{VIDEO}")
    with pytest.raises(MissingError):
        scene.storage.fetch(VIDEO, version, tmp_path / "local", lambda _count: None)


@pytest.mark.parametrize(
    "content", [b'{"notes": "mine"}', b'{"posewatch": "my notes"}', b"[]", b"null", b'"text"']
)
def test_a_file_of_another_program_at_the_receipts_key_is_never_stamped(
    scene: Scene, content: bytes
) -> None:
    scene.bucket.write(f"in/{RECEIPT}", content)
    scene.storage.fence(["t1"], VIDEO)
    area = scene.storage.stage("t2", VIDEO)
    area.add(RECEIPT, b"{}")
    for expected in (None, scene.storage.stat(RECEIPT).version):
        with pytest.raises((ExistsError, ChangedError)):
            area.publish(RECEIPT, expected)
    assert scene.content(RECEIPT) == content


@pytest.mark.parametrize("content", [b"", b"{", b'{"posewatch": 1, "outco', b"\xff"])
def test_what_is_damaged_at_the_receipts_key_may_be_ours(scene: Scene, content: bytes) -> None:
    scene.bucket.write(f"in/{RECEIPT}", content)
    scene.storage.stage("t2", VIDEO)
    assert is_bare(scene.content(RECEIPT))
