"""What `dwpose_gpu.py` works with: how much is done, the networks, the videos.

The networks and the drawn figure are those of `dwpose.py`. What they tell of speed and of where the
figure is holds for any pictures. What the layers themselves find is told by the same networks
without a planted answer, plain stand-ins, in full precision and in fp16.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import av
import numpy as np
import onnx

import planted
import standins
from posewatch.models.cache import ModelCache
from posewatch.models.fold import fold
from posewatch.models.pull import pull
from topdown_nets import card_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray

    from posewatch.models.cards import DetectorNetwork, PoseNetwork

    Figures = dict[str, float]


@dataclass(frozen=True, slots=True)
class Size:
    """How much is done.

    Attributes:
        nets: detector and pose network, as `standins` calls them.
        picture: width and height.
        film: frames that are drawn; longer videos repeat them.
        total: frames that the daemon works on in one step, in all videos together.
        flights: videos in flight, and `work.batch`; the first is the most telling.
        processes: of the others at the same time.
        frames: that each of these works on.
        short: frames of a short video, of which there are eight.
        batches: that networks are tried with.
        seconds: of trying each.
        crops: that results are compared on.
        device: of all sides.
    """

    nets: tuple[str, str]
    picture: tuple[int, int]
    film: int
    total: int
    flights: tuple[tuple[int, int], ...]
    processes: tuple[int, ...]
    frames: int
    short: int
    batches: tuple[int, ...]
    seconds: float
    crops: int
    device: str


WHOLE = Size(
    nets=("yolox_l", "rtmpose_l"),
    picture=(1920, 1080),
    film=100,
    total=24_000,
    flights=((16, 16), (32, 32), (8, 16), (32, 64), (16, 32), (32, 16)),
    processes=(1, 25, 8),
    frames=300,
    short=50,
    batches=(1, 8, 16, 32, 64),
    seconds=2.0,
    crops=256,
    device="cuda",
)
SMALL = Size(
    nets=("yolox_nano", "rtmpose_t"),
    picture=(640, 360),
    film=10,
    total=40,
    flights=((2, 2),),
    processes=(1, 2),
    frames=8,
    short=4,
    batches=(1, 2),
    seconds=0.05,
    crops=8,
    device="cpu",
)


@dataclass(frozen=True, slots=True)
class Work:
    """What all sides are given.

    Attributes:
        folder: for whatever they write.
        device: `cpu` or `cuda`.
        published: detector and pose network.
        folded: folder with ours of them.
        models: the cache of models that ours is in.
        card: of ours.
        film: a video, which others work on.
        short: another, of which eight are worked on.
        drawn: what `film` repeats.
        truth: (frames, 5, 2) pixels of five keypoints in it, again and again as it is repeated.
        size: width and height of its picture.
    """

    folder: Path
    device: str
    published: tuple[Path, Path]
    folded: Path
    models: Path
    card: Path
    film: Path
    short: Path
    drawn: Path
    truth: NDArray[np.float64]
    size: tuple[int, int]

    def distances(self, found: NDArray[np.float64]) -> Figures:
        """How far a side's keypoints are from the truth.

        Args:
            found: (frames, 5, 2) pixels; NaN where nobody was found.
        """
        truth = self.truth[np.arange(len(found)) % len(self.truth)]
        apart = np.linalg.norm(found - truth, axis=-1)
        seen = apart[np.isfinite(apart)]
        lost = {"lost_share": 1 - seen.size / max(1, apart.size)}
        return {"px_mean": seen.mean(), "px_max": seen.max()} | lost if seen.size else lost


def prepare(how: Size, folder: Path) -> Work:
    """Make the networks and the videos, where they are not there yet."""
    published = planted.build(*how.nets, folder)
    told = card_of(*published, name="bench", keypoint_order="network")
    card = folder / "bench.json"
    card.write_text(told.model_dump_json())
    model = pull(str(card), ModelCache(folder / "models"), given=[folder])
    pairs: Iterable[tuple[str, DetectorNetwork | PoseNetwork]]
    pairs = zip(how.nets, told.networks, strict=True)
    for plain, network in pairs:
        files = [folder / f"plain-{network.name}{half}.onnx" for half in ("", "16")]
        if not all(path.exists() for path in files):
            path = standins.build(plain, folder)
            files[0].write_bytes(fold(path.read_bytes(), network, loosen=True))
            files[1].write_bytes(fold(halved(path), network, loosen=True))
    short, film, truth = (folder / name for name in ("short.mp4", "film.mp4", "truth.npy"))
    if not truth.exists():
        planted.film(short, how.short, how.picture)
        np.save(truth, planted.film(film, how.film, how.picture))
    return Work(
        folder=folder,
        device=how.device,
        published=published,
        folded=model.folder,
        models=folder / "models",
        card=card,
        film=repeated(film, -(-how.frames // how.film)),
        truth=np.load(truth),
        short=short,
        drawn=film,
        size=how.picture,
    )


def halved(path: Path) -> bytes:
    """A published network that computes in fp16, and takes and gives what it did."""
    from onnxruntime.transformers.float16 import (  # noqa: PLC0415 -- it changes sys.path
        convert_float_to_float16,
    )

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of weights too small for fp16
        half = convert_float_to_float16(onnx.load(path), keep_io_types=True)
    # It converts a weight once for each node that takes it, under the same name.
    first = {node.output[0]: node for node in reversed(half.graph.node)}
    nodes = [node for node in half.graph.node if first[node.output[0]] is node]
    del half.graph.node[:]
    half.graph.node.extend(nodes)
    made: bytes = half.SerializeToString()
    return made


def repeated(film: Path, times: int) -> Path:
    """A longer video: the same one after itself, without encoding it anew."""
    path = film.with_stem(f"{film.stem}-{times}")
    with av.open(str(film)) as given, av.open(str(path), "w") as made:
        stream = given.streams.video[0]
        into = made.add_stream_from_template(stream)
        for turn in range(times):
            given.seek(0)
            for packet in given.demux(stream):
                if packet.pts is None or packet.dts is None or stream.duration is None:
                    continue
                packet.pts += turn * stream.duration
                packet.dts += turn * stream.duration
                packet.stream = into
                made.mux(packet)
    return path
