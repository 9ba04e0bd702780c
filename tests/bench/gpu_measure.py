"""Works off the steps of `dwpose_gpu.py run`, and makes the table of what they have found.

What each step found is a line of `build/bench/gpu/NAME.jsonl`.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bench.gpu_made import SMALL, WHOLE, prepare
from bench.gpu_steps import MACHINE, MORE, NETWORKS, RIVALS, USUAL, VARIANTS, do, name_of, steps_of
from bench.report import RESULTS, Row, report

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from bench.gpu_made import Size
    from bench.gpu_steps import Step

    Known = Mapping[str, Mapping[str, object]]

HERE = RESULTS / "gpu"
GFLOP = {"detector": 155.6, "pose": 20.0}
"""Of one picture: YOLOX-L of 640 by 640 (arXiv 2107.08430, table 2), DWPose-L of 384 by 288."""
TENSOR_PEAK = {"TF32": 494.7e3, "FP16": 989.4e3}
"""GFLOP/s of an H100 SXM without sparsity (NVIDIA H100 data sheet)."""
ATTAINABLE = 0.4
"""Of the peak: what convolutions of this size are known to get."""


@dataclass(frozen=True, slots=True)
class Options:
    """As `dwpose_gpu.py` is told them."""

    small: bool
    device: str
    minutes: float
    resume: bool
    only: list[str]


def main(options: Options) -> None:
    """Measure, print, keep."""
    end = time.monotonic() + 60 * options.minutes
    how, name = (SMALL, "dwpose-gpu-small") if options.small else (WHOLE, "dwpose-gpu")
    if options.device:
        how, name = replace(how, device=options.device), f"{name}-{options.device}"
    kept = HERE / f"{name}.jsonl"
    kept.parent.mkdir(parents=True, exist_ok=True)
    if not (options.resume or options.only):
        kept.unlink(missing_ok=True)
    steps = list(steps_of(how, prepare(how, HERE / name)))
    if options.only:
        steps = [step for step in steps if any(word in step.name for word in options.only)]
    else:
        steps = [step for step in steps if step.name not in read(kept)]
    left = work_off(steps, how.device, kept, end)
    known = read(kept)
    report(name, table(how, known), notes=notes(how, known))
    if left:
        sys.stdout.write(f"{left} steps are left: run --resume\n")


def work_off(steps: Iterable[Step], device: str, kept: Path, end: float) -> int:
    """Do those steps for which there is time, and keep what each found.

    Args:
        steps: to be done.
        device: of all sides.
        kept: gets a line for each.
        end: of the time, by the monotonic clock.

    Returns:
        How many are left.
    """
    left = 0
    for step in steps:
        seconds = end - time.monotonic()
        if step.seconds > seconds:
            left += 1
            continue
        found = do(step, device, seconds)
        said = f"{found['said']}\n" if "said" in found else ""
        sys.stdout.write(f"{said}{words(step.name, found)}\n")
        sys.stdout.flush()
        if step.name == MACHINE and "failed" in found:
            raise SystemExit("nothing can be measured here")
        with kept.open("a") as file:
            file.write(json.dumps({"step": step.name, **found}) + "\n")
    return left


def read(path: Path) -> dict[str, Mapping[str, object]]:
    """What was found so far."""
    lines = path.read_text().splitlines() if path.exists() else []
    return {record.pop("step"): record for record in map(json.loads, lines)}


def words(name: str, found: Mapping[str, object]) -> str:
    """All of it in a line; of an error, what was said last."""
    told = []
    for key, value in found.items():
        if isinstance(value, (int, float)):
            told.append(f"{key} {value:,.5g}")
        else:
            told.append(f"{key}: {''.join(str(value).splitlines()[-1:])}")
    return f"{name}: {', '.join(told)}"


def table(how: Size, known: Known) -> list[Row]:
    """Comparisons of what is known."""

    def fps(name: str, key: str = "fps") -> float:
        value = known.get(name, {}).get(key)
        return value if isinstance(value, float) else 0.0

    def best(network: str) -> float:
        return max(fps(f"{network} alone", f"fps by {batch}") for batch in how.batches)

    detector, pose = best("detector"), best("pose")
    both = 1 / (1 / detector + 1 / pose) if detector and pose else 0.0
    rows: list[tuple[str, str, float, float]] = []
    for detect, networks, gflop in (
        ("always", both, sum(GFLOP.values())),
        ("auto", pose, GFLOP["pose"]),
    ):
        case = max((name_of(detect, *told) for told in how.flights), key=fps)
        rows += [
            (case, against, fps(case), fps(against))
            for processes in how.processes
            for against in (f"{rival}, processes: {processes}" for rival in RIVALS)
        ]
        rows.append((case, "its networks alone, in their best batch", fps(case), networks))
        usual = name_of(detect, *how.flights[0])
        rows += [(f"{usual}, {name}", usual, fps(f"{usual}, {name}"), fps(usual)) for name in MORE]
        rows += [
            (case, decoding, fps(case), fps(decoding))
            for decoding in ("decoding alone", "decoding alone, NVDEC")
        ]
        if "H100" in str(known.get(MACHINE, {}).get("gpu")):
            rows += [
                (case, f"40 % of the peak in {kind}", fps(case), ATTAINABLE * peak / gflop)
                for kind, peak in TENSOR_PEAK.items()
            ]
    eight, one = (fps(f"8 short, {flight} in flight") for flight in (8, 1))
    rows.append(("8 short videos in flight", "one by one", eight, one))
    for network in NETWORKS:
        usual = f"{network} alone, {USUAL}"
        rows += [
            (f"{network} alone, {name}", USUAL, fps(f"{network} alone, {name}"), fps(usual))
            for name in VARIANTS
            if name != USUAL
        ]
    return [
        Row(case, against, "frames/s", mine, theirs, 1, more_is_better=True)
        for case, against, mine, theirs in rows
        if mine and theirs
    ]


def notes(how: Size, known: Known) -> list[str]:
    """What there is to say besides."""
    said = [f"{how.nets}, {how.picture[0]} x {how.picture[1]}, device {how.device}"]
    said += [words(name, found) for name, found in known.items()]
    auto = known.get(name_of("auto", *how.flights[0]), {}).get("fps")
    seconds = known.get("8 short, 1 in flight", {}).get("seconds")
    if isinstance(auto, float) and isinstance(seconds, float):
        each = seconds / 8 - how.short / auto
        said.append(f"a further video takes {each:.2f} s more than its frames")
    return said


if __name__ == "__main__":
    main(Options(**json.loads(sys.argv[1])))
