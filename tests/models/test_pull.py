"""The pull, for real: from the package index to networks that compute what they should."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnxruntime

from posewatch.models.verify import probe_input, verify_network

if TYPE_CHECKING:
    from posewatch.models.cache import InstalledModel


def test_a_pulled_model_is_whole_and_agrees_with_tensorflow_lite(
    holistic_model: InstalledModel,
) -> None:
    holistic_model.verify()
    for network in holistic_model.card.networks:
        assert verify_network(holistic_model.network(network.name), network) <= 1


def test_networks_look_at_bytes_in_batches_of_any_size(holistic_model: InstalledModel) -> None:
    for network in holistic_model.card.networks:
        session = onnxruntime.InferenceSession(
            str(holistic_model.network(network.name)), providers=["CPUExecutionProvider"]
        )
        picture = session.get_inputs()[0]
        side = network.input.size
        assert (picture.name, picture.type) == ("input", "tensor(uint8)")
        assert picture.shape == ["N", side, side, 3]
        outputs = session.run(None, {"input": probe_input(side)[:2]})
        for output, value in zip(network.outputs, outputs, strict=True):
            assert value.shape == (2, *output.shape)
