"""Clips for following.py: what cameras, people and encoders do to a video, drawn by a seed."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import av
import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.random import Generator
    from numpy.typing import NDArray

    Image = NDArray[np.uint8]

SECONDS = 6.0
"""How long a made clip is: one turn of the detector and a half."""

KEYED = 40
"""Levels by which somebody who is cut out differs from the picture's upper corners."""


@dataclass(frozen=True, slots=True)
class Clip:
    """Frames of one size, (height, width, 3) RGB each, and how many are shown in a second."""

    frames: Sequence[Image]
    fps: float

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        height, width = self.frames[0].shape[:2]
        return width, height

    def lasting(self, seconds: float) -> Clip:
        """To and fro, until that much time has passed."""
        there = [*self.frames, *self.frames[-2:0:-1]]
        count = round(seconds * self.fps)
        return Clip([there[number % len(there)] for number in range(count)], self.fps)

    def each(self, change: Callable[[Image, float], Image]) -> Clip:
        """Each frame changed; the second argument is its time in seconds."""
        return Clip(
            [change(f, number / self.fps) for number, f in enumerate(self.frames)], self.fps
        )


def read(video: Path) -> Clip:
    """All frames of a video."""
    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
        return Clip(frames, float(stream.average_rate or 25))


def moved(clip: Clip) -> Iterator[tuple[str, Clip]]:
    """What a camera that moves would have seen: of such clips `auto` was made."""
    longer = Clip(clip.frames, 25).lasting(7.2)
    ways: dict[str, Callable[[float], tuple[float, float, float]]] = {
        "pans": lambda n: (250 * np.sin(n / 25), 20 * np.sin(n / 9), 0.9),
        "zooms": lambda n: (0, 0, 0.75 + 0.45 * np.sin(n / 30)),
        "shakes": lambda n: (*np.random.default_rng(round(n)).normal(0, 4, 2), 0.9),
    }
    for name, way in ways.items():
        yield name, longer.each(lambda frame, time, way=way: _on_grey(frame, *way(25 * time)))


def _on_grey(frame: Image, x: float, y: float, zoom: float) -> Image:
    """A frame on grey of 1280 by 720, moved from the middle by x and y, and larger by `zoom`."""
    (height, width), (wide, high) = frame.shape[:2], (1280, 720)
    left, top = wide / 2 + x - zoom * width / 2, high / 2 + y - zoom * height / 2
    matrix = np.array([[zoom, 0, left], [0, zoom, top]])
    return _image(cv2.warpAffine(frame, matrix, (wide, high), borderValue=(90, 90, 90)))


def made(clip: Clip, other: Clip, seed: Sequence[int]) -> Iterator[tuple[str, Clip]]:
    """A clip of each kind.

    Args:
        clip: with somebody in it.
        other: the same with somebody else, who comes into two of the clips.
        seed: of all that is left to chance.
    """
    longer = clip.lasting(SECONDS)
    for number, (name, kind) in enumerate(KINDS.items()):
        yield name, kind(longer, np.random.default_rng([*seed, number]))
    for number, (name, behind) in enumerate({"crossed": False, "passed behind": True}.items()):
        passed = other.lasting(SECONDS)
        rng = np.random.default_rng([*seed, len(KINDS) + number])
        yield name, _passed(longer, passed, rng, behind=behind)


def _slow(clip: Clip, _: Generator) -> Clip:
    """At half the speed, frames between two being half of each."""
    pairs = zip(clip.frames, clip.frames[1:], strict=False)
    between = [_image(cv2.addWeighted(one, 0.5, two, 0.5, 0)) for one, two in pairs]
    frames = [frame for pair in zip(clip.frames, between, strict=False) for frame in pair]
    return Clip(frames[: len(clip.frames)], clip.fps)


def _fast(times: int) -> Callable[[Clip, Generator], Clip]:
    def kind(clip: Clip, _: Generator) -> Clip:
        return Clip(clip.frames[::times], clip.fps).lasting(SECONDS / 2)

    return kind


def _at(fps: float) -> Callable[[Clip, Generator], Clip]:
    """As a recorder of another rate has it: frames fall out, or come twice."""

    def kind(clip: Clip, _: Generator) -> Clip:
        count = int(len(clip.frames) * fps / clip.fps)
        return Clip([clip.frames[int(n * clip.fps / fps)] for n in range(count)], fps)

    return kind


def _small(clip: Clip, rng: Generator) -> Clip:
    """A part of the picture, with few pixels."""
    width, height = clip.size
    part, zoom = rng.uniform(0.7, 0.95), rng.uniform(0.25, 0.6)
    left, top = (int(rng.uniform(0, 1 - part) * side) for side in (width, height))
    right, bottom = left + int(part * width), top + int(part * height)
    size = int(zoom * (right - left)), int(zoom * (bottom - top))
    return clip.each(
        lambda frame, _: _image(
            cv2.resize(frame[top:bottom, left:right], size, interpolation=cv2.INTER_AREA)
        )
    )


def _mirrored(clip: Clip, _: Generator) -> Clip:
    return clip.each(lambda frame, _: np.ascontiguousarray(frame[:, ::-1]))


def _dark(clip: Clip, rng: Generator) -> Clip:
    gain, noise = rng.uniform(0.15, 0.35), rng.uniform(6, 14)
    return clip.each(lambda frame, _: _clipped(gain * frame + rng.normal(0, noise, frame.shape)))


def _blurred(clip: Clip, rng: Generator) -> Clip:
    deviation = rng.uniform(0.004, 0.01) * clip.size[1]
    return clip.each(lambda frame, _: _image(cv2.GaussianBlur(frame, (0, 0), deviation)))


def _compressed(clip: Clip, rng: Generator) -> Clip:
    """With a rate at which faces are blocks."""
    file = io.BytesIO()
    width, height = (side // 2 * 2 for side in clip.size)
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=round(clip.fps))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"crf": str(rng.integers(40, 49))}
        for image in clip.frames:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image[:height, :width]))
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    file.seek(0)
    with av.open(file) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return Clip(frames, clip.fps)


def _barred(clip: Clip, rng: Generator) -> Clip:
    """A post goes to and fro before the person."""
    width, height = clip.size
    thick, way, often = rng.uniform(0.08, 0.2), rng.uniform(0.1, 0.3), rng.uniform(0.5, 2)

    def post(frame: Image, time: float) -> Image:
        left = int(width * (0.5 - thick / 2 + way * np.sin(often * time)))
        right = left + int(thick * width)
        return _image(cv2.rectangle(frame.copy(), (left, 0), (right, height), (70, 80, 60), -1))

    return clip.each(post)


def _close(clip: Clip, rng: Generator) -> Clip:
    """Little more than the face and the hands."""
    zoom, y = rng.uniform(1.6, 2.4), rng.uniform(0.0, 0.12)
    return clip.each(lambda frame, _: _filmed(frame, y=y, zoom=zoom))


def _still(clip: Clip, rng: Generator) -> Clip:
    """Nothing moves but the noise of the camera, then everything at once."""
    calm = rng.uniform(2.5, 5.0)
    x, y = rng.uniform(-0.12, 0.12, 2)

    def still(frame: Image, time: float) -> Image:
        if time < calm:
            return _clipped(clip.frames[0] + rng.normal(0, 2, frame.shape))
        after = int(3 * (time - calm) * clip.fps)
        passed = min((time - calm) / 0.3, 1.0)
        return _filmed(clip.frames[after % len(clip.frames)], x=passed * x, y=passed * y)

    return clip.each(still)


def _drifts(clip: Clip, rng: Generator) -> Clip:
    """So slow that nothing is noticed from one look to the next."""
    (x, y), turn = rng.uniform(-0.03, 0.03, 2), rng.uniform(-1, 1)
    grow = np.log(rng.uniform(1.02, 1.03)) * rng.choice([-1, 1])
    return clip.lasting(2 * SECONDS).each(
        lambda frame, t: _filmed(frame, x=x * t, y=y * t, zoom=np.exp(grow * t), turn=turn * t)
    )


def _jolts(clip: Clip, rng: Generator) -> Clip:
    """Somebody knocks against the tripod, now and then."""
    places = rng.uniform(-0.07, 0.07, (20, 2))
    every = rng.uniform(0.5, 1.5)

    def jolt(frame: Image, time: float) -> Image:
        x, y = places[int(time / every)]
        return _filmed(frame, x=x, y=y)

    return clip.each(jolt)


def _pumps(clip: Clip, rng: Generator) -> Clip:
    """The lens looks for its focus: nearer and farther, by less than is doubted."""
    often, much = rng.uniform(2, 6), rng.uniform(0.06, 0.13)
    return clip.each(lambda frame, t: _filmed(frame, zoom=1 + much * np.sin(often * t)))


def _turns(clip: Clip, rng: Generator) -> Clip:
    """The telephone is turned to portrait, and the picture with it."""
    start, way = rng.uniform(1, 2.5), 90 * rng.choice([-1, 1])
    return clip.each(lambda frame, t: _filmed(frame, turn=way * np.clip((t - start) / 0.7, 0, 1)))


KINDS: dict[str, Callable[[Clip, Generator], Clip]] = {
    "half as fast": _slow,
    "twice as fast": _fast(2),
    "4 times as fast": _fast(4),
    "12 frames a second": _at(12),
    "50 frames a second": _at(50),
    "small": _small,
    "mirrored": _mirrored,
    "dark": _dark,
    "blurred": _blurred,
    "compressed": _compressed,
    "barred": _barred,
    "close": _close,
    "still, then not": _still,
    "drifts": _drifts,
    "jolts": _jolts,
    "pumps": _pumps,
    "turns": _turns,
}


def _passed(clip: Clip, other: Clip, rng: Generator, *, behind: bool) -> Clip:
    """Somebody else walks through, from one side to the other.

    Both are cut out by the colour of the corners; on an uneven ground, more comes along.
    """
    width, height = clip.size
    size = round(other.size[0] * height / other.size[1]), height
    speed, late = rng.uniform(0.25, 0.6) * rng.choice([-1, 1]), rng.uniform(2.5, 3.5)

    def walk(frame: Image, time: float) -> Image:
        number = int(time * other.fps) % len(other.frames)
        walker = _image(cv2.resize(other.frames[number], size))
        x = (width - size[0]) / 2 + speed * (time - late) * width
        matrix = np.array([[1.0, 0, x], [0, 1, 0]])
        mask = cv2.warpAffine(_cut_out(walker), matrix, (width, height))[..., None]
        walker = _image(cv2.warpAffine(walker, matrix, (width, height)))
        if behind:
            mask = mask * (1 - _cut_out(frame)[..., None])
        return _clipped(frame + mask * (walker.astype(np.float32) - frame))

    return clip.each(walk)


def _cut_out(image: Image) -> NDArray[np.float32]:
    """Where the picture has another colour than in its upper corners: (height, width), 0 to 1."""
    high, wide = (max(1, side // 20) for side in image.shape[:2])
    corners = np.concatenate([image[:high, :wide], image[:high, -wide:]], axis=1)
    ground = np.median(corners.reshape(-1, 3), axis=0)
    apart = np.abs(image - ground).max(axis=-1) > KEYED
    return np.asarray(cv2.GaussianBlur(apart.astype(np.float32), (0, 0), 1.0), np.float32)


def _filmed(
    frame: Image, *, x: float = 0.0, y: float = 0.0, zoom: float = 1.0, turn: float = 0.0
) -> Image:
    """What a camera sees that moves, in parts of the picture, zooms, and turns by degrees."""
    height, width = frame.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), turn, zoom)
    matrix[:, 2] += x * width, y * height
    return _image(cv2.warpAffine(frame, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE))


def _clipped(image: NDArray[np.floating]) -> Image:
    return np.clip(image, 0, 255).astype(np.uint8)


def _image(image: cv2.typing.MatLike) -> Image:
    return cast("Image", image)
