"""What every storage does, whatever backs it."""

from __future__ import annotations

import hashlib
import threading
from typing import TYPE_CHECKING

import pytest

from posewatch.base.errors import (
    ChangedError,
    DeniedError,
    ExistsError,
    FencedError,
    MissingError,
)
from posewatch.storage.contract import SMALL_FILE_LIMIT, Seen, Sighting, Version, staging_key
from posewatch.storage.probe import probe
from storage.folders import KINDS, SERVERS, Folder, make_folder, server_folder

if TYPE_CHECKING:
    from pathlib import Path

VIDEO = "talks/0042.mp4"
RESULT = "talks/0042.npz"
RECEIPT = "talks/0042.posewatch.json"


@pytest.fixture(params=[*KINDS, *SERVERS])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Folder:
    if request.param in SERVERS:
        made = server_folder(request.getfixturevalue(f"{request.param}_server"))
    else:
        root = tmp_path / "folder"
        root.mkdir()
        made = make_folder(request.param, root)
    made.put(VIDEO, b"a video")
    return made


def test_a_created_file_is_read_back(folder: Folder) -> None:
    folder.storage.create("talks/a.lock", b"mine")
    assert folder.storage.read("talks/a.lock") == b"mine"


def test_a_taken_name_is_not_created_again(folder: Folder) -> None:
    folder.storage.create("a.lock", b"mine")
    with pytest.raises(ExistsError):
        folder.storage.create("a.lock", b"theirs")
    assert folder.storage.read("a.lock") == b"mine"


def test_a_creation_leaves_nothing_else_behind(folder: Folder) -> None:
    before = folder.listed()
    folder.storage.create("talks/a.lock", b"mine")
    with pytest.raises(ExistsError):
        folder.storage.create("talks/a.lock", b"theirs")
    assert folder.listed() - before == {"talks/a.lock"}


def test_of_many_threads_that_create_one_file_one_wins(folder: Folder) -> None:
    winners: list[int] = []
    start = threading.Barrier(8)

    def compete(number: int) -> None:
        start.wait()
        for round_ in range(20):
            try:
                folder.storage.create(f"{round_}.lock", b"%d" % number)
            except ExistsError:
                continue
            winners.append(round_)

    threads = [threading.Thread(target=compete, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(winners) == list(range(20))


def test_a_look_shows_the_content_and_its_version(folder: Folder) -> None:
    version = folder.put(RECEIPT, b"old")
    assert folder.storage.look(RECEIPT) == Seen(version, b"old")
    version = folder.put(RECEIPT, b"newer")
    assert folder.storage.look(RECEIPT) == Seen(version, b"newer")
    folder.delete(RECEIPT)
    for key in (RECEIPT, "nowhere/nothing", f"{VIDEO}/nothing"):
        assert folder.storage.look(key) is None


def test_a_fence_tells_only_of_what_stands_when_all_areas_are_closed(folder: Folder) -> None:
    for tokens, receipt in (([], None), (["t1"], None), ([], b'{"outcome": "done"}'), (["t2"], 0)):
        if receipt:
            folder.put(RECEIPT, receipt)
        told = folder.storage.fence(tokens, VIDEO)
        assert told is None or told == Sighting(RECEIPT, folder.storage.look(RECEIPT))


def test_reading_what_is_not_there(folder: Folder) -> None:
    for key in ("nothing", "talks/nothing", "nowhere/nothing", f"{VIDEO}/nothing"):
        with pytest.raises(MissingError):
            folder.storage.read(key)


def test_a_large_file_is_read_up_to_the_limit(folder: Folder) -> None:
    folder.put("large", bytes(SMALL_FILE_LIMIT + 10))
    assert len(folder.storage.read("large")) == SMALL_FILE_LIMIT


def test_overwriting_changes_the_content(folder: Folder) -> None:
    folder.storage.create("a.lock", b"beat 1")
    folder.storage.overwrite("a.lock", b"beat 1", b"beat 2")
    assert folder.storage.read("a.lock") == b"beat 2"


def test_overwriting_never_brings_a_removed_file_back(folder: Folder) -> None:
    folder.storage.create("a.lock", b"beat 1")
    folder.delete("a.lock")
    with pytest.raises(MissingError):
        folder.storage.overwrite("a.lock", b"beat 1", b"beat 2")
    assert "a.lock" not in folder.listed()


def test_overwriting_leaves_the_file_of_another_alone(folder: Folder) -> None:
    folder.storage.create("a.lock", b"beat 1")
    folder.put("a.lock", b"theirs")
    with pytest.raises(ChangedError):
        folder.storage.overwrite("a.lock", b"beat 1", b"beat 2")
    assert folder.storage.read("a.lock") == b"theirs"


def test_overwriting_keeps_the_length(folder: Folder) -> None:
    folder.storage.create("a.lock", b"beat 9")
    with pytest.raises(ValueError, match="6 bytes"):
        folder.storage.overwrite("a.lock", b"beat 9", b"beat 10")


def test_removing(folder: Folder) -> None:
    folder.storage.create("a.lock", b"mine")
    folder.storage.remove("a.lock", b"mine")
    assert "a.lock" not in folder.listed()
    folder.storage.remove("a.lock", b"mine")


def test_removing_leaves_the_file_of_another_alone(folder: Folder) -> None:
    folder.storage.create("a.lock", b"theirs")
    with pytest.raises(ChangedError):
        folder.storage.remove("a.lock", b"mine")
    assert folder.storage.read("a.lock") == b"theirs"


def test_a_longer_file_that_begins_the_same_is_not_removed(folder: Folder) -> None:
    mine = bytes(SMALL_FILE_LIMIT)
    folder.put("large", mine + b"more")
    with pytest.raises(ChangedError):
        folder.storage.remove("large", mine)


def test_stat_tells_the_version(folder: Folder) -> None:
    version = folder.put(VIDEO, b"another video")
    entry = folder.storage.stat(VIDEO)
    assert entry is not None
    assert (entry.key, entry.version, entry.regular) == (VIDEO, version, True)


def test_stat_of_what_is_not_there(folder: Folder) -> None:
    for key in ("nothing", "talks/nothing", "nowhere/nothing", f"{VIDEO}/nothing"):
        assert folder.storage.stat(key) is None


def test_a_scan_finds_everything_and_the_versions_that_are_wanted(folder: Folder) -> None:
    version = folder.put(VIDEO, b"a new video")
    other = folder.put("deep/er/x.mp4", b"x")
    folder.storage.create(VIDEO + ".lock", b"mine")
    found = {e.key: e for e in folder.storage.scan(lambda key: key == VIDEO)}
    assert found.keys() == {VIDEO, "deep/er/x.mp4", VIDEO + ".lock"}
    assert found[VIDEO].version == version
    assert found["deep/er/x.mp4"].version == (other if folder.bucket else None)
    assert all(entry.regular for entry in found.values())


def test_a_scan_leaves_hidden_files_out_except_our_own(folder: Folder) -> None:
    folder.put(".trash/x.mp4", b"x")
    folder.put("talks/.x.mp4", b"x")
    folder.put("talks/.posewatch-leftover", b"x")
    folder.storage.stage("t1", VIDEO)
    assert folder.listed() == {VIDEO, "talks/.posewatch-leftover"} | folder.shelf(VIDEO)


def test_a_staging_directory_is_an_entry_and_is_not_entered(folder: Folder) -> None:
    area = folder.storage.stage("t1", VIDEO)
    area.add(RESULT, b"result")
    if folder.bucket:
        folder.put(f"{staging_key(VIDEO)}/t1/0", b"copied here from a file system")
    found = {e.key: e for e in folder.storage.scan(lambda _key: False)}
    found.pop(RECEIPT, None)
    assert not found[staging_key(VIDEO)].regular
    assert found[staging_key(VIDEO)].version is not None
    assert len(found) == 2


def test_fetch_copies_and_gives_the_digest(folder: Folder, tmp_path: Path) -> None:
    data = bytes(range(256)) * 10_000
    version, target, moved = folder.put(VIDEO, data), tmp_path / "local", list[int]()
    digest = folder.storage.fetch(VIDEO, version, target, moved.append)
    assert target.read_bytes() == data
    assert digest == hashlib.sha256(data).hexdigest()
    assert sum(moved) == len(data)


def test_fetch_of_an_empty_file(folder: Folder, tmp_path: Path) -> None:
    version = folder.put(VIDEO, b"")
    folder.storage.fetch(VIDEO, version, tmp_path / "local", lambda _count: None)
    assert (tmp_path / "local").read_bytes() == b""


def test_fetch_of_another_version(folder: Folder, tmp_path: Path) -> None:
    version = folder.put(VIDEO, b"a new video")
    with pytest.raises(ChangedError):
        folder.storage.fetch(
            VIDEO, Version(version.size + 1, version.tag), tmp_path / "local", lambda _count: None
        )
    assert not (tmp_path / "local").exists()


def test_fetch_of_what_is_not_there(folder: Folder, tmp_path: Path) -> None:
    with pytest.raises(MissingError):
        folder.storage.fetch("nothing", Version(1, "1"), tmp_path / "local", lambda _count: None)


def test_fetch_notices_a_replacement_under_way(folder: Folder, tmp_path: Path) -> None:
    def replace(_count: int) -> None:
        folder.put(VIDEO, b"a longer one")

    target, version = tmp_path / "local", folder.put(VIDEO, b"a video")
    if folder.bucket:  # it came as a whole, before the other one
        folder.storage.fetch(VIDEO, version, target, replace)
        assert target.read_bytes() == b"a video"
        return
    with pytest.raises(ChangedError):
        folder.storage.fetch(VIDEO, version, target, replace)
    assert not target.exists()


def test_what_the_callback_raises_passes_and_what_is_left_does_no_harm(
    folder: Folder, tmp_path: Path
) -> None:
    def cancel(_count: int) -> None:
        raise KeyboardInterrupt

    target = tmp_path / "local"
    for content in (b"a video", b"a VIDEO", b"a longer video"):
        version = folder.put(VIDEO, content)
        with pytest.raises(KeyboardInterrupt):
            folder.storage.fetch(VIDEO, version, target, cancel)
        digest = folder.storage.fetch(VIDEO, version, target, lambda _count: None)
        assert digest == hashlib.sha256(content).hexdigest()
        assert target.read_bytes() == content


def test_trouble_with_the_local_file_is_not_the_folders(folder: Folder, tmp_path: Path) -> None:
    version = folder.put(VIDEO, b"a video")
    with pytest.raises(FileNotFoundError):
        folder.storage.fetch(VIDEO, version, tmp_path / "no" / "local", lambda _count: None)
    with pytest.raises(FileNotFoundError):
        folder.storage.stage("t1", VIDEO).add(RESULT, tmp_path / "no" / "local")


def test_publishing_gives_the_name_to_what_was_staged(folder: Folder, tmp_path: Path) -> None:
    area = folder.storage.stage("t1", VIDEO)
    (tmp_path / "local").write_bytes(b"result" * 400_000)
    staged = area.add(RESULT, tmp_path / "local")
    assert folder.storage.stat(RESULT) is None
    published = area.publish(RESULT, None)
    entry = folder.storage.stat(RESULT)
    assert entry is not None
    assert entry.version == published == staged
    folder.storage.fetch(RESULT, published, tmp_path / "back", lambda _count: None)
    assert (tmp_path / "back").read_bytes() == b"result" * 400_000


def test_publishing_exclusively_leaves_what_is_there(folder: Folder) -> None:
    folder.put(RESULT, b"theirs")
    area = folder.storage.stage("t1", VIDEO)
    area.add(RESULT, b"mine")
    with pytest.raises(ExistsError):
        area.publish(RESULT, None)
    assert folder.storage.read(RESULT) == b"theirs"


def test_publishing_over_an_expected_version_replaces_it(folder: Folder) -> None:
    old = folder.put(RESULT, b"old")
    area = folder.storage.stage("t1", VIDEO)
    area.add(RESULT, b"newer")
    area.publish(RESULT, old)
    assert folder.storage.read(RESULT) == b"newer"


@pytest.mark.parametrize("there", [b"somebody else's", None])
def test_publishing_over_another_version_changes_nothing(
    folder: Folder, there: bytes | None
) -> None:
    old = folder.put(RESULT, b"old")
    if there is None:
        folder.delete(RESULT)
    else:
        folder.put(RESULT, there)
    area = folder.storage.stage("t1", VIDEO)
    area.add(RESULT, b"mine")
    with pytest.raises(ChangedError):
        area.publish(RESULT, old)
    entry = folder.storage.stat(RESULT)
    assert (entry and folder.storage.read(RESULT)) == there


def test_publishing_twice_is_publishing_once(folder: Folder) -> None:
    old = folder.put(RESULT, b"old")
    area = folder.storage.stage("t1", VIDEO)
    area.add(RESULT, b"newer")
    assert area.publish(RESULT, old) == area.publish(RESULT, old)
    area.add("talks/other.npz", b"other")
    assert area.publish("talks/other.npz", None) == area.publish("talks/other.npz", None)


def test_a_result_that_is_staged_again_counts(folder: Folder) -> None:
    area = folder.storage.stage("t1", VIDEO)
    area.add(RESULT, b"first")
    area.add(RESULT, b"second")
    area.publish(RESULT, None)
    assert folder.storage.read(RESULT) == b"second"


def test_discarding_keeps_what_was_published_and_nothing_else(folder: Folder) -> None:
    area = folder.storage.stage("t1", VIDEO)
    area.add(RESULT, b"result")
    area.add("talks/other.npz", b"never published")
    area.publish(RESULT, None)
    area.discard()
    area.discard()
    assert folder.listed() == {VIDEO, RESULT}


@pytest.mark.parametrize("replace", [False, True])
def test_a_fenced_attempt_publishes_nothing_that_it_has_staged(
    folder: Folder, *, replace: bool
) -> None:
    old = folder.put(RESULT, b"old") if replace else None
    area = folder.storage.stage("t1", VIDEO)
    area.add(RESULT, b"mine")
    folder.storage.fence(["t1"], VIDEO)
    with pytest.raises(FencedError):
        area.publish(RESULT, old)
    with pytest.raises(FencedError):
        area.add(RESULT, b"again")
    entry = folder.storage.stat(RESULT)
    assert (entry and folder.storage.read(RESULT)) == (b"old" if replace else None)


def test_fencing_closes_areas_of_which_nobody_knows_the_token(folder: Folder) -> None:
    area = folder.storage.stage("unknown", VIDEO)
    area.add(RESULT, b"mine")
    folder.storage.fence([], VIDEO)
    with pytest.raises(FencedError):
        area.publish(RESULT, None)


def test_a_fenced_attempt_cannot_begin_to_stage(folder: Folder) -> None:
    folder.storage.fence(["t1"], VIDEO)
    with pytest.raises(FencedError):
        folder.storage.stage("t1", VIDEO)
    folder.storage.stage("t2", VIDEO).add(RESULT, b"mine")


def test_fencing_twice_is_fencing_once(folder: Folder) -> None:
    area = folder.storage.stage("t1", VIDEO)
    area.add(RESULT, b"mine")
    for _ in range(2):
        folder.storage.fence(["t1", "t2"], VIDEO)
    for token in ("t1", "t2"):
        with pytest.raises(FencedError):
            folder.storage.stage(token, VIDEO)


def test_fencing_is_for_one_input(folder: Folder) -> None:
    folder.put("talks/0043.mp4", b"another video")
    area = folder.storage.stage("t1", "talks/0043.mp4")
    area.add("talks/0043.npz", b"mine")
    folder.storage.fence(["t1"], VIDEO)
    area.publish("talks/0043.npz", None)


def test_fencing_leaves_what_was_published(folder: Folder) -> None:
    area = folder.storage.stage("t1", VIDEO)
    area.add(RESULT, b"mine")
    area.publish(RESULT, None)
    folder.storage.fence(["t1"], VIDEO)
    assert folder.storage.read(RESULT) == b"mine"


def test_fencing_nobody_leaves_no_trace(folder: Folder) -> None:
    folder.storage.fence([], VIDEO)
    assert folder.listed() == {VIDEO}


def test_a_token_is_used_once(folder: Folder) -> None:
    folder.storage.stage("t1", VIDEO)
    with pytest.raises(FencedError):
        folder.storage.stage("t1", VIDEO)


def test_discarding_after_a_fence_leaves_the_area_closed(folder: Folder) -> None:
    area = folder.storage.stage("t1", VIDEO)
    folder.storage.fence(["t1"], VIDEO)
    area.discard()
    with pytest.raises(FencedError):
        folder.storage.stage("t1", VIDEO)


def test_sweeping(folder: Folder) -> None:
    folder.put("talks/.posewatch-leftover", b"x")
    folder.storage.stage("t1", VIDEO).add(RESULT, b"mine")
    folder.storage.fence(["t2"], VIDEO)
    folder.storage.stage("t3", VIDEO).add(RESULT, b"mine")
    for key in ("talks/.posewatch-leftover", staging_key(VIDEO), staging_key("talks/none.mp4")):
        folder.storage.sweep(key)
    assert folder.listed() == {VIDEO}


def test_nothing_but_our_own_leftovers_is_swept(folder: Folder) -> None:
    with pytest.raises(ValueError, match="not a leftover"):
        folder.storage.sweep(VIDEO)
    assert folder.listed() == {VIDEO}


def test_whatever_lies_in_a_name_it_is_only_a_name(folder: Folder) -> None:
    names = ["two\nlines.mp4", "spaß ☃.mp4", "b\udcff.mp4", " ", "a'b\".mp4", "%2F.mp4", "a+b.mp4"]
    names = [name for name in names if not set(name) & set(folder.never)]
    for name in names:
        folder.put(name, b"video")
        folder.storage.create(name + ".lock", b"mine")
        area = folder.storage.stage("t1", name)
        area.add(name + ".npz", b"result")
        area.publish(name + ".npz", None)
        area.discard()
    assert folder.listed() == {VIDEO} | {n + end for n in names for end in ("", ".lock", ".npz")}


def test_what_is_no_regular_file_is_not_read(tmp_path: Path) -> None:
    for kind in [kind for kind in KINDS if not kind.endswith("s3")]:  # all that is there is one
        root = tmp_path / kind
        root.mkdir()
        made = make_folder(kind, root)
        if "posix" in kind:
            (root / "x.mp4").mkdir()
        else:
            made.storage.stat("x.mp4")
            inner = getattr(made.storage, "inner", made.storage)
            inner.put("x.mp4", b"", regular=False)
        entry = made.storage.stat("x.mp4")
        assert entry is not None
        assert not entry.regular
        assert entry.version is not None
        (listed,) = made.storage.scan(lambda _key: True)
        assert (listed.key, listed.regular) == ("x.mp4", False)
        with pytest.raises(DeniedError):
            made.storage.read("x.mp4")
        with pytest.raises(ChangedError):
            made.storage.fetch("x.mp4", entry.version, tmp_path / "local", lambda _count: None)


def test_every_storage_of_ours_can_be_shared(folder: Folder) -> None:
    probe(folder.storage)
    assert folder.listed() == {VIDEO}


def test_where_tags_stay_a_listing_shows_what_was_told(folder: Folder) -> None:
    area = folder.storage.stage("t1", VIDEO)
    told = area.add(RESULT, b"poses")
    assert area.publish(RESULT, None) == told
    area.discard()
    (listed,) = [e.version for e in folder.storage.scan(lambda _key: True) if e.key == RESULT]
    assert listed == told
