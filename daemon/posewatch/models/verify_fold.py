"""Whether a rewritten network gives what the published one gives, decoded by hand.

Both are run on the CPU over the same pictures: the published one with float pictures, its output
decoded here with NumPy; the rewritten one with bytes, alone and, if its batch is free, together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime

from posewatch.base.errors import ModelError
from posewatch.models.cards import DetectorNetwork, YoloxDecode
from posewatch.models.verify import probe_input

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from posewatch.models.cards import DetectionsDecode, Picture, PoseNetwork, SimccDecode

PICTURES = 2
_PIXELS = 0.01
"""How far a corner of a box may be from where NumPy finds it: a hundredth of an input pixel."""
_SCORE = 1e-4
"""How far a score may be, relative to the largest score of the picture or to 1."""

_HINT = "Please report this, with the versions of onnxruntime, onnx and numpy."


def verify_fold(published: Path, folded: Path, network: DetectorNetwork | PoseNetwork) -> None:
    """Compare a rewritten network with the published one.

    Raises:
        ModelError: one cannot be run, or they differ.
    """
    pictures = _pictures(network.input)
    outputs = _run_published(published, network, pictures)
    alone, together = _run_folded(folded, network, pictures)
    for index, output in enumerate(outputs):
        if isinstance(network, DetectorNetwork):
            _compare_people(network, output, alone[index])
        else:
            _compare_keypoints(network, output, alone[index])
    if together is None:
        return
    apart = np.abs(together[..., -1] - alone[..., -1]).max()
    if together.shape != alone.shape or not apart <= _SCORE * max(
        1.0, np.abs(alone[..., -1]).max()
    ):
        raise ModelError(f"{network.name} gives something else in a batch than alone", hint=_HINT)


def _pictures(picture: Picture) -> NDArray[np.uint8]:
    square = probe_input(max(picture.width, picture.height))
    return np.ascontiguousarray(square[:PICTURES, : picture.height, : picture.width])


def _session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4  # what fails is raised, and may be expected
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own exceptions have no common base
        raise ModelError(f"onnxruntime cannot load {path.name}: {error}", hint=_HINT) from error


def _run(
    session: onnxruntime.InferenceSession, what: str, batch: NDArray[Any]
) -> list[NDArray[Any]]:
    try:
        outputs: list[NDArray[Any]] = session.run(None, {session.get_inputs()[0].name: batch})
    except Exception as error:  # as above
        raise ModelError(f"{what} cannot be run: {error}", hint=_HINT) from error
    return outputs


def _run_published(
    path: Path, network: DetectorNetwork | PoseNetwork, pictures: NDArray[np.uint8]
) -> list[list[NDArray[Any]]]:
    """The outputs for each picture, without the batch axis."""
    picture = network.input
    ordered = pictures[..., ::-1] if picture.channels == "BGR" else pictures
    values = (ordered - np.array(picture.mean, np.float32)) / np.array(picture.std, np.float32)
    planes = np.ascontiguousarray(values.transpose(0, 3, 1, 2), np.float32)
    session = _session(path)
    fixed = session.get_inputs()[0].shape[0]
    rows = fixed if isinstance(fixed, int) else 1
    return [
        [output[0] for output in _run(session, network.member, np.repeat(one[None], rows, axis=0))]
        for one in planes
    ]


def _run_folded(
    path: Path, network: DetectorNetwork | PoseNetwork, pictures: NDArray[np.uint8]
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """The output for each picture alone; and for all together, where that can be."""
    session = _session(path)
    fixed = session.get_inputs()[0].shape[0]
    rows = fixed if isinstance(fixed, int) else 1
    what = f"the rewritten {network.member}"
    alone = np.stack(
        [_run(session, what, np.repeat(one[None], rows, axis=0))[0][0] for one in pictures]
    )
    if isinstance(fixed, int):
        return alone, None
    return alone, _run(session, what, pictures)[0]


def _compare_people(
    network: DetectorNetwork, published: Sequence[NDArray[Any]], folded: NDArray[np.float32]
) -> None:
    people = (
        yolox_people(published[0], network.input, network.decode)
        if isinstance(network.decode, YoloxDecode)
        else detected_people(published[0], published[1], network.decode)
    )
    expected = np.zeros_like(folded)
    best = people[np.argsort(-people[:, 4], kind="stable")][: len(folded)]
    expected[: len(best)] = best
    score = np.abs(folded[:, 4] - expected[:, 4]).max()
    # Rows of equal score may stand in another order, so each is looked for.
    sure = folded[folded[:, 4] > network.score]
    far = max(
        (float(np.abs(people[:, :4] - row[:4]).max(axis=1).min()) for row in sure), default=0.0
    )
    if not (score <= _SCORE and far <= _PIXELS):
        raise ModelError(
            f"The rewritten {network.member} gives other people than the published one:"
            f" scores {score:.2g}, boxes {far:.2g} px apart",
            hint=_HINT,
        )


def yolox_people(
    output: NDArray[np.float32], picture: Picture, decode: YoloxDecode
) -> NDArray[np.float32]:
    """Boxes and scores of people out of a raw output of YOLOX.

    Args:
        output: (cells, 5 + classes).
        picture: the input.
        decode: how to read it.

    Returns:
        (cells, 5): left, top, right, bottom in input pixels, score.
    """
    centres, sizes, start = [], [], 0
    for stride in decode.strides:
        rows, columns = picture.height // stride, picture.width // stride
        part = output[start : start + rows * columns]
        y, x = np.divmod(np.arange(len(part)), columns)
        centres.append((part[:, :2] + np.stack([x, y], axis=1)) * stride)
        sizes.append(np.exp(part[:, 2:4]) * stride)
        start += rows * columns
    if start != len(output):
        raise ModelError(f"The output has {len(output)} rows; these strides make {start}")
    centre, size = np.concatenate(centres), np.concatenate(sizes)
    score = output[:, 4] * output[:, 5 + decode.person]
    return np.column_stack([centre - size / 2, centre + size / 2, score]).astype(np.float32)


def detected_people(
    boxes: NDArray[np.float32], classes: NDArray[Any], decode: DetectionsDecode
) -> NDArray[np.float32]:
    """As `yolox_people`, out of a network that does its own suppression."""
    people = boxes.copy()
    people[classes != decode.person, 4] = 0.0
    return people


def _compare_keypoints(
    network: PoseNetwork, published: Sequence[NDArray[Any]], folded: NDArray[np.float32]
) -> None:
    if folded.shape != (network.keypoints, 3):
        raise ModelError(
            f"{network.member} finds {len(folded)} keypoints; its card says {network.keypoints}",
            hint=_HINT,
        )
    decode: SimccDecode = network.decode
    rows = np.arange(network.keypoints)
    highest = [along.max(axis=1) for along in published]
    limit = _SCORE * max(1.0, *(float(np.abs(values).max()) for values in highest))
    lower = 0.0
    for axis, along in enumerate(published[:2]):
        places = np.round(folded[:, axis] * decode.split).astype(int)
        # Of two peaks that are equal but for rounding, either will do.
        lower = max(lower, float((highest[axis] - along[rows, places]).max()))
    score = float(np.abs(folded[:, 2] - np.minimum(highest[0], highest[1])).max())
    if not (score <= limit and lower <= limit):
        raise ModelError(
            f"The rewritten {network.member} gives other keypoints than the published one:"
            f" scores {score:.2g}, peaks {lower:.2g} apart",
            hint=_HINT,
        )
