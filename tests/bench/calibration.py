r"""How far networks of reduced precision are from those of full precision, for their card.

    make bench BENCH=calibration \
        ARGS="--card int8.json --from FOLDER --against dwpose --device cuda --videos a.mp4"

Both are run on every frame, with the detector in each; what counts are the keypoints of the person
who is followed, in pixels of the picture. `--write` puts the outcome into the card.

Those of full precision compute in full float32, also on a GPU. So the card of the same networks
tells how far off TF32 is.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np

from posewatch.models.cache import ModelCache
from posewatch.models.cards import Calibration, TopDownCard, card
from posewatch.models.fold import fold, reduced
from posewatch.service.recipes import top_down
from posewatch.vision.engine import OnnxEngine
from posewatch.vision.gpus import find_gpus
from posewatch.vision.providers import Device
from posewatch.vision.topdown import Rule

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from posewatch.vision.topdown import TopDown

    Keypoints = NDArray[np.float64]


def compare(
    pairs: Iterable[tuple[Keypoints, Keypoints]], against: tuple[str, str], provider: str
) -> Calibration:
    """Make the report.

    Args:
        pairs: (n, keypoints, 2) of some frames, in pixels, by both; NaN where one was not found.
        against: sha256 of the networks of full precision.
        provider: that ran both.
    """
    apart, frames, lost, all_found = [], 0, 0, 0
    for first, second in pairs:
        found = np.isfinite(first[..., 0]), np.isfinite(second[..., 0])
        both = found[0] & found[1]
        apart.append(np.linalg.norm(first[both] - second[both], axis=-1))
        frames += len(first)
        lost += int((found[0] ^ found[1]).sum())
        all_found += int((found[0] | found[1]).sum())
    distances = np.concatenate(apart)
    if not len(distances):
        raise SystemExit("nobody was found by both: take other videos")
    median, most, largest = (round(float(p), 3) for p in np.percentile(distances, (50, 95, 100)))
    return Calibration(
        against=against,
        frames=frames,
        median=median,
        most=most,
        largest=largest,
        lost=round(lost / all_found, 4),
        provider=provider,
    )


def engine(files: dict[str, Path], device: Device, *, tf32: bool) -> OnnxEngine:
    """Networks, ready to run."""
    gpu = None if device is Device.CPU else find_gpus()[0]
    return OnnxEngine(files, device=device, gpu=gpu, tf32=tf32)


def looked_at(
    video: Path, pipelines: tuple[TopDown, TopDown]
) -> Iterator[tuple[Keypoints, Keypoints]]:
    """What both find in each frame."""
    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        size = np.array([stream.width, stream.height])
        tracks = [one.start(stream.width, stream.height) for one in pipelines]
        for number, frame in enumerate(container.decode(stream)):
            image = frame.to_ndarray(format="rgb24")[None]
            first, second = (
                track.process(image, np.array([number / 25.0])).frames[:, 0] for track in tracks
            )
            yield tuple(  # type: ignore[misc]
                np.where(frames == -1, np.nan, frames) * size for frames in (first, second)
            )


def main() -> None:
    """Measure, print, and write if it is wished."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--card", type=Path, required=True, help="of reduced precision")
    parser.add_argument("--from", dest="folder", type=Path, required=True, help="its files")
    parser.add_argument("--against", default="dwpose", help="a model that was pulled")
    parser.add_argument("--device", type=Device, choices=[Device.CPU, Device.CUDA], default="cpu")
    parser.add_argument("--videos", type=Path, nargs="+", required=True)
    parser.add_argument("--write", action="store_true", help="put it into the card")
    options = parser.parse_args()
    own, full = card(str(options.card)), ModelCache().require(options.against)
    if not isinstance(own, TopDownCard) or not isinstance(full.card, TopDownCard):
        raise SystemExit("both have to be cards of a detector and a pose network")
    with tempfile.TemporaryDirectory() as temporary:
        files = {}
        for network in own.networks:
            made = files[network.name] = Path(temporary, f"{network.name}.onnx")
            published = (options.folder / network.member).read_bytes()
            if reduced(published) == "fp16" and options.device is Device.CPU:
                sys.stderr.write("A CPU computes fp16 in float32: this tells of the weights only\n")
            made.write_bytes(fold(published, network, loosen=False))
        quick = engine(files, options.device, tf32=True)
        exact = {name: full.network(name) for name in full.digests}
        both = (
            top_down(own, quick, Rule.LARGEST, 1),
            top_down(full.card, engine(exact, options.device, tf32=False), Rule.LARGEST, 1),
        )
        detector, pose = full.card.networks
        report = compare(
            (pair for video in options.videos for pair in looked_at(video, both)),
            (detector.sha256, pose.sha256),
            quick.provider,
        )
    sys.stdout.write(report.model_dump_json(indent=2) + "\n")
    if options.write:
        told = json.loads(options.card.read_text(encoding="utf-8"))
        told["calibration"] = report.model_dump(mode="json")
        options.card.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
