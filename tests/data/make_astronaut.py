"""Make astronaut.mp4 and what MediaPipe says about it (astronaut.*.npz).

    python tests/data/make_astronaut.py astronaut.png

in an environment of its own with mediapipe==0.10.21 (Python 3.11) and av. The photo is NASA's
portrait of Eileen Collins, in the public domain, as `skimage/data/astronaut.png` of the
scikit-image 0.26.0 wheel. It shows no hands, so two are drawn onto it; MediaPipe finds them.

The recorded streams have MediaPipe's own names, `__` replaced by `.`; rectangles are (x, y, width,
height, rotation), normalised by the image's size.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

HERE = Path(__file__).parent
FRAMES = 24
SIZE = 480
FPS = 25
SKIN, CREASE = (222, 170, 140), (150, 95, 75)
SUIT, SEAM = (222, 90, 45), (150, 50, 25)
GONE = (8, 9)  # frames without the person
NO_HANDS = (18,)  # frames of the photo alone

HANDS = "handlandmarksleftandrightcpu__"
FACE = "facelandmarksfromposecpu__"
POSE = "poselandmarkcpu__"
RECTANGLES = (
    f"{POSE}pose_rect",
    "pose_landmarks_roi",
    *(
        f"{HANDS}{side}_hand_{kind}"
        for side in ("right", "left")
        for kind in ("roi_from_pose", "roi_from_recrop", "tracking_roi")
    ),
    f"{FACE}face_roi_from_pose",
    f"{FACE}face_roi_from_detection",
    f"{FACE}face_tracking_roi",
)
LANDMARKS = {
    "pose_landmarks": 33,
    "right_hand_landmarks": 21,
    "left_hand_landmarks": 21,
    "face_landmarks": 468,
    f"{POSE}unfiltered_pose_landmarks": 33,
    f"{POSE}unfiltered_auxiliary_landmarks": 2,
    f"{POSE}auxiliary_landmarks": 2,
}


def limb(
    image: NDArray[np.uint8],
    ends: Sequence[tuple[float, float]],
    width: float,
    colours: tuple[tuple[int, int, int], tuple[int, int, int]],
    edge: float,
) -> None:
    """A line with round ends and an edge."""
    (x0, y0), (x1, y1) = ends
    start, end = (round(x0), round(y0)), (round(x1), round(y1))
    cv2.line(image, start, end, colours[1], int(width + 2 * edge), cv2.LINE_AA)
    cv2.line(image, start, end, colours[0], int(width), cv2.LINE_AA)


def draw_hand(
    image: NDArray[np.uint8], wrist: tuple[float, float], angle: float, size: float, side: int
) -> None:
    """An open hand, its palm to the viewer; `size` px from the wrist to the longest finger tip."""
    cos, sin = math.cos(angle), math.sin(angle)
    edge = max(1.0, size * 0.012)
    skin = (SKIN, CREASE)

    def at(x: float, y: float) -> tuple[float, float]:
        return (
            wrist[0] + (side * x * cos + y * sin) * size,
            wrist[1] + (side * x * sin - y * cos) * size,
        )

    def crease(*points: tuple[float, float]) -> None:
        corners = np.round([at(*point) for point in points]).astype(np.int32)
        cv2.polylines(image, [corners], False, CREASE, max(1, int(edge)), cv2.LINE_AA)  # noqa: FBT003 - cv2 takes it by position only

    fingers = (
        ((0.17, 0.5), (0.24, 0.85), 0.085),
        ((0.055, 0.53), (0.075, 1.0), 0.09),
        ((-0.06, 0.52), (-0.075, 0.95), 0.085),
        ((-0.165, 0.46), (-0.22, 0.78), 0.075),
    )
    limb(image, (at(0, -0.25), at(0, 0.05)), size * 0.25, skin, edge)
    for base, tip, width in fingers:
        limb(image, (at(*base), at(*tip)), size * width, skin, edge)
    for base, tip in (((0.17, 0.15), (0.33, 0.36)), ((0.33, 0.36), (0.42, 0.55))):
        limb(image, (at(*base), at(*tip)), size * 0.1, skin, edge)
    palm = [(-0.16, 0.02), (-0.22, 0.3), (-0.2, 0.5), (0.2, 0.54), (0.21, 0.3), (0.14, 0.02)]
    cv2.fillPoly(
        image, [np.round([at(*point) for point in palm]).astype(np.int32)], SKIN, cv2.LINE_AA
    )
    crease(*palm[:3])
    limb(image, (at(0.17, 0.15), at(0.3, 0.33)), size * 0.09, (SKIN, SKIN), 0)
    for (x0, y0), (x1, y1), width in fingers:
        joint = (x0 + (x1 - x0) * 0.2, y0 + (y1 - y0) * 0.2)
        limb(image, (at(x0, y0), at(*joint)), size * width * 0.9, (SKIN, SKIN), 0)
        for part in (0.45, 0.72):
            x, y = x0 + (x1 - x0) * part, y0 + (y1 - y0) * part
            crease((x - width * 0.3, y), (x + width * 0.3, y))
    crease((0.15, 0.42), (0.0, 0.36), (-0.17, 0.4))
    crease((0.18, 0.38), (0.04, 0.28), (0.02, 0.06))


def draw_arms(photo: NDArray[np.uint8], time: float) -> NDArray[np.uint8]:
    """The photo with two raised arms that wave."""
    image = photo.copy()
    suit = (SUIT, SEAM)
    for shoulder, elbow, wrist, side in (
        (
            (330, 300),
            (425, 400 + 10 * math.sin(time)),
            (430 + 14 * math.sin(1.3 * time), 270 + 8 * math.cos(time)),
            -1,
        ),
        ((80, 300), (40, 420), (60 + 12 * math.sin(time), 290 + 8 * math.sin(0.7 * time)), 1),
    ):
        limb(image, (shoulder, elbow), 66, suit, 2)
        limb(image, (elbow, wrist), 52, suit, 2)
        draw_hand(image, (wrist[0], wrist[1] - 20), -0.1 * side * math.sin(time), 120, side)
    return image


def frame(photo: NDArray[np.uint8], number: int) -> NDArray[np.uint8]:
    """One frame of the clip: the camera sways, turns and zooms."""
    if number in GONE:
        return np.zeros((SIZE, SIZE, 3), np.uint8)
    image = photo if number in NO_HANDS else draw_arms(photo, 0.4 * number)
    turned = 6 * math.sin(0.4 * number)
    zoom = 0.95 + 0.08 * math.sin(0.3 * number)
    matrix = cv2.getRotationMatrix2D((256, 256), turned, zoom)
    matrix[:, 2] += SIZE / 2 - 256 + 8 * math.cos(0.5 * number)
    return cv2.warpAffine(image, matrix, (SIZE, SIZE), borderMode=cv2.BORDER_REFLECT_101)


def encode(frames: Sequence[NDArray[np.uint8]], path: Path) -> None:
    """Write an H.264 file: small, and its decoding is exact by definition."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"crf": "20", "threads": "1"})
        stream.width = stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        for image in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())


def watch(images: NDArray[np.uint8], *, static: bool) -> dict[str, NDArray[np.float32]]:
    """What MediaPipe Holistic says about the images, inside and out."""
    import mediapipe as mp  # noqa: PLC0415 - only this function needs it
    from mediapipe.python import packet_creator, packet_getter  # noqa: PLC0415
    from mediapipe.python._framework_bindings import calculator_graph  # noqa: PLC0415
    from mediapipe.python.solutions import holistic  # noqa: PLC0415

    solution = holistic.Holistic(static_image_mode=static)
    graph = calculator_graph.CalculatorGraph(graph_config=solution._graph.text_config)
    said = {name: np.full((len(images), 5), np.nan, np.float32) for name in RECTANGLES}
    said |= {
        name: np.full((len(images), count, 4), np.nan, np.float32)
        for name, count in LANDMARKS.items()
    }
    number = 0

    def rectangle(name: str, packet: Any) -> None:  # noqa: ANN401 - mediapipe has no types
        r = packet_getter.get_proto(packet)
        said[name][number] = (r.x_center, r.y_center, r.width, r.height, r.rotation)

    def landmarks(name: str, packet: Any) -> None:  # noqa: ANN401
        said[name][number] = [
            (p.x, p.y, p.z, p.visibility) for p in packet_getter.get_proto(packet).landmark
        ]

    for name in RECTANGLES:
        graph.observe_output_stream(name, rectangle)
    for name in LANDMARKS:
        graph.observe_output_stream(name, landmarks)
    graph.start_run(
        {
            "model_complexity": packet_creator.create_int(1),
            "smooth_landmarks": packet_creator.create_bool(not static),
            "use_prev_landmarks": packet_creator.create_bool(not static),
            "enable_segmentation": packet_creator.create_bool(False),  # noqa: FBT003
            "smooth_segmentation": packet_creator.create_bool(False),  # noqa: FBT003
            "refine_face_landmarks": packet_creator.create_bool(False),  # noqa: FBT003
        }
    )
    for number, image in enumerate(images):
        packet = packet_creator.create_image_frame(image_format=mp.ImageFormat.SRGB, data=image)
        graph.add_packet_to_input_stream("image", packet.at((number + 1) * 33_333))
        graph.wait_until_idle()
    return {name.replace("__", "."): values for name, values in said.items()}


def main(photo: str) -> None:
    """Make everything."""
    sys.path.insert(0, str(HERE.parent))
    import astronaut  # noqa: PLC0415 - tests/astronaut.py

    image = cv2.cvtColor(cv2.imread(photo), cv2.COLOR_BGR2RGB)
    encode([frame(image, number) for number in range(FRAMES)], astronaut.CLIP)
    images = astronaut.frames()
    for mode in ("static", "tracking"):
        said = watch(images, static=mode == "static")
        if mode == "static":
            said = {name: said[name] for name in list(LANDMARKS)[:4]}
        np.savez_compressed(astronaut.golden_path(mode), **said)


if __name__ == "__main__":
    main(sys.argv[1])
