"""The reconciling scan, over folders in memory and with faults."""

from __future__ import annotations

import queue
import threading
import tracemalloc
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from posewatch.base.clock import ManualClock
from posewatch.base.errors import (
    DeniedError,
    MissingError,
    StorageError,
    UnavailableError,
    UnmountedError,
)
from posewatch.catalog import Newest, ReceiptFacts
from posewatch.formats.receipt import (
    InputRecord,
    Receipt,
    RecipeRecord,
    ResultRecord,
    WorkRecord,
    encode,
)
from posewatch.storage.contract import Skipped
from posewatch.storage.faulty import FaultyStorage, Operation
from posewatch.storage.memory import MemoryStorage
from posewatch.watch.scan import FolderReader, Scan, Scanner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from posewatch.storage.contract import Entry

SUFFIXES = (".mp4",)
PATIENCE = 20.0


def receipt(name: str) -> bytes:
    return encode(
        Receipt(
            outcome="done",
            input=InputRecord(name=name, size=5, tag="1"),
            recipe=RecipeRecord(name="mediapipe", hash="now"),
            attempt=1,
            nonce=name,
        )
    )


class Folder:
    """A folder in memory whose operations are counted, and fail where they are told to."""

    def __init__(self) -> None:
        self.memory = MemoryStorage()
        self.clock = ManualClock()
        self.reads = Counter[str]()
        self.acts: dict[tuple[str, str], Callable[[], None]] = {}
        self.reader = FolderReader(FaultyStorage(self.memory, self._hook), SUFFIXES, self.clock)

    def _hook(self, operation: Operation) -> None:
        if operation.after:
            return
        if operation.name == "read":
            self.reads[operation.target] += 1
        act = self.acts.get((operation.name, operation.target))
        if act is not None:
            act()

    def fail(self, name: str, key: str, error: StorageError) -> None:
        def act() -> None:
            raise error

        self.acts[name, key] = act


@pytest.fixture
def folder() -> Folder:
    folder = Folder()
    for name in ("a.mp4", "talks/b.mp4", "notes.txt"):
        folder.memory.put(name, b"video")
    return folder


def test_a_scan_tells_everything_that_stands_in_the_folder(folder: Folder) -> None:
    version = folder.memory.put("a.posewatch.json", receipt("a.mp4"))
    folder.memory.put("talks/b.mp4.lock", b"a lock")
    folder.memory.put("a.pose-mediapipe.npz", b"poses")
    scan = folder.reader.scan()
    assert sorted(scan.listing.videos) == ["a.mp4", "talks/b.mp4"]
    assert sorted(scan.listing.kept) == ["a.pose-mediapipe.npz", "a.posewatch.json"]
    assert scan.locks == {"talks/b.mp4.lock": b"a lock"}
    assert scan.files == 6
    told = scan.receipts.pop("a.posewatch.json")
    assert isinstance(told, ReceiptFacts)
    assert (told.version, told.input_name) == (version, "a.mp4")
    assert not scan.receipts
    assert (scan.skipped, scan.unlisted) == ([], 0)


def test_the_times_tell_what_can_be_newer_than_the_scan(folder: Folder) -> None:
    folder.memory.put("a.posewatch.json", receipt("a.mp4"))
    folder.memory.put("a.mp4.lock", b"a lock")
    folder.acts["scan", ""] = lambda: folder.clock.advance(5)
    folder.acts["read", "a.posewatch.json"] = lambda: folder.clock.advance(7)
    folder.acts["read", "a.mp4.lock"] = lambda: folder.clock.advance(11)
    scan = folder.reader.scan()
    assert (scan.began, scan.listed, scan.ended) == (1000, 1012, 1023)


def test_each_receipt_is_read_once_for_each_of_its_versions(folder: Folder) -> None:
    folder.memory.put("a.posewatch.json", receipt("a.mp4"))
    folder.memory.put("talks/b.mp4.posewatch-refused.json", b"no receipt")
    first = folder.reader.scan()
    assert {key: told is not None for key, told in first.receipts.items()} == {
        "a.posewatch.json": True,
        "talks/b.mp4.posewatch-refused.json": False,
    }
    assert folder.reader.scan().receipts == {}
    assert set(folder.reads.values()) == {1}
    folder.memory.put("a.posewatch.json", receipt("other.mp4"))
    assert list(folder.reader.scan().receipts) == ["a.posewatch.json"]
    assert folder.reads["a.posewatch.json"] == 2


def test_the_newest_result_is_that_of_any_scan_that_was_heard_of(folder: Folder) -> None:
    def put(name: str, finished: str) -> None:
        content = Receipt(
            outcome="done",
            input=InputRecord(name=f"{name}.mp4", size=5, tag="1"),
            recipe=RecipeRecord(name="mediapipe", hash="now"),
            attempt=1,
            nonce=name,
            results=(ResultRecord(name=f"{name}.npz", size=5, sha256=""),),
            work=WorkRecord(finished=finished),
        )
        folder.memory.put(f"{name}.posewatch.json", encode(content))

    put("new", "2026-11-02")
    put("old", "2026-11-01")
    newest = Newest("2026-11-02", "new.mp4", "new.npz")
    assert folder.reader.scan().newest == newest
    assert folder.reader.scan().newest == newest
    put("newer", "2026-11-03")
    folder.memory.put("a.mp4.lock", b"")
    folder.fail("read", "a.mp4.lock", UnavailableError("no answer"))
    with pytest.raises(UnavailableError):
        folder.reader.scan()
    folder.acts.clear()
    assert folder.reader.scan().newest == Newest("2026-11-03", "newer.mp4", "newer.npz")


def test_what_was_read_takes_little_memory(folder: Folder) -> None:
    """Whole receipts would take ten times as much."""
    for number in range(200):
        folder.memory.put(f"{number}.posewatch.json", receipt(f"{number}.mp4"))
    tracemalloc.start()
    try:
        scan = folder.reader.scan()
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(scan.receipts) == 200
    assert held / 200 < 1000


def test_a_receipt_that_was_gone_is_read_again(folder: Folder) -> None:
    version = folder.memory.put("a.posewatch.json", receipt("a.mp4"))
    folder.reader.scan()
    folder.memory.delete("a.posewatch.json")
    assert folder.reader.scan().receipts == {}
    assert folder.memory.put("a.posewatch.json", receipt("a.mp4")) != version
    assert len(folder.reader.scan().receipts) == 1


def test_what_vanishes_between_listing_and_reading_was_not_there(folder: Folder) -> None:
    for key in ("a.posewatch.json", "a.mp4.lock"):
        folder.memory.put(key, receipt("a.mp4"))
        folder.acts["read", key] = lambda key=key: folder.memory.delete(key)  # type: ignore[misc]
    scan = folder.reader.scan()
    assert (scan.receipts, scan.locks, scan.unlisted) == ({}, {}, 0)
    folder.acts.clear()
    folder.memory.put("a.posewatch.json", receipt("a.mp4"))
    assert len(folder.reader.scan().receipts) == 1


def test_what_may_not_be_read_is_told_and_hinders_nothing_else(folder: Folder) -> None:
    for key in ("a.posewatch.json", "a.mp4.lock", "talks/b.posewatch.json", "talks/b.mp4.lock"):
        folder.memory.put(key, receipt("a.mp4"))
    denied = DeniedError("could not read it")
    folder.fail("read", "a.posewatch.json", denied)
    folder.fail("read", "a.mp4.lock", denied)
    scan = folder.reader.scan()
    assert list(scan.receipts) == ["talks/b.posewatch.json"]
    assert list(scan.locks) == ["talks/b.mp4.lock"]
    assert scan.skipped == [Skipped("a.posewatch.json", denied), Skipped("a.mp4.lock", denied)]
    assert scan.unlisted == 2
    folder.acts.clear()
    assert list(folder.reader.scan().receipts) == ["a.posewatch.json"]


def test_folders_that_cannot_be_listed_are_counted_and_links_that_leave_are_not() -> None:
    class Partly(MemoryStorage):
        def scan(
            self,
            wants_version: Callable[[str], bool],
            on_skipped: Callable[[Skipped], None] | None = None,
        ) -> Iterator[Entry]:
            assert on_skipped is not None
            on_skipped(Skipped("secret/", DeniedError("no")))
            on_skipped(Skipped("link.mp4", None))
            yield from super().scan(wants_version)

    scan = FolderReader(Partly(), SUFFIXES, ManualClock()).scan()
    assert [skipped.key for skipped in scan.skipped] == ["secret/", "link.mp4"]
    assert scan.unlisted == 1


@pytest.mark.parametrize("key", ["", "a.posewatch.json", "a.mp4.lock"])
@pytest.mark.parametrize("error", [UnmountedError("gone"), UnavailableError("no answer")])
def test_a_folder_that_fails_fails_the_scan(folder: Folder, key: str, error: StorageError) -> None:
    for name in ("a.posewatch.json", "a.mp4.lock"):
        folder.memory.put(name, receipt("a.mp4"))
    folder.fail("read" if key else "scan", key, error)
    with pytest.raises(type(error)):
        folder.reader.scan()
    folder.acts.clear()
    assert len(folder.reader.scan().receipts) == 1


def test_a_long_scan_says_that_it_goes_on() -> None:
    memory, marks = MemoryStorage(), []
    for number in range(2500):
        memory.put(f"{number}.mp4", b"")
    memory.put("0.posewatch.json", b"")
    FolderReader(memory, SUFFIXES, ManualClock(), lambda: marks.append(1)).scan()
    assert len(marks) == 3


class Deliveries:
    """A scanner whose scans stop where they are told to, and what it delivered."""

    def __init__(self) -> None:
        self.folder = Folder()
        self.delivered: queue.Queue[Scan | StorageError] = queue.Queue()
        self.begun = threading.Semaphore(0)
        self.go_on = threading.Semaphore(0)
        self.folder.acts["scan", ""] = self._stand_still
        self.scanner = Scanner(self.folder.reader, self.delivered.put)

    def _stand_still(self) -> None:
        self.begun.release()
        assert self.go_on.acquire(timeout=PATIENCE)


@pytest.fixture
def deliveries() -> Iterator[Deliveries]:
    deliveries = Deliveries()
    yield deliveries
    deliveries.go_on.release(9)
    deliveries.scanner.close()


def test_a_scan_is_made_when_it_is_asked_for(deliveries: Deliveries) -> None:
    deliveries.scanner.request()
    assert deliveries.begun.acquire(timeout=PATIENCE)
    deliveries.go_on.release()
    assert isinstance(deliveries.delivered.get(timeout=PATIENCE), Scan)
    assert not deliveries.begun.acquire(blocking=False)


def test_requests_while_a_scan_runs_are_one_more_scan(deliveries: Deliveries) -> None:
    deliveries.scanner.request()
    assert deliveries.begun.acquire(timeout=PATIENCE)
    for _ in range(3):
        deliveries.scanner.request()
    deliveries.go_on.release(2)
    for _ in range(2):
        assert isinstance(deliveries.delivered.get(timeout=PATIENCE), Scan)
    deliveries.scanner.close()
    assert deliveries.delivered.empty()


def test_what_stops_a_scan_is_delivered_and_the_next_one_runs(deliveries: Deliveries) -> None:
    deliveries.folder.acts.clear()
    deliveries.folder.memory.mount(mounted=False)
    deliveries.scanner.request()
    assert isinstance(deliveries.delivered.get(timeout=PATIENCE), UnmountedError)
    deliveries.folder.memory.mount(mounted=True)
    deliveries.scanner.request()
    assert isinstance(deliveries.delivered.get(timeout=PATIENCE), Scan)


def test_the_thread_ends_with_close_after_the_scan_that_it_is_in(deliveries: Deliveries) -> None:
    thread = deliveries.scanner._thread
    deliveries.scanner.request()
    assert deliveries.begun.acquire(timeout=PATIENCE)
    deliveries.go_on.release()
    deliveries.scanner.close()
    assert not thread.is_alive()
    assert isinstance(deliveries.delivered.get_nowait(), Scan)
    deliveries.scanner.request()
    assert deliveries.delivered.empty()


def test_a_missing_file_is_the_only_error_that_means_nothing(folder: Folder) -> None:
    folder.memory.put("a.mp4.lock", b"")
    folder.fail("read", "a.mp4.lock", MissingError("gone"))
    assert folder.reader.scan().locks == {}


class Slow(MemoryStorage):
    """One whose reading ends only when so many read at the same time."""

    readers = 4

    def __init__(self) -> None:
        super().__init__()
        self.together = threading.Barrier(4)

    def read(self, key: str) -> bytes:
        if key.endswith(".json"):
            self.together.wait(10)
        return super().read(key)


def test_where_reading_takes_long_some_files_are_read_at_the_same_time() -> None:
    storage = Slow()
    keys = [f"{number}.posewatch.json" for number in range(8)]
    for key in keys:
        storage.put(key, b"damaged")
    storage.put("a.mp4.lock", b"lock")
    scan = FolderReader(storage, SUFFIXES, ManualClock()).scan()
    assert list(scan.receipts) == keys
    assert scan.locks == {"a.mp4.lock": b"lock"}
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("reader")]
