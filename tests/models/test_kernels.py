"""No network has an operator, in a version or for types, that is not known to be done by CUDA."""

from __future__ import annotations

from typing import TYPE_CHECKING

import kernels

if TYPE_CHECKING:
    from pathlib import Path

    from posewatch.models.cache import InstalledModel


def test_cuda_has_kernels_for_what_is_rewritten_and_converted(
    tmp_path: Path, holistic_model: InstalledModel
) -> None:
    for name, path in kernels.networks(tmp_path, holistic_model).items():
        missing = kernels.needed(path) - kernels.recorded()
        # The CPU would do such a node, in the middle of each batch.
        assert not missing, f"{name}: try with make test-blank-gpu whether CUDA has {missing}"


def test_what_cuda_cannot_do_is_not_in_the_table() -> None:
    assert "MaxPool 12 float" in kernels.recorded()
    assert not kernels.recorded() & {"MaxPool 22 float", "ArgMax 13 uint8"}
