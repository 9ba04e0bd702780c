"""Whether a converted network computes what TensorFlow Lite computes.

Each card carries what TensorFlow Lite itself gave for three fixed pictures, at some places of each
output. That catches a wrong conversion, an onnxruntime that computes something else, and a batch
whose rows disturb each other, with no TensorFlow Lite on this machine.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime

from posewatch.base.errors import ModelError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from posewatch.models.cards import TfliteNetwork

PICTURES = 3
_PATCHES = 8
_PLACES = 16
_HINT = "Please report this, with the versions of onnxruntime, onnx and numpy."


def probe_input(size: int) -> NDArray[np.uint8]:
    """Three pictures of 8 by 8 patches of one colour each, `(3, size, size, 3)`.

    The colours are the bytes of a SHAKE-256, so they are the same for every version of everything.
    """
    colours = hashlib.shake_256(b"posewatch").digest(PICTURES * _PATCHES * _PATCHES * 3)
    grid = np.frombuffer(colours, np.uint8).reshape(PICTURES, _PATCHES, _PATCHES, 3)
    place = np.arange(size) * _PATCHES // size
    return np.ascontiguousarray(grid[:, place][:, :, place])


def probe_indices(count: int) -> NDArray[np.int64]:
    """Which of the `count` values of a flat output are looked at: up to 16, evenly spread."""
    return np.unique(np.linspace(0, count - 1, _PLACES).round().astype(np.int64))


def verify_network(path: Path, network: TfliteNetwork) -> float:
    """Compare a converted network with its card, on the CPU.

    Returns:
        The largest error found, as a part of the tolerance (0..1).

    Raises:
        ModelError: onnxruntime cannot load the file, an output is missing or of another shape or
            too far from what is expected, or a picture gives something else in a batch than alone.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # onnxruntime's own exceptions have no common base
        raise ModelError(f"onnxruntime cannot load {path.name}: {error}", hint=_HINT) from error
    names = [output.name for output in session.get_outputs()]
    expected = [output.name for output in network.outputs]
    if names != expected:
        raise ModelError(f"{path.name} has the outputs {names}; expected {expected}", hint=_HINT)
    pictures = probe_input(network.input.size)
    batch = session.run(None, {"input": pictures})
    single = [session.run(None, {"input": picture[None]}) for picture in pictures]
    return max(
        _compare(network, index, batch[index], [rows[index] for rows in single])
        for index in range(len(names))
    )


def _compare(
    network: TfliteNetwork, index: int, batch: NDArray[Any], single: list[NDArray[Any]]
) -> float:
    output = network.outputs[index]
    what = f"{network.name}: output {output.name}"
    if batch.shape != (PICTURES, *output.shape):
        raise ModelError(
            f"{what} has shape {batch.shape}; expected {(PICTURES, *output.shape)}", hint=_HINT
        )
    rows = batch.reshape(PICTURES, -1)
    apart = float(np.abs(rows - np.concatenate(single).reshape(PICTURES, -1)).max())
    if not apart <= output.tolerance:
        raise ModelError(f"{what} differs by {apart:.3g} in a batch from alone", hint=_HINT)
    error = float(np.abs(rows[:, probe_indices(rows.shape[1])] - np.array(output.probe)).max())
    if not error <= output.tolerance:
        raise ModelError(
            f"{what} is {error:.3g} away from TensorFlow Lite; allowed {output.tolerance:.3g}",
            hint=_HINT,
        )
    return error / output.tolerance
