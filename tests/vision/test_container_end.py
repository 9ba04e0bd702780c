"""The end of a file is judged by its container's own sizes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from posewatch.vision.container_end import End, Ending, find_ending, packet_length
from videos import CONTAINERS, make_video

if TYPE_CHECKING:
    from pathlib import Path


def judge(data: bytes) -> Ending:
    return find_ending(lambda at, count: data[at : at + count], len(data))


def whole(folder: Path, name: str, frames: int = 8) -> bytes:
    suffix, options = CONTAINERS[name]
    audio = suffix != ".gif"
    return make_video(
        folder / f"v{suffix}", frames=frames, audio=audio, container_options=options
    ).read_bytes()


DECLARES_ITS_END = sorted(set(CONTAINERS) - {"ts", "mpg"})


@pytest.mark.parametrize("name", DECLARES_ITS_END)
def test_a_whole_file_ends_where_it_should(tmp_path: Path, name: str) -> None:
    assert judge(whole(tmp_path, name)).end is End.WHOLE


@pytest.mark.parametrize("name", DECLARES_ITS_END)
def test_hardly_a_cut_goes_unseen(tmp_path: Path, name: str) -> None:
    """Every length is tried; where two elements meet, the next may not have been announced."""
    data = whole(tmp_path, name)
    seams = {
        # the index names samples behind the end, which decoding finds
        "mp4-index-first": [data.find(b"mdat") - 4, data.find(b"free") - 4],
        "mp4-fragments": [at - 4 for at in _all(data, b"moof") + _all(data, b"mdat")]
        + [data.rfind(b"mfra") - 4],
        "webm-live": range(len(data)),
        # a tag is followed by nothing that announces the next
        "flv": [at + 4 for at in range(13, len(data)) if _ends_a_tag(data, at)],
        # every page that ends a stream could be the last one
        "ogv": range(len(data)),
        "avi": range(len(data) - 8, len(data)),
    }.get(name, [])
    unseen = [k for k in range(17, len(data)) if judge(data[:k]).end is End.WHOLE]
    assert set(unseen) <= {s for s in seams} | {s + 8 for s in seams} | _tail(name, data)  # noqa: C416
    assert len(unseen) < len(data) / 50


def _ends_a_tag(data: bytes, at: int) -> bool:
    length = int.from_bytes(data[at : at + 4])
    start = at - length
    return (
        start >= 13 and length >= 11 and int.from_bytes(data[start + 1 : start + 4]) == length - 11
    )


def _all(data: bytes, pattern: bytes) -> list[int]:
    found = []
    at = -1
    while (at := data.find(pattern, at + 1)) >= 0:
        found.append(at)
    return found


def _tail(name: str, data: bytes) -> set[int]:
    """A box header of fewer than eight bytes could be anything."""
    if not name.startswith("mp4"):
        return set()
    starts = [at - 4 for box in (b"mdat", b"free", b"moof", b"mfra") for at in _all(data, box)]
    return {start + n for start in starts for n in range(8)}


@pytest.mark.parametrize("name", DECLARES_ITS_END)
def test_the_error_names_what_is_missing(tmp_path: Path, name: str) -> None:
    data = whole(tmp_path, name)
    ending = judge(data[: len(data) // 2 + 1])
    assert ending.end is End.MISSING
    assert ending.reason


@pytest.mark.parametrize("name", ["mp4", "mov", "mp4-index-first", "avi", "wmv", "gif"])
def test_bytes_behind_the_end_do_no_harm(tmp_path: Path, name: str) -> None:
    data = whole(tmp_path, name)
    for junk in (b"\0" * 100, b"http://example.org/ and so on, appended by somebody", b"\n"):
        assert judge(data + junk).end is End.WHOLE


def test_boxes_that_only_a_camera_knows_are_passed_over(tmp_path: Path) -> None:
    data = whole(tmp_path, "mp4")
    own = (24).to_bytes(4) + b"CAMR" + bytes(16)
    at = data.index(b"mdat") - 4
    assert judge(data[:at] + own + data[at:] + own).end is End.WHOLE
    assert judge(data[:at] + own + data[at:-20]).end is End.MISSING
    assert judge(data + own[:-1]).end is End.WHOLE


def test_packets_of_a_transport_stream_are_counted(tmp_path: Path) -> None:
    data = whole(tmp_path, "ts")
    assert judge(data).end is End.UNKNOWN
    assert judge(data[:-1]).end is End.MISSING
    assert judge(data[:-188]).end is End.UNKNOWN
    blocks = [data[i : i + 188] for i in range(0, len(data), 188)]
    with_time_code = b"".join(b"time" + block for block in blocks)
    with_correction = b"".join(block + bytes(16) for block in blocks)
    assert packet_length(lambda at, count: data[at : at + count]) == 188
    assert packet_length(lambda at, count: with_time_code[at : at + count]) == 192
    assert packet_length(lambda at, count: with_correction[at : at + count]) == 204
    assert judge(with_time_code).end is End.UNKNOWN
    assert judge(with_time_code[:-1]).end is End.MISSING


def test_a_recorder_that_never_wrote_the_size_says_nothing(tmp_path: Path) -> None:
    data = bytearray(whole(tmp_path, "avi"))
    data[4:8] = bytes(4)
    assert judge(bytes(data)).end is End.UNKNOWN


@pytest.mark.parametrize("data", [b"", b"G", b"\0" * 50, b"text, and nothing else", b"G" * 187])
def test_what_is_no_container_is_not_judged(data: bytes) -> None:
    assert judge(data).end is End.UNKNOWN
