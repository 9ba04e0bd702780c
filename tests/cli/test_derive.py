"""`posewatch derive`: results in, other files out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from posewatch.base.errors import SettingsError
from posewatch.formats.pose_npz import PoseWriter, read_pose
from posewatch.service.derive import names

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cli.terminal import Ran


@pytest.fixture
def result(tmp_path: Path) -> Path:
    """Person 3 is small and first, person 4 is large."""
    path = tmp_path / "talk.pose-dwpose.npz"
    others = {"boxes": (2, 4), "box_scores": (2,), "track_ids": (2,)}
    boxes = [[0.1, 0.1, 0.2, 0.2], [0.5, 0.1, 0.9, 0.9]]
    with PoseWriter(path, points=(2, 134, 2), confidences="confidences", others=others) as writer:
        further = {
            "boxes": np.tile(boxes, (5, 1, 1)),
            "box_scores": np.tile([0.9, 0.8], (5, 1)),
            "track_ids": np.tile([3, 4], (5, 1)),
        }
        writer.append(
            np.full((5, 2, 134, 2), 0.5), np.ones((5, 2, 134)), np.arange(5) / 25, further
        )
        writer.close(fps=25.0, size=(96, 64), provenance="{}")
    return path


@pytest.mark.parametrize(("signer", "number"), [("largest", 4), ("first", 3)])
def test_somebody_else_comes_first(
    result: Path, run: Callable[..., Ran], signer: str, number: int
) -> None:
    output = result.with_name("other.npz")
    arguments = (result, "--signer", signer, "--people", 1, "-o", output)
    assert run("derive", *arguments).status == 0
    assert read_pose(output).rows.others["track_ids"].tolist() == [[number]] * 5
    assert run("derive", *arguments).status == 1, "it is there already"


def test_a_folder_takes_several(
    result: Path,
    tmp_path: Path,
    run: Callable[..., Ran],
) -> None:
    second, folder = result.with_name("b.npz"), tmp_path / "derived"
    second.write_bytes(result.read_bytes())
    ran = run("derive", result, second, "-o", folder)
    assert ran.status == 2
    assert "is no folder" in ran.err
    folder.mkdir()
    ran = run("derive", result, second, "-o", folder)
    assert ran.status == 0
    assert {path.name for path in folder.iterdir()} == {result.name, second.name}
    assert str(folder / "b.npz") in ran.out.replace("\n", "")
    with pytest.raises(SettingsError, match="one name"):
        names([result, tmp_path / "x" / result.name], folder)
