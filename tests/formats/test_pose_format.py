"""`.pose` files are read back by the library whose format it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from pose_format import Pose

from posewatch.formats.pose_format import (
    Component,
    read_pose_format_provenance,
    write_pose_format,
)
from posewatch.formats.pose_npz import PoseFileError, PoseWriter
from posewatch.models.cards import card
from posewatch.stages.files import components_of
from posewatch.vision.skeleton import HOLISTIC, OPENPOSE

if TYPE_CHECKING:
    from pathlib import Path

SIZE = (640, 480)
RED = ((255, 0, 0),)


def write(
    path: Path, frames: np.ndarray, confidences: np.ndarray, fps: float = 30000 / 1001
) -> Path:
    name = "visibility" if frames.ndim == 3 else "confidences"
    with PoseWriter(path, points=frames.shape[1:], confidences=name) as writer:
        writer.append(frames, confidences, np.arange(len(frames)) / 25)
        writer.close(fps=fps, size=SIZE, provenance='{"producer": "posewatch", "ü": 1}')
    return path


def read(path: Path, **part: int) -> Pose:
    with path.open("rb") as file:
        return Pose.read(file, **part)


def test_mediapipe_s_components_are_those_that_the_library_itself_would_write(
    tmp_path: Path,
) -> None:
    rng = np.random.default_rng(0)
    frames = rng.uniform(0, 1, (2000, 543, 3)).astype(np.float32)
    visibility = rng.uniform(0.1, 1, (2000, 543)).astype(np.float32)
    visibility[:, 33:] = 0  # as MediaPipe: it gives none for hands and face
    frames[5], visibility[5] = np.nan, np.nan
    frames[:, 33:54] = np.nan  # the right hand
    npz = write(tmp_path / "a.npz", frames, visibility)
    write_pose_format(
        npz, tmp_path / "a.pose", components_of(card("mediapipe-holistic").components, HOLISTIC)
    )
    pose = read(tmp_path / "a.pose")
    assert round(pose.header.version, 3) == 0.2
    assert (pose.header.dimensions.width, pose.header.dimensions.height) == SIZE
    assert [(part.name, len(part.points), part.format) for part in pose.header.components] == [
        ("POSE_LANDMARKS", 33, "XYZC"),
        ("FACE_LANDMARKS", 468, "XYZC"),
        ("LEFT_HAND_LANDMARKS", 21, "XYZC"),
        ("RIGHT_HAND_LANDMARKS", 21, "XYZC"),
    ]
    hand = pose.header.components[2]
    assert (hand.points[:2], hand.limbs[0]) == (["WRIST", "THUMB_CMC"], (0, 1))
    assert len(hand.limbs) == len(hand.colors)
    assert pose.body.fps == pytest.approx(30000 / 1001)
    assert pose.body.data.shape == (2000, 1, 543, 3)
    nose, face, left = (pose.body.data[:, 0, place] for place in (0, 33, 33 + 468))
    wide = np.array([*SIZE, 1])
    np.testing.assert_allclose(nose[0], frames[0, 0] * wide, rtol=1e-6)
    np.testing.assert_allclose(face[0], frames[0, 75] * wide, rtol=1e-6)
    np.testing.assert_allclose(left[0], frames[0, 54] * wide, rtol=1e-6)
    assert nose.mask[5].all()
    assert pose.body.data.mask[:, 0, -21:].all(), "there is no right hand"
    assert pose.body.confidence[0, 0, 33] == 1
    np.testing.assert_array_equal(pose.body.confidence[0, 0, :33], visibility[0, :33])
    part = read(tmp_path / "a.pose", start_frame=3, end_frame=7)
    np.testing.assert_array_equal(part.body.data.data, pose.body.data.data[3:7])


def test_dwpose_s_components_are_those_of_its_card(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frames = rng.uniform(0, 1, (12, 2, 134, 2)).astype(np.float32)
    confidences = rng.uniform(0.1, 1, (12, 2, 134)).astype(np.float32)
    frames[confidences < 0.3] = -1
    frames[3, 1], confidences[3, 1] = np.nan, np.nan
    npz = write(tmp_path / "a.npz", frames, confidences, fps=float("nan"))
    components = components_of(card("dwpose").components, OPENPOSE)
    write_pose_format(npz, tmp_path / "a.pose", components)
    pose = read(tmp_path / "a.pose")
    assert [(part.name, len(part.points), part.format) for part in pose.header.components] == [
        ("BODY", 18, "XYC"),
        ("FEET", 6, "XYC"),
        ("FACE", 68, "XYC"),
        ("LEFT_HAND", 21, "XYC"),
        ("RIGHT_HAND", 21, "XYC"),
    ]
    assert (pose.body.fps, pose.body.data.shape) == (0, (12, 2, 134, 2))
    found = confidences >= 0.3
    np.testing.assert_array_equal(~pose.body.data.mask[..., 0], found)
    np.testing.assert_allclose(pose.body.data.data[found], frames[found] * SIZE, rtol=1e-6)
    np.testing.assert_array_equal(pose.body.confidence[found], confidences[found])


def test_keypoints_that_nobody_knows_can_be_written_as_well(tmp_path: Path) -> None:
    npz = write(tmp_path / "a.npz", np.zeros((0, 1, 2, 2)), np.zeros((0, 1, 2)))
    write_pose_format(npz, tmp_path / "a.pose", [Component("ALL", 0, ("a", "ö"), (), RED)])
    pose = read(tmp_path / "a.pose")
    assert (pose.header.components[0].points, len(pose.body.data)) == (["a", "ö"], 0)


def test_a_file_of_ours_is_known_from_those_of_others(tmp_path: Path) -> None:
    npz = write(tmp_path / "a.npz", np.zeros((3, 1, 1, 2)), np.ones((3, 1, 1)))
    path = tmp_path / "a.pose"
    write_pose_format(npz, path, [Component("ALL", 0, ("a",), (), RED)])
    assert read_pose_format_provenance(path) == '{"producer": "posewatch", "ü": 1}'
    theirs = tmp_path / "theirs.pose"
    with theirs.open("wb") as file:
        read(path).write(file)
    whole = path.read_bytes()
    for other in (theirs.read_bytes(), b"", b"posewatch", b"\xff\xff\xff\xffposewatch", whole[:-1]):
        theirs.write_bytes(other)
        with pytest.raises(PoseFileError):
            read_pose_format_provenance(theirs)
    with pytest.raises(PoseFileError, match="cannot be read"):
        read_pose_format_provenance(tmp_path / "none.pose")
    theirs.write_bytes(b"\xff\x01\x00\x00\x00posewatch")
    with pytest.raises(PoseFileError, match="cannot be read"):
        read_pose_format_provenance(theirs)


def test_pictures_that_the_format_cannot_tell_are_refused(tmp_path: Path) -> None:
    with PoseWriter(tmp_path / "a.npz", points=(1, 1, 2), confidences="confidences") as writer:
        writer.close(fps=25.0, size=(70_000, 10), provenance="{}")
    with pytest.raises(PoseFileError, match="too large"):
        write_pose_format(
            tmp_path / "a.npz", tmp_path / "a.pose", [Component("A", 0, ("a",), (), RED)]
        )
