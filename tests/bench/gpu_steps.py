"""The steps of `dwpose_gpu.py run`, in the order of what they tell.

Videos in flight share one copy of the networks; the others load one in each process, as they do.
All sides begin when they have loaded; how long that took is told apart. Memory, use and power of
the GPU are those of that time only.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.gpu_made import repeated
from bench.gpu_sides import SideError, alone, daemon, others

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from bench.gpu_made import Size, Work

RIVALS = ("today", "rtmlib 10")
MACHINE = "the machine"
MORE = {"NVDEC": '[decode]\ndevice = "nvdec"', "FP32": "tf32 = false"}
"""What the daemon is told besides, where it is tried in other ways."""
NETWORKS = ("detector", "pose")
VARIANTS: dict[str, tuple[str, str, dict[str, str]]] = {
    "as the daemon": ("", "pinned", {}),
    "from memory not pinned": ("", "bound", {}),
    "by session.run": ("", "run", {}),
    "without TF32": ("", "pinned", {"use_tf32": "0"}),
    "NHWC": ("", "pinned", {"prefer_nhwc": "1"}),
    "search DEFAULT": ("", "pinned", {"cudnn_conv_algo_search": "DEFAULT"}),
    "search EXHAUSTIVE": ("", "pinned", {"cudnn_conv_algo_search": "EXHAUSTIVE"}),
    "fp16": ("16", "pinned", {}),
    "fp16, NHWC": ("16", "pinned", {"prefer_nhwc": "1"}),
}
"""Which network, how pictures come to it, what of CUDA's options is changed."""
USUAL = "as the daemon"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to be measured.

    Attributes:
        name: of what it finds.
        seconds: how long it should take on an H100, generously.
        run: does it, in `limit` seconds at most.
        needs_gpu: whether it means nothing without one.
    """

    name: str
    seconds: float
    run: Callable[..., Mapping[str, object]]
    needs_gpu: bool = False


def name_of(detect: str, flight: int, batch: int) -> str:
    """Of a step of the daemon."""
    return f"{detect}, {flight} in flight, batch {batch}"


def steps_of(how: Size, work: Work) -> Iterator[Step]:
    """All steps, those that tell most first."""
    (first, *flights), (one, many, *numbers) = how.flights, how.processes
    network = work.folded / "pose.onnx"
    yield Step(MACHINE, 15, partial(alone, "look", network=network, device=how.device))
    yield from ours(how, work, *first)
    for processes in (many, one):
        yield from theirs(how, work, processes)
    yield from floors(how, work)
    yield from shorts(work, first[1])
    yield from distances(how, work)
    yield from variants(how, work)
    yield from more_of_ours(how, work, *first)
    for flight in flights:
        yield from ours(how, work, *flight)
    for processes in numbers:
        yield from theirs(how, work, processes)


def videos_of(how: Size, work: Work, flight: int) -> list[Path]:
    """As many as are in flight, which have the same number of frames in all."""
    return [repeated(work.drawn, max(1, how.total // flight // how.film))] * flight


def ours(how: Size, work: Work, flight: int, batch: int) -> Iterator[Step]:
    """The daemon on so many long videos at once."""
    videos = videos_of(how, work, flight)
    for detect, takes in (("always", 70), ("auto", 40)):
        run = partial(daemon, work, videos, detect, flight=flight, batch=batch)
        yield Step(name_of(detect, flight, batch), takes, run)


def more_of_ours(how: Size, work: Work, flight: int, batch: int) -> Iterator[Step]:
    """The daemon with other settings."""
    videos = videos_of(how, work, flight)
    for name, more in MORE.items():
        for detect in ("always", "auto"):
            told: dict[str, Any] = {"flight": flight, "batch": batch, "more": more}
            run = partial(daemon, work, videos, detect, **told)
            yield Step(f"{name_of(detect, flight, batch)}, {name}", 70, run, needs_gpu=True)


def theirs(how: Size, work: Work, processes: int) -> Iterator[Step]:
    """The rivals, each with so many processes."""
    for side in RIVALS:
        run = partial(others, work, side, frames=how.frames, processes=processes)
        yield Step(f"{side}, processes: {processes}", 90 if processes > 1 else 40, run)


def floors(how: Size, work: Work) -> Iterator[Step]:
    """What nobody can be faster than: the networks alone, and decoding alone on all cores."""
    for network in NETWORKS:
        told: dict[str, Any] = {"network": work.folded / f"{network}.onnx", "batches": how.batches}
        run = partial(alone, "speed", device=how.device, seconds=how.seconds, **told)
        yield Step(f"{network} alone", 30, run)
    cores = len(os.sched_getaffinity(0))
    run = partial(others, work, "decode", frames=how.frames, processes=cores)
    yield Step("decoding alone", 20, run)
    run = partial(others, work, "decode nvdec", frames=how.frames, processes=cores)
    yield Step("decoding alone, NVDEC", 20, run, needs_gpu=True)


def shorts(work: Work, batch: int) -> Iterator[Step]:
    """The daemon on eight short videos, at once and one by one."""
    for flight in (8, 1):
        run = partial(daemon, work, [work.short] * 8, "auto", flight=flight, batch=batch)
        yield Step(f"8 short, {flight} in flight", 30, run)


def distances(how: Size, work: Work) -> Iterator[Step]:
    """How far the pose network's keypoints are from those that it finds on the CPU.

    On parts of a photograph; what the random layers find means nothing, and changes with little.
    """
    told: dict[str, Any] = {
        "network": work.folder / "plain-pose.onnx",
        "device": how.device,
        "crops": how.crops,
        "video": Path(__file__).parents[1] / "data" / "astronaut.mp4",
    }
    options: dict[str, str]
    for name, half, options in (
        ("TF32", "", {"use_tf32": "1"}),
        ("FP32", "", {"use_tf32": "0"}),
        ("fp16", "16", {}),
    ):
        other = work.folder / f"plain-pose{half}.onnx"
        run = partial(alone, "distance", other=other, options=options, **told)
        yield Step(f"keypoints in {name} against the CPU's", 30, run, bool(options))


def variants(how: Size, work: Work) -> Iterator[Step]:
    """Each network in other ways."""
    told: dict[str, Any] = {
        "device": how.device,
        "seconds": how.seconds,
        "batch": how.flights[0][1],
    }
    for network in NETWORKS:
        for name, (half, feed, options) in VARIANTS.items():
            file = work.folder / f"plain-{network}{half}.onnx"
            way: dict[str, Any] = {"network": file, "feed": feed, "options": options}
            run = partial(alone, "variant", **told, **way)
            yield Step(f"{network} alone, {name}", 15, run, bool(options))


def do(step: Step, device: str, limit: float) -> Mapping[str, object]:
    """What a step found, or why nothing."""
    if step.needs_gpu and device == "cpu":
        return {"skipped": "it needs a GPU"}
    try:
        return step.run(limit=limit)
    except SideError as error:
        return {"failed": str(error), "said": error.said}
    except Exception as error:  # noqa: BLE001 -- whatever it is, the other steps go on
        return {"failed": repr(error)}
