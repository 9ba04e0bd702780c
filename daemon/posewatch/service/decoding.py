"""From settings to what decodes: the CPU, or GPUs that have shown that they can."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from posewatch.base.errors import (
    DecoderCrashedError,
    HardwareFailedError,
    InputError,
    ModelError,
)
from posewatch.base.logs import fields
from posewatch.vision.encode import VideoWriter
from posewatch.vision.gpus import choose, find_gpus
from posewatch.vision.hardware import check_build
from posewatch.vision.video import DecodedBy

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from posewatch.config import DecodeSettings, WorkSettings
    from posewatch.vision.decoder import Decoder
    from posewatch.vision.gpus import Gpu

log = logging.getLogger(__name__)

_SIZE = (320, 240)  # above the smallest that NVDEC takes of any codec
_FRAMES = 30
_HINT = "Set decode.device = cpu, or, where CUDA has no memory, raise decode.memory_bytes"
_LIBRARY = "libnvcuvid.so.1"
_LIBRARY_HINT = f"In a container, {_LIBRARY} needs NVIDIA_DRIVER_CAPABILITIES=compute,utility,video"


def open_decoding(
    decode: DecodeSettings, work: WorkSettings, make: Callable[[str], Decoder]
) -> tuple[str, ...]:
    """Try what the settings say, with a video whose pictures are known.

    The CPU decodes it as well: a GPU has to give the same pictures, bit by bit.

    Args:
        decode: what decodes.
        work: which GPUs.
        make: makes a decoder with such a name; that of the CPU is empty.

    Returns:
        Names of what decodes, for `Decoder`, to be used in turn; one at least.

    Raises:
        ModelError: a GPU cannot be used; the message says why.
    """
    if decode.device == "cpu":
        return ("",)
    check_build()
    gpus = choose(find_gpus(), work.gpus)
    with tempfile.TemporaryDirectory(prefix="posewatch-") as folder:
        video = Path(folder, "trial.mp4")
        _write(video)
        _, expected = _read(video, "", make)
        names = tuple(_tried(gpu, video, expected, make) for gpu in gpus)
    log.info("GPUs decode", extra=fields(device=", ".join(names)))
    return names


def _tried(
    gpu: Gpu, video: Path, expected: NDArray[np.uint8], make: Callable[[str], Decoder]
) -> str:
    name = f"{DecodedBy.NVDEC}:{gpu.number}"
    try:
        fallback, pictures = _read(video, name, make)
    except (HardwareFailedError, DecoderCrashedError, InputError) as error:
        fallback = error.message
    else:
        if not fallback and not np.array_equal(pictures, expected):
            fallback = "its pictures are not those of the CPU"
    if fallback:
        raise ModelError(
            f"GPU {gpu.number}, {gpu}, cannot decode: {fallback}",
            hint=_LIBRARY_HINT if _LIBRARY in fallback else _HINT,
        )
    return name


def _write(path: Path) -> None:
    """A video in which something moves, in H.264 as most videos are: pictures out of order."""
    width, height = _SIZE
    y, x = np.mgrid[:height, :width]
    with VideoWriter(path, _SIZE, 25.0) as writer:
        for number in range(_FRAMES):
            rings = np.hypot(x - width / 2 - 3 * number, y - height / 2)
            image = np.stack([rings, x + 5 * number, y * rings / 64], axis=-1)
            writer.write((image % 256).astype(np.uint8), number / 25)
        writer.finish()


def _read(path: Path, name: str, make: Callable[[str], Decoder]) -> tuple[str, NDArray[np.uint8]]:
    """Why the CPU decoded it although a GPU was to, and the pictures."""
    with make(name) as decoder, decoder.open(path) as video:
        pictures = [chunk.images.copy() for chunk in video.chunks(_FRAMES)]
        return video.info.fallback, np.concatenate(pictures)
