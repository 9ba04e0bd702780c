"""Looking at a result: in words, and drawn over its video."""

from __future__ import annotations

import json
import math
import re
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from itertools import islice, pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from posewatch.base.errors import PosewatchError, SettingsError
from posewatch.formats.pose_npz import open_pose
from posewatch.formats.whole import whole_file
from posewatch.stages.recipe import Glimpse
from posewatch.vision import draw
from posewatch.vision.encode import VideoWriter
from posewatch.vision.skeleton import skeleton_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from posewatch.formats.pose_npz import OpenPose
    from posewatch.vision.decoder import Decoder, Video

_ROWS = 256
_BEGINNING = 8  # times as many frames are looked at for a glimpse
_SANE_FRAME = 20_000  # numbers: a dozen people
_TILES = 9
_TILE_PIXELS = 640
_GROUND = 24  # grey, so that the shadows of the lines are seen
_SAME_TIME = 0.001  # seconds by which the times of result and video may differ

_DIGEST = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Summary:
    """What a result holds.

    Attributes:
        frames: how many.
        seconds: from the first to the last of them.
        fps: frames per second on average; NaN where it is not known.
        width: of the pictures, in pixels.
        height: as `width`.
        keypoints: shape of one frame.
        found: for each part of the body, the share of frames in which it was found, 0 to 1.
        longest_gap: seconds of the longest run of frames in which nobody was found.
        provenance: how the file came to be, as its JSON says.
    """

    frames: int
    seconds: float
    fps: float
    width: int
    height: int
    keypoints: tuple[int, ...]
    found: dict[str, float]
    longest_gap: float
    provenance: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """For programs. An unknown rate is None: JSON has no NaN."""
        return asdict(self) | {"fps": self.fps if np.isfinite(self.fps) else None}

    def lines(self) -> Iterator[tuple[str, str]]:
        """For people: names and values."""
        rate = f"{self.fps:.3f}".rstrip("0").rstrip(".") if np.isfinite(self.fps) else "unknown"
        yield "frames", f"{self.frames:,}"
        yield "seconds", f"{self.seconds:,.3f}"
        yield "frames a second", rate
        yield "picture", f"{self.width} x {self.height}"
        yield "keypoints", " x ".join(str(length) for length in self.keypoints)
        for part, share in self.found.items():
            yield part, f"found in {share:.1%} of the frames"
        yield "longest gap", f"{self.longest_gap:.3f} s without anybody"
        for name, value in self.provenance.items():
            yield name.replace("_", " "), _in_words(value)


def _in_words(value: object) -> str:
    """Something out of JSON; digests are cut to what tells them apart."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {_in_words(inner)}" for name, inner in value.items())
    if isinstance(value, str):
        return f"{value[:12]}…" if _DIGEST.fullmatch(value) else value
    return json.dumps(value, ensure_ascii=False)


def summarise(result: Path) -> Summary:
    """Read a result once through. Needs little memory, however long it is.

    Raises:
        PoseFileError: it is no pose file.
    """
    with open_pose(result) as pose:
        found, times = _found(pose)
        head = pose.head
    skeleton = skeleton_of(head.points)
    names = ["anybody"] if skeleton is None else skeleton.parts
    provenance: object = {}
    with suppress(ValueError, RecursionError):
        provenance = json.loads(head.provenance)
    return Summary(
        frames=head.count,
        seconds=float(times[-1] - times[0]) if head.count else 0.0,
        fps=head.fps,
        width=head.size[0],
        height=head.size[1],
        keypoints=head.points,
        found={n: float(found[:, i].mean()) if head.count else 0.0 for i, n in enumerate(names)},
        longest_gap=longest_gap(np.logical_or.reduce(found, axis=1), times),
        provenance=provenance if isinstance(provenance, dict) else {},
    )


def _found(pose: OpenPose) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Which parts were found in each frame, (T, parts), and the times (T,)."""
    skeleton = skeleton_of(pose.head.points)
    slices = [slice(None)] if skeleton is None else list(skeleton.parts.values())
    found = np.zeros((pose.head.count, len(slices)), bool)
    times = np.zeros(pose.head.count)
    start = 0
    for block in pose.blocks(_ROWS):
        n = len(block.timestamps)
        there = (
            np.logical_and.reduce(np.isfinite(block.frames), axis=-1)
            if skeleton is None
            else skeleton.is_found(block.frames, block.confidences)
        )
        for index, part in enumerate(slices):
            found[start : start + n, index] = there[..., part].reshape(n, -1).any(axis=1)
        times[start : start + n] = block.timestamps
        start += n
    return found, times


def longest_gap(found: NDArray[np.bool_], times: NDArray[np.float64]) -> float:
    """Seconds of the longest run of frames without a finding.

    A run lasts from its first frame to the next frame with a finding, or to the last frame.

    Args:
        found: (T,) bool.
        times: (T,) seconds.
    """
    longest = 0.0
    begun: float | None = None
    for finding, time in zip(found, times, strict=True):
        if begun is not None:
            longest = max(longest, float(time) - begun)
        if finding:
            begun = None
        elif begun is None:
            begun = float(time)
    return longest


def video_beside(result: Path, suffixes: tuple[str, ...]) -> Path:
    """The video that a result was made from, by its name.

    Args:
        result: `0042.pose-mediapipe.npz`.
        suffixes: of videos, in lower case: `.mp4`.

    Raises:
        SettingsError: there is none beside it.
    """
    stem = result.name.rpartition(".pose-")[0]
    beside = sorted(
        path
        for path in result.parent.iterdir()
        if stem and path.stem == stem and path.suffix.lower() in suffixes
    )
    if not beside:
        raise SettingsError(
            f"the video of {result.name} is not beside it", hint="Name it with --video"
        )
    return beside[0]


def render(
    result: Path,
    video: Path,
    output: Path,
    decoder: Decoder,
    progress: Callable[[int, int | None], None],
) -> None:
    """Draw a result over its video: all of it (`.mp4`), or some frames side by side (`.png`).

    Args:
        result: the pose file.
        video: what it was made from.
        output: replaced at the end, if it is there.
        decoder: reads the video.
        progress: told of frames done, and of all frames.

    Raises:
        SettingsError: `output` is neither `.mp4` nor `.png`, or it is the video itself.
        PoseFileError: `result` is no pose file.
        InputError: the video cannot be read.
        PosewatchError: the result is not one of this video, or nothing that can be drawn.
    """
    suffix = output.suffix.lower()
    if suffix not in {".mp4", ".png"}:
        raise SettingsError(f"{output.name} is neither a .mp4 nor a .png")
    if output.exists() and video.exists() and output.samefile(video):
        raise SettingsError(
            f"{output} is the video itself, which would be lost", hint="Choose another name"
        )
    with (
        whole_file(output, replace=True) as part,
        open_pose(result) as pose,
        decoder.open(video) as opened,
    ):
        if suffix == ".mp4":
            _render_video(pose, opened, part, progress)
        else:
            found, _ = _found(pose)
            _render_sheet(pose, opened, part, choose(found, _TILES), progress)


def choose(found: NDArray[np.bool_], count: int) -> list[int]:
    """Frames that show what a video is like.

    The video is cut into `count` equal pieces. Of each, the frame in which the most parts were
    found is taken; of several such, the one closest to the middle.

    Args:
        found: (T, parts) bool.
        count: how many frames at most.

    Returns:
        Indices of frames, in order.
    """
    total = len(found)
    edges = np.linspace(0, total, min(count, total) + 1).round().astype(int)
    score = found.sum(axis=1)
    chosen = []
    for start, end in pairwise(edges):
        best = start + np.flatnonzero(score[start:end] == score[start:end].max())
        chosen.append(int(best[np.abs(2 * best - start - end + 1).argmin()]))
    return chosen


def _drawn(
    pose: OpenPose, video: Video, wanted: Callable[[int], bool]
) -> Iterator[tuple[int, float, NDArray[np.uint8] | None]]:
    """Number, time and (where wanted) the drawn picture of each frame."""
    skeleton = skeleton_of(pose.head.points)
    if skeleton is None:
        raise PosewatchError("the result holds other keypoints than can be drawn")
    rows = (
        (block.frames[i], block.confidences[i], float(block.timestamps[i]))
        for block in pose.blocks(_ROWS)
        for i in range(len(block.timestamps))
    )
    number = 0
    for chunk in video.chunks(16):
        for image, time in zip(chunk.images, chunk.times, strict=True):
            row = next(rows, None)
            if row is None or abs(row[2] - time) > _SAME_TIME:
                raise PosewatchError(
                    f"the result is not one of this video: they differ from frame {number:,} on"
                )
            picture = None
            if wanted(number):
                picture = image.copy()
                for points, confidences in _people(row[0], row[1]):
                    draw.draw_skeleton(picture, points, confidences, skeleton)
            yield number, float(time), picture
            number += 1
    if next(rows, None) is not None:
        raise PosewatchError(
            f"the result is not one of this video: it has more than its {number:,} frames"
        )


def _people(
    points: NDArray[np.float32], confidences: NDArray[np.float32]
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Each person of a frame: (keypoints, coordinates) and (keypoints,)."""
    single = points.reshape(-1, *points.shape[-2:])
    yield from zip(single, confidences.reshape(len(single), -1), strict=True)


def glimpse(result: Path) -> Glimpse | None:
    """What was found in a frame at the beginning of a result.

    None where nobody was, or where a frame is larger than any of ours: the file may be anybody's.

    Raises:
        PoseFileError: it is no pose file.
    """
    found: Glimpse | None = None
    start = 0
    with open_pose(result) as pose:
        if math.prod(pose.head.points) > _SANE_FRAME:
            return None
        for block in islice(pose.blocks(_ROWS), _BEGINNING):
            seen = Glimpse.of(block.frames, block.confidences, pose.head.size, start)
            found, start = seen or found, start + len(block.timestamps)
    return found


def picture(glimpse: Glimpse) -> bytes:
    """The skeletons of one frame on a dark ground, as PNG. Nothing of the video is in it."""
    width, height = glimpse.size
    scale = min(_TILE_PIXELS / max(width, height, 1), 1.0)
    shape = (max(1, round(height * scale)), max(1, round(width * scale)), 3)
    image = np.full(shape, _GROUND, np.uint8)
    skeleton = skeleton_of(glimpse.points.shape)
    if skeleton is not None:
        for points, confidences in _people(glimpse.points, glimpse.confidences):
            draw.draw_skeleton(image, points, confidences, skeleton)
    return draw.png(image)


def _render_video(
    pose: OpenPose, video: Video, path: Path, progress: Callable[[int, int | None], None]
) -> None:
    size = (video.info.width, video.info.height)
    with VideoWriter(path, size, pose.head.fps) as writer:
        for number, time, picture in _drawn(pose, video, lambda _: True):
            if picture is not None:
                writer.write(picture, time)
            progress(number + 1, pose.head.count)
        writer.finish()


def _render_sheet(
    pose: OpenPose,
    video: Video,
    path: Path,
    chosen: list[int],
    progress: Callable[[int, int | None], None],
) -> None:
    if not chosen:
        raise PosewatchError("there is no frame to draw")
    tiles = []
    wanted = frozenset(chosen)
    for number, time, picture in _drawn(pose, video, wanted.__contains__):
        if picture is not None:
            tile = draw.fit(picture, _TILE_PIXELS)
            draw.label(tile, f"{time:.2f} s")
            tiles.append(tile)
        progress(number + 1, pose.head.count)
    draw.write_png(path, draw.contact_sheet(tiles))
