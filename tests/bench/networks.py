"""The networks of the embedded model: CPU time of one picture, with one thread.

Each is compared with its conversion before mending, and with LiteRT on the TFLite file where an
environment with `ai-edge-litert` is given:

    python3 -m venv build/litert && build/litert/bin/pip install ai-edge-litert
    make bench BENCH=networks

LiteRT runs the TFLite files as they are: with the heads that our conversion leaves out, and without
the normalisation of the picture that ours includes.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime
from report import Row, report

from posewatch.models.cache import ModelCache
from posewatch.models.convert import convert
from posewatch.models.download import download
from posewatch.models.pull import pull
from posewatch.models.tflite_reader import read_graph
from posewatch.models.wheel import read_networks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from posewatch.models.cards import TfliteNetwork

BUILD = Path(__file__).parents[2] / "build"
WORKER = Path(__file__).with_name("litert_worker.py")


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument(
        "--litert",
        type=Path,
        default=os.environ.get("LITERT_PYTHON", BUILD / "litert" / "bin" / "python"),
        help="the Python of an environment with ai-edge-litert (or $LITERT_PYTHON)",
    )
    arguments = parser.parse_args()
    model = pull("mediapipe-holistic", ModelCache(BUILD / "test-cache" / "models"))
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        wheel = download(model.card, folder, lambda _done, _total: None)
        files = read_networks(wheel, model.card)
        for name, data in files.items():
            (folder / f"{name}.tflite").write_bytes(data)
        litert = None
        if arguments.litert.exists():
            litert = stack.enter_context(_litert(arguments.litert, folder, list(files)))
        rows = []
        for network in model.card.networks:
            unmended = convert(read_graph(files[network.name]), network).to_onnx()
            rivals: dict[str, Callable[[], float]] = {
                "ours": _session(model.network(network.name).read_bytes(), network),
                "unmended": _session(unmended.SerializeToString(), network),
            }
            if litert is not None:
                rivals["LiteRT"] = _asking(litert, folder / f"{network.name}.tflite")
            rows += _compare(network.name, rivals, arguments.runs)
    notes = [f"onnxruntime {onnxruntime.__version__}, one thread, one picture."]
    if litert is None:
        notes.append(f"Without LiteRT: there is no {arguments.litert}.")
    report("networks", rows, notes=notes)


def _compare(case: str, rivals: dict[str, Callable[[], float]], runs: int) -> list[Row]:
    """Let them run in turns, so that whatever else the machine does meets all alike."""
    times: dict[str, list[float]] = {name: [] for name in rivals}
    for _ in range(runs):
        for name, run in rivals.items():
            run()  # brings its weights back into the cache
            times[name].append(run())
    medians = {name: statistics.median(values) * 1e3 for name, values in times.items()}
    ours = medians.pop("ours")
    return [Row(case, name, "CPU ms", ours, theirs, runs) for name, theirs in medians.items()]


def _session(model: bytes, network: TfliteNetwork) -> Callable[[], float]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    shape = (1, network.input.size, network.input.size, 3)
    picture = np.random.default_rng(0).integers(0, 256, shape, np.uint8)

    def run() -> float:
        started = time.process_time()
        session.run(None, {"input": picture})
        return time.process_time() - started

    return run


@contextlib.contextmanager
def _litert(python: Path, folder: Path, names: list[str]) -> Iterator[subprocess.Popen[str]]:
    paths = [str(folder / f"{name}.tflite") for name in names]
    with subprocess.Popen(  # noqa: S603 - the interpreter that the user named
        [str(python), str(WORKER), *paths],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        if process.stdout is None or process.stdout.readline() != "ready\n":
            raise SystemExit(f"{python} cannot run LiteRT: pip install ai-edge-litert there")
        yield process
        process.communicate()


def _asking(process: subprocess.Popen[str], path: Path) -> Callable[[], float]:
    def run() -> float:
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("LiteRT was started without pipes")
        print(path, file=process.stdin, flush=True)
        return float(process.stdout.readline())

    return run


if __name__ == "__main__":
    main()
