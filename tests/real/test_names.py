"""Names that nobody should give to a video, links, and two videos with one name."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from posewatch.base.errors import Fault
from posewatch.formats import names, receipt
from real.daemons import (
    Commits,
    assert_whole,
    digests,
    finished,
    leftovers,
    put_video,
    receipt_of,
    until,
)

if TYPE_CHECKING:
    from real.daemons import Fleet

NAMES = (
    b"plain.mp4",
    b"with space.mp4",
    b" leading and trailing .mp4",
    b"-dash.mp4",
    b"--help.mp4",
    b"new\nline.mp4",
    b"tab\tand\rreturn.mp4",
    b"\x1b[31mred\x1b[0m.mp4",
    b"bell\x07.mp4",
    b"quote'\"`.mp4",
    b"back\\slash.mp4",
    b"dollar$(reboot);&|.mp4",
    b"star*?[a].mp4",
    b"percent%20%s%n.mp4",
    b"bytes\xff\xfe\x80.mp4",
    b"half a letter \xc3.mp4",
    b"../".replace(b"/", b"_") + b"dots.mp4",
    b"many.dots.in.it..mp4",
    b".mp4.mp4",  # hidden: not an input
    b"UPPER.MP4",
    "\N{SNOWMAN}\N{GRINNING FACE}.mp4".encode(),
    "ab\N{RIGHT-TO-LEFT OVERRIDE}4pm.mp4".encode(),
    "Vide\N{LATIN SMALL LETTER O WITH ACUTE}.mp4".encode(),
    "Video\N{COMBINING ACUTE ACCENT}.mp4".encode(),  # another file for every file system
    b"a.lock.mp4",
    b"a.mp4.lock.mp4",
    b"a.posewatch.json.mp4",
    b"a.pose-mediapipe.npz.mp4",
    b"a.mp4.mp4",
    b"x" * 228 + b".mp4",  # 232: with room for everything that is written beside it
)
TOO_LONG = (
    b"v" * 229 + b".mp4",  # no room for a refusal
    b"y" * 240 + b".mp4",  # nor for the result
    b"z" * 245 + b".mp4",  # nor for the receipt
    b"w" * 251 + b".mp4",  # nor for the lock
    "\N{SNOWMAN}".encode() * 80 + b".mp4",  # 84 characters, 244 bytes
)


def test_any_name_will_do(folder: Path, tmp_path: Path, fleet: Fleet) -> None:
    source = put_video(tmp_path / "source.mp4", frames=2)
    deep = folder / os.fsdecode(b"sub \xff\n folder") / ("d" * 255)
    deep.mkdir(parents=True)
    paths = [Path(os.fsdecode(os.fsencode(folder) + b"/" + name)) for name in NAMES]
    videos = [*(path for path in paths if not path.name.startswith(".")), deep / paths[14].name]
    for path in {*paths, *videos}:
        shutil.copyfile(source, path)
    before = digests(folder)
    daemon = fleet.daemon(folder).start()
    until(lambda: finished(videos), lambda: f"all but {[v for v in videos if not finished([v])]}")
    until(lambda: not leftovers_here(folder), lambda: f"leftovers go: {leftovers_here(folder)}")
    for video in videos:
        assert_whole(video, 2)
    assert not receipt_of(folder / ".mp4.mp4")
    assert digests(folder) == before
    assert daemon.get("/readyz")[0] == 200
    # Each message stays on one line, whatever the name.
    assert len(daemon.said("done")) == len(videos)
    status = json.loads(fleet.home.command("status", folder, "--json").stdout)
    assert len(status["done"]) == len(videos)
    assert {os.fsencode(name) for name in status["done"]} == {
        os.fsencode(os.path.relpath(video, folder)) for video in videos
    }
    assert fleet.home.command("status", folder, "--all").returncode == 0
    assert daemon.stop() == 0


def leftovers_here(folder: Path) -> list[str]:
    """As `leftovers`, less the inputs that are named like some."""
    return [key for key in leftovers(folder) if not key.endswith(".mp4")]


def test_a_name_that_is_too_long_is_told_once_and_stops_nobody(folder: Path, fleet: Fleet) -> None:
    source = put_video(folder / "source.mp4", frames=2)
    long = [folder / os.fsdecode(name) for name in TOO_LONG]
    for path in long:
        shutil.copyfile(source, path)
    daemon = fleet.daemon(folder).start()
    until(lambda: finished([source]), "the other is done")
    for path in long:
        line = daemon.says("failed", video=path.name, fault="name-too-long")
        assert "shorter name" in line["hint"]
    late = put_video(folder / "late.mp4", frames=2)
    until(lambda: finished([late]), "work goes on")
    assert len(daemon.said("failed")) == len(long), "told once"
    assert daemon.get("/readyz")[0] == 200
    assert not daemon.said("the folder is in trouble")
    assert daemon.stop() == 0
    status = json.loads(fleet.home.command("status", folder, "--json").stdout)
    assert {failed["name"] for failed in status["failed"]} == {path.name for path in long}
    assert {failed["fault"] for failed in status["failed"]} == {"name-too-long"}
    assert fleet.home.command("run", folder, "--until-idle").returncode == 1
    assert leftovers(folder) == []


def test_links_are_followed_inside_of_the_folder_only(
    folder: Path, tmp_path: Path, fleet: Fleet
) -> None:
    secret = put_video(tmp_path / "secret.mp4", frames=2)
    (tmp_path / "elsewhere").mkdir()
    put_video(tmp_path / "elsewhere" / "other.mp4", frames=2)
    (folder / "real").mkdir()
    video = put_video(folder / "real" / "a.mp4", frames=2)
    linked = folder / "linked.mp4"
    linked.symlink_to("real/a.mp4")
    (folder / "leaves.mp4").symlink_to(secret)
    (folder / "leaves-by-dots.mp4").symlink_to("../secret.mp4")
    (folder / "leaves-as-folder").symlink_to(tmp_path / "elsewhere")
    (folder / "dangling.mp4").symlink_to("nowhere.mp4")
    (folder / "loop.mp4").symlink_to("loop.mp4")
    (folder / "circle").symlink_to(folder)
    daemon = fleet.daemon(folder).start()
    until(lambda: finished([video, linked]), "both are done")
    assert_whole(video, 2)
    assert_whole(linked, 2)
    for name in ("leaves.mp4", "leaves-by-dots.mp4"):
        assert len(daemon.said("ignored: it is no file of this folder", file=name)) == 1
    # Two more scans, to see that nothing is said again, and nobody else is worked on.
    scans = daemon.metric("posewatch_scans_total", outcome="ok")
    until(
        lambda: daemon.metric("posewatch_scans_total", outcome="ok") >= scans + 2,
        "two more scans",
        every=0.2,
    )
    assert len(daemon.said("ignored: it is no file of this folder", file="leaves.mp4")) == 1
    assert {line["video"] for line in daemon.said("claimed")} == {"real/a.mp4", "linked.mp4"}
    assert receipt_of(secret) is None
    assert daemon.get("/readyz")[0] == 200
    assert daemon.stop() == 0


def test_of_two_videos_with_one_name_one_is_done_and_the_other_refused(
    folder: Path, fleet: Fleet
) -> None:
    first = put_video(folder / "a.mov", frames=2)
    second = put_video(folder / "a.mp4", frames=3)
    before = digests(folder)
    refusal = Path(names.refusal_key(os.fspath(second)))
    with Commits(folder) as commits:
        daemons = [fleet.daemon(folder).start() for _ in range(2)]
        until(lambda: finished([first]) and refusal.exists(), "one is done, the other refused")
        until(lambda: not leftovers(folder), lambda: f"leftovers go: {leftovers(folder)}")
    assert_whole(first, 2)
    told = receipt.decode(refusal.read_bytes())
    assert told is not None
    assert told.failure is not None
    assert told.failure.fault is Fault.NAME_TAKEN
    assert "a.mov" in told.failure.message
    assert set(commits.values()) == {1}
    assert digests(folder) == before
    # The rival goes: the other gets its turn.
    first.unlink()
    until(lambda: finished([second]), "now it is done")
    assert_whole(second, 3)
    for daemon in daemons:
        assert daemon.stop() == 0


def test_a_foreign_file_with_the_name_of_a_result_is_left_alone(folder: Path, fleet: Fleet) -> None:
    video = put_video(folder / "a.mp4", frames=2)
    foreign = folder / "a.pose-mediapipe.npz"
    foreign.write_text("the work of my life")
    daemon = fleet.daemon(folder).start()
    daemon.says("failed", video="a.mp4", fault="name-taken")
    assert foreign.read_text() == "the work of my life"
    foreign.rename(folder / "mine.npz")
    assert fleet.home.command("retry", folder).returncode == 0
    until(lambda: finished([video]), "it is done after a retry")
    assert_whole(video, 2)
    assert daemon.stop() == 0


def test_a_foreign_file_with_the_name_of_a_receipt_is_left_alone(
    folder: Path, fleet: Fleet
) -> None:
    video = put_video(folder / "a.mp4", frames=2)
    foreign = folder / "a.posewatch.json"
    foreign.write_text('{"posewatch": "my notes about it"}')
    daemon = fleet.daemon(folder).start()
    daemon.says("failed", video="a.mp4", fault="name-taken")
    assert foreign.read_text() == '{"posewatch": "my notes about it"}'
    assert not (folder / "a.pose-mediapipe.npz").exists()
    foreign.rename(folder / "notes.json")
    until(lambda: finished([video]), "it is done")
    assert_whole(video, 2)
    assert daemon.stop() == 0
