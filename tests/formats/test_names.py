from __future__ import annotations

import os
import posixpath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posewatch.base.errors import Fault
from posewatch.claims.names import lock_key
from posewatch.config import WatchSettings
from posewatch.formats import names

SUFFIXES = WatchSettings().suffixes

file_names = st.text(
    st.characters(exclude_characters="/\0", codec=None), min_size=1, max_size=12
).filter(lambda name: name not in {".", ".."})
videos = st.builds(
    lambda folder, base, suffix: posixpath.join(folder, base + suffix),
    st.sampled_from(["", "talks/", "a.mp4/"]),
    file_names.filter(lambda name: not name.startswith(".")),
    st.sampled_from([".mp4", ".MOV", ".mp4.mkv", ".posewatch.mp4", ".pose-mediapipe.avi"]),
)


@pytest.mark.parametrize(
    ("key", "stem"),
    [
        ("talks/0042.mp4", "talks/0042"),
        ("0042.mp4", "0042"),
        ("a.b/c", "a.b/c"),
        ("a.b/c.d.mp4", "a.b/c.d"),
        (".mp4", ".mp4"),
        ("talks/.mp4", "talks/.mp4"),
        ("no suffix", "no suffix"),
    ],
)
def test_the_stem_is_the_key_without_the_last_suffix_of_its_name(key: str, stem: str) -> None:
    assert names.stem(key) == stem


@pytest.mark.parametrize(
    "key", ["a.mp4", "A.MP4", "talks/ä\n\udcff.Mov", "a b.webm", "-rf.mkv", "~.ts", "a.part.mp4"]
)
def test_a_video_is_known_by_its_suffix(key: str) -> None:
    assert names.is_input(key, SUFFIXES)


@pytest.mark.parametrize(
    "key",
    [
        ".mp4",
        "talks/.a.mp4",  # rsync, macOS
        ".~tmp~/a.mp4",  # rsync --delay-updates
        "talks/.Trash-1000/files/a.mp4",
        ".a.mp4.Zx81kQ",
        "a.mp4.part",  # Firefox, curl tools
        "a.mp4.filepart",  # WinSCP
        "a.mp4.partial",  # rclone
        "a.mp4.tmp",
        "a.mp4.1a2b3c4d",  # s3transfer
        "a.mp4.crdownload",
        "mp4",
        "a.mp4.lock",
        "a.npz",
        "a.posewatch.json",
        "a.mp4/b.txt",
        "a//b.mp4",  # of a bucket, and those below
        "/b.mp4",
        "a/../b.mp4",
        "b\0.mp4",
    ],
)
def test_everything_else_is_none(key: str) -> None:
    assert not names.is_input(key, SUFFIXES)


def test_the_files_beside_a_video() -> None:
    assert names.receipt_key("talks/0042.mp4") == "talks/0042.posewatch.json"
    assert names.pose_key("talks/0042.mp4", "mediapipe") == "talks/0042.pose-mediapipe.npz"
    assert names.refusal_key("talks/0042.mov") == "talks/0042.mov.posewatch-refused.json"


@given(videos)
def test_what_lies_beside_a_video_is_kept_and_is_none(key: str) -> None:
    beside = [names.receipt_key(key), names.refusal_key(key), names.pose_key(key, "mediapipe")]
    for other in beside:
        assert names.is_kept(other)
        assert not names.is_input(other, SUFFIXES)
        assert names.split(other)[0] == names.split(key)[0]
    assert [names.is_receipt(other) for other in beside] == [True, True, False]


@given(videos, videos)
def test_two_videos_share_a_receipt_only_where_they_share_a_stem(one: str, other: str) -> None:
    if names.receipt_key(one) == names.receipt_key(other):
        assert names.stem(one) == names.stem(other)
    assert names.refusal_key(one) != names.receipt_key(other)
    if one != other:
        assert names.refusal_key(one) != names.refusal_key(other)


@pytest.mark.parametrize("key", ["a.mp4", "a.json", "a.npz", "pose-a.npz", "a.mp4.lock"])
def test_other_files_are_not_kept(key: str) -> None:
    assert not names.is_kept(key)


@pytest.mark.parametrize("letter", ["x", "\N{SNOWMAN}", "\udcff"])
def test_beside_the_longest_name_there_is_room_for_everything(letter: str) -> None:
    size = len(os.fsencode(letter))
    longest = "talks/" + letter * ((names.LONGEST - len(".ts")) // size) + ".ts"
    assert not names.too_long(longest)
    beside = [
        names.receipt_key(longest),
        names.refusal_key(longest),
        names.pose_key(longest, "mediapipe"),
        lock_key(longest, 10**8),
    ]
    assert all(len(os.fsencode(names.split(key)[1])) <= 255 for key in beside)
    longer = "talks/" + letter * ((names.LONGEST - len(".ts")) // size + 1) + ".ts"
    assert names.too_long(longer)
    error = names.too_long_error(longer)
    assert error.fault is Fault.NAME_TOO_LONG
    assert str(len(os.fsencode(longer)) - len("talks/")) in error.message
    assert str(names.LONGEST) in error.hint


def test_only_the_file_name_counts() -> None:
    assert not names.too_long("folder/" * 100 + "a.mp4")
