"""Networks by themselves, in a process of their own; what was found is written as JSON.

    python gpu_worker.py look|speed|variant|distance '{"device": "cpu", ...}'

Each is a function below, and takes its arguments as JSON. `network` is a file of one of ours.
`options` are those of onnxruntime's CUDA that are changed from what the daemon has.
"""

from __future__ import annotations

import json
import os
import sys
import time
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import av
import cv2
import numpy as np
import onnxruntime as ort

from posewatch.vision.engine import Bound, OnnxEngine
from posewatch.vision.gpus import find_gpus
from posewatch.vision.providers import CUDA, Device, look_for_libraries, providers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from posewatch.vision.gpus import Gpu

    Run = Callable[[NDArray[np.uint8]], object]


def gpu_of(device: str) -> Gpu | None:
    """The GPU that is used."""
    return None if device == "cpu" else find_gpus()[0]


def session(
    path: str, device: str, options: Mapping[str, str] = MappingProxyType({})
) -> ort.InferenceSession:
    """A network by itself; on a CPU with all cores."""
    settings = ort.SessionOptions()
    if device == "cpu":
        settings.intra_op_num_threads = len(os.sched_getaffinity(0))
        return ort.InferenceSession(path, settings, providers=["CPUExecutionProvider"])
    look_for_libraries(CUDA)
    settings.intra_op_num_threads = 1
    ((name, usual),) = providers(Device.CUDA, gpu_of(device), None)
    changed = {**usual, **options}
    made = ort.InferenceSession(
        path, settings, providers=[name], provider_options=[changed], enable_fallback=0
    )
    if made.get_providers()[0] != name:
        raise SystemExit(f"{name} cannot be used with {changed}")
    return made


def pictures_for(network: ort.InferenceSession, count: int, video: str = "") -> NDArray[np.uint8]:
    """Parts of a video's frames, of the size that a network takes; grey where there is none."""
    height, width = network.get_inputs()[0].shape[1:3]
    if not video:
        return np.full((count, height, width, 3), 114, np.uint8)
    random = np.random.default_rng(0)
    made: list[NDArray[np.uint8]] = []
    while len(made) < count:
        with av.open(video) as container:
            for frame in container.decode(video=0):
                image = frame.to_ndarray(format="rgb24")
                part = random.uniform(0.5, 1.0)
                high, wide = (int(part * side) for side in image.shape[:2])
                top = random.integers(image.shape[0] - high + 1)
                left = random.integers(image.shape[1] - wide + 1)
                crop = image[top : top + high, left : left + wide]
                made.append(cv2.resize(crop, (width, height)).astype(np.uint8))
    return np.stack(made[:count])


def per_second(run: Run, pictures: NDArray[np.uint8], seconds: float) -> float:
    """Pictures a second, batch after batch."""
    for _ in range(3):  # algorithms are chosen, memory is taken
        run(pictures)
    begun, done = time.perf_counter(), 0
    while time.perf_counter() - begun < seconds:
        run(pictures)
        done += len(pictures)
    return done / (time.perf_counter() - begun)


def look(network: str, device: str) -> dict[str, object]:
    """What machine this is, and what a network runs on there."""
    told: dict[str, object] = {
        "python": sys.version.split()[0],
        "onnxruntime": ort.__version__,
        "cores": len(os.sched_getaffinity(0)),
    }
    if device != "cpu":
        gpu = find_gpus()[0]
        told |= {"gpu": str(gpu), "driver speaks CUDA": ".".join(map(str, gpu.cuda))}
    engine = OnnxEngine({"it": Path(network)}, device=Device(device), gpu=gpu_of(device))
    return told | {"provider": engine.provider}


def speed(network: str, device: str, batches: list[int], seconds: float) -> dict[str, float]:
    """Pictures a second by the size of the batch, through the daemon's engine."""
    files, most = {"it": Path(network)}, max(batches)
    engine = OnnxEngine(files, device=Device(device), gpu=gpu_of(device), batch=most)
    pictures = pictures_for(session(network, "cpu"), most)
    run = partial(engine.infer, "it")
    return {f"fps by {size}": per_second(run, pictures[:size], seconds) for size in batches}


def variant(
    *, network: str, device: str, batch: int, seconds: float, feed: str, options: dict[str, str]
) -> dict[str, float]:
    """Pictures a second in another way, and how long it took to begin.

    Args:
        feed: how pictures come to the GPU: `pinned`, as in the daemon; `bound`, from memory that is
            not pinned; `run`, by `session.run`.
    """
    begun = time.perf_counter()
    made = session(network, device, options)
    pictures = pictures_for(made, batch)
    if feed == "run":
        run: Run = partial(_run, made)
    else:
        run = Bound(made, batch, gpu_of(device) if feed == "pinned" else None)
    run(pictures)
    start = time.perf_counter() - begun
    return {"fps": per_second(run, pictures, seconds), "start_seconds": start}


def _run(made: ort.InferenceSession, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    found: NDArray[np.float32] = made.run(None, {"input": pictures})[0]
    return found


def distance(
    *, network: str, other: str, device: str, options: dict[str, str], crops: int, video: str
) -> dict[str, float]:
    """Pixels of a crop between the keypoints of a network on the CPU and another on the device."""
    first, second = session(network, "cpu"), session(other, device, options)
    pictures = pictures_for(first, crops, video)
    apart = []
    for start in range(0, len(pictures), 16):
        given = pictures[start : start + 16]
        truth, found = _run(first, given), _run(second, given)
        apart.append(np.linalg.norm(truth[..., :2] - found[..., :2], axis=-1).ravel())
    all_of_them = np.concatenate(apart)
    equal = float((all_of_them == 0).mean())
    return {"keypoints": all_of_them.size, "equal_share": equal} | {
        f"px {part} %": float(np.percentile(all_of_them, part)) for part in (50, 95, 99, 100)
    }


def main(what: str, arguments: str) -> None:
    """Do one of them."""
    does: dict[str, Callable[..., dict[str, Any]]]
    does = {"look": look, "speed": speed, "variant": variant, "distance": distance}
    sys.stdout.write(json.dumps(does[what](**json.loads(arguments))) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
