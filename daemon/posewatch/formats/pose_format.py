"""`.pose` files, version 0.2, which the library pose-format reads (and sign.mt, and others).

A header with the size of the pictures and the components of a person; then frames a second, the
number of frames and of people; then all coordinates in pixels, then all confidences, in float32.
A keypoint with the confidence 0 counts as missing.

Behind all that, where readers do not look any more, stands what a pose file says of itself, so that
a file of ours is known from one that somebody else has put there.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from posewatch.formats.pose_npz import PoseFileError, open_pose

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from posewatch.formats.pose_npz import PoseRows

VERSION = 0.2
_AXES = "XYZ"
_ROWS = 1024
_MOST = 0xFFFF
"""The largest picture, in pixels, and the most of anything that is counted in 16 bits."""
_MARK = b"posewatch"
_LENGTH = struct.Struct("<I")
_PROVENANCE_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Component:
    """A run of keypoints.

    Attributes:
        name: for readers.
        start: its first keypoint in the pose file.
        points: names of its keypoints.
        limbs: pairs of them that are joined by a line, by their places in `points`.
        colours: RGB of each limb, or one for all.
        certain: whether what was found is sure, so that its confidence is 1; else confidences are
            as they are.
    """

    name: str
    start: int
    points: tuple[str, ...]
    limbs: tuple[tuple[int, int], ...]
    colours: tuple[tuple[int, int, int], ...]
    certain: bool = False


def write_pose_format(npz: Path, path: Path, components: Sequence[Component]) -> None:
    """Write what is in a pose file as a `.pose` file. Needs little memory, however long it is.

    Args:
        npz: the pose file.
        path: of the `.pose` file.
        components: in the order in which they are to be written.

    Raises:
        PoseFileError: the pose file is none, or its pictures are larger than 65,535 px.
        OSError: the disk is full, say.
    """
    order = np.concatenate([part.start + np.arange(len(part.points)) for part in components])
    certain = np.concatenate([np.full(len(part.points), part.certain) for part in components])
    with open_pose(npz) as pose, path.open("wb") as file:
        head = pose.head
        if max(head.size) > _MOST:
            raise PoseFileError(f"{head.size} is too large for a .pose file")
        people = head.points[0] if len(head.points) == 3 else 1
        form = _AXES[: head.points[-1]] + "C"
        file.write(struct.pack("<f4H", VERSION, *head.size, 0, len(components)))
        for part in components:
            _write_component(file, part, form)
        fps = 0.0 if math.isnan(head.fps) else head.fps
        file.write(struct.pack("<fIH", fps, head.count, people))
        for block in pose.blocks(_ROWS):
            file.write(_found(block, order, certain, head.size)[0].tobytes())
        for block in pose.blocks(_ROWS):
            file.write(_found(block, order, certain, head.size)[1].tobytes())
        told = head.provenance.encode()
        file.write(told + _LENGTH.pack(len(told)) + _MARK)


def read_pose_format_provenance(path: Path) -> str:
    """How a `.pose` file that posewatch has written came to be. Safe on any file.

    Raises:
        PoseFileError: posewatch has not written it.
    """
    tail = _LENGTH.size + len(_MARK)
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - tail))
            end = file.read(tail)
            length = _LENGTH.unpack_from(end)[0] if end.endswith(_MARK) and size >= tail else None
            if length is None or not length <= min(_PROVENANCE_BYTES, size - tail):
                raise PoseFileError(f"{path.name} is not a .pose file of posewatch")
            file.seek(size - tail - length)
            return file.read(length).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise PoseFileError(f"{path.name} cannot be read: {error}") from error


def _write_component(file: BinaryIO, part: Component, form: str) -> None:
    for text in (part.name, form):
        _write_text(file, text)
    counts = len(part.points), len(part.limbs), len(part.colours)
    file.write(struct.pack("<3H", *counts))
    for name in part.points:
        _write_text(file, name)
    file.writelines(struct.pack("<2H", *pair) for pair in part.limbs)
    file.writelines(struct.pack("<3H", *colour) for colour in part.colours)


def _write_text(file: BinaryIO, text: str) -> None:
    data = text.encode()
    file.write(struct.pack("<H", len(data)) + data)


def _found(
    block: PoseRows,
    order: NDArray[np.intp],
    certain: NDArray[np.bool_],
    size: tuple[int, int],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Coordinates in pixels (z as it is) and confidences; both 0 for what was not found."""
    frames = block.frames[..., order, :].astype(np.float64)
    frames[..., :2] *= size
    confidences = np.nan_to_num(block.confidences[..., order], nan=0.0)
    missing = np.isnan(frames).any(axis=-1) | (block.frames[..., order, :2] == -1).all(axis=-1)
    confidences = np.where(certain, 1.0, confidences)
    confidences[missing] = 0.0
    frames[missing] = 0.0
    return frames.astype("<f4"), confidences.astype("<f4")
