"""The cards that ship with posewatch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pydantic import ValidationError

from posewatch.base.errors import ModelError
from posewatch.models import cards
from posewatch.models.cards import WheelCard, card, list_cards
from posewatch.models.verify import PICTURES, probe_indices

if TYPE_CHECKING:
    from pathlib import Path

HOLISTIC = card("mediapipe-holistic")


def test_every_card_is_listed_under_its_name() -> None:
    assert [one.name for one in list_cards()] == ["dwpose", "mediapipe-holistic"]
    assert all(card(one.name) == one for one in list_cards())


def test_the_keypoints_of_holistic_are_those_of_the_published_datasets() -> None:
    names = HOLISTIC.keypoints
    assert len(names) == len(set(names)) == 543
    parts = [(part.name, part.count) for part in HOLISTIC.components]
    assert parts == [("pose", 33), ("right_hand", 21), ("left_hand", 21), ("face", 468)]
    known = {
        0: "pose/nose",
        15: "pose/left_wrist",
        16: "pose/right_wrist",
        32: "pose/right_foot_index",
        33: "right_hand/wrist",
        53: "right_hand/pinky_tip",
        54: "left_hand/wrist",
        75: "face/0",
        542: "face/467",
    }
    assert {place: names[place] for place in known} == known
    assert all(len(part.names) in {0, part.count} for part in HOLISTIC.components)
    assert HOLISTIC.dimensions == ("x", "y", "z")


@pytest.mark.parametrize("network", HOLISTIC.networks, ids=lambda network: network.name)
def test_every_output_has_a_meaning_and_something_to_be_compared_with(
    network: cards.TfliteNetwork,
) -> None:
    for output in network.outputs:
        count = 1
        for side in output.shape:
            count *= side
        assert output.meaning
        assert [len(row) for row in output.probe] == [len(probe_indices(count))] * PICTURES
        # A tolerance that is large beside the values would notice nothing.
        spread = max(max(row) for row in output.probe) - min(min(row) for row in output.probe)
        assert output.tolerance < max(0.01 * spread, 2e-4)


def test_an_unknown_name_is_told_the_known_ones() -> None:
    with pytest.raises(ModelError, match="'openpose'") as caught:
        card("openpose")
    assert "mediapipe-holistic" in caught.value.hint


def test_a_name_cannot_leave_the_folder_of_the_cards() -> None:
    with pytest.raises(ModelError):
        card("../cards/mediapipe-holistic")


def test_an_unknown_network_is_told_the_known_ones() -> None:
    with pytest.raises(ModelError) as caught:
        HOLISTIC.network("palm_detection")
    assert "hand_recrop" in caught.value.hint


def test_the_digest_follows_the_content() -> None:
    assert HOLISTIC.digest == WheelCard.model_validate_json(HOLISTIC.model_dump_json()).digest
    assert HOLISTIC.digest != HOLISTIC.model_copy(update={"title": "another"}).digest


def test_a_damaged_card_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = HOLISTIC.model_dump_json().replace('"sha256":"', '"sha256":"x', 1)
    (tmp_path / "broken.json").write_text(text, encoding="utf-8")
    monkeypatch.setattr(cards, "_folder", lambda: tmp_path)
    with pytest.raises(ModelError, match="card of broken is damaged"):
        card("broken")


def test_cards_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        HOLISTIC.name = "mine"


def test_dwpose_has_the_keypoints_of_the_published_datasets() -> None:
    dwpose = card("dwpose")
    assert isinstance(dwpose, cards.TopDownCard)
    assert len(dwpose.keypoints) == len(set(dwpose.keypoints)) == 134
    assert dwpose.pose.keypoints == 133
    known = {
        0: "body/nose",
        1: "body/neck",
        4: "body/right_wrist",
        7: "body/left_wrist",
        14: "body/right_eye",
        17: "body/left_ear",
        24: "face/0",
        92: "left_hand/wrist",
        113: "right_hand/wrist",
    }
    assert {place: dwpose.keypoints[place] for place in known} == known
    assert (dwpose.detector.input.channels, dwpose.pose.input.channels) == ("BGR", "RGB")
