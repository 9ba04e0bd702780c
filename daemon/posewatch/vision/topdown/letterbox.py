"""Whole frames for a detector."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def scale(size: tuple[int, int], into: tuple[int, int]) -> float:
    """By how much a picture of `size` (width, height) is made smaller or larger to fit."""
    return min(into[0] / size[0], into[1] / size[1])


def letterbox(
    images: Sequence[NDArray[np.uint8]], into: tuple[int, int], fill: int
) -> NDArray[np.uint8]:
    """Fit pictures into the top left corner of a detector's input.

    As in YOLOX's demo: sides are cut to whole pixels, bilinear without smoothing before.

    Args:
        images: (height, width, 3) each, all of one size.
        into: width and height of the input.
        fill: value of what is left over.

    Returns:
        (len(images), into[1], into[0], 3).
    """
    batch = np.full((len(images), into[1], into[0], 3), fill, np.uint8)
    for image, place in zip(images, batch, strict=True):
        height, width = image.shape[:2]
        factor = scale((width, height), into)
        # A very long picture would vanish.
        small = (max(1, int(width * factor)), max(1, int(height * factor)))
        # A view of rows that are longer than the picture: OpenCV cannot write into it.
        place[: small[1], : small[0]] = cv2.resize(image, small, interpolation=cv2.INTER_LINEAR)
    return batch
