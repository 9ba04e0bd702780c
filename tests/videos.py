"""Makes videos for tests: good ones whose frames can be told apart, and more than 200 bad ones."""

from __future__ import annotations

import io
import os
import random
import struct
import wave
import zipfile
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import av
import av.logging
import cv2
import numpy as np

from posewatch.base.errors import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

# What a suffix usually holds: container (where FFmpeg would not guess it), video and audio codec.
_USUAL: dict[str, tuple[str | None, str, str]] = {
    ".mp4": (None, "libx264", "aac"),
    ".mov": (None, "libx264", "aac"),
    ".3gp": (None, "mpeg4", "aac"),
    ".mkv": (None, "libx264", "aac"),
    ".webm": (None, "libvpx", "libopus"),
    ".avi": (None, "mpeg4", "mp2"),
    ".ts": (None, "libx264", "aac"),
    ".m2ts": ("mpegts", "libx264", "aac"),
    ".mpg": ("mpeg", "mpeg1video", "mp2"),
    ".vob": ("vob", "mpeg2video", "mp2"),
    ".flv": (None, "libx264", "aac"),
    ".wmv": ("asf", "wmv2", "wmav2"),
    ".ogv": ("ogg", "libvpx", "libopus"),
    ".mxf": (None, "mpeg2video", ""),
    ".gif": (None, "gif", ""),
    ".dv": ("dv", "dvvideo", ""),
}
_SLICE_THREADS_MISBEHAVE = frozenset({"libsvtav1", "libx265"})
_BITS = 10


def picture(number: int, size: tuple[int, int]) -> NDArray[np.uint8]:
    """A picture that shows its number, (H, W, 3) RGB.

    The upper half shows the bits of `number` as black and white columns, the lower half is red on
    the left and blue on the right, so that turned and mirrored pictures are seen to be so.
    """
    width, height = size
    image = np.zeros((height, width, 3), np.uint8)
    for bit in range(_BITS):
        left, right = width * bit // _BITS, width * (bit + 1) // _BITS
        image[: height // 2, left:right] = 255 * (number >> bit & 1)
    image[height // 2 :, : width // 2] = 230, 20, 20
    image[height // 2 :, width // 2 :] = 20, 20, 230
    return image


def number_of(image: NDArray[np.uint8]) -> int:
    """The number that `picture` drew, read from the middle of each column."""
    height, width = image.shape[:2]
    row = image[height // 4].astype(int).mean(-1)
    return sum((row[int(width * (bit + 0.5) / _BITS)] > 127) << bit for bit in range(_BITS))


def make_video(
    path: Path,
    *,
    frames: int = 10,
    size: tuple[int, int] = (96, 64),
    fps: Fraction | int = 25,
    times: Sequence[float] | None = None,
    codec: str | None = None,
    container: str | None = None,
    pixel_format: str = "yuv420p",
    rotation: int = 0,
    audio: bool = False,
    audio_seconds: float | None = None,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
) -> Path:
    """Write a video whose n-th frame is `picture(n, size)`.

    Args:
        path: its suffix chooses container and codecs.
        frames: how many; ignored when `times` are given.
        size: width and height of the stored pictures.
        fps: frames per second.
        times: in seconds, for a variable frame rate; rounded to milliseconds.
        codec: an encoder, where it is not the usual one of the suffix.
        container: a muxer, where it is not the usual one of the suffix.
        pixel_format: of the encoder.
        rotation: how players are to turn the pictures, counter-clockwise, in degrees.
        audio: add a tone.
        audio_seconds: its length, where it is not that of the pictures.
        options: of the encoder.
        container_options: of the muxer.

    Returns:
        `path`.
    """
    usual_container, usual_codec, audio_codec = _USUAL.get(path.suffix, (None, "libx264", "aac"))
    codec = codec or usual_codec
    count = frames if times is None else len(times)
    rate = Fraction(fps)
    with av.open(
        str(path), "w", format=container or usual_container, options=container_options or {}
    ) as output:
        quiet = {"x265-params": "log-level=none"} if codec == "libx265" else {}
        stream = output.add_stream(codec, rate=rate, options=quiet | (options or {}))
        stream.width, stream.height = size
        stream.pix_fmt = {"gif": "rgb8", "mjpeg": "yuvj420p"}.get(codec, pixel_format)
        if codec not in _SLICE_THREADS_MISBEHAVE:
            stream.codec_context.thread_count = 1
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        if rotation:
            stream.set_display_rotation(rotation)
        length = count / float(rate) if audio_seconds is None else audio_seconds
        tone = _tone(output, audio_codec, length) if audio else None
        output.start_encoding()  # else a video without frames would be no file at all
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(picture(number, size))
            frame.time_base = stream.codec_context.time_base or 1 / rate
            frame.pts = number if times is None else round(times[number] * 1000)
            if times is None:
                frame.time_base = 1 / rate
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
        if tone is not None:
            output.mux(list(tone))
    return path


def _tone(
    output: av.container.OutputContainer, codec: str, seconds: float
) -> Iterator[av.Packet[av.AudioStream]]:
    """The packets of a tone; its stream must be added before the first packet of any is written."""
    stream = output.add_stream(codec, rate=48000, layout="mono", bit_rate=64000)

    def packets() -> Iterator[av.Packet[av.AudioStream]]:
        samples = 1024
        for start in range(0, int(seconds * 48000), samples):
            wave_form = 8000 * np.sin(np.arange(start, start + samples) * 0.05)
            frame = av.AudioFrame.from_ndarray(wave_form.astype(np.int16)[None], "s16", "mono")
            frame.sample_rate, frame.pts, frame.time_base = 48000, start, Fraction(1, 48000)
            yield from stream.encode(frame)
        yield from stream.encode(None)

    return packets()


# -- bad ones --------------------------------------------------------------------------------

READABLE = None
"""The expectation that the video can be read after all."""

ANY = frozenset({READABLE, *Fault})
"""Any outcome will do, if it is one clear outcome."""


@dataclass(frozen=True, slots=True)
class BadInput:
    """One bad input.

    Attributes:
        path: where it is; its name says what it is.
        expected: the faults that are right, `READABLE` among them where it may be read.
    """

    path: Path
    expected: frozenset[Fault | None]


def bad_inputs(folder: Path, seed: int = 0) -> list[BadInput]:
    """Make at least 200 bad inputs in `folder`, the same ones for the same seed."""
    folder.mkdir(parents=True, exist_ok=True)
    sources = folder.parent / f"{folder.name}-sources"
    sources.mkdir()
    return [
        BadInput(path, frozenset(expected))
        for path, expected in (
            *_no_videos(folder),
            *_not_files(folder),
            *_disguised(folder, sources),
            *_extremes(folder, sources),
            *_truncated(folder, sources),
            *_flipped(folder, sources, random.Random(seed)),
        )
    ]


_Cases = "Iterator[tuple[Path, set[Fault | None] | frozenset[Fault | None]]]"


def _write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def _no_videos(folder: Path) -> _Cases:
    """Nothing, noise, text, and other kinds of files under a video's name."""
    rng = random.Random(1)
    for suffix in ("mp4", "mkv", "avi", "webm", "mov"):
        yield _write(folder / f"empty.{suffix}", b""), {Fault.EMPTY}
        yield _write(folder / f"noise.{suffix}", rng.randbytes(5000)), {Fault.NOT_A_VIDEO}
    for count in (1, 2, 4, 8, 16, 188, 1024):
        name = folder / f"zeros-{count}.mp4"
        yield _write(name, bytes(count)), {Fault.NOT_A_VIDEO}
    texts = {
        "text": b"Not a video, but a letter.\n" * 40,
        "text-G": b"G" * 100,
        "html": b"<!DOCTYPE html><html><body>404 Not Found</body></html>\n" * 9,
        "xml-error": b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>',
        "git-lfs": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1234\n",
        "subtitles": b"1\n00:00:01,000 --> 00:00:02,000\nHello\n\n" * 9,
        "json": b'{"frames": []}',
    }
    for name, data in texts.items():
        yield _write(folder / f"{name}.mp4", data), {Fault.NOT_A_VIDEO}

    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr("a.txt", "a" * 3000)
    yield _write(folder / "zip.mp4", archive.getvalue()), {Fault.NOT_A_VIDEO}
    image = picture(5, (64, 48))
    for suffix in (".png", ".jpg", ".bmp", ".tiff"):
        data = cv2.imencode(suffix, image)[1].tobytes()
        yield _write(folder / f"still{suffix}.mp4", data), {Fault.NOT_A_VIDEO}
    pdf = b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
    yield _write(folder / "document.pdf.mp4", pdf), {Fault.NOT_A_VIDEO}
    program = b"\x7fELF" + rng.randbytes(3000)
    yield _write(folder / "program.mp4", program), {Fault.NOT_A_VIDEO}

    with wave.open(str(folder / "wave.mp4"), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(8000))
    yield folder / "wave.mp4", {Fault.NOT_A_VIDEO}
    for suffix, codec in ((".mp4", "aac"), (".mkv", "libopus"), (".ts", "aac"), (".avi", "mp2")):
        path = folder / f"sound-only{suffix}"
        with av.open(str(path), "w") as output:
            output.mux(list(_tone(output, codec, 0.5)))
        yield path, {Fault.NO_VIDEO_STREAM}
    yield _cover_only(folder / "sound-with-cover.mp4"), {Fault.NO_VIDEO_STREAM}
    for suffix in (".mp4", ".mkv", ".avi"):
        path = make_video(folder / f"no-frames{suffix}", frames=0)
        yield path, {Fault.NO_FRAMES, Fault.NO_VIDEO_STREAM, Fault.NOT_A_VIDEO}


def _cover_only(path: Path) -> Path:
    """A song with the picture of its album, which FFmpeg shows as a video stream."""
    with av.open(str(path), "w", format="mp4") as output:
        cover = output.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 48, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        tone = _tone(output, "aac", 0.5)
        output.mux(cover.encode(av.VideoFrame.from_ndarray(picture(1, (64, 48)))))
        output.mux(cover.encode(None))
        output.mux(list(tone))
    return path


def _not_files(folder: Path) -> _Cases:
    """What has the name of a video and is no file, or may not be read."""
    (folder / "folder.mp4").mkdir()
    yield folder / "folder.mp4", {Fault.NOT_A_FILE}
    os.mkfifo(folder / "fifo.mp4")
    yield folder / "fifo.mp4", {Fault.NOT_A_FILE}
    (folder / "device.mp4").symlink_to("/dev/zero")
    yield folder / "device.mp4", {Fault.NOT_A_FILE}
    forbidden = make_video(folder / "forbidden.mp4")
    forbidden.chmod(0)
    # root may read everything
    yield forbidden, {READABLE if os.geteuid() == 0 else Fault.DENIED}


def _disguised(folder: Path, sources: Path) -> _Cases:
    """Playlists that would make FFmpeg open other files: here, a video that is really there."""
    target = make_video(sources / "target.mp4")
    stream = make_video(sources / "target.ts")
    playlists = {
        "hls": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{stream}\n#EXT-X-ENDLIST\n",
        "hls-url": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n",
        "concat": f"ffconcat version 1.0\nfile '{target}'\n",
        "concat-url": "ffconcat version 1.0\nfile 'http://127.0.0.1:9/a.mp4'\n",
        "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
        'mediaPresentationDuration="PT1S"><Period><AdaptationSet mimeType="video/mp4">'
        f'<Representation id="1" bandwidth="1"><BaseURL>file://{target}</BaseURL>'
        "</Representation></AdaptationSet></Period></MPD>",
        "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
        "m=video 9 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
        "reference": f"RTSPtext\n{target}\n",
        "subfile": f"subfile,,start,0,end,0,,:{target}",
    }
    for name, text in playlists.items():
        yield _write(folder / f"playlist-{name}.mp4", text.encode()), {Fault.NOT_A_VIDEO}
    yield _external_reference(folder / "external-reference.mov", target), ANY - {READABLE}


def _external_reference(path: Path, target: Path) -> Path:
    """A MOV whose samples are said to lie in another file."""
    data = bytearray(make_video(path).read_bytes())
    at = data.rindex(b"url ") - 4
    name = os.fsencode(target)
    alias = struct.pack(">I4sI", 12 + len(name), b"url ", 0) + name
    for box in (b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref"):
        start = data.rindex(box) - 4
        (size,) = struct.unpack_from(">I", data, start)
        struct.pack_into(">I", data, start, size + len(alias) - 12)
    data[at : at + 12] = alias
    del data[data.index(b"mdat") + 4 : data.index(b"moov") - 4]  # nothing of its own
    struct.pack_into(">I", data, data.index(b"mdat") - 4, 8)
    return _write(path, bytes(data))


def _extremes(folder: Path, sources: Path) -> _Cases:
    """Sizes, rates and lengths at which something might break, and some that are only odd."""
    yield make_video(folder / "one-frame.mp4", frames=1), {READABLE}
    yield make_video(folder / "one-frame.mkv", frames=1), {READABLE}
    yield make_video(folder / "one-frame.ts", frames=1), {READABLE}
    yield make_video(folder / "odd-size.webm", size=(97, 63), codec="libvpx-vp9"), {READABLE}
    yield make_video(folder / "one-pixel.webm", size=(1, 1), codec="libvpx-vp9"), {READABLE}
    yield make_video(folder / "thin.webm", size=(2000, 1), codec="libvpx-vp9"), {READABLE}
    tall = make_video(folder / "tall.webm", size=(1, 999), codec="libvpx-vp9")
    yield tall, {READABLE}
    late = make_video(folder / "gaps.mkv", times=[0, 0.04, 3600, 3600.04, 86400])
    yield late, {READABLE}

    too_large = {Fault.TOO_LARGE}
    jpeg = bytearray(make_video(sources / "jpeg.avi", codec="mjpeg").read_bytes())
    at = -1
    while (at := jpeg.find(b"\xff\xc0", at + 1)) >= 0:
        struct.pack_into(">HH", jpeg, at + 5, 30000, 30000)
    yield _write(folder / "huge-jpeg.avi", bytes(jpeg)), too_large | {Fault.NO_FRAMES}
    vp8 = bytearray(make_video(sources / "vp8.webm").read_bytes())
    at = vp8.index(b"\x9d\x01\x2a")
    struct.pack_into("<HH", vp8, at + 3, 16383, 16383)
    yield _write(folder / "huge-vp8.webm", bytes(vp8)), too_large | {Fault.DAMAGED, Fault.NO_FRAMES}
    gif = bytearray(make_video(sources / "whole.gif").read_bytes())
    struct.pack_into("<HH", gif, 6, 65535, 65535)
    yield _write(folder / "huge.gif", bytes(gif)), too_large | {Fault.NO_FRAMES}
    for name, width, height in (("huge", 30000, 30000), ("negative", -96, -64), ("zero", 0, 0)):
        raw = make_video(sources / f"{name}.avi", codec="rawvideo", frames=3)
        data = bytearray(raw.read_bytes())
        at = data.index(b"strf") + 8
        struct.pack_into("<ii", data, at + 4, width, height)
        expected = too_large if name == "huge" else ANY
        yield _write(folder / f"{name}-raw.avi", bytes(data)), expected

    for name, rate in (("slow", Fraction(1, 100)), ("fast", 10_000), ("silly", 1_000_000)):
        # (the edit list of the silly one counts in milliseconds, and so hides every frame)
        yield (
            make_video(folder / f"rate-{name}.mp4", fps=rate),
            {Fault.NO_FRAMES if name == "silly" else READABLE},
        )
        yield make_video(folder / f"rate-{name}.mkv", fps=rate), {READABLE}
    mp4 = make_video(sources / "rate.mp4").read_bytes()
    for name, scale in (("zero", 0), ("one", 1), ("most", 0xFFFFFFFF)):
        data = bytearray(mp4)
        struct.pack_into(">I", data, data.rindex(b"mdhd") + 16, scale)
        yield _write(folder / f"time-scale-{name}.mp4", bytes(data)), ANY
    for name, delta in (("zero", 0), ("most", 0xFFFFFFFF)):
        data = bytearray(mp4)
        struct.pack_into(">I", data, data.rindex(b"stts") + 16, delta)
        yield _write(folder / f"frame-length-{name}.mp4", bytes(data)), ANY
    avi = make_video(sources / "rate.avi").read_bytes()
    for name, scale, rate in (("zero", 0, 0), ("most", 1, 0xFFFFFFFF), ("least", 0xFFFFFFFF, 1)):
        data = bytearray(avi)
        struct.pack_into("<II", data, data.index(b"strh") + 8 + 20, scale, rate)
        yield _write(folder / f"rate-{name}.avi", bytes(data)), ANY


CONTAINERS: dict[str, tuple[str, dict[str, str]]] = {
    "mp4": (".mp4", {}),
    "mp4-index-first": (".mp4", {"movflags": "faststart"}),
    "mp4-fragments": (".mp4", {"movflags": "frag_keyframe+empty_moov"}),
    "mov": (".mov", {}),
    "mkv": (".mkv", {}),
    "webm": (".webm", {}),
    "webm-live": (".webm", {"live": "1"}),
    "avi": (".avi", {}),
    "flv": (".flv", {}),
    "wmv": (".wmv", {}),
    "ogv": (".ogv", {}),
    "gif": (".gif", {}),
    "ts": (".ts", {}),
    "mpg": (".mpg", {}),
}
"""Suffix and muxer options of what is truncated and flipped."""


def _whole(sources: Path, name: str) -> bytes:
    suffix, options = CONTAINERS[name]
    path = sources / f"{name}{suffix}"
    if not path.exists():
        if suffix == ".gif":
            make_video(path, frames=24)
        else:
            gop = {"g": "8"}
            make_video(path, frames=24, audio=True, options=gop, container_options=options)
    return path.read_bytes()


def _truncated(folder: Path, sources: Path) -> _Cases:
    for name, (suffix, _) in CONTAINERS.items():
        data = _whole(sources, name)
        for percent in (1, 5, 15, 30, 45, 60, 75, 90, 97):
            part = data[: len(data) * percent // 100]
            expected: set[Fault | None] = {Fault.TRUNCATED}
            if percent <= 5:  # the container may not even be recognised
                expected |= {Fault.NOT_A_VIDEO, Fault.NO_VIDEO_STREAM, Fault.NO_FRAMES}
            if name == "mp4-fragments":  # nothing tells that a next fragment is missing
                expected |= {Fault.NO_FRAMES}
            # A cut between two pictures that nobody counts leaves no trace.
            if name in {"mpg", "ogv"} or (name == "ts" and len(part) % 188 == 0):
                expected |= {READABLE}
            yield _write(folder / f"truncated-{name}-{percent}{suffix}", part), expected
    packets = _whole(sources, "ts")
    for percent in (10, 50, 90):
        part = packets[: len(packets) * percent // 100 // 188 * 188]
        path = folder / f"truncated-ts-whole-packets-{percent}.ts"
        yield _write(path, part), {Fault.TRUNCATED, READABLE}


def _flipped(folder: Path, sources: Path, rng: random.Random) -> _Cases:
    for name, (suffix, _) in CONTAINERS.items():
        data = _whole(sources, name)
        for number in range(6):
            flipped = bytearray(data)
            for _ in range(1 << number):
                flipped[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
            yield _write(folder / f"flipped-{name}-{number}{suffix}", bytes(flipped)), ANY
