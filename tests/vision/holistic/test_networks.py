"""The driver and the model card agree about the networks."""

from __future__ import annotations

import numpy as np

from posewatch.models.cards import card
from posewatch.vision.holistic import networks
from posewatch.vision.holistic.fake import FakeEngine
from posewatch.vision.holistic.networks import Network

CARD = card("mediapipe-holistic")
USED = {value.name: value for value in vars(networks).values() if isinstance(value, Network)}


def test_the_driver_uses_every_network_of_the_card() -> None:
    assert set(USED) == {network.name for network in CARD.networks}


def test_their_inputs_are_the_card_s() -> None:
    for network in CARD.networks:
        used = USED[network.name]
        assert used.size == network.input.size
        assert used.border == (network.input.border == "replicate")


def test_the_fake_answers_in_the_shapes_of_the_card() -> None:
    engine = FakeEngine()
    for network in CARD.networks:
        size = network.input.size
        images = np.full((3, size, size, 3), 99, np.uint8)
        shapes = [output.shape for output in engine.infer(network.name, images)]
        assert shapes == [(3, *output.shape) for output in network.outputs]
