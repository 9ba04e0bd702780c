"""Pose files: NumPy reads them, equal numbers give equal bytes, and nothing is trusted."""

from __future__ import annotations

import io
import os
import re
import tracemalloc
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posewatch.formats.pose_npz import (
    PoseFileError,
    PoseWriter,
    open_pose,
    read_pose,
    read_provenance,
)

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

Rows = tuple["NDArray[np.float32]", "NDArray[np.float32]", "NDArray[np.float64]"]


def rows(count: int, seed: int = 0, points: tuple[int, ...] = (543, 3)) -> Rows:
    rng = np.random.default_rng(seed)
    frames = rng.normal(size=(count, *points)).astype(np.float32)
    frames[::3] = np.nan
    visibility = rng.random((count, *points[:-1]), np.float32)
    return frames, visibility, np.arange(count) / 30


def write(path: Path, arrays: Rows, *, piece: int = 7, provenance: str = '{"a": 1}') -> Path:
    points = arrays[0].shape[1:]
    name = "visibility" if len(points) == 2 else "confidences"
    with PoseWriter(path, points=points, confidences=name) as writer:
        for start in range(0, len(arrays[0]), piece):
            writer.append(*(array[start : start + piece] for array in arrays))
        assert writer.count == len(arrays[0])
        writer.close(fps=30000 / 1001, size=(1920, 1080), provenance=provenance)
    return path


@pytest.mark.parametrize("count", [0, 1, 7, 100])
def test_numpy_reads_what_was_written(tmp_path: Path, count: int) -> None:
    frames, visibility, times = rows(count)
    path = write(tmp_path / "a.npz", (frames, visibility, times), provenance='{"ü": "文"}')
    with np.load(path, allow_pickle=False) as npz:
        assert set(npz.files) == {
            *("frames", "visibility", "timestamps", "fps", "size", "provenance")
        }
        assert (npz["frames"].dtype, npz["frames"].shape) == (np.float32, (count, 543, 3))
        assert (npz["visibility"].dtype, npz["visibility"].shape) == (np.float32, (count, 543))
        assert (npz["timestamps"].dtype, npz["timestamps"].shape) == (np.float64, (count,))
        assert (npz["fps"].dtype, npz["fps"].shape) == (np.float64, ())
        assert (npz["size"].dtype, npz["size"].shape) == (np.int32, (2,))
        assert (npz["provenance"].dtype.kind, npz["provenance"].shape) == ("U", ())
        np.testing.assert_array_equal(npz["frames"], frames)
        np.testing.assert_array_equal(npz["visibility"], visibility)
        np.testing.assert_array_equal(npz["timestamps"], times)
        assert npz["fps"] == 30000 / 1001
        assert list(npz["size"]) == [1920, 1080]
        assert npz["provenance"][()] == '{"ü": "文"}'


@pytest.mark.parametrize("count", [0, 1, 100])
def test_we_read_what_was_written(tmp_path: Path, count: int) -> None:
    arrays = rows(count)
    path = write(tmp_path / "a.npz", arrays)
    pose = read_pose(path)
    assert (pose.head.count, pose.head.points, pose.head.size) == (count, (543, 3), (1920, 1080))
    assert pose.head.fps == 30000 / 1001
    assert pose.head.confidences == "visibility"
    np.testing.assert_array_equal(pose.rows.frames, arrays[0])
    np.testing.assert_array_equal(pose.rows.confidences, arrays[1])
    np.testing.assert_array_equal(pose.rows.timestamps, arrays[2])
    assert read_provenance(path) == pose.head.provenance == '{"a": 1}'
    with open_pose(path) as opened:
        blocks = list(opened.blocks(33))
    assert [len(block.timestamps) for block in blocks] == [33] * (count // 33) + (
        [count % 33] if count % 33 else []
    )
    if count:
        np.testing.assert_array_equal(np.concatenate([b.frames for b in blocks]), arrays[0])


def test_several_people_have_confidences(tmp_path: Path) -> None:
    path = write(tmp_path / "a.npz", rows(10, points=(2, 134, 2)))
    with np.load(path, allow_pickle=False) as npz:
        assert npz["frames"].shape == (10, 2, 134, 2)
        assert npz["confidences"].shape == (10, 2, 134)
    assert read_pose(path).head.confidences == "confidences"


def test_further_arrays_stand_beside_the_others(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    rows = {"boxes": (1, 4), "box_scores": (1,)}
    with PoseWriter(path, points=(1, 17, 2), confidences="confidences", others=rows) as writer:
        for count in (2, 3):
            others = {name: np.full((count, *row), count) for name, row in rows.items()}
            writer.append(
                np.zeros((count, 1, 17, 2)), np.zeros((count, 1, 17)), np.zeros(count), others
            )
        with pytest.raises(ValueError, match=r"\['box_scores', 'boxes'\], not \['boxes'\]"):
            writer.append(
                np.zeros((1, 1, 17, 2)), np.zeros((1, 1, 17)), np.zeros(1), {"boxes": [[[0] * 4]]}
            )
        writer.close(fps=25.0, size=(64, 48), provenance="{}")
    with np.load(path, allow_pickle=False) as npz:
        assert npz["boxes"].dtype == npz["box_scores"].dtype == np.float32
        assert npz["boxes"][:, 0, 0].tolist() == npz["box_scores"][:, 0].tolist() == [2, 2, 3, 3, 3]
    assert read_pose(path).head.points == (1, 17, 2)
    with pytest.raises(ValueError, match=r"taken: \['frames'\]"):
        PoseWriter(path, others={"frames": (1,)})


def test_files_of_numpy_itself_are_read(tmp_path: Path) -> None:
    frames, visibility, times = rows(5)
    path = tmp_path / "a.npz"
    np.savez_compressed(
        path,
        frames=frames,
        visibility=visibility,
        timestamps=times,
        fps=np.float64(25),
        size=np.array([64, 48], np.int32),
        provenance=np.array("{}"),
    )
    np.testing.assert_array_equal(read_pose(path).rows.frames, frames)


def test_equal_numbers_give_equal_bytes_however_they_arrive(tmp_path: Path) -> None:
    arrays = rows(200)
    one = write(tmp_path / "one.npz", arrays, piece=1).read_bytes()
    other = write(tmp_path / "other.npz", arrays, piece=64).read_bytes()
    assert one == other
    assert write(tmp_path / "third.npz", rows(200, seed=1)).read_bytes() != one


def test_other_types_and_layouts_of_the_same_numbers_are_taken(tmp_path: Path) -> None:
    frames, visibility, times = rows(10)
    path = tmp_path / "a.npz"
    with PoseWriter(path) as writer:
        writer.append(np.asfortranarray(frames).astype(np.float64), visibility, list(times))
        writer.close(fps=30.0, size=(1, 1), provenance="")
    np.testing.assert_array_equal(read_pose(path).rows.frames, frames)
    assert read_provenance(path) == ""


@pytest.mark.parametrize(
    ("frames", "visibility", "times", "says"),
    [
        ((4, 542, 3), (4, 543), (4,), "frames must have the shape (n, 543, 3), not (4, 542, 3)"),
        (
            (4, 543, 3),
            (4, 543, 1),
            (4,),
            "visibility must have the shape (n, 543), not (4, 543, 1)",
        ),
        ((4, 543, 3), (4, 543), (4, 1), "timestamps must have the shape (n), not (4, 1)"),
        ((4, 543, 3), (3, 543), (4,), "numbers of frames differ"),
        ((), (4, 543), (4,), "frames must have the shape (n, 543, 3), not ()"),
    ],
)
def test_wrong_shapes_are_refused_by_name_and_nothing_is_added(
    tmp_path: Path,
    frames: tuple[int, ...],
    visibility: tuple[int, ...],
    times: tuple[int, ...],
    says: str,
) -> None:
    with PoseWriter(tmp_path / "a.npz") as writer:
        with pytest.raises(ValueError, match=re.escape(says)):
            writer.append(np.zeros(frames), np.zeros(visibility), np.zeros(times))
        assert writer.count == 0
        writer.append(*rows(3))
        writer.close(fps=1.0, size=(1, 1), provenance="{}")
    assert read_pose(tmp_path / "a.npz").head.count == 3


def test_a_writer_that_is_abandoned_leaves_nothing(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208  # counted, not read
    with PoseWriter(tmp_path / "a.npz") as writer:
        writer.append(*rows(100))
        assert list(tmp_path.iterdir()) == []
    assert list(tmp_path.iterdir()) == []
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_a_writer_that_cannot_finish_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with PoseWriter(tmp_path / "a.npz") as writer:
        writer.append(*rows(100))
        monkeypatch.setattr(zipfile.ZipFile, "_write_end_record", full)
        with pytest.raises(OSError, match="No space"):
            writer.close(fps=1.0, size=(1, 1), provenance="{}")
        monkeypatch.undo()
    assert list(tmp_path.iterdir()) == []


def test_writing_needs_little_memory_whatever_the_length(tmp_path: Path) -> None:
    piece = rows(50)
    peaks = []
    for count in (2, 40):
        tracemalloc.start()
        with PoseWriter(tmp_path / "a.npz") as writer:
            for _ in range(count):
                writer.append(*piece)
            writer.close(fps=1.0, size=(1, 1), provenance="{}")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + (1 << 20)
    assert peaks[1] < 8 << 20


# -- hostile files ---------------------------------------------------------------------------


def archive(path: Path, members: dict[str, Any], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as zipped:
        for name, content in members.items():
            if isinstance(content, bytes):
                zipped.writestr(name, content)
            else:
                buffer = io.BytesIO()
                np.lib.format.write_array(buffer, np.asanyarray(content), allow_pickle=True)
                zipped.writestr(name, buffer.getvalue())
    return path


def members(count: int = 2) -> dict[str, Any]:
    frames, visibility, times = rows(count)
    return {
        "frames.npy": frames,
        "visibility.npy": visibility,
        "timestamps.npy": times,
        "fps.npy": np.float64(25),
        "size.npy": np.array([64, 48], np.int32),
        "provenance.npy": np.array("{}"),
    }


def header(text: str) -> bytes:
    padded = text.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\1\0" + len(padded).to_bytes(2, "little") + padded


HOSTILE: dict[str, Any] = {
    "pickle": np.array({"a": 1}, dtype=object),
    "number": np.float64(1),
    "array of text": np.array(["a", "b"]),
    "bytes": np.array(b"abc"),
    "no array": b"nothing",
    "empty": b"",
    "only magic": b"\x93NUMPY",
    "later version": b"\x93NUMPY\x09\0" + bytes(200),
    "huge text": header("{'descr': '<U999999999', 'fortran_order': False, 'shape': (), }"),
    "text too short": header("{'descr': '<U99', 'fortran_order': False, 'shape': (), }"),
    "no code point": header("{'descr': '<U1', 'fortran_order': False, 'shape': (), }")
    + b"\xff\xff\xff\x7f",
    "code": header("__import__('os').system('true')"),
    "deep": header("(" * 100),
    "no keys": header("{}"),
    "negative": header("{'descr': '<U1', 'fortran_order': False, 'shape': (-1,), }"),
    "long header": b"\x93NUMPY\1\0\xff\xff" + b" " * 65535,
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_provenance_that_is_none_is_a_plain_error(tmp_path: Path, kind: str) -> None:
    path = archive(tmp_path / "a.npz", members() | {"provenance.npy": HOSTILE[kind]})
    with pytest.raises(PoseFileError, match=r"a\.npz"):
        read_provenance(path)
    with pytest.raises(PoseFileError, match=r"a\.npz"):
        read_pose(path)


def test_a_zip_bomb_is_not_unpacked(tmp_path: Path) -> None:
    bomb = header("{'descr': '<U100000000', 'fortran_order': False, 'shape': (), }") + bytes(
        400_000_000
    )
    path = archive(tmp_path / "a.npz", {"provenance.npy": bomb})
    del bomb
    tracemalloc.start()
    with pytest.raises(PoseFileError, match="long one"):
        read_provenance(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 << 20


@pytest.mark.parametrize("name", ["provenance.npy", "frames.npy", "size.npy", "fps.npy"])
def test_a_missing_array_is_a_plain_error(tmp_path: Path, name: str) -> None:
    path = archive(tmp_path / "a.npz", {k: v for k, v in members().items() if k != name})
    with pytest.raises(PoseFileError, match="pose file"):
        read_pose(path)


@pytest.mark.parametrize(
    ("name", "array", "says"),
    [
        ("visibility.npy", np.zeros((2, 542), np.float32), r"\(2, 542\).*\(2, 543, 3\)"),
        ("timestamps.npy", np.zeros(3), r"\(3,\).*\(2, 543, 3\)"),
        ("frames.npy", np.zeros((2, 543, 3)), "float64"),
        ("frames.npy", np.zeros((2, 543), np.float32), r"\(2, 543\)"),
        ("frames.npy", np.zeros((2, 543, 3), np.float32, order="F"), "column"),
        ("size.npy", np.zeros(3, np.int32), r"\(3,\)"),
        ("fps.npy", np.zeros(1), r"\(1,\)"),
    ],
)
def test_shapes_that_do_not_fit_are_both_named(
    tmp_path: Path,
    name: str,
    array: NDArray[Any],
    says: str,
) -> None:
    path = archive(tmp_path / "a.npz", members() | {name: array})
    with pytest.raises(PoseFileError, match=says):
        read_pose(path)


def test_a_header_that_promises_more_than_there_is_is_refused_at_once(tmp_path: Path) -> None:
    lie = header("{'descr': '<f4', 'fortran_order': False, 'shape': (900000000, 543, 3), }")
    path = archive(tmp_path / "a.npz", members() | {"frames.npy": lie + bytes(1000)})
    with pytest.raises(PoseFileError, match="1000 bytes"):
        read_pose(path)


def test_what_is_no_archive_is_a_plain_error(tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("nothing")
    (tmp_path / "empty.npz").touch()
    (tmp_path / "folder.npz").mkdir()
    os.mkfifo(tmp_path / "fifo.npz")
    (tmp_path / "link.npz").symlink_to(tmp_path / "nowhere")
    (tmp_path / "device.npz").symlink_to("/dev/zero")
    for path in sorted(tmp_path.iterdir()):
        with pytest.raises(PoseFileError):
            read_provenance(path)


@settings(deadline=None, max_examples=300)
@given(data=st.data())
def test_no_damage_raises_anything_else(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("damage")
    content = bytearray(
        archive(folder / "a.npz", {"provenance.npy": np.array("{}" * 9)}).read_bytes()
    )
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = (
        content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content
    )
    (folder / "a.npz").write_bytes(content)
    try:
        assert isinstance(read_provenance(folder / "a.npz"), str)
    except PoseFileError as error:
        assert error.message  # noqa: PT017  # either outcome will do
