"""The six networks of MediaPipe Holistic that are used, and the crops they take."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Network:
    """One of them.

    Attributes:
        name: as the model card and the engine know it.
        size: width and height of its square input, px.
        border: whether pixels outside the image are those of its edge (True) or black (False).
    """

    name: str
    size: int
    border: bool


POSE_DETECTION = Network("pose_detection", 224, border=False)
POSE_LANDMARK = Network("pose_landmark", 256, border=True)
HAND_RECROP = Network("hand_recrop", 256, border=True)
HAND_LANDMARK = Network("hand_landmark", 224, border=True)
FACE_DETECTION = Network("face_detection", 128, border=False)
FACE_LANDMARK = Network("face_landmark", 192, border=True)
