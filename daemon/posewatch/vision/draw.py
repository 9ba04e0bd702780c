"""Skeletons over pictures, and pictures side by side."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import cv2
import numpy as np

from posewatch.vision.skeleton import HOLISTIC, Colour

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from posewatch.vision.skeleton import Skeleton

    Image = NDArray[np.uint8]

_FRACTION_BITS = 4  # of a pixel, for smooth lines
_SHADOW = (0, 0, 0)
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def draw_skeleton(
    image: Image,
    points: NDArray[np.float32],
    confidences: NDArray[np.float32],
    skeleton: Skeleton = HOLISTIC,
) -> None:
    """Draw one person.

    Args:
        image: (H, W, 3) uint8, RGB; drawn on in place.
        points: (keypoints, 2 or more) x and y in 0..1 of the picture; what was not found is left
            out.
        confidences: (keypoints,); guesses are left out, see `Skeleton`.
        skeleton: what is joined to what.

    Raises:
        ValueError: the shapes do not fit.
    """
    count = skeleton.keypoints
    if points.ndim != 2 or len(points) != count or confidences.shape != (count,):
        raise ValueError(
            f"points {points.shape} and confidences {confidences.shape} "
            f"are not ({count}, 2 or 3) and ({count},)"
        )
    height, width = image.shape[:2]
    # Far outside, OpenCV's integers would overflow.
    places = np.clip(points[:, :2].astype(np.float64), -10, 10) * (width, height)
    found = skeleton.is_found(points[:, :2], confidences)
    shown = found.copy()
    shown[skeleton.guessed] &= confidences[skeleton.guessed] >= skeleton.sure
    thickness = max(1, round(min(width, height) / 300))
    fixed = np.round(np.nan_to_num(places) * (1 << _FRACTION_BITS)).astype(np.int32)
    for chain in skeleton.chains:
        if chain.instead_of is not None and found[chain.instead_of].any():
            continue
        lines = _pieces(chain.points, fixed, shown)
        if chain.colour is Colour.FACE:
            _draw_lines(image, lines, chain.colour.value, max(1, thickness // 2))
        else:
            _draw_lines(image, lines, _SHADOW, thickness + 2)
            _draw_lines(image, lines, chain.colour.value, thickness)


def _draw_lines(
    image: Image, lines: list[NDArray[np.int32]], colour: tuple[int, int, int], thickness: int
) -> None:
    cv2.polylines(
        image,
        lines,
        isClosed=False,
        color=colour,
        thickness=thickness,
        lineType=cv2.LINE_AA,
        shift=_FRACTION_BITS,
    )


def _pieces(
    chain: Sequence[int], places: NDArray[np.int32], shown: NDArray[np.bool_]
) -> list[NDArray[np.int32]]:
    """The chain, cut where a point is not shown."""
    pieces: list[list[NDArray[np.int32]]] = [[]]
    for point in chain:
        if shown[point]:
            pieces[-1].append(places[point])
        elif pieces[-1]:
            pieces.append([])
    return [np.array(piece) for piece in pieces if len(piece) > 1]


def fit(image: Image, longest: int) -> Image:
    """The picture, made smaller until its longest side is at most `longest` pixels."""
    height, width = image.shape[:2]
    scale = longest / max(height, width)
    if scale >= 1:
        return image
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def label(image: Image, text: str) -> None:
    """Write into the lower left corner."""
    height, width = image.shape[:2]
    scale = max(0.3, min(width, height) / 500)
    at = (round(8 * scale), height - round(10 * scale))
    for colour, extra in ((_SHADOW, 3), ((255, 255, 255), 0)):
        thickness = max(1, round(1.5 * scale)) + extra
        cv2.putText(image, text, at, _FONT, scale, colour, thickness, cv2.LINE_AA)


def contact_sheet(images: Sequence[Image], gap: int = 4) -> Image:
    """Pictures of one size in a grid with about as many lines as columns.

    Args:
        images: (H, W, 3) uint8 each; at least one.
        gap: pixels between them, white.
    """
    height, width = images[0].shape[:2]
    columns = math.ceil(math.sqrt(len(images)))
    lines = math.ceil(len(images) / columns)
    sheet = np.full((lines * (height + gap) - gap, columns * (width + gap) - gap, 3), 255, np.uint8)
    for number, image in enumerate(images):
        top, left = number // columns * (height + gap), number % columns * (width + gap)
        sheet[top : top + height, left : left + width] = image
    return sheet


def write_png(path: Path, image: Image) -> None:
    """Write an RGB picture.

    Raises:
        OSError: it could not be written.
    """
    path.write_bytes(png(image))


def png(image: Image) -> bytes:
    """An RGB picture as PNG."""
    _, data = cv2.imencode(".png", image[..., ::-1])
    return data.tobytes()
