"""Open networks on the GPU that computes nothing, run each once, and tell of it in JSON.

python tests/blank_gpu/inside.py NETWORK …
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from posewatch.vision.engine import OnnxEngine
from posewatch.vision.gpus import find_gpus
from posewatch.vision.providers import CPU, CUDA, Device

COUNT = 3
UNRUN = "rtmdet"
"""Its suppression sorts by what it has computed."""


def on_cpu(path: str) -> list[str]:
    """Operators that onnxruntime gives to the CPU when it is asked for CUDA."""
    options = ort.SessionOptions()
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    session = ort.InferenceSession(path, options, providers=[CUDA], enable_fallback=0)
    return [
        node.op_type
        for part in session.get_provider_graph_assignment_info()
        for node in part.get_nodes()
        if part.ep_name != CUDA
    ]


def run(path: str, log: Path) -> dict[str, Any]:
    """What the engine makes of a network, and what goes to the GPU and back in one run."""
    (gpu,) = find_gpus()
    log.write_text("")
    engine = OnnxEngine({"it": Path(path)}, device=Device.CUDA, gpu=gpu, batch=COUNT)
    opening = log.read_text().splitlines()
    first = ort.InferenceSession(path, providers=[CPU]).get_inputs()[0]
    pictures = np.zeros((COUNT, *first.shape[1:]), np.uint8)
    log.write_text("")
    outputs = engine.infer("it", pictures)
    return {
        "provider": engine.provider,
        "left": engine.left,
        "pinned": [line for line in opening if line.startswith("pinned")],
        "copies": [line for line in log.read_text().splitlines() if not line.startswith("inside")],
        "expected": [f"in {pictures.nbytes}", *(f"out {output.nbytes}" for output in outputs)],
    }


def main() -> None:
    """See above."""
    log = Path(os.environ["BLANK_GPU_LOG"])
    told = {}
    for path in sys.argv[1:]:
        ran = {} if UNRUN in path else run(path, log)
        told[path] = {"on_cpu": on_cpu(path), **ran}
    sys.stdout.write(json.dumps({"version": ort.__version__, "networks": told}))


if __name__ == "__main__":
    main()
