"""The recipe dwpose over real decoding, with networks that are known by construction."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from posewatch.formats.pose_npz import open_pose, read_provenance
from posewatch.stages.dwpose import REVISION, SUFFIX, DWPose
from posewatch.stages.pose import Loaded
from posewatch.stages.preview import summarise
from posewatch.stages.recipe import Progress
from posewatch.vision.topdown import DetectorPlan, PosePlan, Rule, TopDown

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from posewatch.stages.recipe import Made
    from posewatch.vision.decoder import Decoder
    from posewatch.vision.engine import Outputs


class Somebody:
    """An engine that sees a person in the middle, the half of whose keypoints are not sure."""

    def infer(self, network: str, batch: NDArray[np.uint8]) -> Outputs:
        if network == "detector":
            return (np.tile(np.float32([20, 10, 40, 50, 0.9]), (len(batch), 1, 1)),)
        keypoints = np.tile(np.float32([24, 32, 0.9]), (len(batch), 133, 1))
        keypoints[:, 66:, 2] = 0.2
        return (keypoints,)


def recipe(batch: int = 4, rule: Rule = Rule.LARGEST) -> DWPose:
    top_down = TopDown(
        Somebody(),
        DetectorPlan("detector", (64, 64), fill=114, score=0.3, overlap=0.45),
        PosePlan("pose", (48, 64), padding=1.25, score=0.3, keypoints=133, openpose=True),
        rule=rule,
    )
    loaded = Loaded(
        models={"pose": "ab" * 32}, software={"numpy": "1"}, provider="FakeProvider", batch=batch
    )
    return DWPose(top_down, "body 18, feet 6, face 68, left hand 21, right hand 21", loaded)


def work(video: Path, decoder: Decoder, name: str = "out", batch: int = 4) -> Made:
    folder = video.parent / name
    folder.mkdir()
    return recipe(batch).run(video, "cd" * 32, folder, decoder, lambda _progress: None)


def test_the_result_is_what_the_readers_of_published_datasets_expect(
    video: Path, decoder: Decoder
) -> None:
    made = work(video, decoder)
    assert (made.frames, list(made.results)) == (10, [SUFFIX])
    with np.load(made.results[SUFFIX], allow_pickle=False) as npz:
        frames, confidences = npz["frames"], npz["confidences"]
        assert frames.shape == (10, 1, 134, 2)
        assert confidences.shape == (10, 1, 134)
        assert npz["boxes"].shape == (10, 1, 4)
        assert npz["box_scores"].shape == (10, 1)
        assert npz["track_ids"].tolist() == [[0]] * 10
        assert frames.dtype == confidences.dtype == npz["boxes"].dtype == np.float32
        assert npz["timestamps"].tolist() == pytest.approx(np.arange(10) / 25)
        np.testing.assert_allclose(npz["box_scores"], 0.9)
    missing = confidences < 0.3
    assert (frames[missing] == -1).all()
    assert ((frames[~missing] > 0) & (frames[~missing] < 1)).all()
    np.testing.assert_allclose(
        confidences[:, 0, [0, 1, 66, 67]], np.tile([0.9, 1, 0.9, 0.2], (10, 1))
    )


def test_the_same_video_gives_the_same_bytes(video: Path, decoder: Decoder) -> None:
    contents = {
        work(video, decoder, f"out{batch}", batch).results[SUFFIX].read_bytes()
        for batch in (1, 4, 32)
    }
    assert len(contents) == 1


def test_the_result_tells_how_it_came_to_be(video: Path, decoder: Decoder) -> None:
    made_by, result = recipe(), work(video, decoder).results[SUFFIX]
    told = json.loads(read_provenance(result))
    assert told["recipe"] == {
        "name": "dwpose",
        "hash": made_by.id.hash,
        "detect": "always",
        "people": 1,
        "revision": REVISION,
        "signer": "largest",
    }
    assert told["keypoints"].startswith("body 18, feet 6")
    assert "-1" in told["missing"]
    assert made_by.ours(result)
    with open_pose(result) as pose:
        assert (pose.head.points, pose.head.confidences) == ((1, 134, 2), "confidences")
    assert summarise(result).found == {
        "body": 1.0,
        "feet": 1.0,
        "face": 1.0,
        "left hand": 0.0,
        "right hand": 0.0,
    }


def test_whoever_listens_is_told_how_far_it_is(video: Path, decoder: Decoder) -> None:
    told: list[Progress] = []
    folder = video.parent / "out"
    folder.mkdir()
    recipe().run(video, "cd" * 32, folder, decoder, told.append)
    assert told == [Progress(4, 10), Progress(8, 10), Progress(10, 10)]


def test_recipes_differ_by_who_is_followed() -> None:
    assert len({recipe(rule=rule).id.hash for rule in Rule}) == len(Rule)
    assert recipe(batch=9).id == recipe().id
