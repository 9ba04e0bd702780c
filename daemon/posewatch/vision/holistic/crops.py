"""Crops for the networks, straight from the full frame."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from posewatch.vision.holistic.networks import Network
    from posewatch.vision.holistic.regions import Region


def sampling(region: Region, size: int) -> NDArray[np.float64]:
    """The matrix (3, 3) that takes a pixel of the crop to its place in the image.

    Pixel (0, 0) of the crop lies on the region's corner, not half a pixel inside of it, as in
    MediaPipe.
    """
    step = region.side / size
    cos, sin = math.cos(region.angle), math.sin(region.angle)
    half = region.side / 2
    return np.array(
        [
            [step * cos, -step * sin, region.x - half * (cos - sin)],
            [step * sin, step * cos, region.y - half * (sin + cos)],
            [0.0, 0.0, 1.0],
        ]
    )


def cut(network: Network, places: Sequence[tuple[NDArray[np.uint8], Region]]) -> NDArray[np.uint8]:
    """Cut one crop from each image, bilinearly and with no smoothing before.

    Args:
        network: whose input the crops are.
        places: images (height, width, 3), and where to cut them.

    Returns:
        (len(places), size, size, 3).
    """
    batch = np.empty((len(places), network.size, network.size, 3), np.uint8)
    for (image, region), crop in zip(places, batch, strict=True):
        # The map is affine, but only warpPerspective rounds to the same 1/32 px as MediaPipe.
        cv2.warpPerspective(
            image,
            sampling(region, network.size),
            (network.size, network.size),
            dst=crop,
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE if network.border else cv2.BORDER_CONSTANT,
        )
    return batch


def stay_on_calling_thread() -> None:
    """Make OpenCV work on the thread that calls it, in the whole process.

    A crop takes a third of a millisecond: waking a pool of threads for it costs more than it
    gains, and with several videos in flight every core has work already. Called once, by whoever
    composes the process.
    """
    cv2.setNumThreads(1)
