"""Small integers instead of floats: how far off, how much smaller, and what stays exact."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from posewatch.formats.compact import Compact, pack_confidences, unpack_confidences
from posewatch.formats.pose_npz import PoseFileError, PoseWriter, open_pose, read_pose

DOCS = Path(__file__).parents[2] / "docs" / "formats.md"
HD = (1920, 1080)


def signing(count: int, size: tuple[int, int] = HD) -> tuple[np.ndarray, np.ndarray]:
    """Somebody's keypoints, as DWPose would give them: smooth, with some missing."""
    rng = np.random.default_rng(0)
    steps = rng.normal(scale=1.5, size=(count, 1, 134, 2)).cumsum(axis=0)
    pixels = np.round((steps + rng.uniform(200, 800, (1, 1, 134, 2))) * 2) / 2
    frames = (pixels / size).astype(np.float32)
    confidences = rng.uniform(0.1, 0.95, (count, 1, 134)).astype(np.float32)
    frames[confidences < 0.3] = -1
    frames[1], confidences[1] = np.nan, np.nan
    return frames, confidences


def write(path: Path, frames: np.ndarray, confidences: np.ndarray, compact: Compact | None) -> Path:
    with PoseWriter(
        path, points=frames.shape[1:], confidences="confidences", compact=compact
    ) as writer:
        for start in range(0, len(frames), 7):
            part = slice(start, start + 7)
            writer.append(frames[part], confidences[part], np.arange(len(frames))[part] / 25)
        writer.close(fps=25.0, size=HD, provenance="{}")
    return path


@pytest.mark.parametrize(
    ("size", "parts"), [((640, 480), 16), (HD, 16), ((2047, 100), 16), ((3840, 2160), 8)]
)
def test_a_coordinate_is_off_by_half_a_step_at_most(size: tuple[int, int], parts: int) -> None:
    compact = Compact.of(size, 3)
    frames = np.random.default_rng(0).uniform(-0.49, 1.49, (500, 543, 3)).astype(np.float32)
    frames[..., 2] -= 0.5
    found = compact.unpack(compact.pack(frames))
    pixels = np.abs(found.astype(float) - frames) * [*size, size[0]]
    assert pixels.max() <= 0.5 / parts + 1e-3


def test_what_is_missing_stays_missing_and_what_is_far_outside_stays_outside() -> None:
    compact = Compact.of(HD, 2)
    frames = np.float32([[np.nan, np.nan], [-1, -1], [-1, 0.5], [9, -9], [0.5, 0.5]])
    found = compact.unpack(compact.pack(frames))
    assert np.isnan(found[0]).all()
    assert found[1].tolist() == [-1, -1]
    np.testing.assert_allclose(found[2], [-0.566, 0.5], atol=1e-3)
    assert found[3][0] > 1.5
    assert found[3][1] < -1.3
    assert found[4].tolist() == [0.5, 0.5]


@given(st.lists(st.floats(0, 1.25, width=32) | st.just(float("nan")), max_size=20))
def test_a_confidence_is_off_by_a_four_hundredth_at_most(values: list[float]) -> None:
    confidences = np.array(values, np.float32)
    found = unpack_confidences(pack_confidences(confidences))
    np.testing.assert_allclose(found, confidences, atol=1 / 400 + 1e-6)
    np.testing.assert_allclose(unpack_confidences(pack_confidences([2.0, -1.0, 1.0])), [1.27, 0, 1])


def test_a_compact_file_is_read_as_any_other_and_is_less_than_half_as_large(tmp_path: Path) -> None:
    frames, confidences = signing(300)
    plain = write(tmp_path / "plain.npz", frames, confidences, None)
    small = write(tmp_path / "small.npz", frames, confidences, Compact.of(HD, 2))
    assert small.stat().st_size < 0.5 * plain.stat().st_size
    found, expected = read_pose(small), read_pose(plain)
    assert found.head == expected.head
    assert found.rows.frames.dtype == np.float32
    off = np.abs(found.rows.frames - expected.rows.frames) * HD
    assert np.nanmax(off) <= 1 / 32 + 1e-3
    np.testing.assert_array_equal(np.isnan(found.rows.frames), np.isnan(frames))
    np.testing.assert_array_equal(found.rows.frames == -1, frames == -1)
    np.testing.assert_allclose(found.rows.confidences, confidences, atol=1 / 400 + 1e-6)
    with open_pose(small) as pose:
        assert [len(block.frames) for block in pose.blocks(128)] == [128, 128, 44]


def test_the_documented_lines_read_a_compact_file(tmp_path: Path) -> None:
    frames, confidences = signing(30)
    path = write(tmp_path / "0042.pose-dwpose.npz", frames, confidences, Compact.of(HD, 2))
    text = DOCS.read_text(encoding="utf-8")
    lines = re.search(r"<!-- compact -->\n```python\n(.*?)```", text, re.DOTALL)
    assert lines
    names: dict[str, Any] = {"np": np}
    exec(lines[1].replace("0042.pose-dwpose.npz", str(path)), names)  # noqa: S102 -- our own page
    expected = read_pose(path).rows
    np.testing.assert_allclose(names["frames"], expected.frames, atol=1e-6)
    np.testing.assert_allclose(names["confidences"], expected.confidences, atol=1e-6)


def test_a_compact_file_that_lacks_its_scale_is_none(tmp_path: Path) -> None:
    frames, confidences = signing(3)
    path = write(tmp_path / "a.npz", frames, confidences, Compact.of(HD, 2))
    with np.load(path) as npz:
        arrays = {name: npz[name] for name in npz.files if name != "scale"}
    np.savez(tmp_path / "b.npz", **arrays)
    with pytest.raises(PoseFileError, match="frames has the type int16"):
        read_pose(tmp_path / "b.npz")
    np.savez(tmp_path / "c.npz", scale=np.ones(3), **arrays)
    with pytest.raises(PoseFileError, match="scale has the shape"):
        read_pose(tmp_path / "c.npz")
