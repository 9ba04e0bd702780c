"""Other networks of the families, by a card that a user wrote and nothing else."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import standins
from posewatch.base.errors import ModelError
from posewatch.models.cache import ModelCache
from posewatch.models.cards import TopDownCard, card
from posewatch.models.pull import pull
from posewatch.service.recipes import top_down
from posewatch.vision.engine import OnnxEngine
from posewatch.vision.topdown import Rule

if TYPE_CHECKING:
    from collections.abc import Callable

DOCS = Path(__file__).parents[2] / "docs" / "models.md"
YOLOX = {"kind": "yolox", "strides": [8, 16, 32], "person": 0}
PLAIN = {"channels": "BGR", "mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0]}


def documented() -> dict[str, Any]:
    """The card that docs/models.md shows."""
    found = re.search(r"<!-- card -->\n```json\n(.*?)```", DOCS.read_text("utf-8"), re.DOTALL)
    assert found
    told: dict[str, Any] = json.loads(found[1])
    return told


def written(told: dict[str, Any], path: Path, files: Path) -> str:
    """The card in a file, for the networks in a folder."""
    for network in told["networks"]:
        data = (files / network["member"]).read_bytes()
        network |= {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    path.write_text(json.dumps(told))
    return str(path)


def yolox(width: float, *, apart: bool = False) -> Callable[[Path], Path]:
    return lambda path: standins.yolox(path, 0.33, width, 96, apart=apart)


def rtmdet(path: Path) -> Path:
    return standins.rtmdet(path, 0.167, 0.25, 96)


@pytest.mark.parametrize(
    ("detector", "about", "size", "keypoints"),
    [
        (rtmdet, {}, (96, 128), 26),
        (yolox(0.375), {"input": PLAIN, "decode": YOLOX}, (64, 64), 17),
        (yolox(0.25, apart=True), {"input": PLAIN, "decode": YOLOX}, (96, 128), 133),
    ],
    ids=["rtmdet-26", "yolox-tiny-17", "yolox-nano-133"],
)
def test_networks_of_the_families_are_run_by_a_card_alone(
    tmp_path: Path,
    detector: Callable[[Path], Path],
    about: dict[str, Any],
    size: tuple[int, int],
    keypoints: int,
) -> None:
    told = documented()
    found, pose = told["networks"]
    found["input"] |= {"width": 96, "height": 96, **about.get("input", {})}
    found["score"] = 0.001  # random weights are seldom sure
    found["decode"] = about.get("decode", found["decode"])
    pose["input"] |= {"width": size[0], "height": size[1]}
    pose["keypoints"] = keypoints
    if keypoints != 26:
        told["components"] = [{"name": "all", "count": keypoints, "names": []}]
    files = tmp_path / "files"
    for network in told["networks"]:
        (files / network["member"]).parent.mkdir(parents=True)
    detector(files / found["member"])
    standins.rtmpose(files / pose["member"], 0.167, 0.25, size, keypoints)
    own = written(told, tmp_path / "own.json", files)

    model = pull(own, ModelCache(tmp_path / "models"), given=[files])
    assert isinstance(model.card, TopDownCard)
    engine = OnnxEngine({name: model.network(name) for name in model.digests})
    track = top_down(model.card, engine, Rule.FIRST, 1).start(160, 120)
    images = np.random.default_rng(0).integers(0, 256, (3, 120, 160, 3), np.uint8)
    result = track.process(images, np.arange(3.0))
    assert result.frames.shape == (3, 1, keypoints, 2)
    assert np.isfinite(result.box_scores).any(), "somebody was found"
    seen = np.isfinite(result.confidences)
    assert (result.confidences[seen] > 0).all()


def test_the_documented_card_can_be_read_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "rtmpose-t.json"
    path.write_text(json.dumps(documented()))
    own = card(str(path))
    assert isinstance(own, TopDownCard)
    assert (own.name, own.keypoints[20], own.dimensions) == (
        "rtmpose-t",
        "feet/left_big_toe",
        ("x", "y"),
    )
    with pytest.raises(ModelError, match="names no source of its files"):
        pull(str(path), ModelCache(tmp_path / "models"))
    with pytest.raises(ModelError, match=r"no end2end\.onnx in"):
        pull(str(path), ModelCache(tmp_path / "models"), given=[tmp_path])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"components": [{"name": "a", "count": 25, "names": []}]}, "25 keypoints .* results 26"),
        ({"components": [{"name": "a", "count": 26, "names": ["b"]}]}, "26 keypoints, 1 names"),
        ({"keypoint_order": "openpose"}, "OpenPose needs 133 keypoints, not 26"),
        ({"name": "a-name-that-is-long"}, "name: String should have at most 14"),
        ({"name": "Mine"}, "name: String should match"),
        ({"colour": "blue"}, "colour: Extra inputs are not permitted"),
    ],
)
def test_what_is_wrong_with_a_card_is_told(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    path = tmp_path / "own.json"
    path.write_text(json.dumps(documented() | change))
    with pytest.raises(ModelError, match=rf"own\.json is wrong: .*{said}.*docs/models\.md"):
        card(str(path))


def test_networks_in_another_order_are_refused(tmp_path: Path) -> None:
    told, path = documented(), tmp_path / "own.json"
    told["networks"][1]["name"] = "detector"
    path.write_text(json.dumps(told))
    with pytest.raises(ModelError, match="called detector and pose, in this order"):
        card(str(path))
    path.write_text("no JSON")
    with pytest.raises(ModelError, match=r"own\.json is wrong: Invalid JSON"):
        card(str(path))
    with pytest.raises(ModelError, match=r"Cannot read the card .*none\.json: No such file"):
        card(str(tmp_path / "none.json"))
