"""What is made beside a pose file, and in which form."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from pose_format import Pose

from posewatch.formats.names import is_kept, is_receipt
from posewatch.formats.pose_npz import read_pose, read_provenance
from posewatch.models.cards import card
from posewatch.stages.dwpose import DWPose
from posewatch.stages.files import DEFAULT, Files, components_of
from posewatch.stages.pose import Loaded
from posewatch.vision.skeleton import OPENPOSE
from posewatch.vision.topdown import DetectorPlan, PosePlan, TopDown

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from posewatch.stages.recipe import Made
    from posewatch.vision.decoder import Decoder
    from posewatch.vision.engine import Outputs

COMPONENTS = components_of(card("dwpose").components, OPENPOSE)


class Somebody:
    """An engine that sees a person in the middle."""

    def infer(self, network: str, batch: NDArray[np.uint8]) -> Outputs:
        if network == "detector":
            return (np.tile(np.float32([20, 10, 40, 50, 0.9]), (len(batch), 1, 1)),)
        return (np.tile(np.float32([24, 31.3, 0.9]), (len(batch), 133, 1)),)


def recipe(files: Files) -> DWPose:
    top_down = TopDown(
        Somebody(),
        DetectorPlan("detector", (64, 64), fill=114, score=0.3, overlap=0.45),
        PosePlan("pose", (48, 64), padding=1.25, score=0.3, keypoints=133, openpose=True),
    )
    loaded = Loaded(models={}, software={}, provider="FakeProvider", batch=4)
    return DWPose(top_down, "body 18, …", loaded, files=files)


def work(video: Path, decoder: Decoder, files: Files, folder: Path) -> Made:
    folder.mkdir()
    return recipe(files).run(video, "cd" * 32, folder, decoder, lambda _progress: None)


def test_a_pose_file_of_the_library_lies_beside_when_it_is_wished(
    video: Path, decoder: Decoder, tmp_path: Path
) -> None:
    files = Files(components=COMPONENTS)
    made = work(video, decoder, files, tmp_path / "out")
    assert list(made.results) == [".pose-dwpose.npz", ".pose-dwpose.pose"]
    npz, beside = made.results.values()
    with beside.open("rb") as file:
        pose = Pose.read(file)
    rows = read_pose(npz)
    np.testing.assert_allclose(
        pose.body.data.data, rows.rows.frames * rows.head.size, rtol=1e-6, atol=1e-3
    )
    assert recipe(DEFAULT).ours(npz)
    assert recipe(DEFAULT).ours(beside)
    with beside.open("wb") as file:
        pose.write(file)
    assert not recipe(files).ours(beside), "nobody knows whose this is"


@pytest.mark.parametrize("suffix", [".pose-dwpose.npz", ".pose-dwpose.pose"])
def test_results_are_known_by_their_names(suffix: str) -> None:
    assert is_kept(f"talks/0042{suffix}")
    assert not is_receipt(f"talks/0042{suffix}")
    assert not is_kept(suffix.removeprefix(".pose-"))


def test_small_integers_are_kept_when_it_is_wished(
    video: Path, decoder: Decoder, tmp_path: Path
) -> None:
    plain, small = (
        work(video, decoder, Files(compact=compact), tmp_path / str(compact))
        for compact in (False, True)
    )
    ((_, large), (_, little)) = (*plain.results.items(), *small.results.items())
    with np.load(little) as npz:
        assert (npz["frames"].dtype, npz["confidences"].dtype) == (np.int16, np.uint8)
        assert npz["boxes"].dtype == np.float32
    expected, found = read_pose(large), read_pose(little)
    off = np.abs(found.rows.frames - expected.rows.frames) * expected.head.size
    assert 0 < off.max() <= 1 / 32 + 1e-3
    assert json.loads(read_provenance(little))["recipe"]["precision"] == "int16"


def test_a_recipe_is_another_one_if_it_makes_other_files() -> None:
    wished = [DEFAULT, Files(compact=True), Files(components=COMPONENTS)]
    assert len({recipe(files).id.hash for files in wished}) == 3
    assert not {"precision", "formats"} & set(recipe(DEFAULT).id.settings)
